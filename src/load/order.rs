//! Numbers as they arrive: what is missing, doubled, late.
//!
//! Memory is fixed: numbers are remembered for a window of a million behind the highest of each
//! run, and each flow's last number in one table. What the window has forgotten counts as late and
//! not as doubled.

use super::Stamp;

/// Runs that are told apart at once.
const RUNS_MAX: usize = 16;
/// Numbers that are remembered behind the highest.
const WINDOW: u64 = 1 << 20;
/// Flows whose last number is remembered; of two that share a place, the later one.
const FLOWS: usize = 1 << 20;

/// The order of stamped frames.
#[derive(Debug)]
pub struct Order {
    runs: Vec<Run>,
    flows: Box<[Flow]>,
    /// Frames with a stamp.
    pub stamped: u64,
    /// Frames that came a second time.
    pub doubled: u64,
    /// Frames behind one with a higher number of the same run, whatever its flow.
    pub late: u64,
    /// Frames behind one with a higher number of their own flow: the box changed their order.
    pub reordered: u64,
    /// Frames of more runs than are told apart.
    pub strange: u64,
}

/// The numbers of one run.
#[derive(Debug)]
struct Run {
    id: u32,
    /// One more than the highest number.
    next: u64,
    /// Different numbers.
    distinct: u64,
    /// Bit n: number ≡ n (mod the window) has come.
    seen: Box<[u64]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    key: u64,
    /// One more than its last number.
    next: u64,
}

/// What a number is to its run.
#[derive(PartialEq, Eq)]
enum Place {
    Next,
    Late,
    Again,
}

impl Default for Order {
    fn default() -> Self {
        Self {
            runs: Vec::with_capacity(RUNS_MAX),
            flows: vec![Flow::default(); FLOWS].into(),
            stamped: 0,
            doubled: 0,
            late: 0,
            reordered: 0,
            strange: 0,
        }
    }
}

impl Order {
    /// Notes a frame of the flow with this hash.
    pub fn note(&mut self, stamp: &Stamp, flow: u64) {
        self.stamped += 1;
        let Some(run) = self.run(stamp.run) else {
            self.strange += 1;
            return;
        };
        match run.place(stamp.number) {
            Place::Next => {}
            Place::Late => self.late += 1,
            Place::Again => {
                self.doubled += 1;
                return;
            }
        }
        // Two runs have no order between them.
        let key = (flow ^ u64::from(stamp.run).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        let last = &mut self.flows[(key >> 1) as usize % FLOWS];
        if last.key == key && stamp.number < last.next {
            self.reordered += 1;
        } else {
            *last = Flow {
                key,
                next: stamp.number + 1,
            };
        }
    }

    /// Numbers below the highest of their run that did not come.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.runs.iter().map(|run| run.next - run.distinct).sum()
    }

    fn run(&mut self, id: u32) -> Option<&mut Run> {
        let known = self.runs.iter().position(|run| run.id == id);
        if known.is_none() && self.runs.len() < RUNS_MAX {
            self.runs.push(Run {
                id,
                next: 0,
                distinct: 0,
                seen: vec![0; WINDOW as usize / 64].into(),
            });
        }
        let index = known.or_else(|| self.runs.iter().position(|run| run.id == id))?;
        self.runs.get_mut(index)
    }
}

impl Run {
    fn place(&mut self, number: u64) -> Place {
        if number >= self.next {
            // What lies between is missing until it comes.
            let first = self.next.max(number.saturating_sub(WINDOW - 1));
            for between in first..number {
                *self.word(between) &= !bit(between);
            }
            self.next = number.saturating_add(1);
        } else if number + WINDOW < self.next {
            self.distinct = (self.distinct + 1).min(self.next);
            return Place::Late;
        } else if *self.word(number) & bit(number) != 0 {
            return Place::Again;
        } else {
            *self.word(number) |= bit(number);
            self.distinct += 1;
            return Place::Late;
        }
        *self.word(number) |= bit(number);
        self.distinct += 1;
        Place::Next
    }

    fn word(&mut self, number: u64) -> &mut u64 {
        &mut self.seen[(number % WINDOW / 64) as usize]
    }
}

const fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn noted(numbers: &[(u64, u64)]) -> Order {
        let mut order = Order::default();
        for &(number, flow) in numbers {
            let stamp = Stamp {
                run: 1,
                number,
                time: 0,
            };
            order.note(&stamp, flow);
        }
        order
    }

    #[test]
    fn in_order_nothing_is_missing() {
        let order = noted(&[(0, 5), (1, 5), (2, 6)]);
        let found = (order.lost(), order.doubled, order.late, order.reordered);
        assert_eq!(found, (0, 0, 0, 0));
    }

    #[test]
    fn frames_of_two_flows_may_overtake_each_other() {
        let order = noted(&[(1, 6), (0, 5), (3, 5), (2, 5)]);
        assert_eq!((order.late, order.reordered, order.lost()), (2, 1, 0));
    }

    #[test]
    fn a_frame_that_comes_twice_is_doubled_and_no_other_is_missing_for_it() {
        let order = noted(&[(0, 5), (1, 5), (1, 5), (3, 5)]);
        assert_eq!((order.doubled, order.lost(), order.reordered), (1, 1, 0));
    }

    #[test]
    fn a_gap_wider_than_the_window_is_lost_whole() {
        let order = noted(&[(0, 5), (3 * WINDOW, 5), (WINDOW, 5), (3 * WINDOW - 1, 5)]);
        assert_eq!(order.lost(), 3 * WINDOW + 1 - 4);
        assert_eq!((order.late, order.doubled), (2, 0));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_counted_as_a_set_would(numbers in prop::collection::vec(0_u64..300, 1..400)) {
            let order = noted(&numbers.iter().map(|&number| (number, 9)).collect::<Vec<_>>());
            let set: HashSet<_> = numbers.iter().collect();
            let highest = **set.iter().max().unwrap();
            prop_assert_eq!(order.doubled, (numbers.len() - set.len()) as u64);
            prop_assert_eq!(order.lost(), highest + 1 - set.len() as u64);
            // One flow: what is late is also out of its flow's order.
            prop_assert_eq!(order.late, order.reordered);
        }
    }
}
