//! Cases of a policy's subscribers: decided, stored, then enforced, in this order.
//!
//! The one place where [`Remedy`] (what may become of a case), [`Store`] (what survives) and
//! [`Restrictions`] (what workers go by) meet. A running box has one, and so has a command that finds
//! no box running: both give the same answers to the same [`Request`]s.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::findings;
use crate::{
    complaint::Complaint,
    detect::Observer,
    engine::{Edition, InForce, Restriction, Restrictions, detection_terms},
    policy::{COMPLAINT_AGE_DEFAULT, Keeping, Policy, steps::Scope},
    remedy::{Case, Change, Finding, Record, Releaser, Remedy, Subscriber, Treatment},
    store::{Store, StoreError},
    worker::monotonic,
};

/// What somebody asks. One line of JSON on the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// The open cases, or all.
    List {
        /// Closed ones too.
        #[serde(default)]
        all: bool,
    },
    /// One subscriber: who that is to the policy, the case, and its trail.
    Subject {
        /// Name, address or prefix.
        who: String,
    },
    /// Quarantine a subscriber.
    Add {
        /// Name, address or prefix.
        who: String,
        /// What is taken away.
        scope: Scope,
        /// For how many seconds.
        seconds: u64,
        /// Who says so.
        by: String,
        /// Why.
        why: String,
    },
    /// End a case.
    Release {
        /// Name, address or prefix.
        who: String,
        /// Who says so. `None`: the customer.
        by: Option<String>,
        /// Why.
        why: String,
    },
    /// Hold a complaint against whoever has the address that it names.
    Complain {
        /// What was read.
        complaint: Box<Complaint>,
    },
    /// A subscriber has read the notice.
    Read {
        /// Name, address or prefix.
        who: String,
    },
    /// Forget a closed case.
    Erase {
        /// Name, address or prefix.
        who: String,
    },
    /// Read the policy again.
    Reload {
        /// The file that the box was started with: no other is read.
        policy: PathBuf,
    },
}

/// What is answered. One line of JSON on the control socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Reply {
    /// To a list.
    Cases {
        /// In order of what they are kept under.
        cases: Vec<Case>,
    },
    /// To the question for a subscriber.
    Subject(Box<Subject>),
    /// To whatever changed a case.
    Done {
        /// What the audit trail says now.
        records: Vec<Record>,
    },
    /// To an erasure.
    Erased {
        /// Whose case it was.
        subscriber: Subscriber,
        /// Records that are gone.
        records: usize,
    },
    /// To a reload.
    Reloaded {
        /// What is different, a line each.
        changes: Vec<String>,
    },
    /// It can't be done.
    Refused {
        /// Why, and the remedy.
        why: String,
    },
}

/// Everything that is known about one subscriber.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// Who it is.
    pub subscriber: Subscriber,
    /// The class.
    pub class: String,
    /// Whether steps are taken only by staff.
    pub exempt: bool,
    /// The case, if there is one.
    pub case: Option<Case>,
    /// Its records, oldest first.
    pub trail: Vec<Entry>,
}

/// A record of the audit trail with its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Never used twice: a gap is an erasure, or another subscriber's.
    pub number: u64,
    /// What it says.
    #[serde(flatten)]
    pub record: Record,
}

/// Everybody's cases, stored and enforced.
#[derive(Debug)]
pub struct Casebook {
    policy: Arc<Policy>,
    keep: Duration,
    store: Store,
    remedy: Remedy,
    restrictions: Restrictions,
    /// Judges those anew who are released.
    observer: Option<Arc<Observer>>,
}

impl Casebook {
    /// Opens the store and enforces what is in it.
    ///
    /// # Errors
    ///
    /// The store can't be used.
    pub fn open(policy: Arc<Policy>, keeping: &Keeping) -> Result<Self, StoreError> {
        let store = Store::open(&keeping.path)?;
        let remedy = Remedy::new(store.cases()?);
        let casebook = Self {
            policy,
            keep: keeping.keep,
            store,
            remedy,
            restrictions: Restrictions::default(),
            observer: None,
        };
        casebook.enforce();
        Ok(casebook)
    }

    /// The same casebook, whose releases this observer heeds.
    #[must_use]
    pub fn observed_by(self, observer: Option<Arc<Observer>>) -> Self {
        Self { observer, ..self }
    }

    /// What workers go by. It follows every change.
    #[must_use]
    pub fn restrictions(&self) -> Restrictions {
        self.restrictions.clone()
    }

    /// Has another policy say who is who, and workers judge by it.
    ///
    /// Restrictions are kept under accounting keys, and another policy may give a subscriber another
    /// one. Until it is in force, both hold: an engine looks at restrictions before it looks at the
    /// policy, and so never judges by the new keys alone under the old policy, nor the other way
    /// round.
    pub fn adopt(&mut self, in_force: &InForce, edition: Edition) {
        let before = self.keyed();
        self.policy = Arc::clone(&edition.policy);
        self.observer.clone_from(&edition.observer);
        let both = before.into_iter().chain(self.keyed());
        self.restrictions.set(both);
        in_force.replace(edition);
        self.enforce();
    }

    /// Open cases.
    #[must_use]
    pub fn open_cases(&self) -> usize {
        self.remedy
            .cases()
            .filter(|(_, case)| case.is_open())
            .count()
    }

    /// Quarantined subscribers whom the policy doesn't know any more: nothing can be enforced.
    #[must_use]
    pub fn lost(&self) -> Vec<Subscriber> {
        let restricted = self.remedy.restricted();
        let subscribers = restricted.map(|(case, _)| &case.subscriber);
        let lost = subscribers.filter(|subscriber| subscriber.key(&self.policy).is_none());
        lost.cloned().collect()
    }

    /// Where complaints arrive, if the policy says so.
    #[must_use]
    pub fn complaints(&self) -> Option<&Path> {
        let complaints = self.policy.complaints()?;
        Some(&complaints.maildir)
    }

    /// When a case next changes by itself.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.remedy.next()
    }

    /// Takes what a detector found about the subscriber with an accounting key. Gives what the audit
    /// trail says of it: nothing, if it is nothing new.
    ///
    /// # Errors
    ///
    /// It can't be stored; then nothing has changed.
    pub fn found(
        &mut self,
        key: IpNet,
        finding: &Finding,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let subscriber = Subscriber::with_key(&self.policy, key);
        let class = self.policy.class_of(key);
        let detect = class.and_then(|class| class.detect.as_ref());
        let steps = detect.map_or(&[][..], |detect| &detect.steps);
        let exempt = self.policy.is_exempt(key);
        let treatment = Treatment { steps, exempt };
        let change = self.remedy.found(&subscriber, finding, treatment, now);
        self.enact(change.into_iter().collect())
    }

    /// Holds a complaint against the subscriber who has the address that it names: a finding that
    /// is not conclusive, and a test that needs fewer failures. Gives what the audit trail says of
    /// it, or why it is held against nobody.
    ///
    /// # Errors
    ///
    /// It can't be stored; then nothing has changed.
    pub fn complained(
        &mut self,
        complaint: &Complaint,
        now: Timestamp,
    ) -> Result<Result<Vec<Record>, String>, StoreError> {
        let (key, time) = match self.accused(complaint, now) {
            Ok(accused) => accused,
            Err(nobody) => return Ok(Err(nobody)),
        };
        let records = self.found(key, &findings::complaint(complaint, time), now)?;
        let class = self.policy.class_of(key);
        let detect = class.and_then(|class| class.detect.as_ref());
        if let Some((observer, detect)) = self.observer.as_ref().zip(detect) {
            observer.complained(key, &detection_terms(detect), monotonic());
        }
        Ok(Ok(records))
    }

    /// Who has the address that a complaint names, and when it was; or why nobody is accused.
    fn accused(&self, complaint: &Complaint, now: Timestamp) -> Result<(IpNet, Timestamp), String> {
        if !complaint.kind.accuses() {
            let kind = complaint.kind.name();
            return Err(format!("{kind}: it speaks for no zombie"));
        }
        let source = complaint.source.ok_or("it names no address")?;
        let Some(member) = self.policy.member(source) else {
            return Err(format!("{source} is no subscriber's"));
        };
        let time = complaint.time.ok_or("it doesn't say when")?;
        let max_age = self.policy.complaints();
        let max_age = max_age.map_or(COMPLAINT_AGE_DEFAULT, |complaints| complaints.max_age);
        let is_known = now.checked_sub(max_age).is_ok_and(|oldest| time >= oldest);
        if !is_known {
            return Err(format!(
                "{source} at {time:.0}: that is too long ago to know whose the address was"
            ));
        }
        // Clocks differ; nobody is accused of what is still to come.
        Ok((member.key, time.min(now)))
    }

    /// Does what the time has come for, and forgets what was kept long enough.
    ///
    /// # Errors
    ///
    /// It can't be stored; then nothing has changed.
    pub fn tick(&mut self, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        let records = self.enact(self.remedy.due(now))?;
        if let Ok(before) = now.checked_sub(self.keep)
            && self.remedy.cases().any(|(_, case)| is_over(case, before))
        {
            for id in self.store.expire(before)? {
                self.remedy.forget(&id);
            }
        }
        Ok(records)
    }

    /// Answers somebody.
    pub fn answer(&mut self, request: &Request, now: Timestamp) -> Reply {
        self.try_answer(request, now)
            .unwrap_or_else(|why| Reply::Refused { why })
    }

    fn try_answer(&mut self, request: &Request, now: Timestamp) -> Result<Reply, String> {
        match request {
            Request::List { all } => {
                let cases = self.remedy.cases();
                let wanted = cases.filter(|(_, case)| *all || case.is_open());
                let cases = wanted.map(|(_, case)| case.clone()).collect();
                Ok(Reply::Cases { cases })
            }
            Request::Subject { who } => self.subject(who),
            Request::Add {
                who,
                scope,
                seconds,
                by,
                why,
            } => {
                let subscriber = self.find(who)?;
                let lasting = Duration::from_secs(*seconds);
                let order = (by.as_str(), why.as_str());
                let change = self
                    .remedy
                    .quarantine(&subscriber, *scope, lasting, order, now);
                self.done(change)
            }
            Request::Release { who, by, why } => {
                let subscriber = self.find(who)?;
                let by = by.clone().map_or(Releaser::Customer, Releaser::Staff);
                let change = self.remedy.release(&subscriber, &by, why, now);
                let change = change.map_err(|refusal| format!("{subscriber}: {refusal}"))?;
                self.done(change)
            }
            Request::Complain { complaint } => match self.complained(complaint, now) {
                Ok(Ok(records)) => Ok(Reply::Done { records }),
                Ok(Err(nobody)) => Err(nobody),
                Err(error) => Err(error.to_string()),
            },
            Request::Read { who } => {
                let change = self.remedy.read(&self.find(who)?, now);
                let records = self.enact(change.into_iter().collect());
                let records = records.map_err(|error| error.to_string())?;
                Ok(Reply::Done { records })
            }
            Request::Erase { who } => self.erase(who),
            Request::Reload { .. } => Err(
                "no box runs with this policy: the next one begins with what it says".to_owned(),
            ),
        }
    }

    /// The subscriber of the policy whom somebody means, or of a case that the policy has lost.
    fn find(&self, who: &str) -> Result<Subscriber, String> {
        let known = Subscriber::find(&self.policy, who);
        known.or_else(|unknown| {
            let mut cases = self.remedy.cases().map(|(_, case)| &case.subscriber);
            let lost = cases.find(|subscriber| {
                subscriber.name.as_deref() == Some(who) || subscriber.prefix.to_string() == who
            });
            lost.cloned().ok_or_else(|| unknown.to_string())
        })
    }

    fn subject(&self, who: &str) -> Result<Reply, String> {
        let subscriber = self.find(who)?;
        let key = subscriber.key(&self.policy);
        let found = self.remedy.of(&subscriber);
        let trail = match found {
            Some((id, _)) => self.store.trail(id).map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        let class = key.and_then(|key| self.policy.class_of(key));
        let entry = |(number, record)| Entry { number, record };
        Ok(Reply::Subject(Box::new(Subject {
            class: class.map_or_else(String::new, |class| class.name.clone()),
            exempt: key.is_some_and(|key| self.policy.is_exempt(key)),
            case: found.map(|(_, case)| case.clone()),
            trail: trail.into_iter().map(entry).collect(),
            subscriber,
        })))
    }

    fn done(&mut self, change: Change) -> Result<Reply, String> {
        let records = self
            .enact(vec![change])
            .map_err(|error| error.to_string())?;
        Ok(Reply::Done { records })
    }

    fn erase(&mut self, who: &str) -> Result<Reply, String> {
        let subscriber = self.find(who)?;
        let Some((id, case)) = self.remedy.of(&subscriber) else {
            return Err(format!("{subscriber}: there is no case: nothing is kept"));
        };
        if case.is_open() {
            return Err(format!(
                "{subscriber}: the case is open; release the subscriber first"
            ));
        }
        let id = id.to_owned();
        let records = self.store.erase(&id).map_err(|error| error.to_string())?;
        self.remedy.forget(&id);
        Ok(Reply::Erased {
            subscriber,
            records,
        })
    }

    /// Stores, and when it is stored, lets it take effect.
    fn enact(&mut self, changes: Vec<Change>) -> Result<Vec<Record>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        self.store.commit(&changes)?;
        let mut records = Vec::new();
        for change in changes {
            records.extend(change.records.iter().cloned());
            if !change.case.is_open()
                && let Some(observer) = &self.observer
                && let Some(key) = change.case.subscriber.key(&self.policy)
            {
                observer.rearm(key);
            }
            self.remedy.apply(change);
        }
        self.enforce();
        Ok(records)
    }

    fn enforce(&self) {
        self.restrictions.set(self.keyed());
    }

    /// Who is restricted, under the accounting keys of the policy.
    fn keyed(&self) -> Vec<(IpNet, Restriction)> {
        let restricted = self.remedy.restricted();
        let keyed = restricted.filter_map(|(case, scope)| {
            let is_told = case.read.is_some();
            let restriction = Restriction { scope, is_told };
            Some((case.subscriber.key(&self.policy)?, restriction))
        });
        keyed.collect()
    }
}

/// A casebook that several threads share.
#[derive(Clone, Debug)]
pub struct Cases(Arc<Mutex<Casebook>>);

impl Cases {
    /// Shares it.
    #[must_use]
    pub fn new(casebook: Casebook) -> Self {
        Self(Arc::new(Mutex::new(casebook)))
    }

    /// For one of them. Nothing is half done after a panic: what isn't stored didn't happen.
    pub fn lock(&self) -> MutexGuard<'_, Casebook> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a case was closed before then.
fn is_over(case: &Case, before: Timestamp) -> bool {
    !case.is_open() && case.since < before
}

#[cfg(test)]
mod tests;
