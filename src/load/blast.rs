//! Sending until the bounds are reached.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::Pace;

/// What hands frames to the kernel.
pub trait Sender {
    /// Sends up to `at_most` frames, the next ones; says how many, and how many octets. None is no
    /// error: the interface is busy.
    ///
    /// # Errors
    ///
    /// If the interface cannot send at all.
    fn send(&mut self, at_most: u64) -> io::Result<(u64, u64)>;
}

/// When to end, whatever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many frames.
    pub frames: u64,
    /// So long.
    pub time: Duration,
}

/// What was handed to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Frames.
    pub frames: u64,
    /// Their octets, stamps included.
    pub octets: u64,
    /// Times that the interface was busy, and the frames were offered again.
    pub busy: u64,
    /// From the first frame to the end.
    pub span: Duration,
}

/// Closer than this to a frame's time, sleeping is not worth it.
const SLEEP_MIN: Duration = Duration::from_micros(120);
/// What a sleep may take longer than it was asked to.
const SLEEP_LATE: Duration = Duration::from_micros(60);
/// A sender that waits looks this often whether it shall stop.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Between two calls of `progress`.
const PROGRESS: Duration = Duration::from_secs(1);

/// Sends frames at a pace until a bound is reached or `stop` is set; `progress` hears of it once a
/// second.
///
/// # Errors
///
/// Those of the sender.
pub fn fire(
    sender: &mut impl Sender,
    pace: &Pace,
    bounds: &Bounds,
    stop: &AtomicBool,
    mut progress: impl FnMut(&Offered),
) -> io::Result<Offered> {
    let start = Instant::now();
    let mut offered = Offered::default();
    let mut told = Duration::ZERO;
    loop {
        offered.span = start.elapsed();
        let left = bounds.frames - offered.frames;
        if left == 0 || offered.span >= bounds.time || stop.load(Ordering::Relaxed) {
            return Ok(offered);
        }
        if offered.span >= told + PROGRESS {
            told = offered.span;
            progress(&offered);
        }
        let due = pace.due(offered.span, offered.frames).min(left);
        if due == 0 {
            rest(
                pace.wait(offered.span, offered.frames)
                    .min(bounds.time - offered.span),
            );
            continue;
        }
        let (frames, octets) = sender.send(due)?;
        offered.frames += frames;
        offered.octets += octets;
        if frames == 0 {
            offered.busy += 1;
            thread::yield_now();
        }
    }
}

/// Sleeps through most of a wait and spins through the rest of it.
fn rest(wait: Duration) {
    if wait > SLEEP_MIN {
        thread::sleep((wait - SLEEP_LATE).min(SLEEP_MAX));
    } else {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Rate;

    /// Takes at most `appetite` at once, and nothing at every third call.
    struct Picky {
        appetite: u64,
        calls: u64,
    }

    impl Sender for Picky {
        fn send(&mut self, at_most: u64) -> io::Result<(u64, u64)> {
            self.calls += 1;
            let frames = at_most.min(self.appetite);
            Ok(if self.calls.is_multiple_of(3) {
                (0, 0)
            } else {
                (frames, frames * 60)
            })
        }
    }

    #[test]
    fn exactly_the_frames_asked_for_are_offered_however_the_interface_takes_them() {
        let mut sender = Picky {
            appetite: 7,
            calls: 0,
        };
        let bounds = Bounds {
            frames: 1000,
            time: Duration::from_secs(60),
        };
        let pace = Pace::new(Rate::Full, 64);
        let offered = fire(&mut sender, &pace, &bounds, &AtomicBool::new(false), |_| {}).unwrap();
        assert_eq!((offered.frames, offered.octets), (1000, 60_000));
        assert!(offered.busy > 0);
    }

    #[test]
    fn time_ends_what_frames_do_not_and_stop_ends_everything() {
        let mut sender = Picky {
            appetite: 0,
            calls: 0,
        };
        let pace = Pace::new(Rate::Frames(1), 64);
        let mut bounds = Bounds {
            frames: u64::MAX,
            time: Duration::from_millis(20),
        };
        let offered = fire(&mut sender, &pace, &bounds, &AtomicBool::new(false), |_| {}).unwrap();
        assert!(offered.span >= bounds.time && offered.frames == 0);
        bounds.time = Duration::from_secs(3600);
        let offered = fire(&mut sender, &pace, &bounds, &AtomicBool::new(true), |_| {}).unwrap();
        assert_eq!(offered.frames, 0);
    }
}
