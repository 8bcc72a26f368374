//! Flagged subscribers in plain language: why, and what the policy's steps would have done.

use super::words;
use crate::{
    detect::{Finding, Flag},
    replay::{FlaggedRow, StepRow},
};

/// Why a subscriber was flagged, in one sentence.
#[must_use]
pub fn why(flag: &Flag) -> String {
    let evidence = &flag.evidence;
    let counted = |number: u32, noun: &str| words::counted(number.into(), noun);
    match flag.detector {
        Finding::Volume => format!(
            "{} to port 25 within the window, to about {}.",
            counted(evidence.in_window, "attempt"),
            counted(flag.destinations, "server"),
        ),
        Finding::Destinations => format!(
            "About {} within the window, by {}.",
            counted(flag.destinations, "server"),
            counted(flag.attempts, "attempt"),
        ),
        Finding::Submission => format!(
            "{} to submission ports and relays within the window.",
            counted(evidence.submissions, "attempt"),
        ),
        Finding::Outcomes => format!(
            "Of its first contacts, {} answered, {} reset, {} unreachable and {} silent.",
            evidence.answered, evidence.reset, evidence.unreachable, evidence.silent,
        ),
    }
}

/// One step of the time line: when, and what.
#[must_use]
pub fn step(step: &StepRow) -> (String, String) {
    let what = match step.quarantine {
        Some((scope, expires)) => format!(
            "{} ({}), until {} unless released",
            step.step,
            scope.name(),
            words::moment(expires)
        ),
        None => step.step.to_owned(),
    };
    (words::moment(step.time), what)
}

/// The time line, beginning with the finding.
#[must_use]
pub fn time_line(row: &FlaggedRow) -> Vec<(String, String)> {
    row.steps.iter().map(step).collect()
}

/// How many subscribers were flagged, and by which detectors; nothing if none was.
#[must_use]
pub fn sentence(rows: &[FlaggedRow]) -> Option<String> {
    let (count, verb) = match rows.len() {
        0 => return None,
        1 => ("1 subscriber".to_owned(), "behaves"),
        many => (words::counted(many as u64, "subscriber"), "behave"),
    };
    Some(format!(
        "{count} {verb} like a zombie: see Flagged subscribers."
    ))
}
