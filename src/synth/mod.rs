//! Reproducible synthetic traffic: what would such a network's traffic look like?
//!
//! [`Traffic`] is an access network as its edge sees it: users who browse and mail, businesses
//! with mail servers, zombies of several kinds, the internet that answers them or does not. It is
//! an iterator of frames in time order, and a function of its [`Settings`] alone: every actor has
//! a random stream of its own, so that one more zombie changes nothing in anybody else's day.
//!
//! It promises frames that are correct in every header. It leaves hostile frames to
//! [`packet`], the benches' millions of frames to [`profile`], and writing captures to
//! [`crate::io::capture`].
//!
//! | file | question it answers |
//! |---|---|
//! | `packet` | what octets does a stack of layers have? |
//! | `network` | who has which address, behind which encapsulation, under which policy? |
//! | `conversation` | which frames, and when, make a TCP connection, a query, a ping? |
//! | `host` | what does a machine call from, and whom? |
//! | `timeline` | who acts when, and in which order do frames pass? |
//! | `actor` | what does a user, a server, a zombie do next? |
//! | `isp` | a day of a whole provider, and who in it is a zombie |
//! | `profile` | what do the benches judge? |

mod actor;
mod conversation;
mod host;
pub mod isp;
pub mod network;
pub mod packet;
pub mod profile;
mod timeline;

use std::time::Duration;

use actor::{Actor, Kind};
use network::{Encapsulation, Network};
use timeline::Timeline;

use crate::{
    engine::{Direction, Frame, Nanos},
    wire::Link,
};

/// 1 January 2026, 19:00 UTC, an evening: when traffic begins that does not say otherwise.
pub const START: Nanos = 1_767_294_000_000_000_000;

/// How many zombies there are, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Zombies {
    /// Bursts of hundreds of attempts, then silence.
    pub burst: u32,
    /// One new destination a minute, most of which fail: below any limit.
    pub slow: u32,
    /// A new IPv6 address for every attempt, all over the subscriber's prefix.
    pub rotating: u32,
    /// Sources that are not theirs: strangers' and neighbours'.
    pub spoofing: u32,
}

/// What traffic to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The same seed makes the same traffic.
    pub seed: u64,
    /// When it begins, in nanoseconds since the Unix epoch.
    pub start: Nanos,
    /// How long it lasts.
    pub duration: Duration,
    /// Ordinary subscribers, at most [`network::SUBSCRIBERS_MAX`] together with the zombies.
    pub subscribers: u32,
    /// Businesses with a mail server, at most [`network::BUSINESSES_MAX`].
    pub businesses: u32,
    /// Infected subscribers, besides the ordinary ones.
    pub zombies: Zombies,
    /// What stands between Ethernet and the subscribers' packets.
    pub encapsulation: Encapsulation,
}

/// One frame on its way through the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When, in nanoseconds since the Unix epoch.
    pub time: Nanos,
    /// Which way.
    pub direction: Direction,
    /// An Ethernet frame.
    pub bytes: Vec<u8>,
}

impl Sent {
    /// The frame as an engine takes it.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            bytes: &self.bytes,
            wire_length: self.bytes.len() as u32,
            link: Link::Ethernet,
            direction: Some(self.direction),
            time: self.time,
        }
    }
}

/// The frames of a network, in time order.
#[derive(Debug)]
pub struct Traffic(Timeline<Actor>);

impl Traffic {
    /// The traffic of a network from its beginning.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let zombies = settings.zombies;
        let kinds = [
            (Kind::User, settings.subscribers),
            (Kind::Burst, zombies.burst),
            (Kind::Slow, zombies.slow),
            (Kind::Rotating, zombies.rotating),
            (Kind::Spoofing, zombies.spoofing),
        ];
        let residents = kinds.iter().map(|(_, count)| count).sum();
        let network = Network::new(settings.encapsulation, residents);
        let kinds = kinds
            .into_iter()
            .flat_map(|(kind, count)| (0..count).map(move |_| kind));
        let businesses = (0..settings.businesses).map(|index| (Kind::Business, index));
        let actors = (0..)
            .zip(kinds)
            .map(|(index, kind)| (kind, index))
            .chain(businesses)
            .chain([(Kind::Switch, 0)])
            .map(|(kind, index)| Actor::new(kind, index, settings.seed));
        let end = settings.start + settings.duration.as_nanos() as Nanos;
        Self(Timeline::new(network, actors, settings.start..end))
    }

    /// The network that carries it.
    #[must_use]
    pub const fn network(&self) -> &Network {
        self.0.network()
    }
}

impl Iterator for Traffic {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        self.0.next()
    }
}

#[cfg(test)]
mod tests;
