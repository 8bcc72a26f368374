//! Frames by reason, direction and class: plain counters of one worker, merged when read.

use super::{Direction, Reason, Verdict};
use crate::policy::ClassId;

/// Frame counts. Each verdict adds one to exactly one of them, so they sum to the frames judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Reason-major; within a reason and direction first "no class", then the classes in order.
    cells: Vec<u64>,
    classes: usize,
}

impl Counters {
    /// All zero, for a policy of `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            cells: vec![0; Reason::COUNT * 2 * (classes + 1)],
            classes,
        }
    }

    #[inline]
    fn index(&self, reason: Reason, direction: Direction, class: Option<ClassId>) -> usize {
        let column = class.map_or(0, |class| usize::from(class.0) + 1);
        (reason as usize * 2 + direction as usize) * (self.classes + 1) + column
    }

    #[inline]
    pub(super) fn count(&mut self, verdict: &Verdict) {
        self.add(verdict.reason, verdict.direction, verdict.class, 1);
    }

    /// Counts frames all at once: those of a batch, or what the kernel program judged under a
    /// lease.
    #[inline]
    pub fn add(&mut self, reason: Reason, direction: Direction, class: Option<ClassId>, more: u64) {
        let index = self.index(reason, direction, class);
        self.cells[index] += more;
    }

    /// Frames of one reason, direction and class (`None`: no class was looked up).
    #[must_use]
    pub fn get(&self, reason: Reason, direction: Direction, class: Option<ClassId>) -> u64 {
        self.cells[self.index(reason, direction, class)]
    }

    /// Frames of one reason.
    #[must_use]
    pub fn of_reason(&self, reason: Reason) -> u64 {
        let row = 2 * (self.classes + 1);
        self.cells[reason as usize * row..][..row].iter().sum()
    }

    /// All frames.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.cells.iter().sum()
    }

    /// Every cell that is not zero, in order of reason, direction and class.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, Direction, Option<ClassId>, u64)> + '_ {
        let columns = self.classes + 1;
        self.cells
            .iter()
            .enumerate()
            .filter(|&(_, &frames)| frames > 0)
            .map(move |(index, &frames)| {
                let (row, column) = (index / columns, index % columns);
                let direction = if row % 2 == 0 {
                    Direction::Outbound
                } else {
                    Direction::Inbound
                };
                let class = column.checked_sub(1).map(|class| ClassId(class as u16));
                (Reason::ALL[row / 2], direction, class, frames)
            })
    }

    /// Takes another's counts in the place of its own, without allocating.
    ///
    /// # Panics
    ///
    /// If the other counts for a policy with another number of classes.
    pub fn copy_from(&mut self, other: &Self) {
        self.cells.copy_from_slice(&other.cells);
    }

    /// Adds another worker's counts.
    ///
    /// # Panics
    ///
    /// If the other counts for a policy with another number of classes.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(self.classes, other.classes, "counters of one policy");
        for (cell, more) in self.cells.iter_mut().zip(&other.cells) {
            *cell += more;
        }
    }
}
