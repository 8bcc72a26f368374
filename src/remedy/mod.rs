//! Cases: from a finding, by steps, to a quarantine, and out of it again.
//!
//! ```text
//!              finding           grace            grace
//!   (no case) ───────▶ suspect ───────▶ notified ───────▶ quarantined
//!        ▲                │                │                   │
//!        │ finding        └────────┬───────┴───────────────────┤
//!        └───────── released ◀─────┴─ customer, staff          ├─ customer, staff, expiry
//!                      ▲                                       │
//!                      └───────────────────────────────────────┘
//! ```
//!
//! Pure: no clock, no file. Time comes in, and what comes out is a [`Change`], which says how a case
//! will be and what the audit trail will say. Nothing has happened yet then. Whoever asked stores
//! the change durably, and only then [`Remedy::apply`]s it and enforces what it says. So a case that
//! takes effect is a case that survives.
//!
//! Promises: what a policy's steps do to a case was fixed when the case was opened, so a reload
//! never moves a quarantine. A step's grace is counted from when the step before it was really
//! taken, so a box that was off for a week does not quarantine people who were told a minute ago.
//! Nothing is released but by the customer, by staff, or by an expiry that was announced.
//!
//! It leaves to others: finding zombies, files, telling people, enforcement.

mod case;
mod subscriber;

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

pub use case::{Act, Ahead, COMPLAINT, Case, Change, Finding, Record, Stage, Who};
pub use subscriber::{Subscriber, Unknown};

use crate::policy::steps::{Scope, Step};

/// How often a customer may end a case before only staff can.
pub const SELF_RELEASES_MAX: u32 = 2;
/// How long the same detector's further findings say nothing new.
pub const REPEATED_WITHIN: Duration = Duration::from_secs(3_600);

/// What the policy wants for a subscriber who is found out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Treatment<'a> {
    /// The steps of the subscriber's class.
    pub steps: &'a [Step],
    /// Exempt subscribers get a case, and no step by itself.
    pub exempt: bool,
}

/// A person who ends a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Releaser {
    /// The subscriber.
    Customer,
    /// A person at the provider, by name.
    Staff(String),
}

/// Why a case can't be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("there is no case")]
    NoCase,
    /// It has ended.
    #[error("the case is closed already: released {0:.0}")]
    Closed(Timestamp),
    /// The customer ended too many.
    #[error("the customer has ended this case {SELF_RELEASES_MAX} times: now only staff can")]
    TooOften,
}

/// Everybody's cases.
#[derive(Clone, Debug, Default)]
pub struct Remedy {
    cases: BTreeMap<String, Case>,
}

impl Remedy {
    /// The cases as they were stored, each with what it is kept under.
    #[must_use]
    pub fn new(cases: impl IntoIterator<Item = (String, Case)>) -> Self {
        Self {
            cases: cases.into_iter().collect(),
        }
    }

    /// Every case with what it is kept under, in order.
    pub fn cases(&self) -> impl Iterator<Item = (&str, &Case)> {
        self.cases.iter().map(|(id, case)| (id.as_str(), case))
    }

    /// A subscriber's case, with what it is kept under. One that was opened before the subscriber
    /// had a name is still the subscriber's.
    #[must_use]
    pub fn of(&self, subscriber: &Subscriber) -> Option<(&str, &Case)> {
        let by_name = self.cases.get_key_value(&subscriber.id());
        let found = by_name.or_else(|| self.cases.get_key_value(&subscriber.prefix.to_string()));
        found.map(|(id, case)| (id.as_str(), case))
    }

    /// Who is restricted now, and how.
    pub fn restricted(&self) -> impl Iterator<Item = (&Case, Scope)> {
        let cases = self.cases.values();
        cases.filter_map(|case| Some((case, case.scope()?)))
    }

    /// When a case next changes by itself.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.cases.values().filter_map(Case::next).min()
    }

    /// What a finding changes, if it says anything new.
    #[must_use]
    pub fn found(
        &self,
        subscriber: &Subscriber,
        finding: &Finding,
        treatment: Treatment<'_>,
        now: Timestamp,
    ) -> Option<Change> {
        let known = self.of(subscriber);
        let mut draft = match known {
            Some((id, case)) if case.is_open() => Draft::of(id, case, now),
            // What was seen before the release is what the release was about.
            Some((_, case)) if finding.time <= case.since => return None,
            Some((id, case)) => Draft::open(id.to_owned(), subscriber, case.self_releases, now),
            None => Draft::open(subscriber.id(), subscriber, 0, now),
        };
        if draft.is_repeated(finding) {
            return None;
        }
        draft.case.subscriber = subscriber.clone();
        draft.find(finding);
        if draft.is_opened && !treatment.exempt {
            draft.case.ahead = treatment.steps.iter().map(Ahead::from).collect();
        }
        draft.schedule();
        draft.take_due();
        Some(draft.finish())
    }

    /// What the time changes.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Vec<Change> {
        let due = self
            .cases()
            .filter(|(_, case)| case.next().is_some_and(|next| next <= now));
        due.map(|(id, case)| {
            let mut draft = Draft::of(id, case, now);
            match draft.case.stage {
                Stage::Quarantined { expires, .. } => {
                    draft.release(
                        Who::Expiry,
                        format!("the quarantine was until {expires:.0}"),
                    );
                }
                _ => draft.take_due(),
            }
            draft.finish()
        })
        .collect()
    }

    /// What changes when staff quarantine a subscriber, who may be quarantined otherwise already.
    #[must_use]
    pub fn quarantine(
        &self,
        subscriber: &Subscriber,
        scope: Scope,
        lasting: Duration,
        (staff, why): (&str, &str),
        now: Timestamp,
    ) -> Change {
        let mut draft = match self.of(subscriber) {
            Some((id, case)) if case.is_open() => Draft::of(id, case, now),
            Some((id, case)) => Draft::open(id.to_owned(), subscriber, case.self_releases, now),
            None => Draft::open(subscriber.id(), subscriber, 0, now),
        };
        draft.case.subscriber = subscriber.clone();
        let name = staff.to_owned();
        draft.restrict(scope, lasting, Who::Staff { name }, why.to_owned());
        draft.finish()
    }

    /// What changes when a subscriber has read the notice: nothing if it was read before, or says of
    /// no case.
    #[must_use]
    pub fn read(&self, subscriber: &Subscriber, now: Timestamp) -> Option<Change> {
        let (id, case) = self.of(subscriber)?;
        let is_notice = matches!(case.stage, Stage::Notified | Stage::Quarantined { .. });
        if !is_notice || case.read.is_some() {
            return None;
        }
        let mut draft = Draft::of(id, case, now);
        draft.case.read = Some(now);
        let why = "opened the notice page".to_owned();
        draft.record(Act::Read, Who::Customer, why, None);
        Some(draft.finish())
    }

    /// What changes when somebody ends a case.
    ///
    /// # Errors
    ///
    /// There is nothing to end, or the customer has done so too often.
    pub fn release(
        &self,
        subscriber: &Subscriber,
        by: &Releaser,
        why: &str,
        now: Timestamp,
    ) -> Result<Change, Refusal> {
        let (id, case) = self.of(subscriber).ok_or(Refusal::NoCase)?;
        if !case.is_open() {
            return Err(Refusal::Closed(case.since));
        }
        let mut draft = Draft::of(id, case, now);
        let who = match by {
            Releaser::Customer if case.self_releases >= SELF_RELEASES_MAX => {
                return Err(Refusal::TooOften);
            }
            Releaser::Customer => {
                draft.case.self_releases += 1;
                Who::Customer
            }
            Releaser::Staff(name) => {
                draft.case.self_releases = 0;
                Who::Staff { name: name.clone() }
            }
        };
        draft.release(who, why.to_owned());
        Ok(draft.finish())
    }

    /// Takes a change that is stored.
    pub fn apply(&mut self, change: Change) {
        self.cases.insert(change.id, change.case);
    }

    /// Forgets a case that is no longer stored.
    pub fn forget(&mut self, id: &str) {
        self.cases.remove(id);
    }
}

/// A case while it changes.
struct Draft {
    id: String,
    case: Case,
    records: Vec<Record>,
    /// Whether there was no open case before.
    is_opened: bool,
    now: Timestamp,
}

impl Draft {
    fn of(id: &str, case: &Case, now: Timestamp) -> Self {
        Self {
            id: id.to_owned(),
            case: case.clone(),
            records: Vec::new(),
            is_opened: false,
            now,
        }
    }

    fn open(id: String, subscriber: &Subscriber, self_releases: u32, now: Timestamp) -> Self {
        let case = Case {
            subscriber: subscriber.clone(),
            stage: Stage::Suspect,
            since: now,
            opened: now,
            due: None,
            ahead: Vec::new(),
            self_releases,
            findings: 0,
            conclusive: false,
            last_finding: None,
            read: None,
        };
        Self {
            id,
            case,
            records: Vec::new(),
            is_opened: true,
            now,
        }
    }

    fn is_repeated(&self, finding: &Finding) -> bool {
        let is_stronger = finding.conclusive && !self.case.conclusive;
        !is_stronger
            && self.case.last_finding.as_ref().is_some_and(|last| {
                last.detector == finding.detector
                    && finding.time < later(last.time, REPEATED_WITHIN)
            })
    }

    fn find(&mut self, finding: &Finding) {
        self.case.findings += 1;
        self.case.conclusive |= finding.conclusive;
        self.case.last_finding = Some(finding.clone());
        let act = if self.is_opened {
            Act::Suspected
        } else {
            Act::Found
        };
        let why = finding.summary();
        let name = finding.detector.clone();
        self.record(act, Who::Detector { name }, why, Some(finding.clone()));
    }

    /// Says when the first step ahead is taken. A quarantine needs a conclusive finding.
    fn schedule(&mut self) {
        if self.case.due.is_some() || !matches!(self.case.stage, Stage::Suspect | Stage::Notified) {
            return;
        }
        self.case.due = match self.case.ahead.first() {
            Some(Ahead::Quarantine { .. }) if !self.case.conclusive => None,
            Some(ahead) => Some(later(self.now, ahead.grace())),
            None => None,
        };
    }

    /// Takes the steps that are due.
    fn take_due(&mut self) {
        while self.case.due.is_some_and(|due| due <= self.now) && !self.case.ahead.is_empty() {
            self.case.due = None;
            let why = "a step of the subscriber's class".to_owned();
            match self.case.ahead.remove(0) {
                Ahead::Notify { .. } => {
                    self.stage(Stage::Notified);
                    self.record(Act::Notified, Who::Policy, why, None);
                }
                Ahead::Quarantine { scope, expires, .. } => {
                    self.restrict(scope, Duration::from_secs(expires), Who::Policy, why);
                }
            }
            self.schedule();
        }
    }

    fn restrict(&mut self, scope: Scope, lasting: Duration, who: Who, why: String) {
        let expires = later(self.now, lasting);
        self.stage(Stage::Quarantined { scope, expires });
        (self.case.due, self.case.ahead) = (None, Vec::new());
        let evidence = self.case.last_finding.clone();
        self.record(Act::Quarantined, who, why, evidence);
    }

    fn release(&mut self, who: Who, why: String) {
        self.stage(Stage::Released);
        (self.case.due, self.case.ahead) = (None, Vec::new());
        self.record(Act::Released, who, why, None);
    }

    fn stage(&mut self, stage: Stage) {
        self.case.stage = stage;
        self.case.since = self.now;
        self.case.read = None;
    }

    fn record(&mut self, act: Act, who: Who, why: String, evidence: Option<Finding>) {
        self.records.push(Record {
            time: self.now,
            case: self.id.clone(),
            subscriber: self.case.subscriber.clone(),
            act,
            stage: self.case.stage,
            who,
            why,
            evidence,
        });
    }

    fn finish(self) -> Change {
        debug_assert!(!self.records.is_empty(), "a change says why");
        Change {
            id: self.id,
            case: self.case,
            records: self.records,
        }
    }
}

/// A moment and how long after it, as far as calendars reach.
fn later(time: Timestamp, lasting: Duration) -> Timestamp {
    time.saturating_add(lasting).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
