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
    control::{
        casebook::{Casebook, Cases},
        counter::Counter,
    },
    detect::{Flag, Observer},
    engine::{Edition, InForce, Restrictions},
    events::{Event, Events},
    policy::{Keeping, Policy},
    remedy::Record,
};

/// What workers need of cases. Drop it before the counter, which waits for the last finding.
pub struct Hooks {
    /// Who is restricted, from the first frame on.
    pub restrictions: Restrictions,
    /// The policy, and who watches for zombies if a class asks for it.
    pub in_force: InForce,
    /// Who is to hear of another policy, where cases are kept.
    pub cases: Option<Cases>,
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
    let (counter, cases, restrictions) = match policy.keeping() {
        Some(keeping) => {
            let cases = keep(policy, keeping, observer.clone())?;
            let restrictions = cases.lock().restrictions();
            let counter = serve(cases.clone(), keeping, found, events.cloned())?;
            (Some(counter), Some(cases), restrictions)
        }
        None => {
            if observer.is_some() {
                println!("cases: none are kept: zombies are told, and that is all; add [store]");
            }
            // Another policy may have them found.
            thread::spawn(move || found.iter().for_each(|flag| tell_flag(&flag)));
            (None, None, Restrictions::default())
        }
    };
    let hooks = Hooks {
        restrictions,
        in_force: InForce::new(Edition {
            policy: Arc::clone(policy),
            observer,
            generation: 0,
        }),
        cases,
        findings,
    };
    Ok((counter, hooks))
}

fn keep(
    policy: &Arc<Policy>,
    keeping: &Keeping,
    observer: Option<Arc<Observer>>,
) -> anyhow::Result<Cases> {
    let casebook = Casebook::open(Arc::clone(policy), keeping)?.observed_by(observer);
    println!(
        "cases: {} open, {} quarantined ({})",
        casebook.open_cases(),
        casebook.restrictions().len(),
        keeping.path.display()
    );
    tell_lost(&casebook);
    Ok(Cases::new(casebook))
}

/// Says who is quarantined in vain.
pub fn tell_lost(casebook: &Casebook) {
    for subscriber in casebook.lost() {
        eprintln!(
            "lychgate: {subscriber} is quarantined but not in the policy: nothing is enforced"
        );
    }
}

fn serve(
    cases: Cases,
    keeping: &Keeping,
    found: Receiver<Flag>,
    events: Option<Arc<Events>>,
) -> anyhow::Result<Counter> {
    Counter::open(
        cases,
        &keeping.socket,
        found,
        Arc::new(move |said: Result<&Record, &str>| tell(said, events.as_deref())),
    )
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
