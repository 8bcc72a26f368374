//! `[class.NAME.detect]`: when a class's subscribers are suspected, and what follows.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    diagnostic::{Remark, Report},
    file::SHAPES,
    reader::{Section, Shape, Value},
    steps::{EXPIRES_DEFAULT, Scope, Step, StepAction},
    value,
};

pub(super) const DETECT: Shape = Shape {
    title: "[class.NAME.detect]",
    keys: &["volume", "destinations", "submission", "outcomes", "steps"],
};
pub(super) const VOLUME: Shape = Shape {
    title: "a volume",
    keys: &["attempts", "window"],
};
pub(super) const DESTINATIONS: Shape = Shape {
    title: "destinations",
    keys: &["distinct", "window"],
};
pub(super) const OUTCOMES: Shape = Shape {
    title: "outcomes",
    keys: &["theta0", "theta1", "alpha", "beta", "answer_within"],
};
pub(super) const STEP: Shape = Shape {
    title: "a step",
    keys: &["step", "for", "scope", "expires"],
};

/// The largest number of attempts that a volume can name.
pub const VOLUME_MAX: u32 = 4_000;
/// The largest number of destinations that can be told apart well enough.
pub const DISTINCT_MAX: u32 = 1_000;
/// The most subscribers that can be observed at once.
pub const OBSERVED_MAX: u32 = 1 << 24;
/// The longest wait for an answer.
pub const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(60);
/// Windows of detection are at least so long.
pub const DETECT_WINDOW_MIN: Duration = Duration::from_secs(10);
/// The longest grace or expiry of a step.
pub const SPAN_MAX: Duration = Duration::from_secs(365 * 86_400);

const ANSWER_WITHIN_DEFAULT: Duration = Duration::from_secs(3);
/// A benign source is tested again and again: once in 20,000 tests it may be taken for a zombie.
const ALPHA_DEFAULT: f64 = 5e-5;
const BETA_DEFAULT: f64 = 0.01;

/// More than so many in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Attempts or destinations.
    pub count: u32,
    /// 10 seconds to 1 day.
    pub window: Duration,
}

/// The sequential test on what becomes of first contacts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcomes {
    /// Share of first contacts that fail, of a benign source.
    pub theta0: f64,
    /// The same of a zombie.
    pub theta1: f64,
    /// How often a benign source may be taken for a zombie, in a test.
    pub alpha: f64,
    /// How often a zombie may be taken for a benign source, in a test.
    pub beta: f64,
    /// An attempt that is unanswered for so long has failed.
    pub answer_within: Duration,
}

/// How a class's subscribers are judged, and what follows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detect {
    /// More attempts to port 25, relays excepted, than this.
    pub volume: Option<Threshold>,
    /// More distinct destinations of those than this.
    pub destinations: Option<Threshold>,
    /// More attempts to submission ports and relays than this.
    pub submission: Option<Threshold>,
    /// The sequential test.
    pub outcomes: Option<Outcomes>,
    /// What is done, in order, after the finding itself has made it a suspect.
    pub steps: Vec<Step>,
}

/// Reads how many subscribers are observed at once.
pub(super) fn observed(value: Value<'_>, report: &mut Report) -> Option<u32> {
    value.integer(1..=OBSERVED_MAX, "", report)
}

/// Reads `[class.NAME.detect]`.
pub(super) fn detect(value: Value<'_>, report: &mut Report) -> Option<Detect> {
    let table = value.section(&DETECT, SHAPES, report)?;
    let mut threshold = |key, shape, count, most| {
        let value = table.get(key)?;
        self::threshold(value.section(shape, SHAPES, report)?, count, most, report)
    };
    let volume = threshold("volume", &VOLUME, "attempts", VOLUME_MAX);
    let destinations = threshold("destinations", &DESTINATIONS, "distinct", DISTINCT_MAX);
    let submission = threshold("submission", &VOLUME, "attempts", VOLUME_MAX);
    let outcomes = table
        .get("outcomes")
        .and_then(|value| outcomes(value, report));
    let judges = ["volume", "destinations", "submission", "outcomes"];
    if judges.iter().all(|key| table.get(key).is_none()) {
        report.missing(table.spot, || {
            Remark::new(
                "nothing in this table says when a subscriber is suspected",
                "add `outcomes = { theta0 = 0.2, theta1 = 0.9 }`, or a volume",
            )
        });
    }
    Some(Detect {
        volume,
        destinations,
        submission,
        outcomes,
        steps: table
            .get("steps")
            .map(|value| steps(value, report))
            .unwrap_or_default(),
    })
}

fn threshold(
    table: Section<'_>,
    count: &'static str,
    most: u32,
    report: &mut Report,
) -> Option<Threshold> {
    let number = table.require(count, "200", report);
    let number = number.and_then(|value| value.integer(1..=most, "", report));
    let window = table.require("window", "\"1h\"", report);
    let window = window.and_then(|value| {
        let range = DETECT_WINDOW_MIN..=value::WINDOW_MAX;
        span(value, range, "\"10s\" to \"1d\"", report)
    });
    Some(Threshold {
        count: number?,
        window: window?,
    })
}

fn outcomes(value: Value<'_>, report: &mut Report) -> Option<Outcomes> {
    let table = value.section(&OUTCOMES, SHAPES, report)?;
    let theta = |key, example, report: &mut Report| {
        let value = table.require(key, example, report)?;
        probability(value, 0.001..=0.999, report)
    };
    let (theta0, theta1) = (
        theta("theta0", "0.2", report),
        theta("theta1", "0.9", report),
    );
    let error = |key, default, report: &mut Report| match table.get(key) {
        Some(value) => probability(value, 1e-9..=0.4, report),
        None => Some(default),
    };
    let alpha = error("alpha", ALPHA_DEFAULT, report);
    let beta = error("beta", BETA_DEFAULT, report);
    let answer_within = match table.get("answer_within") {
        Some(value) => {
            let range = value::WINDOW_MIN..=ANSWER_WITHIN_MAX;
            span(value, range, "\"1s\" to \"1m\"", report)
        }
        None => Some(ANSWER_WITHIN_DEFAULT),
    };
    let (theta0, theta1) = (theta0?, theta1?);
    if theta0 >= theta1 {
        report.error(value.spot, || {
            Remark::new(
                format!("theta0 ({theta0}) is not below theta1 ({theta1})"),
                "theta0 is the share of contacts that fail of a benign source, theta1 of a zombie",
            )
        });
        return None;
    }
    Some(Outcomes {
        theta0,
        theta1,
        alpha: alpha?,
        beta: beta?,
        answer_within: answer_within?,
    })
}

fn probability(value: Value<'_>, range: RangeInclusive<f64>, report: &mut Report) -> Option<f64> {
    let number = value.number(report)?;
    if range.contains(&number) {
        return Some(number);
    }
    let (low, high) = (range.start(), range.end());
    report.error(value.spot, || {
        Remark::new(
            format!(
                "`{}` is {number}, which is not from {low} to {high}",
                value.name
            ),
            format!("choose a number from {low} to {high}"),
        )
    });
    None
}

fn span(
    value: Value<'_>,
    range: RangeInclusive<Duration>,
    bounds: &str,
    report: &mut Report,
) -> Option<Duration> {
    let text = value.string(report)?;
    match value::span(text) {
        Ok(span) if range.contains(&span) => Some(span),
        Ok(_) => {
            report.error(value.spot, || {
                Remark::new(
                    format!("`{}` cannot be \"{text}\"", value.name),
                    format!("choose a time from {bounds}"),
                )
            });
            None
        }
        Err(remark) => {
            report.error(value.spot, || remark);
            None
        }
    }
}

/// The words for steps, the lightest first. The finding makes a suspect: that step may be written,
/// and nothing more comes of it.
const WORDS: [(&str, u8); 3] = [("suspect", 0), ("notify", 1), ("quarantine", 2)];

fn steps(value: Value<'_>, report: &mut Report) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut before: Option<(&str, u8)> = None;
    for element in value.array("tables", report) {
        let Some((word, step)) = step(element, report) else {
            continue;
        };
        if let Some((name, _)) = before.filter(|before| before.1 >= word.1) {
            report.error(element.spot, || {
                Remark::new(
                    format!("step \"{}\" comes after \"{name}\"", word.0),
                    "steps grow heavier: suspect, notify, quarantine, each once",
                )
            });
        }
        before = Some(word);
        steps.extend(step);
    }
    steps
}

/// A step's word, and what is done.
fn step(value: Value<'_>, report: &mut Report) -> Option<((&'static str, u8), Option<Step>)> {
    let table = value.section(&STEP, SHAPES, report)?;
    let words = WORDS.map(|word| (word.0, word));
    let word = table
        .require("step", "\"notify\"", report)
        .and_then(|value| value.word(&words, report));
    let mut time = |key: &'static str, default| match table.get(key) {
        Some(value) => span(
            value,
            Duration::ZERO..=SPAN_MAX,
            "\"0s\" to \"365d\"",
            report,
        ),
        None => Some(default),
    };
    let (grace, expires) = (
        time("for", Duration::ZERO),
        time("expires", EXPIRES_DEFAULT),
    );
    let scopes = [Scope::Mail, Scope::Garden].map(|scope| (scope.name(), scope));
    let scope = match table.get("scope") {
        Some(value) => value.word(&scopes, report),
        None => Some(Scope::Mail),
    };
    let word = word?;
    let foreign: &[&str] = match word.0 {
        "suspect" => &["for", "scope", "expires"],
        "notify" => &["scope", "expires"],
        _ => &[],
    };
    for &key in STEP.keys.iter().filter(|key| foreign.contains(key)) {
        if let Some(value) = table.get(key) {
            report.error(value.spot, || {
                Remark::new(
                    format!("step \"{}\" has no `{key}`", word.0),
                    format!("remove `{key}`, or move it to a heavier step"),
                )
            });
        }
    }
    let action = match word.0 {
        "suspect" => return Some((word, None)),
        "notify" => StepAction::Notify,
        _ => StepAction::Quarantine {
            scope: scope?,
            expires: expires?,
        },
    };
    let grace = grace?;
    Some((word, Some(Step { action, grace })))
}
