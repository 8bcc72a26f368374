//! How many frames are due by now, and when to look again.
//!
//! Pacing is by the average: whoever was late (the machine had something else to do) makes up for
//! it, but never by more than a burst at once.

use std::{fmt, str::FromStr, time::Duration};

/// Frames a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// So many.
    Frames(u64),
    /// As many as go.
    Full,
}

impl FromStr for Rate {
    type Err = String;

    /// `full`, or a number with an optional k or M.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "full" {
            return Ok(Self::Full);
        }
        let (digits, factor) = match text.as_bytes().last() {
            Some(b'k') => (&text[..text.len() - 1], 1e3),
            Some(b'M') => (&text[..text.len() - 1], 1e6),
            _ => (text, 1.0),
        };
        let number: f64 = digits
            .parse()
            .map_err(|_| "say `full`, or frames a second like 5000, 200k or 1.5M")?;
        let frames = number * factor;
        if !(1.0..=1e9).contains(&frames) {
            return Err("1 to 1000M frames a second".to_owned());
        }
        Ok(Self::Frames(frames as u64))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => out.write_str("full"),
            Self::Frames(frames) => write!(out, "{frames}"),
        }
    }
}

/// A rate, held by the average.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: Rate,
    burst: u64,
}

impl Pace {
    /// At most `burst` frames at once.
    #[must_use]
    pub const fn new(rate: Rate, burst: u64) -> Self {
        Self { rate, burst }
    }

    /// How many frames are due, of which `sent` were sent in `elapsed`. The first is due at once.
    #[must_use]
    pub fn due(&self, elapsed: Duration, sent: u64) -> u64 {
        match self.rate {
            Rate::Full => self.burst,
            Rate::Frames(rate) => {
                let by_now = elapsed.as_nanos() * u128::from(rate) / 1_000_000_000 + 1;
                let by_now = u64::try_from(by_now).unwrap_or(u64::MAX);
                by_now.saturating_sub(sent).min(self.burst)
            }
        }
    }

    /// How long until the frame behind `sent` is due.
    #[must_use]
    pub fn wait(&self, elapsed: Duration, sent: u64) -> Duration {
        match self.rate {
            Rate::Full => Duration::ZERO,
            Rate::Frames(rate) => {
                let at = (u128::from(sent) * 1_000_000_000).div_ceil(u128::from(rate));
                let at = Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX));
                at.saturating_sub(elapsed)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_full() {
        assert_eq!("full".parse(), Ok(Rate::Full));
        assert_eq!("5000".parse(), Ok(Rate::Frames(5000)));
        assert_eq!("200k".parse(), Ok(Rate::Frames(200_000)));
        assert_eq!("1.5M".parse(), Ok(Rate::Frames(1_500_000)));
        for wrong in ["", "0", "k", "-1", "2G", "NaN", "inf", "1e99"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong:?}");
        }
    }

    /// Frames may be late but never early, and none is forgotten.
    #[test]
    fn a_paced_sender_is_never_early_and_makes_up_for_delays() {
        let pace = Pace::new(Rate::Frames(3000), 64);
        let (mut now, mut sent) = (Duration::ZERO, 0);
        while sent < 30_000 {
            sent += pace.due(now, sent);
            let allowed = now.as_secs_f64() * 3000.0 + 1.000_001; // as exact as the float is
            assert!(sent as f64 <= allowed, "{sent} after {now:?}");
            // Now and then, nothing happens for 30 ms.
            now += pace.wait(now, sent) + Duration::from_millis(if sent % 7 == 0 { 30 } else { 0 });
        }
        assert!(now < Duration::from_secs(11), "{now:?}");
    }

    #[test]
    fn a_burst_is_the_most_at_once() {
        let pace = Pace::new(Rate::Frames(1_000_000), 64);
        assert_eq!(pace.due(Duration::from_secs(1), 0), 64);
        assert_eq!(Pace::new(Rate::Full, 64).due(Duration::ZERO, 9), 64);
    }
}
