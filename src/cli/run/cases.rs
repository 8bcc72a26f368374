//! The cases of a running box: opened before anything is attached, told as they change.

use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

use crate::{
    cli::quarantine,
    control::{casebook::Casebook, counter::Counter},
    detect::{Flag, Observer},
    engine::Restrictions,
    events::{Event, Events},
    policy::{Keeping, Policy},
    remedy::Record,
};

/// What workers need of cases. Drop it before the counter, which waits for the last finding.
pub struct Hooks {
    /// Who is restricted, from the first frame on.
    pub restrictions: Restrictions,
    /// Watches for zombies, if a class asks for it.
    pub observer: Option<Arc<Observer>>,
    /// Where workers tell what it finds.
    pub findings: Sender<Flag>,
}

/// Opens the store and the control socket, if the policy says where cases are kept. They are served
/// until the counter is dropped.
pub fn open(
    policy: &Arc<Policy>,
    events: Option<&Arc<Events>>,
) -> anyhow::Result<(Option<Counter>, Hooks)> {
    let observer = policy
        .detects()
        .then(|| Arc::new(Observer::new(policy.observed())));
    let (findings, found) = mpsc::channel();
    let (counter, restrictions) = match policy.keeping() {
        Some(keeping) => {
            let (counter, restrictions) =
                keep(policy, keeping, observer.clone(), found, events.cloned())?;
            (Some(counter), restrictions)
        }
        None => {
            if observer.is_some() {
                println!("cases: none are kept: zombies are told, and that is all; add [store]");
                thread::spawn(move || found.iter().for_each(|flag| tell_flag(&flag)));
            }
            (None, Restrictions::default())
        }
    };
    let hooks = Hooks {
        restrictions,
        observer,
        findings,
    };
    Ok((counter, hooks))
}

fn keep(
    policy: &Arc<Policy>,
    keeping: &Keeping,
    observer: Option<Arc<Observer>>,
    found: Receiver<Flag>,
    events: Option<Arc<Events>>,
) -> anyhow::Result<(Counter, Restrictions)> {
    let casebook = Casebook::open(Arc::clone(policy), keeping)?.observed_by(observer);
    let restrictions = casebook.restrictions();
    println!(
        "cases: {} open, {} quarantined ({})",
        casebook.open_cases(),
        restrictions.len(),
        keeping.path.display()
    );
    for subscriber in casebook.lost() {
        eprintln!(
            "lychgate: {subscriber} is quarantined but not in the policy: nothing is enforced"
        );
    }
    let counter = Counter::open(
        casebook,
        &keeping.socket,
        found,
        Arc::new(move |said: Result<&Record, &str>| tell(said, events.as_deref())),
    )?;
    Ok((counter, restrictions))
}

fn tell_flag(flag: &Flag) {
    println!(
        "{}: suspected by detector {}: {} attempts, {} destinations",
        flag.key,
        flag.detector.name(),
        flag.attempts,
        flag.destinations
    );
}

fn tell(said: Result<&Record, &str>, events: Option<&Events>) {
    match said {
        Ok(record) => {
            println!("{}", quarantine::line(record));
            if let Some(events) = events {
                events.tell(Event::Case(Box::new(record.clone())));
            }
        }
        Err(error) => eprintln!("lychgate: ALARM: cases: {error}"),
    }
}
