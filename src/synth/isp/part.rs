//! What each one does in a provider's day.

use std::net::{IpAddr, Ipv6Addr};

use rand::{Rng, RngExt};

use super::{
    super::{
        Sent,
        conversation::{Call, Outcome},
        host::{Host, MILLISECOND, SECOND, server},
        network::{Customer, Network, RELAYS, RESOLVERS},
        timeline::Acts,
    },
    MIDNIGHT,
};
use crate::{
    engine::Nanos,
    wire::{SMTP, SUBMISSION, SUBMISSIONS},
};

const MINUTE: Nanos = 60 * SECOND;
const HOUR: Nanos = 60 * MINUTE;
/// Until six in the morning there is less to do, by this factor.
const NIGHT: Nanos = 4;
/// Streams of randomness below are other actors'.
const STREAMS: u64 = 16;
/// When a mail server tries again what failed: sooner first, then every so often.
const RETRY_FIRST: Nanos = 300 * SECOND;
const RETRY_MAX: Nanos = 4000 * SECOND;
/// Servers that everybody writes to, and that are always there.
const POPULAR: u32 = 40;

/// What somebody is, besides a household with people in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// People who browse, and mail through the relay or another provider's submission port.
    Household,
    /// A mail server at home: a few deliveries a day, and again what failed.
    HomeServer,
    /// One that also sends a club's circular to its members, once a day: some dozens of deliveries
    /// within minutes.
    Club,
    /// A small office behind one address: some dozens of mails a day through the relay, and once a
    /// day the same letter to some dozens of people.
    Office,
    /// A device that reports by mail every few hours. The server of one in four is gone for good,
    /// and half of those try it every minute.
    Device,
    /// A mail program whose server is down. It tries submission every minute.
    StuckClient,
    /// A business's mail server.
    MailServer,
    /// One that sends newsletters, too: 200 connections at once.
    Newsletter,
    /// Campaigns of hundreds of attempts within a minute or less, then hours of silence.
    Burst,
    /// One new server a minute, of which 80 in 100 fail.
    Slow,
    /// A new IPv6 address for every attempt, all over its /56.
    Rotating,
    /// Somebody else has the password, and sends through the relay. Nothing fails.
    Hijacked,
    /// Goes on and on at its own pace, and 30 to 95 in 100 fail.
    Steady,
}

impl What {
    /// The kinds of zombies.
    pub const ZOMBIES: [Self; 5] = [
        Self::Burst,
        Self::Slow,
        Self::Rotating,
        Self::Hijacked,
        Self::Steady,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Household => "household",
            Self::HomeServer => "home-server",
            Self::Club => "club",
            Self::Office => "office",
            Self::Device => "device",
            Self::StuckClient => "stuck-client",
            Self::MailServer => "mail-server",
            Self::Newsletter => "newsletter",
            Self::Burst => "burst",
            Self::Slow => "slow",
            Self::Rotating => "rotating",
            Self::Hijacked => "hijacked",
            Self::Steady => "steady",
        }
    }
}

/// A message that could not be delivered, and when that is tried again.
#[derive(Clone, Copy, Debug)]
struct Deferred {
    server: u32,
    due: Nanos,
    /// After how long again.
    pause: Nanos,
    /// When the server is back.
    back: Nanos,
}

/// Somebody's part in the day.
#[derive(Debug)]
pub struct Part {
    what: What,
    index: u32,
    host: Host,
    begins: Nanos,
    /// Mean time between two acts.
    pace: Nanos,
    failing: u32,
    /// Attempts or rounds that are left in a campaign.
    left: u32,
    /// When a campaign ends that lasts for a time, or the next delivery is made.
    until: Nanos,
    deferred: Vec<Deferred>,
}

impl Part {
    /// The part of this kind and number in a day of this length. Zombies begin in its first half.
    pub fn new(what: What, index: u32, seed: u64, duration: Nanos) -> Self {
        let mut host = Host::new(seed, (STREAMS + what as u64) << 32 | u64::from(index));
        let random = &mut host.random;
        let (pace, failing, within) = match what {
            What::Household => (3 * HOUR, 0, 3 * HOUR),
            What::HomeServer => (24 * HOUR / random.random_range(5..=40), 5, HOUR),
            What::Club => (3 * SECOND, 5, 12 * HOUR),
            What::Office => (random.random_range(3 * MINUTE..20 * MINUTE), 0, HOUR),
            What::Device => match random.random_range(0..8) {
                0 => (MINUTE, 100, HOUR),
                1 => (random.random_range(HOUR..4 * HOUR), 100, HOUR),
                _ => (random.random_range(HOUR..4 * HOUR), 0, HOUR),
            },
            What::StuckClient => (MINUTE, 100, 12 * HOUR),
            What::MailServer | What::Newsletter => (between(random, 667, 600_000), 5, MINUTE),
            What::Burst => (100 * MILLISECOND, random.random_range(50..=90), 0),
            What::Slow => (MINUTE, 80, 0),
            What::Rotating => (
                between(random, 5_000, 60_000),
                random.random_range(50..=90),
                0,
            ),
            What::Hijacked => (between(random, 3_000, 20_000), 0, 0),
            What::Steady => (
                between(random, 10_000, 120_000),
                random.random_range(30..=95),
                0,
            ),
        };
        let within = if What::ZOMBIES.contains(&what) {
            duration / 2
        } else {
            within
        };
        let begins = random.random_range(0..within.max(1));
        Self {
            what,
            index,
            host,
            begins,
            pace,
            failing,
            left: 0,
            until: 0,
            deferred: Vec::new(),
        }
    }

    pub const fn what(&self) -> What {
        self.what
    }

    pub const fn begins(&self) -> Nanos {
        self.begins
    }

    pub const fn failing(&self) -> u32 {
        self.failing
    }

    pub const fn customer(&self) -> Customer {
        match self.what {
            What::MailServer | What::Newsletter => Customer::Business(self.index),
            _ => Customer::Resident(self.index),
        }
    }

    /// People browse, resolve, and mail.
    fn live(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        let ipv6 = self.host.random.random_ratio(2, 5);
        let relay = RELAYS[usize::from(ipv6)];
        let remote = match self.host.random.random_range(0..100) {
            0..15 => {
                let resolver = (RESOLVERS[usize::from(ipv6)], 53);
                self.call(network, resolver).udp(now, 36, Some(120), out);
                return self.rest(now);
            }
            15..50 => (self.host.server(ipv6), 443),
            50..75 => (relay, SUBMISSION),
            75..90 => (relay, SUBMISSIONS),
            90..93 => (relay, SMTP),
            _ => (self.host.server(ipv6), SUBMISSION),
        };
        let call = self.call(network, remote);
        call.handshake(now, Outcome::Established, out);
        self.rest(now)
    }

    /// Delivers what is new and what is due again.
    fn deliver(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        if now >= self.until {
            if self.until > 0 {
                let correspondents = 3 + self.index % 58;
                let server = self.index * 64 + self.host.random.random_range(0..correspondents);
                let outcome = self.host.outcome(self.failing);
                self.send(now, network, server, outcome, out);
                if outcome != Outcome::Established {
                    // One in five servers never comes back: a name that was misspelt.
                    let is_gone = self.host.random.random_ratio(1, 5);
                    let back = now + self.host.random.random_range(HOUR..6 * HOUR);
                    self.deferred.push(Deferred {
                        server,
                        due: now + RETRY_FIRST,
                        pause: RETRY_FIRST,
                        back: if is_gone { Nanos::MAX } else { back },
                    });
                }
            }
            self.until = now + self.host.pause(self.pace);
        }
        for mut message in std::mem::take(&mut self.deferred) {
            if message.due <= now {
                let is_back = message.back <= now;
                let outcome = if is_back {
                    Outcome::Established
                } else {
                    Outcome::Silent
                };
                self.send(now, network, message.server, outcome, out);
                if is_back {
                    continue;
                }
                message.pause = (2 * message.pause).min(RETRY_MAX);
                message.due = now + message.pause;
            }
            self.deferred.push(message);
        }
        let next = self.deferred.iter().map(|message| message.due).min();
        next.map_or(self.until, |next| next.min(self.until)) - now
    }

    /// A circular's next copy. Members share providers.
    fn circulate(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        if self.left == 0 {
            self.left = self.host.random.random_range(30..=150);
        }
        let server = self.index * 64 + self.host.random.random_range(0..60);
        let outcome = self.host.outcome(self.failing);
        self.send(now, network, server, outcome, out);
        self.left -= 1;
        if self.left == 0 {
            24 * HOUR
        } else {
            self.host.pause(self.pace)
        }
    }

    /// Mails through the relay, and a serial letter when it is time for one.
    fn write_letters(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        if self.until == 0 {
            self.until = now + self.host.random.random_range(6 * HOUR..18 * HOUR);
        } else if now >= self.until {
            self.left = self.host.random.random_range(20..=60);
            self.until = now + 24 * HOUR;
        }
        let call = self.call(network, (RELAYS[0], SUBMISSION));
        call.handshake(now, Outcome::Established, out);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.host.pause(3 * SECOND)
            }
            None => self.rest(now),
        }
    }

    /// A device's report, or a stuck program's mail: always to the same server.
    fn report(&mut self, now: Nanos, port: u16, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        let own = server(self.index.wrapping_mul(7919), false);
        let outcome = if self.failing > 0 {
            Outcome::Silent
        } else {
            Outcome::Established
        };
        let call = self.call(network, (own, port));
        call.handshake(now, outcome, out);
        self.pace
    }

    /// A business delivers its customers' mail and receives others'.
    fn trade(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        let is_popular = self.host.random.random_ratio(3, 5);
        let number = self.host.random.next_u32();
        let number = if is_popular { number % POPULAR } else { number };
        if self.host.random.random_ratio(1, 5) {
            let call = self.call(network, (server(number, false), SMTP));
            let delivery = Call {
                local: (call.local.0, SMTP),
                remote: (call.remote.0, call.local.1),
                inbound: true,
                ..call
            };
            return delivery.handshake(now, Outcome::Established, out);
        }
        let outcome = self.host.outcome(self.failing);
        let mut call = self.call(network, (server(number, false), SMTP));
        if self.host.random.random_ratio(1, 50) {
            // A busy server takes its time.
            call.round_trip += self.host.random.random_range(0..3500 * MILLISECOND);
        }
        call.handshake(now, outcome, out);
    }

    /// 200 connections within a second, ten minutes in a row, a few times a day.
    fn publish(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        let Some(left) = self.left.checked_sub(1) else {
            self.trade(now, network, out);
            let pause = self.rest(now);
            if now + pause > self.until {
                self.left = 10;
                self.until = now + self.host.random.random_range(2 * HOUR..8 * HOUR);
            }
            return pause;
        };
        self.left = left;
        for n in 0..200 {
            let outcome = self.host.outcome(3);
            let server = self.host.server(false);
            let mut call = self.call(network, (server, SMTP));
            call.round_trip = self.host.random.random_range(20..2500) * MILLISECOND;
            call.handshake(now + n * 5 * MILLISECOND, outcome, out);
        }
        MINUTE
    }

    /// The next address on a zombie's list.
    fn spam(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        let server = self.host.random.next_u32();
        let outcome = self.host.outcome(self.failing);
        self.send(now, network, server, outcome, out);
    }

    fn burst(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        if self.left == 0 {
            self.left = self.host.random.random_range(100..=600);
        }
        self.spam(now, network, out);
        self.left -= 1;
        if self.left == 0 {
            self.host.random.random_range(HOUR..4 * HOUR)
        } else {
            self.host.pause(self.pace)
        }
    }

    fn rotate(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) {
        // Servers of different networks, as they are: each in a /64 of its own.
        let network_of = u128::from(self.host.random.random_range(0..1_u32 << 16)) << 64;
        let server = IpAddr::V6(Ipv6Addr::from_bits(0x2001_0002 << 96 | network_of | 0x25));
        let outcome = self.host.outcome(self.failing);
        let halves = [self.host.random.next_u64(), self.host.random.next_u64()];
        let suffix = u128::from(halves[0]) << 64 | u128::from(halves[1]);
        let mut call = self.call(network, (server, SMTP));
        call.local.0 = network.address_in_prefix(self.index, suffix);
        call.handshake(now, outcome, out);
    }

    /// Through the relay, for one to three hours; then the sender takes another account.
    fn relay(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        if self.until == 0 {
            self.until = now + self.host.random.random_range(HOUR..3 * HOUR);
        }
        let call = self.call(network, (RELAYS[0], SUBMISSION));
        call.handshake(now, Outcome::Established, out);
        let pause = self.host.pause(self.pace);
        if now + pause < self.until {
            return pause;
        }
        self.until = 0;
        self.host.random.random_range(HOUR..3 * HOUR)
    }

    /// To port 25 of a server by its number.
    fn send(
        &mut self,
        now: Nanos,
        network: &Network,
        number: u32,
        outcome: Outcome,
        out: &mut Vec<Sent>,
    ) {
        let call = self.call(network, (server(number, false), SMTP));
        call.handshake(now, outcome, out);
    }

    fn call<'a>(&mut self, network: &'a Network, remote: (IpAddr, u16)) -> Call<'a> {
        self.host.call(network, self.customer(), remote)
    }

    /// A pause at this time of day.
    fn rest(&mut self, now: Nanos) -> Nanos {
        let hour = (now - MIDNIGHT) / HOUR % 24;
        let pace = if hour < 6 {
            NIGHT * self.pace
        } else {
            self.pace
        };
        self.host.pause(pace)
    }
}

impl Acts for Part {
    fn first_act(&mut self) -> Nanos {
        self.begins
    }

    fn act(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos {
        match self.what {
            What::Household => self.live(now, network, out),
            What::HomeServer => self.deliver(now, network, out),
            What::Club => self.circulate(now, network, out),
            What::Office => self.write_letters(now, network, out),
            What::Device => self.report(now, SMTP, network, out),
            What::StuckClient => self.report(now, SUBMISSION, network, out),
            What::MailServer => {
                self.trade(now, network, out);
                self.rest(now)
            }
            What::Newsletter => self.publish(now, network, out),
            What::Burst => self.burst(now, network, out),
            What::Slow => {
                self.spam(now, network, out);
                self.host.random.random_range(50 * SECOND..70 * SECOND)
            }
            What::Rotating => {
                self.rotate(now, network, out);
                self.host.pause(self.pace)
            }
            What::Hijacked => self.relay(now, network, out),
            What::Steady => {
                self.spam(now, network, out);
                self.host.pause(self.pace)
            }
        }
    }
}

/// A time between so many milliseconds, each order of magnitude as likely.
fn between(random: &mut impl Rng, least: u32, most: u32) -> Nanos {
    let (least, most) = (f64::from(least).ln(), f64::from(most).ln());
    let milliseconds = random.random_range(least..most).exp();
    milliseconds as Nanos * MILLISECOND
}
