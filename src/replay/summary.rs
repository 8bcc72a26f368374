//! What a replay found, ready to be shown: names instead of indices, everything sorted.

use ipnet::IpNet;

use super::{
    compare::{Comparison, Difference, Fate, SourceDifference},
    flagged::Detection,
    series::Series,
    tally::{FrameTotals, ReasonTally, ServiceTally, SourceTally},
};
use crate::engine::{Direction, Nanos, Reason};

/// One subscriber that tried to open mail connections.
#[derive(Clone, Debug)]
pub struct SourceRow {
    /// Its address or prefix.
    pub key: IpNet,
    /// Its class's name.
    pub class: String,
    /// Its own name, if the policy gives one.
    pub name: Option<String>,
    /// What it tried.
    pub tally: SourceTally,
}

/// One counter of the engine that is not zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterRow {
    /// Why.
    pub reason: Reason,
    /// Which way.
    pub direction: Direction,
    /// The subscriber's class, where one was looked up.
    pub class: Option<String>,
    /// How many.
    pub frames: u64,
}

/// Where the frames came from and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureSpan {
    /// The capture files, in the order they were given.
    pub files: Vec<String>,
    /// Time of the first frame; nothing if there was none.
    pub first: Option<Nanos>,
    /// The latest time seen.
    pub last: Option<Nanos>,
    /// Frames whose time lay before an earlier frame's; they were judged at that frame's time.
    pub clamped: u64,
    /// What was wrong with the files, if judging ended early in any.
    pub damage: Vec<String>,
}

impl CaptureSpan {
    /// From the first frame to the last.
    #[must_use]
    pub fn duration(&self) -> Nanos {
        self.first
            .zip(self.last)
            .map_or(0, |(first, last)| last.saturating_sub(first))
    }
}

/// A second policy's judgement of the same frames.
#[derive(Clone, Debug, Default)]
pub struct ComparisonSummary {
    /// File of the second policy.
    pub policy: String,
    /// Frames judged by both.
    pub frames: u64,
    /// Frames with differing verdicts.
    pub differing: u64,
    /// By fate under both policies, most frames first.
    pub pairs: Vec<(Fate, Fate, Difference)>,
    /// By subscriber, most frames first.
    pub sources: Vec<(IpNet, SourceDifference)>,
    /// Differing frames that belong to no subscriber.
    pub strangers: Difference,
}

impl ComparisonSummary {
    /// Sorts what was found; `policy` is the second policy's file.
    #[must_use]
    pub fn new(policy: String, comparison: Comparison) -> Self {
        let mut pairs: Vec<_> = comparison
            .pairs
            .into_iter()
            .map(|((ours, theirs), found)| (ours, theirs, found))
            .collect();
        pairs.sort_by_key(|(_, _, found)| std::cmp::Reverse(found.frames));
        let mut sources: Vec<_> = comparison.sources.into_iter().collect();
        sources.sort_by_key(|(key, found)| (std::cmp::Reverse(found.all.frames), *key));
        Self {
            policy,
            frames: comparison.frames,
            differing: comparison.differing,
            pairs,
            sources,
            strangers: comparison.strangers,
        }
    }
}

/// What a replay found.
#[derive(Clone, Debug)]
pub struct Summary {
    /// File of the policy.
    pub policy: String,
    /// Where the frames came from and when.
    pub capture: CaptureSpan,
    /// Frames by what happened to them.
    pub frames: FrameTotals,
    /// The same by reason, in the order of [`Reason::ALL`].
    pub reasons: Vec<(Reason, ReasonTally)>,
    /// The engine's counters that are not zero.
    pub counters: Vec<CounterRow>,
    /// Subscribers that tried to open mail connections, by address.
    pub sources: Vec<SourceRow>,
    /// Attempts over time.
    pub series: Series,
    /// Number of the first frame that is a refused attempt.
    pub first_refusal: Option<u64>,
    /// Who was found to be a zombie, if the policy asks for that.
    pub detection: Option<Detection>,
    /// What the second policy would have done, if one was given.
    pub comparison: Option<ComparisonSummary>,
}

impl Summary {
    /// All subscribers' attempts to port 25.
    #[must_use]
    pub fn smtp(&self) -> ServiceTally {
        self.sum(|tally| tally.smtp)
    }

    /// All subscribers' attempts to ports 587 and 465.
    #[must_use]
    pub fn submission(&self) -> ServiceTally {
        self.sum(|tally| tally.submission)
    }

    /// Frames of one reason.
    #[must_use]
    pub fn frames_of(&self, reason: Reason) -> u64 {
        self.reasons[reason as usize].1.total()
    }

    /// The `count` subscribers with the most refusals; among equals, with the most attempts.
    #[must_use]
    pub fn top_sources(&self, count: usize) -> Vec<&SourceRow> {
        let rank = |row: &&SourceRow| {
            let all = row.tally.all();
            (std::cmp::Reverse((all.refused, all.attempts)), row.key)
        };
        let mut rows: Vec<_> = self.sources.iter().collect();
        if count < rows.len() {
            rows.select_nth_unstable_by_key(count, rank);
            rows.truncate(count);
        }
        rows.sort_by_key(rank);
        rows
    }

    fn sum(&self, service: impl Fn(&SourceTally) -> ServiceTally) -> ServiceTally {
        let mut sum = ServiceTally::default();
        for row in &self.sources {
            sum.add(service(&row.tally));
        }
        sum
    }
}

/// A subscriber as people and programs write it: a bare address for a host, else the prefix.
#[must_use]
pub fn source_text(key: IpNet) -> String {
    if key.prefix_len() == key.max_prefix_len() {
        key.addr().to_string()
    } else {
        key.to_string()
    }
}
