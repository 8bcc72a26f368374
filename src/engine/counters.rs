//! Frames by reason, direction and class: plain counters of one worker, merged when read.

use std::mem;

use super::{Direction, Reason, Verdict};
use crate::policy::ClassId;

/// Frame counts. Each verdict adds one to exactly one of them, so they sum to the frames judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Reason-major; within a reason and direction first "no class", then the classes in order.
    cells: Vec<u64>,
    /// Of these, by reason, refusals that observe mode turned into forwards.
    observed: [u64; Reason::COUNT],
    classes: usize,
}

impl Counters {
    /// All zero, for a policy of `classes` classes.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            cells: vec![0; Reason::COUNT * 2 * (classes + 1)],
            observed: [0; Reason::COUNT],
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
        if verdict.observed {
            self.observe(verdict.reason);
        }
    }

    /// Says of a frame that is counted already that only observe mode let it through.
    #[inline]
    pub(super) fn observe(&mut self, reason: Reason) {
        self.observed[reason as usize] += 1;
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

    /// Frames of one reason that only observe mode let through.
    #[must_use]
    pub const fn observed(&self, reason: Reason) -> u64 {
        self.observed[reason as usize]
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

    /// Makes room for the classes of another policy, which come after those that there are.
    pub fn widen(&mut self, classes: usize) {
        if classes <= self.classes {
            return;
        }
        let wide = Self::new(classes);
        let narrow = mem::replace(self, wide);
        self.add_rows(&narrow);
    }

    /// Takes another's counts in the place of its own; allocates only if the other has more classes.
    pub fn copy_from(&mut self, other: &Self) {
        self.widen(other.classes);
        self.cells.fill(0);
        self.observed = [0; Reason::COUNT];
        self.add_rows(other);
    }

    /// Adds another worker's counts.
    pub fn merge(&mut self, other: &Self) {
        self.widen(other.classes);
        self.add_rows(other);
    }

    /// Of as many classes or fewer.
    fn add_rows(&mut self, other: &Self) {
        let rows = self.cells.chunks_exact_mut(self.classes + 1);
        for (row, more) in rows.zip(other.cells.chunks_exact(other.classes + 1)) {
            for (cell, more) in row.iter_mut().zip(more) {
                *cell += more;
            }
        }
        for (cell, more) in self.observed.iter_mut().zip(other.observed) {
            *cell += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_classes_stay_theirs_when_there_are_more_classes() {
        let (reason, direction) = (Reason::LimitExceeded, Direction::Outbound);
        let add = |counters: &mut Counters, class: Option<u16>, frames| {
            counters.add(reason, direction, class.map(ClassId), frames);
        };
        let mut narrow = Counters::new(2);
        add(&mut narrow, None, 1);
        add(&mut narrow, Some(1), 20);
        let mut wide = Counters::new(3);
        add(&mut wide, Some(2), 300);
        let of = |counters: &Counters| {
            let classes = [None, Some(ClassId(0)), Some(ClassId(1)), Some(ClassId(2))];
            classes.map(|class| counters.get(reason, direction, class))
        };
        for (mut one, other) in [(narrow.clone(), &wide), (wide.clone(), &narrow)] {
            one.merge(other);
            assert_eq!(of(&one), [1, 0, 20, 300]);
        }
        wide.copy_from(&narrow);
        assert_eq!(of(&wide), [1, 0, 20, 0]);
        narrow.widen(3);
        assert_eq!(narrow, wide);
    }
}
