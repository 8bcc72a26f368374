//! What happens, told to the outside: as lines of JSON, to syslog, to a web hook.
//!
//! An [`Event`] is something that staff or their programs want to know at once. [`Events`] hands it
//! to every [`Outlet`] that the policy names. Each outlet has a queue of fixed length and a thread
//! of its own: whoever tells an event never waits, whatever the disk or the network does. What finds
//! the queue full is lost and counted; what can't be delivered is tried again, each time after a
//! longer pause, and given up in the end, and counted.
//!
//! Every outlet says the same: the event as one line of JSON, `lychgate.event/1`, which
//! docs/events.schema.json describes. The audit trail is not here: cases are in `store`, and an
//! event about one is told after it was stored.

mod json_lines;
mod outlet;
mod syslog;
mod webhook;

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use json_lines::JsonLines;
pub use outlet::{Failure, Outlet, Patience, QUEUE_MAX, Told, Writer};
pub use syslog::Syslog;
pub use webhook::Webhook;

use crate::{
    policy::Outlets,
    remedy::{Record, Subscriber},
};

/// Name and version of the form. Fields may be added to a version, never removed or redefined.
pub const SCHEMA: &str = "lychgate.event/1";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A case went on: a zombie was suspected, its owner notified, quarantined or released.
    Case(Box<Record>),
    /// Somebody complained about an address.
    Complaint {
        /// When that happened which is complained about, as far as is known.
        time: Timestamp,
        /// The address.
        source: IpAddr,
        /// What about.
        kind: String,
        /// Who complains.
        reporter: Option<String>,
        /// Whose address it is, if it is a subscriber's.
        subscriber: Option<Subscriber>,
    },
    /// The source table was full: some attempts were not counted.
    TableFull {
        /// When it was seen.
        time: Timestamp,
        /// How many sources it holds.
        capacity: u64,
        /// How many attempts found no room since the last such event.
        attempts: u64,
        /// About how many sources they were from.
        #[serde(default)]
        sources: u64,
        /// Whether they were let pass unlimited; else they were refused.
        #[serde(default)]
        forwarded: bool,
    },
    /// Another policy is in force.
    PolicyReloaded {
        /// Since when.
        time: Timestamp,
        /// What is different, a line each.
        changes: Vec<String>,
    },
    /// The policy file was read again and refused: the policy before stays in force.
    PolicyRefused {
        /// When.
        time: Timestamp,
        /// Every reason why.
        mistakes: Vec<String>,
    },
    /// A port has lost its link.
    LinkDown {
        /// When it was seen.
        time: Timestamp,
        /// `access` or `uplink`.
        port: String,
        /// The network interface.
        interface: String,
    },
    /// A port has its link again.
    LinkUp {
        /// When it was seen.
        time: Timestamp,
        /// `access` or `uplink`.
        port: String,
        /// The network interface.
        interface: String,
    },
}

/// How urgent an event is, in the numbers of syslog (RFC 5424 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Mail or all traffic may stand still.
    Error = 3,
    /// Somebody should look.
    Warning = 4,
    /// As it should be, and worth knowing.
    Notice = 5,
}

impl Event {
    /// When it happened.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Case(record) => record.time,
            Self::Complaint { time, .. }
            | Self::TableFull { time, .. }
            | Self::PolicyReloaded { time, .. }
            | Self::PolicyRefused { time, .. }
            | Self::LinkDown { time, .. }
            | Self::LinkUp { time, .. } => *time,
        }
    }

    /// The word for it in JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Case(_) => "case",
            Self::Complaint { .. } => "complaint",
            Self::TableFull { .. } => "table_full",
            Self::PolicyReloaded { .. } => "policy_reloaded",
            Self::PolicyRefused { .. } => "policy_refused",
            Self::LinkDown { .. } => "link_down",
            Self::LinkUp { .. } => "link_up",
        }
    }

    /// How urgent it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::LinkDown { .. } => Severity::Error,
            Self::TableFull { .. } | Self::PolicyRefused { .. } => Severity::Warning,
            Self::Case(_)
            | Self::Complaint { .. }
            | Self::PolicyReloaded { .. }
            | Self::LinkUp { .. } => Severity::Notice,
        }
    }

    /// The event as one line of JSON, without its end.
    ///
    /// # Errors
    ///
    /// None that an event can have.
    pub fn line(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Line<'a> {
            schema: &'static str,
            #[serde(flatten)]
            event: &'a Event,
        }
        serde_json::to_string(&Line {
            schema: SCHEMA,
            event: self,
        })
    }
}

/// Every outlet of a policy.
#[derive(Debug)]
pub struct Events {
    outlets: Vec<Outlet>,
    reopen: Arc<AtomicBool>,
}

impl Events {
    /// Opens the outlets and starts their threads.
    ///
    /// # Errors
    ///
    /// An outlet can't be opened: which, and why.
    pub fn open(wanted: &Outlets) -> io::Result<Self> {
        let reopen = Arc::new(AtomicBool::new(false));
        let mut outlets = Vec::new();
        let patience = Patience::default();
        if let Some(path) = &wanted.json {
            let writer = JsonLines::open(path, Arc::clone(&reopen))?;
            outlets.push(Outlet::start("json", writer, patience)?);
        }
        if let Some(address) = &wanted.syslog {
            outlets.push(Outlet::start("syslog", Syslog::new(address)?, patience)?);
        }
        if let Some(url) = &wanted.webhook {
            outlets.push(Outlet::start("webhook", Webhook::new(url), patience)?);
        }
        Ok(Self { outlets, reopen })
    }

    /// Tells every outlet, without waiting.
    pub fn tell(&self, event: Event) {
        let event = Arc::new(event);
        for outlet in &self.outlets {
            outlet.tell(&event);
        }
    }

    /// Opens files anew before the next event: a log rotation has moved them.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Opens files anew after each SIGHUP of this process, which then no longer ends it.
    ///
    /// # Errors
    ///
    /// The system refuses to tell us of the signal.
    #[cfg(unix)]
    pub fn reopen_on_hangup(&self) -> io::Result<()> {
        let flag = Arc::clone(&self.reopen);
        signal_hook::flag::register(signal_hook::consts::SIGHUP, flag).map(|_| ())
    }

    /// What became of the events so far, by outlet.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, Told)> {
        self.outlets
            .iter()
            .map(|outlet| (outlet.name(), outlet.told()))
    }

    /// Waits for what is queued to be delivered, at most so long, and ends the threads.
    pub fn stop(self, grace: Duration) -> Vec<(&'static str, Told)> {
        let stop = |outlet: Outlet| (outlet.name(), outlet.stop(grace));
        self.outlets.into_iter().map(stop).collect()
    }
}

#[cfg(test)]
mod tests;
