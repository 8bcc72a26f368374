//! Where the frames come from: captures merged by time, each with the direction it stands for.

use std::path::PathBuf;

use super::{batch::Batch, summary::CaptureSpan};
use crate::{
    engine::{Direction, Nanos},
    io::capture::{CaptureError, Merge, Progress, Reader},
};

/// The captures to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captures {
    /// Each file ("-" is standard input), and which way its frames travelled if that is known.
    pub files: Vec<(PathBuf, Option<Direction>)>,
}

impl Captures {
    /// Captures that hold both directions: the pools tell which is which.
    pub fn mixed(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            files: files.into_iter().map(|file| (file, None)).collect(),
        }
    }

    /// Captures of what arrived on each port.
    pub fn by_port(
        access: impl IntoIterator<Item = PathBuf>,
        uplink: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        let outbound = access
            .into_iter()
            .map(|file| (file, Some(Direction::Outbound)));
        let inbound = uplink
            .into_iter()
            .map(|file| (file, Some(Direction::Inbound)));
        Self {
            files: outbound.chain(inbound).collect(),
        }
    }
}

/// Fills batches, and sees to it that time never runs backwards.
pub struct Input {
    merge: Merge,
    directions: Vec<Option<Direction>>,
    span: CaptureSpan,
    damage: Vec<CaptureError>,
    frames: u64,
}

impl Input {
    /// Opens every capture.
    ///
    /// # Errors
    /// The first one that cannot be opened or is no capture that we read.
    pub fn open(captures: &Captures) -> Result<Self, CaptureError> {
        let readers: Result<Vec<_>, _> = captures
            .files
            .iter()
            .map(|(file, _)| Reader::open(file))
            .collect();
        let readers = readers?;
        let span = CaptureSpan {
            files: readers
                .iter()
                .map(|reader| reader.name().to_owned())
                .collect(),
            ..CaptureSpan::default()
        };
        Ok(Self {
            merge: Merge::new(readers),
            directions: captures
                .files
                .iter()
                .map(|(_, direction)| *direction)
                .collect(),
            span,
            damage: Vec::new(),
            frames: 0,
        })
    }

    /// Puts the next frames into an emptied batch; it stays empty at the end. Damage ends the file
    /// it is in, not the others.
    pub fn fill(&mut self, batch: &mut Batch) {
        self.fill_up_to(batch, u64::MAX);
    }

    /// As [`Input::fill`], with no frame beyond this number, at which it may end.
    pub fn fill_up_to(&mut self, batch: &mut Batch, number: u64) {
        while let Err(damage) = self.merge.fill(&mut batch.run) {
            self.damage.push(damage);
            if !batch.run.is_empty() {
                break;
            }
        }
        let frames_max = usize::try_from(number - self.frames).unwrap_or(usize::MAX);
        batch.place(self.frames + 1, frames_max, |input, stamp| {
            (self.directions[input], clamp(&mut self.span, stamp))
        });
        self.frames += batch.len() as u64;
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.merge.progress()
    }

    /// Frames handed out.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Where the frames came from and when, and the damage itself.
    #[must_use]
    pub fn finish(mut self) -> (CaptureSpan, Vec<CaptureError>) {
        self.span.damage = self.damage.iter().map(CaptureError::to_string).collect();
        (self.span, self.damage)
    }
}

/// The time at which a frame with this stamp is judged.
fn clamp(span: &mut CaptureSpan, stamp: Nanos) -> Nanos {
    span.first.get_or_insert(stamp);
    let last = span.last.get_or_insert(stamp);
    if stamp < *last {
        span.clamped += 1;
    } else {
        *last = stamp;
    }
    *last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_runs_backwards_stands_still_and_is_counted() {
        let mut span = CaptureSpan::default();
        let judged = [5, 7, 6, 7, 4, 9].map(|stamp| clamp(&mut span, stamp));
        assert_eq!(judged, [5, 7, 7, 7, 7, 9]);
        assert_eq!((span.first, span.last, span.clamped), (Some(5), Some(9), 2));
    }
}
