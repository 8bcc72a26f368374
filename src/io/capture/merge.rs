//! Records of several files, by time.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
};

use super::{CaptureError, Progress, Reader, Record, Run};

/// Several readers as one: always the earliest of their next records; among records of the same
/// time, that of the reader given first.
///
/// The order within one reader never changes, not even where its time runs backwards. A reader
/// that is damaged hands out its error right behind its last record, and the others go on.
pub struct Merge {
    inputs: Vec<Input>,
    /// Time of each reader's next record, and its index.
    turns: BinaryHeap<Reverse<(u64, usize)>>,
    /// Whether the record in front has been handed out. It stays in its reader's buffer until
    /// the next call.
    lent: bool,
}

struct Input {
    reader: Reader,
    /// Its turn hands this out instead of a record.
    damage: Option<CaptureError>,
}

impl Merge {
    /// Reads the first record of each reader.
    #[must_use]
    pub fn new(readers: Vec<Reader>) -> Self {
        let mut turns = BinaryHeap::with_capacity(readers.len());
        let mut inputs = Vec::with_capacity(readers.len());
        for (index, mut reader) in readers.into_iter().enumerate() {
            let found = reader.advance();
            if !matches!(found, Ok(false)) {
                turns.push(Reverse((reader.time(), index)));
            }
            inputs.push(Input {
                reader,
                damage: found.err(),
            });
        }
        Self {
            inputs,
            turns,
            lent: false,
        }
    }

    /// The next record and the index of its reader; `None` when all are at their ends.
    ///
    /// # Errors
    /// The reader with this index is damaged or cannot be read on; said once for each, and the
    /// next call goes on with the others.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend its items"
    )]
    pub fn next(&mut self) -> Result<Option<(usize, Record<'_>)>, (usize, CaptureError)> {
        if self.lent {
            self.advance();
        }
        let Some(&Reverse((_, index))) = self.turns.peek() else {
            return Ok(None);
        };
        let input = &mut self.inputs[index];
        if let Some(damage) = input.damage.take() {
            self.turns.pop();
            return Err((index, damage));
        }
        self.lent = true;
        Ok(Some((index, input.reader.record())))
    }

    /// Fills a run with the next records; it stays empty when all readers are at their ends.
    ///
    /// # Errors
    /// A reader is damaged or cannot be read on; said once for each. Records in front of that
    /// may be in the run, and the next call goes on with the others.
    pub fn fill(&mut self, run: &mut Run) -> Result<(), CaptureError> {
        if let [only] = &mut self.inputs[..] {
            let found = !self.turns.is_empty() && only.damage.is_none() && !self.lent;
            self.lent = true;
            let handed_out = only.reader.hand_out(run, found);
            return only.damage.take().map_or(handed_out, Err);
        }
        run.truncate(0);
        while !run.is_full() {
            match self.next() {
                Ok(Some((index, record))) => run.copy(index, &record),
                Ok(None) => break,
                Err((_, damage)) => return Err(damage),
            }
        }
        Ok(())
    }

    /// How far all of them have come; the total is known if each one's is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let all = self.inputs.iter().map(|input| input.reader.progress());
        all.fold(
            Progress {
                read: 0,
                total: Some(0),
            },
            |sum, one| Progress {
                read: sum.read + one.read,
                total: sum.total.zip(one.total).map(|(sum, one)| sum + one),
            },
        )
    }

    /// Moves the reader in front on, and to its new place.
    fn advance(&mut self) {
        self.lent = false;
        let Some(mut turn) = self.turns.peek_mut() else {
            return;
        };
        let Reverse((time, index)) = &mut *turn;
        let input = &mut self.inputs[*index];
        match input.reader.advance() {
            Ok(true) => *time = input.reader.time(),
            Ok(false) => {
                PeekMut::pop(turn);
            }
            // Its turn stays where it is: in front.
            Err(damage) => input.damage = Some(damage),
        }
    }
}
