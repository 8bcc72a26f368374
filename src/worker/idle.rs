//! How a worker waits: spinning while that is likely to pay, sleeping else.
//!
//! A look at the rings that finds nothing costs a tenth of a microsecond, a sleep and its wake-up
//! some five, and the frames that come meanwhile wait. So spinning is bought with traffic: a full
//! batch buys [`Settings::spin`](super::Settings::spin) of it, a batch of one a sixty-fourth. A
//! worker that is busy never sleeps; one that sees a frame now and then sleeps between them; and an
//! idle one sleeps longer and longer, up to a tick.

use std::time::Duration;

use crate::engine::Nanos;

/// The first sleep after traffic. Frames end any sleep at once; short first sleeps are for work
/// that no wake-up announces, such as completions.
const NAP_MIN: Nanos = 50_000;

/// One worker's patience.
#[derive(Debug)]
pub struct Idle {
    spin: Nanos,
    batch: u64,
    spin_until: Nanos,
    nap: Nanos,
}

impl Idle {
    /// For batches of at most `batch` frames; a full one buys `spin` of spinning.
    pub fn new(spin: Duration, batch: usize) -> Self {
        Self {
            spin: u64::try_from(spin.as_nanos()).unwrap_or(u64::MAX),
            batch: batch.max(1) as u64,
            spin_until: 0,
            nap: NAP_MIN,
        }
    }

    /// A round that ended at `now` found `frames` frames.
    pub fn worked(&mut self, frames: usize, now: Nanos) {
        let bought = self.spin.saturating_mul(frames as u64) / self.batch;
        self.spin_until = self.spin_until.max(now.saturating_add(bought));
        self.nap = NAP_MIN;
    }

    /// A round at `now` found nothing: how long to sleep, if at all, but not beyond `deadline`.
    pub fn pause(&mut self, now: Nanos, deadline: Nanos) -> Option<Duration> {
        let left = deadline.saturating_sub(now);
        if now < self.spin_until || left == 0 {
            return None;
        }
        let nap = self.nap.min(left);
        self.nap = self.nap.saturating_mul(2);
        Some(Duration::from_nanos(nap))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN: Duration = Duration::from_micros(64);
    const FAR: Nanos = u64::MAX;

    #[test]
    fn a_full_batch_buys_the_whole_spin_and_a_single_frame_hardly_any() {
        let mut idle = Idle::new(SPIN, 64);
        idle.worked(64, 1_000_000);
        assert_eq!(idle.pause(1_063_999, FAR), None);
        assert!(idle.pause(1_064_000, FAR).is_some());
        idle.worked(1, 2_000_000);
        assert_eq!(idle.pause(2_000_999, FAR), None);
        assert!(idle.pause(2_001_000, FAR).is_some());
    }

    #[test]
    fn what_a_full_batch_bought_is_not_lost_by_a_small_one_after_it() {
        let mut idle = Idle::new(SPIN, 64);
        idle.worked(64, 0);
        idle.worked(1, 1_000);
        assert_eq!(idle.pause(63_999, FAR), None);
    }

    #[test]
    fn sleeps_grow_until_frames_come_and_never_pass_the_deadline() {
        let mut idle = Idle::new(SPIN, 64);
        let mut last = Duration::ZERO;
        for _ in 0..6 {
            let nap = idle.pause(0, 5_000_000).expect("nothing to spin for");
            assert!(nap > last);
            last = nap;
        }
        assert_eq!(idle.pause(0, 1_000), Some(Duration::from_nanos(1_000)));
        assert_eq!(idle.pause(1_000, 1_000), None);
        idle.worked(0, 0);
        assert_eq!(idle.pause(1, FAR), Some(Duration::from_nanos(NAP_MIN)));
    }
}
