//! What a class's detection says, for programs and in words.

use std::time::Duration;

use indicatif::HumanCount;
use serde::Serialize;

use crate::policy::{
    Detect, Outcomes, Threshold,
    steps::{Step, StepAction},
    window_text,
};

#[derive(Serialize)]
pub(super) struct DetectFacts {
    volume: Option<ThresholdFacts>,
    destinations: Option<ThresholdFacts>,
    submission: Option<ThresholdFacts>,
    outcomes: Option<OutcomesFacts>,
    steps: Vec<StepFacts>,
    meaning: Vec<String>,
}

#[derive(Serialize)]
struct ThresholdFacts {
    more_than: u32,
    window_seconds: u64,
}

#[derive(Serialize)]
struct OutcomesFacts {
    theta0: f64,
    theta1: f64,
    alpha: f64,
    beta: f64,
    answer_within_seconds: u64,
}

#[derive(Serialize)]
struct StepFacts {
    step: &'static str,
    for_seconds: u64,
    scope: Option<&'static str>,
    expires_seconds: Option<u64>,
}

impl DetectFacts {
    pub fn of(detect: &Detect) -> Self {
        let facts = |threshold: Threshold| ThresholdFacts {
            more_than: threshold.count,
            window_seconds: threshold.window.as_secs(),
        };
        Self {
            volume: detect.volume.map(facts),
            destinations: detect.destinations.map(facts),
            submission: detect.submission.map(facts),
            outcomes: detect.outcomes.map(|outcomes| OutcomesFacts {
                theta0: outcomes.theta0,
                theta1: outcomes.theta1,
                alpha: outcomes.alpha,
                beta: outcomes.beta,
                answer_within_seconds: outcomes.answer_within.as_secs(),
            }),
            steps: detect.steps.iter().map(StepFacts::of).collect(),
            meaning: meaning(detect),
        }
    }

    /// A sentence a line.
    pub fn meaning(&self) -> &[String] {
        &self.meaning
    }
}

impl StepFacts {
    fn of(step: &Step) -> Self {
        let held = match step.action {
            StepAction::Notify => None,
            StepAction::Quarantine { scope, expires } => Some((scope.name(), expires.as_secs())),
        };
        Self {
            step: step.action.name(),
            for_seconds: step.grace.as_secs(),
            scope: held.map(|(scope, _)| scope),
            expires_seconds: held.map(|(_, expires)| expires),
        }
    }
}

fn meaning(detect: &Detect) -> Vec<String> {
    let threshold = |threshold: Threshold, what: &str| {
        let (count, window) = (HumanCount(threshold.count.into()), threshold.window);
        format!("Suspected above {count} {what} in {}.", window_text(window))
    };
    let mut lines = Vec::new();
    lines.extend(detect.volume.map(|it| threshold(it, "attempts to port 25")));
    lines.extend(
        detect
            .destinations
            .map(|it| threshold(it, "servers on port 25")),
    );
    lines.extend(
        detect
            .submission
            .map(|it| threshold(it, "attempts to submission ports and relays")),
    );
    lines.extend(detect.outcomes.map(outcomes));
    if let Some((first, rest)) = detect.steps.split_first() {
        let mut text = format!("Then: {}", step(first));
        for it in rest {
            text.push_str("; ");
            text.push_str(&step(it));
        }
        lines.push(text + ".");
    } else {
        lines.push("Then: nothing but a report.".to_owned());
    }
    lines
}

/// How many outcomes of one kind in a row decide the test.
fn outcomes(outcomes: Outcomes) -> String {
    let Outcomes {
        theta0,
        theta1,
        alpha,
        beta,
        answer_within,
    } = outcomes;
    let failures = (((1.0 - beta) / alpha).ln() / (theta1 / theta0).ln()).ceil();
    format!(
        "Suspected when first contacts fail as a zombie's do: after {failures} failures in a row, \
         or more among successes. No answer within {} is a failure.",
        window_text(answer_within)
    )
}

fn step(step: &Step) -> String {
    let after = match step.grace {
        Duration::ZERO => "at once".to_owned(),
        grace => format!("{} later", window_text(grace)),
    };
    let name = step.action.name();
    match step.action {
        StepAction::Notify => format!("{after} {name}"),
        StepAction::Quarantine { scope, expires } => {
            format!(
                "{after} {name} ({}) for {}",
                scope.name(),
                window_text(expires)
            )
        }
    }
}
