//! Watches the two ports: before the workers begin, until both links are up; under way, for
//! whatever changes.
//!
//! The kernel tells that something about some interface has changed; what is so now is read anew.
//! Because the number of queues changes without a word, that is read every second as well.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Context;

use super::{PortChange, PortEvent, PortReporter, PortState};
use crate::io::{
    Side,
    afxdp::{self, Interface, LinkChanges, Options},
};

/// The longest time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// What watches.
#[derive(Debug)]
pub struct Watch {
    interfaces: [Interface; 2],
    states: [Option<PortState>; 2],
    changes: LinkChanges,
    mtu_max: usize,
}

impl Watch {
    /// Looks at two interfaces, access and uplink, and listens from now on.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    pub fn begin(interfaces: &[Interface; 2], options: &Options) -> afxdp::Result<Self> {
        // Listening first: what changes in between is told.
        let changes = LinkChanges::listen()?;
        Ok(Self {
            states: interfaces.each_ref().map(look),
            interfaces: interfaces.clone(),
            changes,
            mtu_max: options.mtu_max(),
        })
    }

    /// Waits until both links are up, and tells which one it waits for, whenever that changes. Says
    /// no if it was stopped before.
    ///
    /// # Errors
    ///
    /// An interface is gone.
    pub fn wait_for_links(
        &mut self,
        is_stopped: &AtomicBool,
        tell: &mut dyn FnMut(&str),
    ) -> anyhow::Result<bool> {
        let mut told = Vec::new();
        loop {
            let mut down = Vec::new();
            for (interface, state) in self.interfaces.iter().zip(&self.states) {
                let state = state.as_ref();
                let state = state.with_context(|| format!("{interface} is gone"))?;
                if !state.is_running {
                    down.push(state.name.clone());
                }
            }
            if down.is_empty() {
                return Ok(true);
            }
            if down != told {
                tell(&down.join(" and "));
                told = down;
            }
            if is_stopped.load(Ordering::Relaxed) {
                return Ok(false);
            }
            self.changes.wait(PERIOD).context("waiting for the links")?;
            self.states = self.interfaces.each_ref().map(look);
        }
    }

    /// Reports what changes, on a thread of its own, until `is_over`.
    ///
    /// # Errors
    ///
    /// There is no thread to be had.
    pub fn spawn(mut self, is_over: Arc<AtomicBool>, report: PortReporter) -> io::Result<()> {
        let watch = move || {
            while !is_over.load(Ordering::Relaxed) {
                // Whoever cannot listen looks all the same, every second.
                if self.changes.wait(PERIOD).is_err() {
                    thread::sleep(PERIOD);
                }
                self.look_again(&report);
            }
        };
        thread::Builder::new()
            .name("ports".to_owned())
            .spawn(watch)?;
        Ok(())
    }

    fn look_again(&mut self, report: &PortReporter) {
        for side in Side::BOTH {
            let index = side.index();
            // What is gone stays gone: an interface of the same name is another one.
            let Some(was) = self.states[index].take() else {
                continue;
            };
            let now = look(&self.interfaces[index]);
            for change in PortChange::between(&was, now.as_ref(), self.mtu_max) {
                report.tell(PortEvent {
                    side,
                    interface: was.name.clone(),
                    change,
                });
            }
            self.states[index] = now;
        }
    }
}

/// What is so now; nothing if the interface is gone.
fn look(interface: &Interface) -> Option<PortState> {
    let interface = interface.today()?;
    Some(PortState {
        is_running: interface.is_running().ok()?,
        mtu: interface.mtu().ok()?,
        queues: interface.queues().ok()?,
        name: interface.name().to_owned(),
    })
}
