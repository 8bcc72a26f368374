//! What becomes of a subscriber who was found out: the steps that a class names.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long a quarantine lasts unless somebody says otherwise.
pub const EXPIRES_DEFAULT: Duration = Duration::from_secs(30 * 86_400);

/// What a quarantine takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Port 25, the relays' included. Submission stays open.
    Mail,
    /// Everything but what is always open.
    Garden,
}

impl Scope {
    /// The word for it in policies, output and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Garden => "garden",
        }
    }
}

/// One step, and the grace before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done.
    pub action: StepAction,
    /// How long after the step before it, or after the finding.
    pub grace: Duration,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// The subscriber is told.
    Notify,
    /// The subscriber is restricted.
    Quarantine {
        /// What is taken away.
        scope: Scope,
        /// For how long, if nobody releases the subscriber before.
        expires: Duration,
    },
}
