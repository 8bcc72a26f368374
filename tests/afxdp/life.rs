//! What stays when the process ends, what the next one does with it, and how it goes.

use std::{
    env,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use lychgate::io::{
    Side,
    afxdp::{AttachMode, Fate, Interface, Options, Steering, attach, detach},
};

use super::{
    frames::{odd, syn},
    place::{
        Forwarder, PORTS, Place, Program, SETTINGS, await_that, forward_once, in_place, make_cable,
        pass_program, run,
    },
};

/// Tells this test binary, started again as a child, to be the process that dies.
const ROOT: &str = "LYCHGATE_TEST_ROOT";

/// The child's whole life: attach, serve, forward until killed. Nothing, in the parent.
#[test]
fn the_process_that_is_killed() {
    let Some(root) = env::var_os(ROOT) else {
        return;
    };
    let [access, uplink] = PORTS.map(|name| Interface::by_name(name).unwrap());
    let steering = Steering::load([&access, &uplink], &SETTINGS).unwrap();
    let _attachments = [(Side::Access, &access), (Side::Uplink, &uplink)]
        .map(|(side, port)| attach(&steering, side, port, Path::new(&root)).unwrap());
    let heartbeat = steering.heartbeat(0).unwrap();
    let options = Options::default();
    let mut pair =
        lychgate::io::afxdp::QueuePair::open(&options, [&access, &uplink], 0, heartbeat).unwrap();
    pair.serve(&steering).unwrap();
    println!("\nserving");
    let mut frames = Vec::new();
    loop {
        forward_once(&mut pair, &mut frames);
    }
}

/// A Lychgate in a process of its own, killed (SIGKILL) at the latest when this is dropped.
struct Process(Child);

impl Process {
    fn start(place: &Place) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "life::the_process_that_is_killed", "--nocapture"])
            .env(ROOT, &place.root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let process = Self(child);
        let mut lines = lines.map_while(Result::ok);
        assert!(lines.any(|line| line == "serving"), "the process failed");
        process
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The id of the program and of the link on an interface, as another tool sees them.
fn attached(interface: &str) -> Option<u64> {
    let text = run("ip", &["-j", "-d", "link", "show", "dev", interface]);
    let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
    shown[0]["xdp"]["prog"]["id"].as_u64()
}

fn is_promiscuous(interface: &str) -> bool {
    run("ip", &["link", "show", "dev", interface]).contains("PROMISC")
}

#[test]
fn a_killed_process_leaves_bypass_on_and_the_next_one_takes_over_without_detaching() {
    in_place(|place| {
        let process = Process::start(place);
        place.crosses(Side::Access, &odd(50, 8));
        let old = attached(PORTS[0]).expect("attached");
        drop(process);
        assert_eq!(attached(PORTS[0]), Some(old), "still attached");
        place.crosses(Side::Access, &odd(100, 9));
        place.crosses(Side::Uplink, &odd(100, 9));

        let program = Program::attach(place, &SETTINGS);
        assert!(program.attachments.iter().all(|port| port.taken_over));
        let new = attached(PORTS[0]).expect("attached");
        assert_ne!(new, old, "its own program");
        place.crosses(Side::Access, &[syn()]);
        let forwarder = Forwarder::start(place, &program, &Options::default());
        place.crosses(Side::Uplink, &odd(50, 10));
        assert_eq!(program.count(Fate::ToWorker), 50);
        assert_eq!(program.count(Fate::BypassNoSocket), 1);
        assert!(forwarder.end().census.is_conserved());
    });
}

#[test]
fn no_frame_is_lost_while_a_new_process_takes_over() {
    in_place(|place| {
        drop(Program::attach(place, &SETTINGS));
        let frames = odd(100, 11);
        for _ in 0..20 {
            place.send(Side::Access, &frames);
            let program = Program::attach(place, &SETTINGS);
            assert!(program.attachments[0].taken_over);
            place.arrive(Side::Uplink, &frames);
        }
    });
}

#[test]
fn detaching_leaves_nothing() {
    in_place(|place| {
        assert!(!PORTS.into_iter().any(is_promiscuous));
        drop(Program::attach(place, &SETTINGS));
        assert!(PORTS.into_iter().all(is_promiscuous));
        // Taken over once: what is ours to clean up is still known.
        drop(Program::attach(place, &SETTINGS));
        for side in Side::BOTH {
            assert!(detach(&place.port(side), &place.root).unwrap());
        }
        for port in PORTS {
            assert_eq!(attached(port), None);
            assert!(!is_promiscuous(port));
        }
        assert!(!place.root.exists());
        assert!(!detach(&place.port(Side::Access), &place.root).unwrap());
        place.send(Side::Access, &[syn()]);
        assert!(place.is_quiet(Side::Uplink));
    });
}

#[test]
fn promiscuous_mode_that_was_on_before_stays_on() {
    in_place(|place| {
        run("ip", &["link", "set", "dev", PORTS[0], "promisc", "on"]);
        drop(Program::attach(place, &SETTINGS));
        for side in Side::BOTH {
            assert!(detach(&place.port(side), &place.root).unwrap());
        }
        assert!(is_promiscuous(PORTS[0]));
        assert!(!is_promiscuous(PORTS[1]));
    });
}

#[test]
fn a_second_process_is_refused_and_disturbs_nothing() {
    in_place(|place| {
        let _process = Process::start(place);
        let [access, uplink] = place.ports();
        let steering = Steering::load([&access, &uplink], &SETTINGS).unwrap();
        let error = attach(&steering, Side::Access, &access, &place.root).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("lyafxdp-acc"), "{text}");
        assert!(
            text.contains("another Lychgate runs on this interface"),
            "{text}"
        );
        let text = detach(&access, &place.root).unwrap_err().to_string();
        assert!(text.contains("another Lychgate"), "{text}");
        place.crosses(Side::Access, &odd(50, 12));
        let fates = steering.fates().unwrap();
        assert_eq!(
            fates.get(Fate::ToWorker, Side::Access),
            0,
            "all went to the first"
        );
    });
}

#[test]
fn another_program_is_named_and_left_alone() {
    in_place(|place| {
        let object = pass_program();
        let set = ["link", "set", "dev", PORTS[1], "xdpdrv", "obj"];
        run(
            "ip",
            &[&set[..], &[object.to_str().unwrap(), "sec", "xdp"]].concat(),
        );
        let theirs = attached(PORTS[1]).unwrap();
        let [access, uplink] = place.ports();
        let steering = Steering::load([&access, &uplink], &SETTINGS).unwrap();
        let error = attach(&steering, Side::Uplink, &uplink, &place.root).unwrap_err();
        let text = error.to_string();
        let named = format!("another XDP program (id {theirs}, pass) is attached");
        assert!(text.contains(&named), "{text}");
        assert_eq!(attached(PORTS[1]), Some(theirs));
    });
}

#[test]
fn an_interface_that_was_made_anew_is_attached_anew() {
    in_place(|place| {
        drop(Program::attach(place, &SETTINGS));
        run("ip", &["link", "delete", "dev", PORTS[1]]);
        make_cable("lyafxdp-new", PORTS[1]);
        let program = Program::attach(place, &SETTINGS);
        assert!(program.attachments[0].taken_over);
        assert!(!program.attachments[1].taken_over);
        assert!(attached(PORTS[1]).is_some());
        assert!(is_promiscuous(PORTS[1]));
    });
}

#[test]
fn a_port_that_is_gone_costs_its_frames_and_nothing_else() {
    in_place(|place| {
        let program = Program::attach(place, &SETTINGS);
        run("ip", &["link", "delete", "dev", PORTS[1]]);
        place.send(Side::Access, &[syn()]);
        await_that("it is counted", || program.count(Fate::NoPort) == 1);
    });
}

#[test]
fn an_interface_without_native_xdp_gets_the_generic_one_and_a_reason() {
    in_place(|place| {
        let bridge = "lyafxdp-br";
        run("ip", &["link", "add", bridge, "type", "bridge"]);
        run("ip", &["link", "set", "dev", bridge, "up"]);
        let bridge = Interface::by_name(bridge).unwrap();
        let access = place.port(Side::Access);
        let steering = Steering::load([&access, &bridge], &SETTINGS).unwrap();
        let attachment = attach(&steering, Side::Uplink, &bridge, &place.root).unwrap();
        assert_eq!(attachment.mode, AttachMode::Generic);
        assert!(attachment.why_generic.is_some());
        let native = attach(&steering, Side::Access, &access, &place.root).unwrap();
        assert_eq!(native.mode, AttachMode::Native);
        assert_eq!(native.why_generic, None);
        drop(attachment);
        assert!(detach(&bridge, &place.root).unwrap());
    });
}
