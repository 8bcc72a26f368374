//! Frames on their way through the replay, a few hundred at a time.

use crate::{
    engine::{Direction, Frame, Judgements, Nanos},
    io::capture::{Record, Run},
};

/// Frames in order of arrival, as one read brought them, and what was judged of them. Reused over
/// and over: nothing is allocated per frame.
#[derive(Debug, Default)]
pub struct Batch {
    /// What was read.
    pub run: Run,
    /// As many as records.
    entries: Vec<Entry>,
    /// Number of the first frame, from 1 as Wireshark counts.
    pub number: u64,
    /// The policy's judgement, one verdict a frame.
    pub judgements: Judgements,
    /// The compared policy's judgement, if there is one.
    pub others: Judgements,
}

/// What the replay knows of a record.
#[derive(Clone, Copy, Debug)]
struct Entry {
    direction: Option<Direction>,
    /// As the engine sees it: never earlier than the frame before.
    time: Nanos,
}

impl Batch {
    /// Makes the run's first `frames_max` records its frames, the first of them number `number`.
    /// `place` says which way a record of an input travelled, if that is known, and when it is
    /// judged.
    pub fn place(
        &mut self,
        number: u64,
        frames_max: usize,
        mut place: impl FnMut(usize, Nanos) -> (Option<Direction>, Nanos),
    ) {
        self.number = number;
        self.run.truncate(frames_max);
        self.entries.clear();
        let entries = self.run.records().map(|(input, record)| {
            let (direction, time) = place(input, record.time);
            Entry { direction, time }
        });
        self.entries.extend(entries);
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
        let records = self.run.records().zip(&self.entries);
        let frames = records.map(|((_, record), entry)| entry.frame(record));
        (frames.collect(), &mut self.judgements, &mut self.others)
    }

    /// One frame as the engine saw it.
    #[must_use]
    pub fn frame(&self, index: usize) -> Frame<'_> {
        self.entries[index].frame(self.run.record(index))
    }

    /// When the engine saw a frame.
    #[must_use]
    pub fn time(&self, index: usize) -> Nanos {
        self.entries[index].time
    }

    /// One frame as the capture had it.
    #[must_use]
    pub fn record(&self, index: usize) -> Record<'_> {
        self.run.record(index)
    }
}

impl Entry {
    #[inline]
    fn frame<'a>(&self, record: Record<'a>) -> Frame<'a> {
        Frame {
            bytes: record.bytes,
            wire_length: record.wire_length,
            link: record.link,
            direction: self.direction,
            time: self.time,
        }
    }
}
