//! Where a running box tells the world what happens: the outlets of the policy's `[events]`.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use jiff::Timestamp;

use crate::{
    control::{Outcome, PortChange, PortEvent, TableFull},
    events::{Event, Events},
    policy::{Fallback, Policy},
};

/// How long the outlets are waited for at the end.
const EVENTS_MAX: Duration = Duration::from_secs(5);

/// Where the policy wants events told.
pub fn open(policy: &Policy) -> anyhow::Result<Option<Arc<Events>>> {
    let Some(outlets) = policy.outlets() else {
        return Ok(None);
    };
    let events = Events::open(outlets).context("[events]")?;
    events
        .reopen_on_hangup()
        .context("listening for SIGHUP, after which the file of events is opened anew")?;
    Ok(Some(Arc::new(events)))
}

/// Waits for what is queued, and says what was not delivered.
pub fn close(events: Events) {
    for (outlet, told) in events.stop(EVENTS_MAX) {
        if told.lost + told.failed > 0 {
            eprintln!(
                "lychgate: events: {outlet}: {} were not delivered",
                told.lost + told.failed
            );
        }
    }
}

/// What the world is told of a full source table.
pub fn of_full(full: &TableFull) -> Event {
    Event::TableFull {
        time: Timestamp::now(),
        capacity: full.capacity as u64,
        attempts: full.attempts,
        sources: full.sources,
        forwarded: full.fallback == Fallback::Forward,
    }
}

/// What the world is told of another policy.
pub fn of_policy(outcome: &Outcome) -> Event {
    let time = Timestamp::now();
    match outcome {
        Ok(changes) => Event::PolicyReloaded {
            time,
            changes: changes.clone(),
        },
        Err(mistakes) => Event::PolicyRefused {
            time,
            mistakes: mistakes.clone(),
        },
    }
}

/// What the world is told of a port: that its link went, or came.
pub fn of_port(event: &PortEvent) -> Option<Event> {
    let (time, port, interface) = (
        Timestamp::now(),
        event.side.name().to_owned(),
        event.interface.clone(),
    );
    match event.change {
        PortChange::Down => Some(Event::LinkDown {
            time,
            port,
            interface,
        }),
        PortChange::Up => Some(Event::LinkUp {
            time,
            port,
            interface,
        }),
        _ => None,
    }
}
