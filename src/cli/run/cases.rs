//! The cases of a running box: opened before anything is attached, told as they change.

use std::sync::Arc;

use crate::{
    cli::quarantine,
    control::{casebook::Casebook, counter::Counter},
    engine::Restrictions,
    policy::Policy,
    remedy::Record,
};

/// The cases, if the policy says where they are kept, and who is restricted from the first frame on.
/// They are served until what is returned is dropped.
pub fn open(policy: &Arc<Policy>) -> anyhow::Result<(Option<Counter>, Restrictions)> {
    let Some(keeping) = policy.keeping() else {
        return Ok((None, Restrictions::default()));
    };
    let casebook = Casebook::open(Arc::clone(policy), keeping)?;
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
    let counter = Counter::open(casebook, &keeping.socket, Arc::new(tell))?;
    Ok((Some(counter), restrictions))
}

fn tell(said: Result<&Record, &str>) {
    match said {
        Ok(record) => println!("{}", quarantine::line(record)),
        Err(error) => eprintln!("lychgate: ALARM: cases: {error}"),
    }
}
