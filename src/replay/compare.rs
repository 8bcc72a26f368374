//! Two policies over the same frames: whose verdicts differ, and how.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ipnet::IpNet;
use serde::Serialize;

use crate::engine::{Action, Effect, Reason, Verdict};

/// So many frame numbers are kept as examples of each difference.
const EXAMPLES_MAX: usize = 3;

/// A verdict without the particulars of its frame. Two frames that cross fare alike, whatever the
/// reason: `Forward` carries a reason only for a refusal that observe mode let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fate {
    /// It crosses.
    Forward,
    /// It crosses only because of observe mode.
    Observe(Reason),
    /// It vanishes.
    Drop(Reason),
    /// It is answered with a TCP RST.
    Reset(Reason),
    /// It is answered with what leads to the notice page.
    Redirect(Reason),
}

impl Fate {
    /// The reason, unless the frame simply crosses.
    #[must_use]
    pub fn reason(self) -> Option<Reason> {
        match self {
            Self::Forward => None,
            Self::Observe(reason) | Self::Drop(reason) => Some(reason),
            Self::Reset(reason) | Self::Redirect(reason) => Some(reason),
        }
    }

    /// One word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Observe(_) => "observe",
            Self::Drop(_) => "drop",
            Self::Reset(_) => "reset",
            Self::Redirect(_) => "redirect",
        }
    }
}

impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "{} {}", self.name(), reason.name()),
            None => f.write_str(self.name()),
        }
    }
}

impl From<&Verdict> for Fate {
    fn from(verdict: &Verdict) -> Self {
        match verdict.action {
            Action::Forward if verdict.observed => Self::Observe(verdict.reason),
            Action::Forward => Self::Forward,
            Action::Drop => Self::Drop(verdict.reason),
            Action::Reset => Self::Reset(verdict.reason),
            Action::Redirect => Self::Redirect(verdict.reason),
        }
    }
}

/// Frames that fare differently, with a few of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// How many.
    pub frames: u64,
    /// The first of them, numbered from 1 as Wireshark does.
    pub examples: Vec<u64>,
}

impl Difference {
    fn count(&mut self, number: u64) {
        self.frames += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(number);
        }
    }
}

/// How one subscriber's frames fare under the other policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceDifference {
    /// All its frames with another verdict.
    pub all: Difference,
    /// Those among them that cross under the first policy and not under the other.
    pub newly_refused: u64,
    /// Those among them that do not cross under the first policy and do under the other.
    pub newly_admitted: u64,
}

/// Every difference found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Frames judged by both policies.
    pub frames: u64,
    /// Those with differing verdicts.
    pub differing: u64,
    /// Differences by (fate under the first policy, fate under the other).
    pub pairs: BTreeMap<(Fate, Fate), Difference>,
    /// Differences by subscriber, named by the key of the first policy that knows one.
    pub sources: HashMap<IpNet, SourceDifference, RandomState>,
    /// Differing frames that belong to no subscriber of either policy.
    pub strangers: Difference,
}

impl Comparison {
    /// Compares two verdicts on the frame with this number; `subscriber` is asked only if they
    /// differ.
    pub fn count(
        &mut self,
        number: u64,
        ours: &Verdict,
        theirs: &Verdict,
        subscriber: impl FnOnce() -> Option<IpNet>,
    ) {
        self.frames += 1;
        let pair = (Fate::from(ours), Fate::from(theirs));
        if pair.0 == pair.1 {
            return;
        }
        self.differing += 1;
        self.pairs.entry(pair).or_default().count(number);
        let Some(key) = subscriber() else {
            self.strangers.count(number);
            return;
        };
        let source = self.sources.entry(key).or_default();
        source.all.count(number);
        source.newly_refused += u64::from(crosses(ours) && !crosses(theirs));
        source.newly_admitted += u64::from(!crosses(ours) && crosses(theirs));
    }
}

/// Whether the judgement, before observe mode, lets the frame cross.
fn crosses(verdict: &Verdict) -> bool {
    verdict.reason.effect() == Effect::Forward
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Direction;

    fn verdict(action: Action, reason: Reason, observed: bool) -> Verdict {
        Verdict {
            action,
            reason,
            direction: Direction::Outbound,
            observed,
            class: None,
            attempt: None,
        }
    }

    #[test]
    fn crossing_for_another_reason_is_no_difference() {
        let mut comparison = Comparison::default();
        let ours = verdict(Action::Forward, Reason::Allowed, false);
        let theirs = verdict(Action::Forward, Reason::Admitted, false);
        comparison.count(1, &ours, &theirs, || panic!("no subscriber is asked for"));
        assert_eq!((comparison.frames, comparison.differing), (1, 0));
    }

    #[test]
    fn a_difference_is_kept_by_fates_and_by_subscriber_with_its_first_frames() {
        let mut comparison = Comparison::default();
        let ours = verdict(Action::Forward, Reason::Admitted, false);
        let theirs = verdict(Action::Drop, Reason::LimitExceeded, false);
        let key: IpNet = "203.0.113.7/32".parse().unwrap();
        for number in 1..=5 {
            comparison.count(number, &ours, &theirs, || Some(key));
        }
        let pair = (Fate::Forward, Fate::Drop(Reason::LimitExceeded));
        assert_eq!(
            comparison.pairs[&pair],
            Difference {
                frames: 5,
                examples: vec![1, 2, 3]
            }
        );
        assert_eq!(comparison.sources[&key].newly_refused, 5);
        assert_eq!(comparison.sources[&key].newly_admitted, 0);
    }

    #[test]
    fn switching_from_observing_to_dropping_is_a_difference_but_refuses_nothing_new() {
        let mut comparison = Comparison::default();
        let ours = verdict(Action::Forward, Reason::LimitExceeded, true);
        let theirs = verdict(Action::Drop, Reason::LimitExceeded, false);
        comparison.count(9, &ours, &theirs, || None);
        assert_eq!(comparison.differing, 1);
        assert_eq!(comparison.strangers.examples, [9]);
    }
}
