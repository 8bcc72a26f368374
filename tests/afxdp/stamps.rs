//! The time that the kernel program puts in front of some frames.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use lychgate::{
    io::{
        Ports, Side,
        afxdp::{
            AttachMode, Fate, Interface, Options, QueuePair, Settings, Steer, Steering, attach,
            detach,
        },
    },
    worker::monotonic,
};

use super::{
    frames::{odd, syn, web},
    place::{
        DEADLINE, Forwarder, Place, Program, SETTINGS, await_that, copying, in_place, receive, run,
        serving,
    },
};

/// Sends one frame to a worker's ports; the time that it carries there.
fn arrival_of(place: &mut Place, pair: &mut QueuePair, frame: &[u8]) -> Option<u64> {
    place.send(Side::Access, &[frame.to_vec()]);
    let token = receive(pair, Side::Access, 1).remove(0);
    assert_eq!(pair.bytes(&token), frame);
    let arrival = pair.arrival(&token);
    pair.release(token);
    arrival
}

#[test]
fn a_stamped_frame_tells_when_it_came_and_is_otherwise_untouched() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let mut pair = serving(place, &program, &copying());
        for frame in odd(50, 21) {
            let before = monotonic();
            let arrival = arrival_of(place, &mut pair, &frame).expect("every frame is stamped");
            assert!((before..=monotonic()).contains(&arrival));
        }
    });
}

#[test]
fn one_in_so_many_is_stamped_and_none_tells_the_time_of_another() {
    in_place(|place| {
        let settings = Settings {
            stamp: 4,
            ..SETTINGS
        };
        let program = Program::attach(place, &settings);
        // So few places in memory that each is used again and again.
        let options = Options {
            ring_size: 16,
            ..copying()
        };
        let mut pair = serving(place, &program, &options);
        let mut stamped = 0;
        for _ in 0..400 {
            let before = monotonic();
            if let Some(arrival) = arrival_of(place, &mut pair, &syn()) {
                assert!((before..=monotonic()).contains(&arrival), "an old stamp");
                stamped += 1;
            }
        }
        // Counted on each CPU apart.
        assert!((1..=100).contains(&stamped), "{stamped} of 400");
        let never = Settings {
            stamp: 0,
            ..SETTINGS
        };
        program.steering.set(&never).unwrap();
        for _ in 0..100 {
            assert_eq!(arrival_of(place, &mut pair, &syn()), None);
        }
    });
}

#[test]
fn a_number_that_is_no_power_of_two_is_refused() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        let odd = Settings {
            stamp: 100,
            ..SETTINGS
        };
        let text = program.steering.set(&odd).unwrap_err().to_string();
        assert!(text.contains("choose a power of 2"), "{text}");
    });
}

/// The stations drop frames that carry metadata: see `pass_program`.
#[test]
fn no_frame_on_the_wire_carries_a_stamp_whichever_way_it_crossed() {
    in_place(|place| {
        let settings = Settings {
            steer: Steer::Mail,
            deadline: DEADLINE,
            ..SETTINGS
        };
        let program = Program::attach(place, &settings);
        place.crosses(Side::Access, &[syn()]);
        assert_eq!(program.count(Fate::BypassNoSocket), 1);
        let forwarder = Forwarder::start(place, &program, &copying());
        place.crosses(Side::Access, &[web()]);
        assert_eq!(program.count(Fate::Harmless), 1);
        await_that("one goes through the worker", || {
            place.crosses(Side::Access, &[syn()]);
            program.count(Fate::ToWorker) > 0
        });
        forwarder.hang();
        await_that("the heartbeat is too old", || {
            place.crosses(Side::Access, &[web()]);
            program.steering.try_frame(Side::Access, &syn()).unwrap() == Fate::BypassStale
        });
        place.crosses(Side::Access, &[syn()]);
        assert!(program.count(Fate::BypassStale) > 0);
    });
}

/// The far end of a TAP interface's cable: a process that sends the frames of its input. TAP has
/// room for metadata from Linux 6.15 on.
const TAP: &str = "
import fcntl, os, struct, sys
tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK) # else XDP would be the generic one
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454ca, 0x0002, 0x1000
fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH22x', sys.argv[1].encode(), IFF_TAP | IFF_NO_PI))
print('ready', flush=True)
for line in sys.stdin:
    os.write(tap, bytes.fromhex(line))
";

#[test]
fn a_driver_that_has_room_for_a_stamp_on_some_kernels_only_loses_no_frame() {
    in_place(|place| {
        let name = "lyafxdp-tap";
        let mut far = Command::new("python3")
            .args(["-c", TAP, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs: install it");
        let mut line = String::new();
        let mut output = BufReader::new(far.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "TAP interfaces can be made");
        run("ip", &["link", "set", "dev", name, "up"]);

        let (access, uplink) = (Interface::by_name(name).unwrap(), place.port(Side::Uplink));
        let steering = Steering::load([&access, &uplink], &SETTINGS).unwrap();
        let attachment = attach(&steering, Side::Access, &access, &place.root).unwrap();
        assert_eq!(attachment.mode, AttachMode::Native);
        let heartbeat = steering.heartbeat(0).unwrap();
        let mut pair = QueuePair::open(&copying(), [&access, &uplink], 0, heartbeat).unwrap();
        pair.serve(&steering).unwrap();

        let before = monotonic();
        let digits: String = syn().iter().map(|octet| format!("{octet:02x}")).collect();
        writeln!(far.stdin.as_ref().unwrap(), "{digits}").unwrap();
        let frame = receive(&mut pair, Side::Access, 1).remove(0);
        assert_eq!(pair.bytes(&frame), syn());
        let arrival = pair.arrival(&frame);
        assert!(arrival.is_none_or(|arrival| (before..=monotonic()).contains(&arrival)));
        pair.release(frame);

        drop((pair, attachment));
        detach(&access, &place.root).unwrap();
        drop(far.stdin.take());
        far.wait().unwrap();
    });
}
