//! `flagged` and `detection` of the document.

use serde::Serialize;

use super::words;
use crate::{
    detect::Evidence,
    replay::{self, FlaggedRow, StepRow, source_text},
};

#[derive(Serialize)]
pub struct Flagged<'a> {
    source: String,
    class: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    detector: &'static str,
    /// Seconds since 1970.
    time: f64,
    attempts: u32,
    destinations: u32,
    evidence: Facts,
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Facts {
    since: String,
    score: f64,
    answered: u32,
    reset: u32,
    unreachable: u32,
    silent: u32,
    late: u32,
    awaited: u32,
    attempts_in_window: u32,
    submissions_in_window: u32,
    orphans: u32,
    sample: Vec<String>,
}

#[derive(Serialize)]
struct Step {
    step: &'static str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[derive(Serialize)]
pub struct Detection {
    observed: u64,
    unproven_attempts: u64,
    no_room: u64,
}

impl From<&replay::Detection> for Detection {
    fn from(found: &replay::Detection) -> Self {
        Self {
            observed: found.observed,
            unproven_attempts: found.unproven,
            no_room: found.full,
        }
    }
}

pub fn rows(found: &replay::Detection) -> Vec<Flagged<'_>> {
    found.flagged.iter().map(Flagged::from).collect()
}

impl<'a> From<&'a FlaggedRow> for Flagged<'a> {
    fn from(row: &'a FlaggedRow) -> Self {
        let flag = &row.flag;
        Self {
            source: source_text(flag.key),
            class: &row.class,
            name: row.name.as_deref(),
            detector: flag.detector.name(),
            time: seconds(flag.time),
            attempts: flag.attempts,
            destinations: flag.destinations,
            evidence: Facts::from(&flag.evidence),
            steps: row.steps.iter().map(Step::from).collect(),
        }
    }
}

/// To the microsecond: more than a number in JSON holds of a time in this century.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000) as f64 / 1e6
}

impl From<&Evidence> for Facts {
    fn from(evidence: &Evidence) -> Self {
        Self {
            since: words::rfc3339(evidence.since),
            score: (evidence.score * 1e3).round() / 1e3,
            answered: evidence.answered,
            reset: evidence.reset,
            unreachable: evidence.unreachable,
            silent: evidence.silent,
            late: evidence.late,
            awaited: evidence.awaited,
            attempts_in_window: evidence.in_window,
            submissions_in_window: evidence.submissions,
            orphans: evidence.orphans,
            sample: evidence.sample.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&StepRow> for Step {
    fn from(step: &StepRow) -> Self {
        Self {
            step: step.step,
            time: words::rfc3339(step.time),
            scope: step.quarantine.map(|(scope, _)| scope.name()),
            expires: step.quarantine.map(|(_, expires)| words::rfc3339(expires)),
        }
    }
}
