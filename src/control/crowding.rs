//! A source table that is full: told at most once a minute, with how much that was.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::{
    policy::Fallback,
    report::words::{counted, thousands},
};

/// Not more often than this.
const PAUSE: Duration = Duration::from_secs(60);

/// What a full table led to since it was told of last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull {
    /// How many sources the table holds.
    pub capacity: usize,
    /// Attempts that found no room.
    pub attempts: u64,
    /// About how many sources they were from.
    pub sources: u64,
    /// What became of them.
    pub fallback: Fallback,
}

impl fmt::Display for TableFull {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let became = match self.fallback {
            Fallback::Forward => "were let pass unlimited",
            Fallback::Drop => "were refused",
        };
        write!(
            out,
            "the source table is full ({}): {} from about {} {became}; raise [sources] capacity, \
             and look for a flood",
            thousands(self.capacity as u64),
            counted(self.attempts, "attempt"),
            counted(self.sources, "source"),
        )
    }
}

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Crowding {
    told_at: Option<Instant>,
    attempts: u64,
}

impl Crowding {
    /// How many attempts are to be told of now, out of so many since the start.
    pub fn untold(&mut self, at: Instant, attempts: u64) -> Option<u64> {
        let is_early = self
            .told_at
            .is_some_and(|told| at.saturating_duration_since(told) < PAUSE);
        if is_early {
            return None;
        }
        self.rest(attempts).inspect(|_| self.told_at = Some(at))
    }

    /// The same, whenever that was told last: at the end.
    pub fn rest(&mut self, attempts: u64) -> Option<u64> {
        let more = attempts.saturating_sub(self.attempts);
        self.attempts = attempts.max(self.attempts);
        (more > 0).then_some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_is_told_at_once_and_then_once_a_minute_and_nothing_is_left_out() {
        let (start, mut crowding) = (Instant::now(), Crowding::default());
        let mut untold =
            |seconds, attempts| crowding.untold(start + Duration::from_secs(seconds), attempts);
        assert_eq!(untold(0, 0), None);
        assert_eq!(untold(1, 5), Some(5));
        assert_eq!(untold(2, 9), None);
        assert_eq!(untold(60, 9), None);
        assert_eq!(untold(61, 10), Some(5));
        assert_eq!(untold(200, 10), None);
        assert_eq!(untold(201, 12), Some(2));
        assert_eq!(untold(202, 13), None);
        assert_eq!(crowding.rest(13), Some(1));
        assert_eq!(crowding.rest(13), None);
    }

    #[test]
    fn it_says_what_became_of_whom_and_what_to_do() {
        let full = TableFull {
            capacity: 1_048_576,
            attempts: 1700,
            sources: 1,
            fallback: Fallback::Forward,
        };
        assert_eq!(
            full.to_string(),
            "the source table is full (1,048,576): 1,700 attempts from about 1 source were let pass \
             unlimited; raise [sources] capacity, and look for a flood"
        );
    }
}
