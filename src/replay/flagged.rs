//! Who is found to be a zombie, and what the policy's steps would have done about it.

use std::{collections::HashSet, time::Duration};

use ipnet::IpNet;

use crate::{
    detect::{Finding, Flag, Observer},
    engine::Nanos,
    policy::{
        ClassId, Policy,
        steps::{Scope, Step, StepAction},
    },
};

/// What detection saw, beside whom it found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detection {
    /// Subscribers who were observed: bound to a VLAN, or with a completed handshake.
    pub observed: u64,
    /// Attempts in the name of others: blamed on nobody.
    pub unproven: u64,
    /// Times that there was no room to observe a subscriber.
    pub full: u64,
    /// Whom it found, in the order of time.
    pub flagged: Vec<FlaggedRow>,
}

/// A subscriber found to be a zombie.
#[derive(Clone, Debug, PartialEq)]
pub struct FlaggedRow {
    /// When, by what, and why.
    pub flag: Flag,
    /// Its class's name.
    pub class: String,
    /// Its own name, if the policy gives one.
    pub name: Option<String>,
    /// What would have been done, in order.
    pub steps: Vec<StepRow>,
}

impl FlaggedRow {
    /// Its accounting key.
    #[must_use]
    pub const fn key(&self) -> IpNet {
        self.flag.key
    }

    /// Which detector found it.
    #[must_use]
    pub const fn detector(&self) -> Finding {
        self.flag.detector
    }
}

/// One step of the remediation, in capture time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRow {
    /// What would have been done: `suspect`, `notify`, `quarantine`.
    pub step: &'static str,
    /// When.
    pub time: Nanos,
    /// Of a quarantine: what it stops, and when it would have expired.
    pub quarantine: Option<(Scope, Nanos)>,
}

impl Detection {
    /// What an observer saw; each subscriber is flagged once, the first time.
    #[must_use]
    pub fn new(policy: &Policy, observer: &Observer, mut flags: Vec<Flag>) -> Self {
        flags.sort_by_key(|flag| (flag.time, flag.key));
        let mut seen = HashSet::new();
        flags.retain(|flag| seen.insert(flag.key));
        Self {
            observed: observer.observed(),
            unproven: observer.unproven(),
            full: observer.full(),
            flagged: flags.into_iter().map(|flag| row(policy, flag)).collect(),
        }
    }
}

fn row(policy: &Policy, flag: Flag) -> FlaggedRow {
    let class = policy.class(ClassId(flag.class));
    let steps = class
        .detect
        .as_ref()
        .map_or(&[][..], |detect| &detect.steps);
    FlaggedRow {
        class: class.name.clone(),
        name: policy.name_of(flag.key).map(str::to_owned),
        steps: time_line(steps, flag.time),
        flag,
    }
}

/// The finding makes a suspect; each step comes its grace after the one before.
fn time_line(steps: &[Step], found: Nanos) -> Vec<StepRow> {
    let after = |time: Nanos, span: Duration| {
        time.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX))
    };
    let suspect = StepRow {
        step: "suspect",
        time: found,
        quarantine: None,
    };
    let mut time = found;
    let step = |step: &Step| {
        time = after(time, step.grace);
        StepRow {
            step: step.action.name(),
            time,
            quarantine: match step.action {
                StepAction::Notify => None,
                StepAction::Quarantine { scope, expires } => Some((scope, after(time, expires))),
            },
        }
    };
    std::iter::once(suspect)
        .chain(steps.iter().map(step))
        .collect()
}
