//! Frames as they are, with Lychgate in the wire: what it must not touch, and what it must.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Write},
    process::ChildStdout,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use lychgate::{
    io::Side,
    synth::packet::Packet,
    wire::{Decoded, Link, decode},
};
use rustix::process::Signal;

use super::{
    PATIENT, STEERINGS,
    odd::odd,
    place::{Place, SERVER, STATIONS, Station, ZOMBIE},
};

/// Beyond this, what did not come will not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// A veth's queue holds 256 frames.
const PORTION: usize = 128;

/// What stands around a packet.
pub type Envelope = fn() -> Packet;

/// A packet socket at the far end of a cable (tests/afxdp/station.py).
pub struct Tap {
    // Its output is read by a thread.
    station: Station,
    arrived: Receiver<String>,
}

impl Tap {
    pub fn open(place: &Place, side: Side) -> Self {
        let end = 2 * side.index();
        let interface = STATIONS[side.index()];
        let mut station = place.program(end, "python3", "afxdp/station.py", &[interface]);
        assert_eq!(station.line(), "ready");
        let mut output: BufReader<ChildStdout> = station.take_output();
        let (into, arrived) = channel();
        // Ends with the station.
        thread::spawn(move || {
            let mut line = String::new();
            while output.read_line(&mut line).is_ok_and(|octets| octets > 0) {
                if into.send(line.trim_end().to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Self { station, arrived }
    }

    pub fn send(&mut self, frames: &[Vec<u8>]) {
        let lines: String = frames.iter().map(|frame| hex(frame) + "\n").collect();
        self.station.input().write_all(lines.as_bytes()).unwrap();
    }

    pub fn next(&self) -> String {
        let came = self.arrived.recv_timeout(PATIENCE);
        came.expect("a frame did not arrive")
    }

    /// Nothing more has come.
    pub fn is_silent(&self) -> bool {
        self.arrived
            .recv_timeout(Duration::from_millis(150))
            .is_err()
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Whether no policy has a say in a frame.
fn is_policy_free(frame: &[u8]) -> bool {
    let decoded = decode(frame, frame.len() as u32, Link::Ethernet, &|_| false);
    matches!(decoded, Decoded::Crosses(_))
}

/// Every odd kind, and nothing that could be mail.
fn policy_free(count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut frames = odd(count * 2, seed);
    frames.retain(|frame| is_policy_free(frame));
    frames.truncate(count);
    assert_eq!(frames.len(), count, "odd frames are too often mail");
    frames
}

#[test]
fn ten_thousand_policy_free_frames_of_every_odd_kind_cross_bit_identical() {
    for steer in STEERINGS {
        for from in Side::BOTH {
            let Some(place) = Place::without_people() else {
                return;
            };
            let inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
            let mut here = Tap::open(&place, from);
            let there = Tap::open(&place, from.other());
            let frames = policy_free(10_000, 7 + from.index() as u64);
            for (number, portion) in frames.chunks(PORTION).enumerate() {
                here.send(portion);
                let mut sent: Vec<_> = portion.iter().map(|frame| hex(frame)).collect();
                let mut arrived: Vec<_> = portion.iter().map(|_| there.next()).collect();
                if steer == "mail" {
                    // Frames of one flow keep their order; these are of any, and some cross in the
                    // kernel while others are with the worker.
                    sent.sort_unstable();
                    arrived.sort_unstable();
                }
                assert!(
                    sent == arrived,
                    "steer {steer}, from {from}, portion {number}"
                );
            }
            assert!(here.is_silent() && there.is_silent());
            inline.signal(Signal::TERM);
            assert!(inline.ended_well());
        }
    }
}

/// Frames of flows that cross in the kernel, between frames of flows that the worker sees.
#[test]
fn each_flow_keeps_its_order_whichever_way_it_crosses() {
    for steer in STEERINGS {
        let Some(place) = Place::without_people() else {
            return;
        };
        let _inline = place.start_box(&[&["--steer", steer], &PATIENT[..]].concat());
        let mut here = Tap::open(&place, Side::Access);
        let there = Tap::open(&place, Side::Uplink);
        let flows: [Envelope; 4] = [
            || Packet::ethernet().ipv4(ZOMBIE, SERVER).udp(5000, 5001),
            || {
                Packet::ethernet()
                    .vlan(0x8100, 9)
                    .ipv6("2001:db8::1", "2001:db8:1::1")
                    .udp(1, 2)
            },
            || Packet::ethernet().ipv4(ZOMBIE, SERVER).gre(),
            || {
                Packet::ethernet()
                    .pppoe(7)
                    .ipv4(ZOMBIE, SERVER)
                    .tcp(4000, 443)
                    .flags(0x10)
            },
        ];
        let numbered = |number: usize| {
            let packet = flows[number % flows.len()]();
            packet.bytes(&(number as u64).to_be_bytes()).build()
        };
        let frames: Vec<_> = (0..2000).map(numbered).collect();
        let mut last: HashMap<u64, u64> = HashMap::new();
        for portion in frames.chunks(PORTION) {
            here.send(portion);
            for _ in portion {
                let arrived = there.next();
                let number = u64::from_str_radix(&arrived[arrived.len() - 16..], 16).unwrap();
                assert_eq!(arrived, hex(&frames[number as usize]));
                let before = last.insert(number % flows.len() as u64, number);
                assert!(before < Some(number), "steer {steer}: {number} came late");
            }
        }
    }
}

/// Every envelope in which the wire carries subscribers.
pub const ENVELOPES: [(&str, Envelope); 4] = [
    ("plain", Packet::ethernet),
    ("a tag", || Packet::ethernet().vlan(0x8100, 33)),
    ("two tags", || {
        Packet::ethernet().vlan(0x88a8, 4).vlan(0x8100, 33)
    }),
    ("PPPoE", || {
        Packet::ethernet().vlan(0x8100, 33).pppoe(0x1234)
    }),
];

/// In every envelope in which the wire carries subscribers: 3 of 10 attempts cross, and 7 resets
/// come back in the same envelope.
#[test]
fn a_zombie_behind_a_tag_or_in_pppoe_is_limited_and_told_so_in_the_same_envelope() {
    for (name, envelope) in ENVELOPES {
        let Some(place) = Place::without_people() else {
            return;
        };
        let _inline = place.start_box(&PATIENT);
        let mut here = Tap::open(&place, Side::Access);
        let there = Tap::open(&place, Side::Uplink);
        let attempt = |number: u16| {
            let packet = envelope().ipv4(ZOMBIE, SERVER).tcp(40_000 + number, 25);
            packet.flags(0x02).padded().build()
        };
        let attempts: Vec<_> = (0..10).map(attempt).collect();
        here.send(&attempts);
        for attempt in &attempts[..3] {
            assert_eq!(there.next(), hex(attempt), "{name}");
        }
        for attempt in &attempts[3..] {
            let told = here.next();
            // The same tags and the same session, from their IP header to their end; the addresses
            // of the link the other way round.
            let ip = envelope().build().len();
            let sent = hex(attempt);
            assert_eq!(told[..12], sent[12..24], "{name}");
            assert_eq!(told[12..24], sent[..12], "{name}");
            let (told_tags, sent_tags) = (&told[24..2 * ip], &sent[24..2 * ip]);
            if name != "PPPoE" {
                assert_eq!(told_tags, sent_tags, "{name}");
            } else {
                // Its length is another packet's.
                assert_eq!(told_tags[..20], sent_tags[..20], "{name}");
            }
        }
        assert!(here.is_silent() && there.is_silent(), "{name}");
    }
}
