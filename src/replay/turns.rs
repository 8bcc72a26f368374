//! Whose turn it is: lets threads do numbered pieces of work side by side and one part of each
//! piece strictly in order.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Turns 0, 1, 2, … are passed from holder to holder.
#[derive(Debug, Default)]
pub struct Turns {
    current: Mutex<u64>,
    passed: Condvar,
}

/// A turn to come or at hand. Dropping it passes it on, also when its holder panics: then nobody
/// waits for ever, and the panic is seen where the threads are joined.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    /// Takes the turn with this number, without waiting for it.
    #[must_use]
    pub fn take(&self, number: u64) -> Turn<'_> {
        Turn {
            turns: self,
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Waits until all earlier turns have been passed on.
    pub fn wait(&self) {
        let mut current = self.turns.lock();
        while *current < self.number {
            current = self
                .turns
                .passed
                .wait(current)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut current = self.turns.lock();
        *current = (*current).max(self.number + 1);
        self.turns.passed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_done_in_turns_is_done_in_order_whoever_comes_first() {
        let turns = Turns::default();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for worker in (0..4u64).rev() {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    for number in (worker..100).step_by(4) {
                        let turn = turns.take(number);
                        turn.wait();
                        order.lock().unwrap().push(number);
                    }
                });
            }
        });
        assert_eq!(order.into_inner().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_turn_whose_holder_panics_is_passed_on() {
        let turns = Turns::default();
        std::thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let _turn = turns.take(0);
                panic!("on purpose");
            });
            assert!(holder.join().is_err());
            turns.take(1).wait();
        });
    }
}
