//! The stories, and how connections are told.

use lychgate::{
    engine::Nanos,
    io::capture::Record,
    synth::packet::Packet,
    wire::{Link, TcpFlags},
};

use crate::case::START;

const POLICY: &str = r#"[relays]
addresses = ["192.0.2.25"]
limit = { connections = 60, window = "1m" }

[class.residential]
smtp = { limit = { connections = 10, window = "10s" } }

[class.residential.detect]
volume = { attempts = 500, window = "1h" }
destinations = { distinct = 200, window = "1h" }
submission = { attempts = 300, window = "1h" }
outcomes = { theta0 = 0.2, theta1 = 0.9, alpha = 5e-5, beta = 0.01 }   # the sequential test
steps = [ { step = "notify" }, { step = "quarantine", for = "24h", scope = "mail", expires = "30d" } ]

[class.mta]
smtp = "allow"

[class.mta.detect]
outcomes = { theta0 = 0.2, theta1 = 0.9 }
steps = [ { step = "suspect" } ]

[class.closed]
smtp = "block"

[class.closed.detect]
destinations = { distinct = 50, window = "1h" }
steps = [ { step = "suspect" } ]

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "198.51.100.0/24"
vlans = [66]
class = "residential"

[[pool]]
prefix = "100.64.0.0/24"
vlans = [5]
class = "closed"

[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"

[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30/32"]
class = "mta"

[[subscriber]]
name = "The Parish Newsletter"
prefixes = ["203.0.113.31/32"]
class = "mta"

[sources]
capacity = 1024
"#;

const SYN_ACK: u16 = 0x12;
const MS: Nanos = 1_000_000;

/// One folder under pcap/.
pub struct Story {
    pub name: &'static str,
    pub about: &'static str,
    pub policy: &'static str,
    /// In the order of time.
    pub frames: Vec<(Nanos, Vec<u8>)>,
    /// Source, detector, and seconds from the start until it must be found: in the order of time.
    pub flagged: Vec<(&'static str, &'static str, u32)>,
    /// What must be counted.
    pub reasons: Vec<(&'static str, u32)>,
    pub observed: Option<u32>,
    connections: u16,
}

/// What becomes of an attempt.
#[derive(Clone, Copy)]
enum Fate {
    /// Answered after so many milliseconds, and the handshake completed.
    Answered(u64),
    /// Refused after 40 ms.
    Reset,
    /// A router says so after 40 ms.
    Unreachable,
    /// Sent again after 1 and 3 seconds, in vain.
    Silent,
}

use Fate::{Answered, Reset, Silent, Unreachable};

impl Story {
    fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            policy: POLICY,
            frames: Vec::new(),
            flagged: Vec::new(),
            reasons: Vec::new(),
            observed: None,
            connections: 0,
        }
    }

    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.frames.iter().map(|(time, bytes)| Record {
            time: *time,
            link: Link::Ethernet,
            bytes,
            wire_length: bytes.len() as u32,
        })
    }

    fn flags(mut self, source: &'static str, detector: &'static str, within: u32) -> Self {
        self.flagged.push((source, detector, within));
        self
    }

    fn counts(mut self, reason: &'static str, frames: u32) -> Self {
        self.reasons.push((reason, frames));
        self
    }

    fn observes(mut self, subscribers: u32) -> Self {
        self.observed = Some(subscribers);
        self
    }

    /// All is told.
    fn end(mut self) -> Self {
        self.frames.sort_by_key(|(time, _)| *time);
        self
    }

    fn frame(&mut self, at_ms: u64, packet: Packet) {
        self.frames.push((START + at_ms * MS, packet.build()));
    }

    /// One connection, of a client that is not behind tags.
    fn connect(&mut self, at_ms: u64, client: &str, server: &str, port: u16, fate: Fate) {
        self.connect_in(None, at_ms, (client, server, port), fate);
    }

    /// One connection in a VLAN, or in none.
    fn connect_in(
        &mut self,
        vlan: Option<u16>,
        at_ms: u64,
        (client, server, port): (&str, &str, u16),
        fate: Fate,
    ) {
        let outside = || match vlan {
            Some(id) => Packet::ethernet().vlan(0x8100, id),
            None => Packet::ethernet(),
        };
        self.connections += 1;
        let local = 10_000 + self.connections;
        let from = |flags| {
            outside()
                .between(client, server)
                .tcp(local, port)
                .flags(flags)
        };
        let to = |flags| {
            outside()
                .between(server, client)
                .tcp(port, local)
                .flags(flags)
        };
        let syn = || from(TcpFlags::SYN);
        self.frame(at_ms, syn());
        match fate {
            Answered(after) => {
                let answer = to(SYN_ACK).sequence(5000).acknowledgement(1001);
                self.frame(at_ms + after, answer);
                let ack = from(TcpFlags::ACK).sequence(1001).acknowledgement(5001);
                self.frame(at_ms + after + 1, ack);
            }
            Reset => {
                let reset = to(TcpFlags::RST | TcpFlags::ACK).sequence(0);
                self.frame(at_ms + 40, reset.acknowledgement(1001));
            }
            Unreachable => {
                let quoted = Packet::ip().between(client, server).tcp(local, port);
                let quoted = quoted.flags(TcpFlags::SYN).build();
                let message = outside().ipv4("192.0.2.254", client).icmp(3, 1, 0);
                self.frame(at_ms + 40, message.bytes(&quoted));
            }
            Silent => {
                self.frame(at_ms + 1000, syn());
                self.frame(at_ms + 3000, syn());
            }
        }
    }

    /// Users who send a mail now and then, over some seconds.
    fn with_users(mut self, seconds: u64) -> Self {
        for n in 0..seconds / 20 {
            let user = format!("203.0.113.{}", 100 + n % 50);
            self.connect(n * 20_000, &user, "192.0.2.25", 587, Answered(30));
        }
        self
    }
}

/// A server somewhere on the internet, by number.
fn server(n: u64) -> String {
    format!("198.18.{}.{}", n / 250, n % 250 + 1)
}

/// Fails four times in five, in every way in turn.
fn mostly_failing(n: u64) -> Fate {
    match n % 5 {
        0 => Answered(80),
        1 => Silent,
        2 => Reset,
        3 => Unreachable,
        _ => Silent,
    }
}

pub fn stories() -> Vec<Story> {
    vec![
        burst(),
        slow(),
        rotating(),
        hijacked(),
        mail_server(),
        newsletter(),
        mail_client(),
        spoof_flood(),
        framed(),
        triangular(),
    ]
}

fn burst() -> Story {
    let mut story = Story::new(
        "detect-burst",
        "A zombie makes 400 attempts in a minute, four of five in vain. Its limit lets out ten in \
         ten seconds; what becomes of those is enough.",
    )
    .with_users(120);
    for n in 0..400 {
        story.connect(n * 150, "203.0.113.66", &server(n), 25, mostly_failing(n));
    }
    story.flags("203.0.113.66", "outcomes", 25).end()
}

fn slow() -> Story {
    let mut story = Story::new(
        "detect-slow",
        "A zombie tries one new server a minute, four of five in vain. No limiter sees it and no \
         threshold; the sequential test does.",
    )
    .with_users(3600);
    for n in 0..60 {
        story.connect(
            n * 60_000,
            "203.0.113.77",
            &server(n),
            25,
            mostly_failing(n),
        );
    }
    story.flags("203.0.113.77", "outcomes", 15 * 60).end()
}

fn rotating() -> Story {
    let mut story = Story::new(
        "detect-rotating",
        "A zombie takes a new IPv6 address for every attempt, all over its /56: one subscriber, \
         one record, one finding.",
    );
    for n in 0..60_u64 {
        let client = format!("2001:db8:200:42{:02x}:{:x}::1", n * 13 % 256, n + 1);
        let fate = match n % 5 {
            0 => Answered(80),
            2 => Reset,
            _ => Silent,
        };
        let server = format!("2001:db8:{:x}::25", 0x1000 + n);
        story.connect(n * 2000, &client, &server, 25, fate);
    }
    story.flags("2001:db8:200:4200::/56", "outcomes", 30).end()
}

fn hijacked() -> Story {
    let mut story = Story::new(
        "detect-hijacked",
        "Somebody has a customer's password and sends through the provider's own relay, twenty \
         connections a minute: few destinations, all of them answered.",
    )
    .with_users(1200);
    for n in 0..400 {
        story.connect(n * 3000, "203.0.113.88", "192.0.2.25", 587, Answered(20));
    }
    story.flags("203.0.113.88", "submission", 910).end()
}

fn mail_server() -> Story {
    let mut story = Story::new(
        "detect-mail-server",
        "A business's mail server makes 90 connections a minute to 600 servers for 20 minutes; one \
         in twenty fails.",
    );
    for n in 0..1800_u64 {
        // Scattered, so that failures come in twos and threes at times.
        let to = n * 7919 % 600;
        let fate = match to * 31 % 600 {
            0..15 => Silent,
            15..30 => Reset,
            _ => Answered(30 + to % 200),
        };
        story.connect(n * 667, "203.0.113.30", &server(to), 25, fate);
    }
    story.end()
}

fn newsletter() -> Story {
    let mut story = Story::new(
        "detect-newsletter",
        "A newsletter opens 200 connections at once, all answered after 300 ms, and again a minute \
         later with answers that take two seconds.",
    );
    for (minute, after) in [(0, 300), (1, 2000)] {
        for n in 0..200 {
            let (at, to) = (minute * 60_000 + n, server(200 * minute + n));
            story.connect(at, "203.0.113.31", &to, 25, Answered(after));
        }
    }
    // Something else, so that what was never answered would be overdue.
    story.with_users(120).end()
}

fn mail_client() -> Story {
    let mut story = Story::new(
        "detect-mail-client",
        "A mail client on port 587 asks every minute for two hours; for half an hour its server \
         is down.",
    );
    for n in 0..120 {
        let fate = if (40..70).contains(&n) {
            Silent
        } else {
            Answered(25)
        };
        story.connect(n * 60_000, "203.0.113.50", "198.18.0.87", 587, fate);
    }
    story.end()
}

fn spoof_flood() -> Story {
    let mut story = Story::new(
        "detect-spoof-flood",
        "A host sends 20,000 SYNs from random addresses: most are strangers', some belong to \
         subscribers who never made them. No record is created, nobody is blamed.",
    );
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for n in 0..20_000_u64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let [a, b, c, ..] = random.to_le_bytes();
        let source = match n % 20 {
            0 => format!("203.0.113.{}", a % 100),
            1 => format!("198.51.100.{a}"),
            // No pool of this policy. The last octet is always 1: the file is to stay small.
            _ => format!("{}.{b}.{c}.1", 11 + a % 32),
        };
        let syn = Packet::ethernet()
            .ipv4(&*source, "198.18.0.1")
            .tcp(40_000, 25);
        story.frame(n / 2, syn.flags(TcpFlags::SYN));
    }
    story
        .counts("stranger", 18_000)
        .counts("wrong_vlan", 1_000)
        .observes(0)
        .end()
}

fn framed() -> Story {
    let mut story = Story::new(
        "detect-framed",
        "A neighbour sends as a subscriber who is bound to VLAN 66, from VLAN 67, and as another \
         one who is bound to none and sends no mail. The first one's own mail goes on.",
    );
    for n in 0..20 {
        let own = ("198.51.100.7", "198.18.9.9", 25);
        story.connect_in(Some(66), n * 5000, own, Answered(50));
    }
    for n in 0..100 {
        let to = server(n);
        let framed = ("198.51.100.7", &*to, 25);
        story.connect_in(Some(67), n * 900, framed, Silent);
        story.connect(n * 900, "203.0.113.9", &to, 25, Silent);
    }
    story.counts("wrong_vlan", 300).observes(1).end()
}

fn triangular() -> Story {
    let mut story = Story::new(
        "detect-triangular",
        "Subscribers who may not send mail. 100.64.0.5 receives the answers to what is sent \
         elsewhere under its address, and sends segments without a SYN: all of it is dropped, and \
         it is not flagged for what anybody could send. 100.64.0.6 does that and tries by itself. \
         The sending half stands here too: it sends as somebody far away.",
    );
    let inside = || Packet::ethernet().vlan(0x8100, 5);
    for n in 0..60 {
        let to = server(n);
        let at = n * 1000;
        for client in ["100.64.0.5", "100.64.0.6"] {
            let answer = inside().ipv4(&*to, client).tcp(25, 30_000 + n as u16);
            let answer = answer.sequence(5000).acknowledgement(n as u32 + 1);
            story.frame(at, answer.clone().flags(SYN_ACK));
            story.frame(at + 100, answer.flags(0x18).payload(20));
        }
        let goes_on = inside().ipv4("100.64.0.5", &*to).tcp(30_000, 25);
        story.frame(at + 200, goes_on.flags(0x18).payload(40));
        let far_away = inside().ipv4("11.0.0.1", &*to).tcp(30_000, 25);
        story.frame(at + 300, far_away.flags(TcpFlags::SYN).sequence(n as u32));
        let own = ("100.64.0.6", &*to, 25);
        let syn = inside().ipv4(own.0, own.1).tcp(31_000 + n as u16, 25);
        story.frame(at + 400, syn.flags(TcpFlags::SYN));
    }
    story
        .flags("100.64.0.6", "destinations", 60)
        .counts("orphan_syn_ack", 120)
        .counts("smtp_reply_blocked", 120)
        .counts("smtp_blocked", 120)
        .counts("stranger", 60)
        .observes(1)
        .end()
}
