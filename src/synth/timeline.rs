//! Who acts when: actors and the frames that they have sent, in time order.
//!
//! Frames wait here until it is their time: at most a few of each actor, however long the traffic
//! lasts.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    ops::Range,
};

use super::{Sent, network::Network};
use crate::engine::{Direction, Nanos};

/// Somebody who does something from time to time.
pub trait Acts {
    /// How long after the beginning it first does something.
    fn first_act(&mut self) -> Nanos;

    /// Does one thing and says how long it pauses then.
    fn act(&mut self, now: Nanos, network: &Network, out: &mut Vec<Sent>) -> Nanos;
}

/// The frames of actors in a network, in time order.
#[derive(Debug)]
pub struct Timeline<A> {
    network: Network,
    actors: Vec<A>,
    queue: BinaryHeap<Reverse<Entry>>,
    /// What an actor has just sent; empty between acts.
    outbox: Vec<Sent>,
    entries: u64,
    end: Nanos,
}

impl<A: Acts> Timeline<A> {
    /// What these actors do in that time.
    pub fn new(network: Network, actors: impl Iterator<Item = A>, time: Range<Nanos>) -> Self {
        let mut timeline = Self {
            network,
            actors: Vec::new(),
            queue: BinaryHeap::new(),
            outbox: Vec::new(),
            entries: 0,
            end: time.end,
        };
        for (index, mut actor) in actors.enumerate() {
            let first = time.start + actor.first_act();
            timeline.enqueue(first, Item::Act(index));
            timeline.actors.push(actor);
        }
        timeline
    }

    /// The network that carries it.
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The next frame.
    pub fn next(&mut self) -> Option<Sent> {
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
