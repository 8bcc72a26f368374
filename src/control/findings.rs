//! What detectors found, as cases know it.
//!
//! A worker's clock is the machine's monotonic one, which means nothing after a restart; a case's is
//! the calendar. Here one becomes the other.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    complaint::Complaint,
    detect::{Evidence, Flag},
    engine::Nanos,
    remedy::{COMPLAINT, Finding},
};

/// A flag as a finding, where the calendar says `now` when the worker's clock says `clock`.
#[must_use]
pub fn finding(flag: &Flag, now: Timestamp, clock: Nanos) -> Finding {
    let age = Duration::from_nanos(clock.saturating_sub(flag.time));
    Finding {
        detector: flag.detector.name().to_owned(),
        time: now.saturating_sub(age).unwrap_or(now),
        attempts: flag.attempts.into(),
        destinations: flag.destinations.into(),
        // What traffic shows is enough; complaints are not, and come another way.
        conclusive: true,
        evidence: figures(&flag.evidence, flag.time),
    }
}

/// A complaint as a finding: never conclusive.
#[must_use]
pub fn complaint(complaint: &Complaint, time: Timestamp) -> Finding {
    let evidence = json!({
        "kind": complaint.kind,
        "form": complaint.form,
        "reporter": complaint.reporter,
        "source": complaint.source,
        "source_port": complaint.source_port,
        "time_of": complaint.time_of,
    });
    Finding {
        detector: COMPLAINT.to_owned(),
        time,
        attempts: complaint.incidents,
        destinations: 0,
        conclusive: false,
        evidence: match evidence {
            Value::Object(evidence) => evidence,
            _ => Map::new(),
        },
    }
}

fn figures(evidence: &Evidence, time: Nanos) -> Map<String, Value> {
    let observed = Duration::from_nanos(time.saturating_sub(evidence.since));
    let figures = json!({
        "observed_seconds": observed.as_secs(),
        "score": evidence.score,
        "answered": evidence.answered,
        "reset": evidence.reset,
        "unreachable": evidence.unreachable,
        "silent": evidence.silent,
        "late": evidence.late,
        "awaited": evidence.awaited,
        "in_window": evidence.in_window,
        "submissions": evidence.submissions,
        "orphans": evidence.orphans,
        "sample": evidence.sample,
    });
    match figures {
        Value::Object(figures) => figures,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::Finding as Detector;

    #[test]
    fn a_flags_time_is_told_in_the_calendars_terms() {
        let second = 1_000_000_000;
        let flag = Flag {
            key: "203.0.113.66/32".parse().expect("a prefix"),
            class: 0,
            detector: Detector::Outcomes,
            time: 500 * second,
            attempts: 21,
            destinations: 20,
            evidence: Evidence {
                since: 440 * second,
                silent: 8,
                ..Evidence::default()
            },
        };
        let now = Timestamp::from_second(1_700_000_000).expect("a moment");
        let finding = finding(&flag, now, 503 * second);
        assert_eq!(finding.time.as_second(), 1_699_999_997);
        assert_eq!(
            (finding.detector.as_str(), finding.attempts),
            ("outcomes", 21)
        );
        assert_eq!(finding.evidence["observed_seconds"], 60);
        assert_eq!(finding.evidence["silent"], 8);
    }
}
