//! A queue that stops: frames come, or should leave, and none gets through.

use std::fmt;

use crate::{
    engine::Direction,
    worker::{DirectionCounts, Snapshot},
};

/// How a queue has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// Frames were lost on their way to the worker, and none came.
    Receive,
    /// Frames found the transmit ring full, and none was queued.
    Transmit,
}

/// A queue has stopped, or goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallEvent {
    /// The worker, which is also the queue's number.
    pub worker: usize,
    /// Whose frames.
    pub direction: Direction,
    /// How it has stopped; nothing if it goes on.
    pub stall: Option<Stall>,
}

impl fmt::Display for StallEvent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = match self.direction {
            Direction::Outbound => ("access", "uplink"),
            Direction::Inbound => ("uplink", "access"),
        };
        let queue = self.worker;
        match self.stall {
            Some(Stall::Receive) => write!(
                out,
                "queue {queue} of {from} has stopped: frames are missed, and none is received\nremedy: look at the card (`ethtool -S`, dmesg); a restart opens the queue anew"
            ),
            Some(Stall::Transmit) => write!(
                out,
                "queue {queue} of {to} has stopped: its ring is full, and nothing is sent\nremedy: look at the link and the card (`ethtool -S`, dmesg); a restart opens the queue anew"
            ),
            None => write!(out, "queue {queue}, {from} to {to}, goes on"),
        }
    }
}

/// What a queue had done.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    received: u64,
    missed: u64,
    forwarded: u64,
    tx_full: u64,
}

impl Progress {
    const fn of(counts: &DirectionCounts, missed: u64) -> Self {
        Self {
            received: counts.received.frames,
            missed,
            forwarded: counts.forwarded.frames,
            tx_full: counts.tx_full,
        }
    }

    /// How the queue stood still since `before`; nothing if it moved, or had nothing to do.
    const fn stall_since(&self, before: &Self) -> Option<Stall> {
        if self.missed > before.missed && self.received == before.received {
            Some(Stall::Receive)
        } else if self.tx_full > before.tx_full && self.forwarded == before.forwarded {
            Some(Stall::Transmit)
        } else {
            None
        }
    }

    const fn moved_since(&self, before: &Self) -> bool {
        self.received > before.received && self.forwarded > before.forwarded
    }
}

/// Watches the queues of all workers.
#[derive(Debug)]
pub struct Stalls(Vec<[(Progress, Option<Stall>); 2]>);

impl Stalls {
    /// Of so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self(vec![Default::default(); workers])
    }

    /// Looks at a worker once a period, and says what has begun or ended.
    pub fn observe(&mut self, worker: usize, snapshot: &Snapshot) -> Vec<StallEvent> {
        let mut events = Vec::new();
        for direction in [Direction::Outbound, Direction::Inbound] {
            let index = direction as usize;
            let now = Progress::of(&snapshot.directions[index], snapshot.missed[index]);
            let (before, told) = &mut self.0[worker][index];
            let stall = now.stall_since(before);
            let is_news = match stall {
                Some(_) => told.is_none(),
                // Silence alone does not say that it goes on.
                None => told.is_some() && now.moved_since(before),
            };
            if is_news {
                *told = stall;
                events.push(StallEvent {
                    worker,
                    direction,
                    stall,
                });
            }
            *before = now;
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Received, missed, forwarded, tx_full of the outbound direction.
    fn snapshot([received, missed, forwarded, tx_full]: [u64; 4]) -> Snapshot {
        let mut snapshot = Snapshot::new(1);
        let counts = &mut snapshot.directions[0];
        counts.received.frames = received;
        counts.forwarded.frames = forwarded;
        counts.tx_full = tx_full;
        snapshot.missed[0] = missed;
        snapshot
    }

    fn told(steps: &[[u64; 4]]) -> Vec<Option<Stall>> {
        let mut stalls = Stalls::new(1);
        let events = steps
            .iter()
            .flat_map(|&step| stalls.observe(0, &snapshot(step)));
        events.map(|event| event.stall).collect()
    }

    #[test]
    fn a_queue_that_misses_and_receives_nothing_is_told_once_and_again_when_it_goes_on() {
        let steps = [
            [10, 0, 10, 0],
            [10, 5, 10, 0],
            [10, 9, 10, 0],
            [10, 9, 10, 0],
            [20, 9, 20, 0],
            [20, 10, 20, 0],
        ];
        let expected = [Some(Stall::Receive), None, Some(Stall::Receive)];
        assert_eq!(told(&steps), expected);
    }

    #[test]
    fn a_ring_that_stays_full_is_told_and_one_that_is_only_crowded_is_not() {
        assert_eq!(
            told(&[[10, 0, 10, 0], [20, 0, 10, 10]]),
            [Some(Stall::Transmit)]
        );
        assert_eq!(told(&[[10, 0, 10, 0], [30, 9, 20, 10]]), []);
        assert_eq!(told(&[[0; 4], [0; 4]]), []);
    }

    #[test]
    fn the_queue_and_the_port_are_named() {
        let event = |stall, direction| {
            StallEvent {
                worker: 3,
                direction,
                stall,
            }
            .to_string()
        };
        let said = event(Some(Stall::Transmit), Direction::Outbound);
        assert!(
            said.starts_with("queue 3 of uplink has stopped: its ring is full"),
            "{said}"
        );
        let said = event(Some(Stall::Receive), Direction::Inbound);
        assert!(
            said.starts_with("queue 3 of uplink has stopped: frames are missed"),
            "{said}"
        );
        assert_eq!(
            event(None, Direction::Inbound),
            "queue 3, uplink to access, goes on"
        );
    }
}
