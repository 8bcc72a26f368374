//! Frames on their way through the replay, a few hundred at a time.

use crate::{
    engine::{Direction, Frame, Judgements, Nanos},
    io::capture::Record,
    wire::Link,
};

/// Frames in a batch: enough to pay for a hand-over between threads, few enough for the cache.
pub const FRAMES_MAX: usize = 256;
/// Octets in a batch before it counts as full; one more frame may follow.
const OCTETS_MAX: usize = 512 * 1024;

/// Frames in order of arrival, copied out of the reader's buffer, and what was judged of them.
/// Reused over and over: nothing is allocated per frame.
#[derive(Debug, Default)]
pub struct Batch {
    octets: Vec<u8>,
    entries: Vec<Entry>,
    /// Number of the first frame, from 1 as Wireshark counts.
    pub number: u64,
    /// The policy's judgement, one verdict a frame.
    pub judgements: Judgements,
    /// The compared policy's judgement, if there is one.
    pub others: Judgements,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    captured: u32,
    wire_length: u32,
    link: Link,
    direction: Option<Direction>,
    /// As the capture has it.
    stamp: Nanos,
    /// As the engine sees it: never earlier than the frame before.
    time: Nanos,
}

impl Batch {
    /// Empties it; the next frame in is number `number`.
    pub fn restart(&mut self, number: u64) {
        self.octets.clear();
        self.entries.clear();
        self.number = number;
    }

    /// Takes a frame in, to be judged at `time`.
    pub fn push(&mut self, record: &Record<'_>, direction: Option<Direction>, time: Nanos) {
        let start = self.octets.len();
        self.octets.extend_from_slice(record.bytes);
        self.entries.push(Entry {
            start,
            captured: u32::try_from(record.bytes.len()).unwrap_or(u32::MAX),
            wire_length: record.wire_length,
            link: record.link,
            direction,
            stamp: record.time,
            time,
        });
    }

    /// Whether it should be judged before more frames come in.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= FRAMES_MAX || self.octets.len() >= OCTETS_MAX
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no frame in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frames as the engine takes them, beside room for its judgements.
    pub fn parts(&mut self) -> (Vec<Frame<'_>>, &mut Judgements, &mut Judgements) {
        let octets = &self.octets;
        let frames = self
            .entries
            .iter()
            .map(|entry| entry.frame(octets))
            .collect();
        (frames, &mut self.judgements, &mut self.others)
    }

    /// One frame as the engine saw it.
    #[must_use]
    pub fn frame(&self, index: usize) -> Frame<'_> {
        self.entries[index].frame(&self.octets)
    }

    /// When the engine saw a frame.
    #[must_use]
    pub fn time(&self, index: usize) -> Nanos {
        self.entries[index].time
    }

    /// One frame as the capture had it.
    #[must_use]
    pub fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.entries[index];
        Record {
            time: entry.stamp,
            link: entry.link,
            bytes: entry.bytes(&self.octets),
            wire_length: entry.wire_length,
        }
    }
}

impl Entry {
    fn bytes<'a>(&self, octets: &'a [u8]) -> &'a [u8] {
        &octets[self.start..self.start + self.captured as usize]
    }

    fn frame<'a>(&self, octets: &'a [u8]) -> Frame<'a> {
        Frame {
            bytes: self.bytes(octets),
            wire_length: self.wire_length,
            link: self.link,
            direction: self.direction,
            time: self.time,
        }
    }
}
