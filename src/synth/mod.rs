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
//! | `actor` | what does a user, a server, a zombie do next? |
//! | `profile` | what do the benches judge? |

mod actor;
mod conversation;
pub mod network;
pub mod packet;
pub mod profile;

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    time::Duration,
};

use actor::{Actor, Kind};
use network::{Encapsulation, Network};

use crate::engine::{Direction, Nanos};

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

/// The frames of a network, in time order.
#[derive(Debug)]
pub struct Traffic {
    network: Network,
    actors: Vec<Actor>,
    queue: BinaryHeap<Reverse<Entry>>,
    /// What an actor has just sent; empty between acts.
    outbox: Vec<Sent>,
    entries: u64,
    end: Nanos,
}

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
        let residents = kinds
            .into_iter()
            .flat_map(|(kind, count)| (0..count).map(move |_| kind));
        let businesses = (0..settings.businesses).map(|index| (Kind::Business, index));
        let actors: Vec<_> = (0..)
            .zip(residents)
            .map(|(index, kind)| (kind, index))
            .chain(businesses)
            .chain([(Kind::Switch, 0)])
            .map(|(kind, index)| Actor::new(kind, index, settings.seed))
            .collect();
        let residents = actors.len() as u32 - settings.businesses - 1;
        let mut traffic = Self {
            network: Network::new(settings.encapsulation, residents),
            actors: Vec::new(),
            queue: BinaryHeap::new(),
            outbox: Vec::new(),
            entries: 0,
            end: settings.start + settings.duration.as_nanos() as Nanos,
        };
        for (index, mut actor) in actors.into_iter().enumerate() {
            let first = settings.start + actor.first_act();
            traffic.enqueue(first, Item::Act(index));
            traffic.actors.push(actor);
        }
        traffic
    }

    /// The network that carries it.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    fn enqueue(&mut self, time: Nanos, item: Item) {
        if time < self.end {
            self.queue.push(Reverse(Entry {
                time,
                order: self.entries,
                item,
            }));
            self.entries += 1;
        }
    }

    fn act(&mut self, now: Nanos, index: usize) {
        let mut outbox = std::mem::take(&mut self.outbox);
        let pause = self.actors[index].act(now, &self.network, &mut outbox);
        for sent in outbox.drain(..) {
            self.enqueue(sent.time, Item::Frame(sent.direction, sent.bytes));
        }
        self.outbox = outbox;
        self.enqueue(now + pause, Item::Act(index));
    }
}

impl Iterator for Traffic {
    type Item = Sent;

    fn next(&mut self) -> Option<Sent> {
        loop {
            let Reverse(Entry { time, item, .. }) = self.queue.pop()?;
            match item {
                Item::Frame(direction, bytes) => {
                    return Some(Sent {
                        time,
                        direction,
                        bytes,
                    });
                }
                Item::Act(index) => self.act(time, index),
            }
        }
    }
}

#[derive(Debug)]
enum Item {
    Frame(Direction, Vec<u8>),
    Act(usize),
}

/// Ordered by time, then by when it was put in.
#[derive(Debug)]
struct Entry {
    time: Nanos,
    order: u64,
    item: Item,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.order).cmp(&(other.time, other.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

#[cfg(test)]
mod tests;
