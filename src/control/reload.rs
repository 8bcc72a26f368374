//! Another policy for a box that runs: what may change, and what follows from it.
//!
//! Whoever wants it (a signal, the control socket) reads the file on a thread of its own; the
//! supervisor compares the two policies, and changes over. On any mistake, of the file or because a
//! running box can't do what it says, nothing changes and all mistakes are told.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
};

use super::supervisor::Event;
use crate::{
    detect::Observer,
    engine::Edition,
    policy::{CLASSES_MAX, Class, ClassId, Excess, Fallback, Policy, Rule, window_text},
    report::words::thousands,
    source::SHARE_MAX,
};

/// What came of a reload: what has changed, a line each; or why nothing has.
pub type Outcome = Result<Vec<String>, Vec<String>>;

/// A policy that was read, and where it is told what came of it.
#[derive(Debug)]
pub struct Wanted {
    pub(super) policy: Result<Policy, Vec<String>>,
    pub(super) reply: Sender<Outcome>,
}

/// Reads the policy file again and has the supervisor change over, on the thread of whoever asks.
#[derive(Clone, Debug)]
pub struct Reloader {
    file: PathBuf,
    supervisor: Sender<Event>,
}

impl Reloader {
    pub(super) const fn new(file: PathBuf, supervisor: Sender<Event>) -> Self {
        Self { file, supervisor }
    }

    /// The file that is read.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Reads it, checks it, and waits until it is in force.
    ///
    /// # Errors
    ///
    /// Every reason why it is not.
    pub fn reload(&self) -> Outcome {
        let loaded = Policy::load(&self.file, &mut |_| {});
        let policy = loaded.map(|(policy, _)| policy);
        let policy = policy.map_err(|mistakes| vec![mistakes.render(false)]);
        let (reply, outcome) = std::sync::mpsc::channel();
        // Without an answer, nobody listens any more.
        let _ = self
            .supervisor
            .send(Event::Policy(Box::new(Wanted { policy, reply })));
        outcome
            .recv()
            .unwrap_or_else(|_| Err(vec!["the box is stopping".to_owned()]))
    }
}

/// A policy that can take the place of the one that is in force.
#[derive(Debug)]
pub(super) struct Successor {
    pub policy: Arc<Policy>,
    pub observer: Option<Arc<Observer>>,
    /// What is different, and what becomes of what was counted.
    pub changes: Vec<String>,
}

/// Whether `next` can take the place of `running`.
pub(super) fn succeed(running: &Edition, next: Policy) -> Result<Successor, Vec<String>> {
    let now = &running.policy;
    let refusals = refusals(now, &next);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let next = next.numbered_after(now).map_err(|classes| {
        vec![format!(
            "{classes} classes, with those that this box has known before: {CLASSES_MAX} can be counted\n\
             remedy: restart the box, which forgets them"
        )]
    })?;
    let mut changes = changes(now, &next);
    let observer = observer(running, &next, &mut changes);
    if changes.is_empty() {
        changes.push("subscribers and classes are as they were".to_owned());
    }
    Ok(Successor {
        policy: Arc::new(next),
        observer,
        changes,
    })
}

fn refusals(now: &Policy, next: &Policy) -> Vec<String> {
    let both = now.fixed().into_iter().zip(next.fixed());
    let differ = both.filter(|(ours, theirs)| ours != theirs);
    differ
        .map(|((table, key, ours), (_, _, theirs))| {
            format!(
                "{table} {key}: the running box has {ours}, the file says {theirs}\n\
                 remedy: write {ours} again, or restart the box: frames cross in the kernel meanwhile"
            )
        })
        .collect()
}

/// What is different, for whoever asked.
fn changes(now: &Policy, next: &Policy) -> Vec<String> {
    let mut changes = Vec::new();
    for (number, class) in (0..).map(ClassId).zip(next.classes()) {
        let earlier = now.classes().get(usize::from(number.0));
        let earlier = earlier.filter(|_| !now.is_retired(number));
        let name = &class.name;
        match (earlier, next.is_retired(number)) {
            (None, false) => changes.push(format!("class {name}: new")),
            (Some(_), true) => changes.push(format!("class {name}: gone; its counts stay")),
            (Some(earlier), false) => class_changes(earlier, class, &mut changes),
            (None, true) => {}
        }
    }
    let relay = |policy: &Policy| policy.relay_limit().map_or(Rule::Allow, Rule::Limit);
    rule_change("relays", relay(now), relay(next), &mut changes);
    let mut count = |what: &str, now: usize, next: usize| {
        if now != next {
            let (now, next) = (thousands(now as u64), thousands(next as u64));
            changes.push(format!("{what}: {now} → {next}"));
        }
    };
    count("pools", now.pools().len(), next.pools().len());
    count("named subscribers", now.subscribers(), next.subscribers());
    count("relays", now.relays().len(), next.relays().len());
    let concentrators = [now, next].map(|policy| policy.concentrators().len());
    count("concentrators", concentrators[0], concentrators[1]);
    if now.observe() != next.observe() {
        let mode = if next.observe() { "observe" } else { "enforce" };
        changes.push(format!("the policy as a whole: {mode}"));
    }
    let mut fallback = |what: &str, now: Fallback, next: Fallback| {
        if now != next {
            let becomes = match next {
                Fallback::Forward => "forwarded",
                Fallback::Drop => "dropped",
            };
            changes.push(format!("{what}: {becomes}"));
        }
    };
    fallback("mail of strangers", now.strangers(), next.strangers());
    fallback("attempts that find the table full", now.full(), next.full());
    changes
}

fn class_changes(earlier: &Class, class: &Class, changes: &mut Vec<String>) {
    let name = &class.name;
    let rule = |service: &str| format!("class {name}: {service}");
    rule_change(&rule("smtp"), earlier.smtp, class.smtp, changes);
    let submission = (earlier.submission, class.submission);
    rule_change(&rule("submission"), submission.0, submission.1, changes);
    if earlier.excess != class.excess {
        let how = match class.excess {
            Excess::Drop => "drop",
            Excess::Reset => "reset",
        };
        changes.push(format!("class {name}: excess: {how}"));
    }
    if earlier.observe != class.observe {
        let mode = if class.observe { "observe" } else { "enforce" };
        changes.push(format!("class {name}: mode: {mode}"));
    }
}

/// A window of another length is another window. One of the same length goes on, as far as one
/// lane of it can tell ([`SHARE_MAX`]).
fn rule_change(what: &str, earlier: Rule, rule: Rule, changes: &mut Vec<String>) {
    if earlier == rule {
        return;
    }
    let follows = match (earlier, rule) {
        (Rule::Limit(earlier), Rule::Limit(limit)) if earlier.window != limit.window => {
            "; its windows begin empty"
        }
        (Rule::Limit(earlier), Rule::Limit(limit))
            if earlier.connections.max(limit.connections) > SHARE_MAX =>
        {
            "; of what is in the windows, part counts on"
        }
        (Rule::Limit(_), Rule::Limit(_)) => "; what is in the windows counts on",
        _ => "",
    };
    changes.push(format!(
        "{what}: {} → {}{follows}",
        text(earlier),
        text(rule)
    ));
}

fn text(rule: Rule) -> String {
    match rule {
        Rule::Allow => "allow".to_owned(),
        Rule::Block => "block".to_owned(),
        Rule::Limit(limit) => {
            let window = window_text(limit.window);
            format!("{} in {window}", thousands(limit.connections.into()))
        }
    }
}

/// Who watches from now on. The one who watches now goes on, unless a class is to be watched by
/// other measures than before: what it remembers was gathered by those.
fn observer(running: &Edition, next: &Policy, changes: &mut Vec<String>) -> Option<Arc<Observer>> {
    if !next.detects() {
        return running.observer.clone();
    }
    let now = running.policy.classes();
    let is_same = next.classes().iter().enumerate().all(|(number, class)| {
        let earlier = now.get(number);
        class.detect.is_none() || earlier.is_none_or(|earlier| earlier.detect == class.detect)
    });
    match &running.observer {
        Some(observer) if is_same => Some(Arc::clone(observer)),
        watching => {
            let what = match watching {
                Some(_) => "other measures; observation begins anew",
                None => "it begins",
            };
            changes.push(format!("detection: {what}"));
            Some(Arc::new(Observer::new(next.observed())))
        }
    }
}

#[cfg(test)]
mod tests;
