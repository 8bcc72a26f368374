//! A day of a whole provider, and who in it is a zombie: what detection is measured with.
//!
//! [`Day`] is an iterator of frames in time order, a function of its [`Settings`] alone, and in
//! constant memory however long it lasts. So that a day of 100,000 subscribers stays bearable, a
//! connection is its handshake and nothing behind it, and there is only a little besides mail.
//! [`Day::truth`] says who is a zombie of which kind and since when, and which of the others look
//! like one.

mod part;

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use rand::{SeedableRng, seq::index};
use rand_chacha::ChaCha8Rng;

use self::part::{Part, What};
use super::{
    Sent,
    network::{Customer, Encapsulation, Network},
    timeline::Timeline,
};
use crate::engine::Nanos;

/// 2 January 2026, 0:00 UTC: when a day begins.
pub const MIDNIGHT: Nanos = 1_767_312_000_000_000_000;

/// One in so many subscribers has a mail server at home.
const PER_HOME_SERVER: u32 = 200;
/// One in so many sends a club's circular from home.
const PER_CLUB: u32 = 2000;
/// One in so many is an office.
const PER_OFFICE: u32 = 200;
/// One in so many has a device that sends reports by mail, directly.
const PER_DEVICE: u32 = 100;
/// One in so many has a mail program whose server is down: it tries again every minute.
const PER_STUCK_CLIENT: u32 = 1000;
/// One in so many businesses sends newsletters.
const PER_NEWSLETTER: u32 = 10;

/// What day to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The same seed makes the same day.
    pub seed: u64,
    /// How long it lasts, from midnight on.
    pub duration: Duration,
    /// Subscribers, zombies among them, at most [`super::network::SUBSCRIBERS_MAX`].
    pub subscribers: u32,
    /// Businesses with a mail server, at most [`super::network::BUSINESSES_MAX`].
    pub businesses: u32,
    /// How many of the subscribers are zombies, of five kinds in turn.
    pub zombies: u32,
    /// What stands between Ethernet and the subscribers' packets.
    pub encapsulation: Encapsulation,
}

/// What is true of somebody in that day. Who isn't told is an ordinary household.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The accounting key under [`Day::policy`].
    pub key: IpNet,
    /// What it is: `burst`, `slow`, `rotating`, `hijacked`, `steady`; `home-server`, `club`,
    /// `office`, `device`, `stuck-client`, `mail-server`, `newsletter`.
    pub kind: &'static str,
    /// Whether that is a zombie.
    pub is_zombie: bool,
    /// When it first does what it is told for.
    pub began: Nanos,
    /// How many of a hundred of its attempts fail, about.
    pub failing: u32,
}

/// The frames of a day, in time order.
#[derive(Debug)]
pub struct Day {
    timeline: Timeline<Part>,
    truth: Vec<Truth>,
}

impl Day {
    /// The day from its beginning.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let duration = settings.duration.as_nanos() as Nanos;
        let network = Network::new(settings.encapsulation, settings.subscribers);
        let special = special(settings, duration);
        let truth = special.iter().map(|part| truth(part, &network)).collect();
        let households = (0..settings.subscribers)
            .map(|index| Part::new(What::Household, index, settings.seed, duration));
        let actors = households.chain(special);
        Self {
            timeline: Timeline::new(network, actors, MIDNIGHT..MIDNIGHT + duration),
            truth,
        }
    }

    /// Zombies, and who could be taken for one.
    #[must_use]
    pub fn truth(&self) -> &[Truth] {
        &self.truth
    }

    /// A policy that fits, with every detector on for households and the sequential test for mail
    /// servers.
    #[must_use]
    pub fn policy(&self) -> String {
        let network = self.timeline.network();
        let observed = network.residents().next_power_of_two().max(1 << 16);
        network.policy_with(DETECT, MTA_DETECT) + &format!("observed = {observed}\n")
    }
}

impl Iterator for Day {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        self.timeline.next()
    }
}

const DETECT: &str = r#"
[class.residential.detect]
volume = { attempts = 500, window = "1h" }
destinations = { distinct = 100, window = "1d" }
submission = { attempts = 100, window = "1h" }
outcomes = { theta0 = 0.1, theta1 = 0.6, alpha = 1e-6 }
steps = [
    { step = "notify" },
    { step = "quarantine", for = "24h", scope = "mail", expires = "30d" },
]
"#;

const MTA_DETECT: &str = r#"
[class.mta.detect]
outcomes = { theta0 = 0.1, theta1 = 0.6, alpha = 1e-6 }
steps = [ { step = "suspect" } ]
"#;

/// Everybody who is more than a household: distinct subscribers, and the businesses.
fn special(settings: &Settings, duration: Nanos) -> Vec<Part> {
    let all = settings.subscribers;
    let zombies = settings.zombies.min(all);
    let innocents = [
        (What::HomeServer, all / PER_HOME_SERVER),
        (What::Club, all / PER_CLUB),
        (What::Office, all / PER_OFFICE),
        (What::Device, all / PER_DEVICE),
        (What::StuckClient, all / PER_STUCK_CLIENT),
    ];
    let room = all - zombies;
    let wanted: u32 = innocents.iter().map(|(_, count)| count).sum();
    let chosen = zombies + wanted.min(room);
    let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
    // Not a stream that any machine has.
    random.set_stream(u64::MAX);
    let chosen = index::sample(&mut random, all as usize, chosen as usize);
    let roles = What::ZOMBIES.into_iter().cycle().take(zombies as usize);
    let innocents = innocents
        .into_iter()
        .flat_map(|(what, count)| (0..count).map(move |_| what));
    let residents = roles
        .chain(innocents)
        .zip(chosen)
        .map(|(what, index)| (what, index as u32));
    let businesses = (0..settings.businesses).map(|index| {
        let sends_newsletters = index % PER_NEWSLETTER == 0;
        let what = if sends_newsletters {
            What::Newsletter
        } else {
            What::MailServer
        };
        (what, index)
    });
    residents
        .chain(businesses)
        .map(|(what, index)| Part::new(what, index, settings.seed, duration))
        .collect()
}

fn truth(part: &Part, network: &Network) -> Truth {
    let ipv6 = part.what() == What::Rotating || network.is_keyed_by_prefix(part.customer());
    let key = match (network.address(part.customer(), ipv6), part.customer()) {
        (address @ IpAddr::V6(_), Customer::Resident(_)) => {
            IpNet::new(address, 56).expect("56 bits fit").trunc()
        }
        (address, _) => IpNet::from(address),
    };
    Truth {
        key,
        kind: part.what().name(),
        is_zombie: What::ZOMBIES.contains(&part.what()),
        began: MIDNIGHT + part.begins(),
        failing: part.failing(),
    }
}

#[cfg(test)]
mod tests;
