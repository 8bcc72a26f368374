//! What a golden case is made of: a policy, and frames with what must become of each.

use std::fmt::Write;

use ipnet::IpNet;
use lychgate::{
    engine::{Action, Effect, Nanos, Reason},
    policy::steps::Scope,
    synth::packet::Packet,
    wire::{Link, TcpFlags},
};

/// 1 January 2026, 00:00 UTC: a multiple of every window, so that parts of windows begin with it.
pub const START: Nanos = 1_767_225_600_000_000_000;
/// Between frames that do not say otherwise.
const STEP: Nanos = 1_000_000;

/// One folder under pcap/.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub policy: String,
    pub link: Link,
    /// Accounting keys that are quarantined, and what is taken away.
    pub quarantined: Vec<(IpNet, Scope)>,
    pub frames: Vec<Fixture>,
    /// The report's counts for SMTP and submission, where they are worth writing by hand.
    pub mail: Option<[Mail; 2]>,
    now: Nanos,
}

/// SYN frames, attempts, admitted, refused.
pub type Mail = [u64; 4];

/// One frame, and what must become of it. The expectation is written by hand, beside the sentence
/// that gives its reason; regenerating the golden files never touches it.
pub struct Fixture {
    pub says: String,
    pub bytes: Vec<u8>,
    pub wire_length: u32,
    pub time: Nanos,
    pub reason: Reason,
    pub action: Action,
    pub observed: bool,
}

impl Case {
    pub fn new(name: &'static str, about: &'static str, policy: impl Into<String>) -> Self {
        let policy = policy.into();
        Self {
            name,
            about,
            policy,
            link: Link::Ethernet,
            quarantined: Vec::new(),
            frames: Vec::new(),
            mail: None,
            now: START,
        }
    }

    /// The frames begin with this link layer.
    pub fn on(mut self, link: Link) -> Self {
        self.link = link;
        self
    }

    /// This subscriber is quarantined.
    pub fn quarantined(mut self, key: &str, scope: Scope) -> Self {
        self.quarantined
            .push((key.parse().expect("a prefix"), scope));
        self
    }

    /// The next frame comes at this time after the start.
    pub fn at_ms(mut self, milliseconds: u64) -> Self {
        self.now = START + milliseconds * 1_000_000;
        self
    }

    /// A frame, why it is here, and what must become of it.
    pub fn frame(self, says: impl Into<String>, packet: Packet, reason: Reason) -> Self {
        self.octets(says, packet.build(), reason)
    }

    /// A frame that no builder would build.
    pub fn octets(mut self, says: impl Into<String>, bytes: Vec<u8>, reason: Reason) -> Self {
        let action = match reason.effect() {
            Effect::Forward => Action::Forward,
            Effect::Drop | Effect::Refuse => Action::Drop,
            Effect::Redirect => Action::Redirect,
        };
        let wire_length = bytes.len() as u32;
        let (says, time) = (says.into(), self.now);
        self.frames.push(Fixture {
            says,
            bytes,
            wire_length,
            time,
            reason,
            action,
            observed: false,
        });
        self.now += STEP;
        self
    }

    /// The capture kept only the last frame's first octets.
    pub fn captured(mut self, octets: usize) -> Self {
        self.last().bytes.truncate(octets);
        self
    }

    /// The last frame is answered with a TCP RST.
    pub fn reset(mut self) -> Self {
        self.last().action = Action::Reset;
        self
    }

    /// The last frame is judged so, but forwarded: its class (or the whole policy) only observes.
    pub fn observed(mut self) -> Self {
        let last = self.last();
        (last.action, last.observed) = (Action::Forward, true);
        self
    }

    /// What the report must count for SMTP and submission.
    pub fn counts(mut self, smtp: Mail, submission: Mail) -> Self {
        self.mail = Some([smtp, submission]);
        self
    }

    fn last(&mut self) -> &mut Fixture {
        self.frames.last_mut().expect("a frame comes first")
    }

    /// The case for people: pcap/NAME/README.md.
    pub fn readme(&self) -> String {
        let mut text = format!("# {}\n\n{}\n\n", self.name, self.about);
        text.push_str("| frame | at | what it is | what must become of it |\n|--:|--:|---|---|\n");
        for (index, frame) in self.frames.iter().enumerate() {
            let action = match (frame.action, frame.observed) {
                (Action::Forward, true) => ", but forwarded (observed)",
                (Action::Reset, _) => ", with a TCP RST",
                (Action::Redirect, _) => ", with what leads to the notice page",
                _ => "",
            };
            let cut = match frame.bytes.len() {
                length if length < frame.wire_length as usize => format!(", cut after {length}"),
                _ => String::new(),
            };
            let at = (frame.time - START) as f64 / 1e9;
            let (says, reason) = (&frame.says, frame.reason.name());
            let number = index + 1;
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {number} | {at:.3} s | {says}{cut} | `{reason}`{action} |"
            );
        }
        text
    }
}

/// A connection attempt to port 25, as a current system sends it.
pub fn syn(source: &str, destination: &str) -> Packet {
    syn_from(source, 40_000, destination, 25)
}

/// A connection attempt from one port to another.
pub fn syn_from(source: &str, port: u16, destination: &str, to: u16) -> Packet {
    attempt(Packet::ethernet().between(source, destination), port, to)
}

/// A connection attempt inside whatever stands around it.
pub fn attempt(around: Packet, port: u16, to: u16) -> Packet {
    around
        .tcp(port, to)
        .flags(TcpFlags::SYN)
        .options(&[2, 4, 0x05, 0xb4])
}
