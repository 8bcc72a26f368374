//! One subscriber's case, and what is written down about it.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Subscriber;
use crate::policy::steps::{Scope, Step, StepAction};

/// How far a case has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "lowercase")]
pub enum Stage {
    /// A detector spoke up.
    Suspect,
    /// The subscriber was told.
    Notified,
    /// The subscriber is restricted.
    Quarantined {
        /// What is taken away.
        scope: Scope,
        /// When it ends by itself.
        expires: Timestamp,
    },
    /// Nothing is held against the subscriber any more.
    Released,
}

impl Stage {
    /// The word for it in output and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspect => "suspect",
            Self::Notified => "notified",
            Self::Quarantined { .. } => "quarantined",
            Self::Released => "released",
        }
    }
}

/// What a detector found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which detector.
    pub detector: String,
    /// When what it saw was complete.
    pub time: Timestamp,
    /// Connection attempts that it saw.
    pub attempts: u64,
    /// Distinct destinations among them.
    pub destinations: u64,
    /// Whether it is enough for a quarantine. A complaint alone is not.
    pub conclusive: bool,
    /// Whatever else the detector says.
    #[serde(default)]
    pub evidence: serde_json::Map<String, serde_json::Value>,
}

/// The detector that is other people: their complaints.
pub const COMPLAINT: &str = "complaint";

impl Finding {
    /// What the audit trail says of it.
    #[must_use]
    pub fn summary(&self) -> String {
        let text = |key: &str| self.evidence.get(key).and_then(|value| value.as_str());
        if self.detector == COMPLAINT {
            let kind = text("kind").unwrap_or("something");
            let reporter = text("reporter").unwrap_or("somebody");
            return format!("{reporter} complained about {kind}");
        }
        format!(
            "{} attempts, {} destinations",
            self.attempts, self.destinations
        )
    }
}

/// A step that is still to come, as the policy had it when the case was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "lowercase")]
pub enum Ahead {
    /// Tell the subscriber.
    Notify {
        /// Seconds of grace before it.
        grace: u64,
    },
    /// Restrict the subscriber.
    Quarantine {
        /// Seconds of grace before it.
        grace: u64,
        /// What will be taken away.
        scope: Scope,
        /// For how many seconds.
        expires: u64,
    },
}

impl Ahead {
    /// The grace before it.
    #[must_use]
    pub const fn grace(self) -> Duration {
        match self {
            Self::Notify { grace } | Self::Quarantine { grace, .. } => Duration::from_secs(grace),
        }
    }
}

impl From<&Step> for Ahead {
    fn from(step: &Step) -> Self {
        let grace = step.grace.as_secs();
        match step.action {
            StepAction::Notify => Self::Notify { grace },
            StepAction::Quarantine { scope, expires } => Self::Quarantine {
                grace,
                scope,
                expires: expires.as_secs(),
            },
        }
    }
}

/// Everything that is known about one subscriber's case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// Who it is about.
    pub subscriber: Subscriber,
    /// How far it has come.
    #[serde(flatten)]
    pub stage: Stage,
    /// Since when it is there.
    pub since: Timestamp,
    /// When it was opened, the last time.
    pub opened: Timestamp,
    /// When the first of the steps ahead is taken. `None`: none is, unless more is found.
    pub due: Option<Timestamp>,
    /// The automatic steps still to come.
    pub ahead: Vec<Ahead>,
    /// How often the customer ended it, since staff last did.
    pub self_releases: u32,
    /// Findings since it was opened, repetitions within an hour not counted.
    pub findings: u64,
    /// Whether one of them is enough for a quarantine.
    pub conclusive: bool,
    /// The last of them.
    pub last_finding: Option<Finding>,
    /// When the subscriber first read what is said on the notice page of how the case stands.
    #[serde(default)]
    pub read: Option<Timestamp>,
}

impl Case {
    /// Whether anything is held against the subscriber.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Released
    }

    /// What is taken away now.
    #[must_use]
    pub const fn scope(&self) -> Option<Scope> {
        match self.stage {
            Stage::Quarantined { scope, .. } => Some(scope),
            _ => None,
        }
    }

    /// When it next changes by itself.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Quarantined { expires, .. } => Some(expires),
            Stage::Released => None,
            Stage::Suspect | Stage::Notified => self.due,
        }
    }
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
pub enum Who {
    /// A detector.
    Detector {
        /// Which.
        name: String,
    },
    /// The steps of the subscriber's class.
    Policy,
    /// A person at the provider.
    Staff {
        /// Who.
        name: String,
    },
    /// The subscriber.
    Customer,
    /// The quarantine's end came.
    Expiry,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Detector { name } => write!(f, "detector {name}"),
            Self::Policy => f.write_str("policy"),
            Self::Staff { name } => write!(f, "staff {name}"),
            Self::Customer => f.write_str("customer"),
            Self::Expiry => f.write_str("expiry"),
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// A case was opened.
    Suspected,
    /// More was found against the subscriber of an open case.
    Found,
    /// The subscriber was told.
    Notified,
    /// The subscriber was restricted, or otherwise than before.
    Quarantined,
    /// The subscriber read the notice.
    Read,
    /// The case was closed.
    Released,
}

impl Act {
    /// The word for it in output and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Found => "found",
            Self::Notified => "notified",
            Self::Quarantined => "quarantined",
            Self::Read => "read",
            Self::Released => "released",
        }
    }
}

/// One line of the audit trail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub time: Timestamp,
    /// What the case is kept under ([`Subscriber::id`]).
    pub case: String,
    /// Who it is about, as then.
    pub subscriber: Subscriber,
    /// What was done.
    pub act: Act,
    /// How far the case had come then.
    #[serde(flatten)]
    pub stage: Stage,
    /// Who did it.
    pub who: Who,
    /// Why.
    pub why: String,
    /// What it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Finding>,
}

/// What is to be stored, then to take effect: a case as it will be, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What the case is kept under.
    pub id: String,
    /// The case, afterwards.
    pub case: Case,
    /// What the audit trail will say, in order. Never empty.
    pub records: Vec<Record>,
}
