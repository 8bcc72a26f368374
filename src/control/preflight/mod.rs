//! Before frames cross: are the interfaces and this machine fit, and what can be put right?
//!
//! ```text
//! Facts::read ──▶ judge (pure) ──▶ Report ──▶ repair ──▶ shown: text, JSON
//!                                     └──▶ any refusal? then nothing is touched
//! ```
//!
//! What is read here is what was so at that moment; whoever attaches the kernel program asks
//! [`Facts::read`] again afterwards ([`judge_attached`]), because drivers change their queues and
//! their mind when they get one. What is put right stays for as long as the kernel program does:
//! see [`crate::io::afxdp::repair`].
//!
//! | file | what it holds |
//! |---|---|
//! | `facts` | what the kernel tells |
//! | `card` | what sysfs tells of the card behind an interface: its node, its interrupts |
//! | `quirks` | what single drivers cannot do, and what is asked of them instead |
//! | `judge` | what is to be said of it |
//! | `show` | how it is said |

mod card;
mod facts;
mod judge;
mod quirks;
mod show;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Serialize;

pub use card::Interrupt;
pub use facts::{Facts, HostFacts, PortFacts};
pub use judge::{judge, judge_attached};
pub use quirks::adapt;
pub use show::SCHEMA;

use super::cores;
use crate::{
    io::{
        Side,
        afxdp::{self, Interface, Occupant, Options},
    },
    policy::Steer,
};

/// What the box is going to ask of its ports.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which frames come to user space.
    pub steer: Steer,
    /// What each worker asks of its sockets.
    pub options: Options,
    /// The core of each worker, as far as they are known.
    pub cores: Vec<usize>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Fine,
    /// It was not, and was put right.
    Repaired,
    /// It is not, and `lychgate run` puts it right.
    Repairable,
    /// It works, but there is something to know or to do.
    Warning,
    /// It would not work.
    Refusal,
}

macro_rules! checks {
    ($($variant:ident $name:literal $text:literal,)+) => {
        /// What was looked at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Check { $(#[doc = $text] $variant,)+ }

        impl Check {
            /// All of them, in the order in which they are told.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name in text and JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

checks! {
    Kernel "kernel" "Is the kernel new enough, and for what?",
    Capabilities "capabilities" "May this process do what it has to?",
    Memlock "memlock" "May it lock the workers' memory?",
    Driver "driver" "How does the driver run the kernel program, and how do frames get to user space?",
    Program "program" "Is there an XDP program already, and whose?",
    Controller "controller" "Does something else forward the interface's frames?",
    Queues "queues" "Do both ports have the same number of queues?",
    Mtu "mtu" "Do both ports have the same MTU, and do frames fit?",
    Offload "offload" "Does the card change frames before Lychgate sees them?",
    Promiscuous "promiscuous" "Does the card receive what is not for it?",
    Link "link" "Is the link up?",
    Numa "numa" "Are the workers' cores on the card's side of the machine?",
    Interrupts "interrupts" "Do workers share their cores with the cards' interrupts?",
}

/// Something that was looked at, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The interface; nothing for the machine as a whole.
    pub interface: Option<String>,
    /// What was looked at.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// What is so.
    pub cause: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// What puts it right.
    #[serde(skip)]
    pub repair: Option<(Side, afxdp::Repair)>,
}

/// What was found on two interfaces.
#[derive(Debug)]
pub struct Inspection {
    /// Access, uplink.
    pub interfaces: [Interface; 2],
    /// What is so.
    pub facts: Facts,
    /// What is to be said of it.
    pub report: Report,
    /// What the ports are looked at for.
    pub wanted: Wanted,
    pin_root: PathBuf,
}

impl Inspection {
    /// Puts right what can be; what cannot becomes a warning with the reason. Nothing is touched
    /// where there is a refusal.
    pub fn repair(&mut self) {
        if self.report.worst() < Severity::Refusal {
            self.report.repair(&self.interfaces, &self.pin_root);
        }
    }

    /// Looks again, now that the kernel program is attached; `why_generic` says, for each port, why
    /// it does not run natively where it does not. Only what is new is told.
    ///
    /// # Errors
    ///
    /// An interface is gone.
    pub fn review(&self, why_generic: [Option<&str>; 2]) -> afxdp::Result<Report> {
        let now = Facts::read(&self.interfaces, &self.pin_root)?;
        let findings = judge_attached(&self.facts, &now, why_generic, &self.wanted);
        Ok(Report(findings))
    }

    /// Leaves the interfaces as they were, when nothing comes of it after all: takes the kernel
    /// program off and puts back what was repaired, unless an earlier run's bypass was on. Says
    /// what could not be done.
    #[must_use]
    pub fn undo(&self) -> Vec<afxdp::Error> {
        let ports = self.interfaces.iter().zip(&self.facts.ports);
        ports
            .filter(|(_, port)| port.occupant != Occupant::Ours)
            .filter_map(|(interface, _)| afxdp::detach(interface, &self.pin_root).err())
            .collect()
    }
}

/// Looks at two interfaces, access and uplink. Changes nothing. If `wanted` names no cores, those
/// are taken that [`cores::choose`] would choose; what a driver cannot do is not asked of it.
///
/// # Errors
///
/// One is not there, or both are the same.
pub fn inspect(
    names: [&str; 2],
    mut wanted: Wanted,
    pin_root: &Path,
) -> anyhow::Result<Inspection> {
    let [access, uplink] = names;
    if access == uplink {
        bail!(
            "{access} cannot be both ports: name the interface towards the subscribers as access, the one towards the internet as uplink"
        );
    }
    let interfaces = [Interface::by_name(access)?, Interface::by_name(uplink)?];
    let facts = Facts::read(&interfaces, pin_root)?;
    if wanted.cores.is_empty() {
        let workers = facts.ports[0].queues.receive as usize;
        // Where there are too few, that is a finding of its own.
        wanted.cores = cores::choose(workers, &names).unwrap_or_default();
    }
    let adapted = adapt(&facts, &mut wanted);
    let mut report = Report(judge(&facts, &wanted));
    report.0.extend(adapted);
    Ok(Inspection {
        interfaces,
        facts,
        report,
        wanted,
        pin_root: pin_root.to_owned(),
    })
}

/// All findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(pub Vec<Finding>);

impl Report {
    /// How bad the worst of it is.
    #[must_use]
    pub fn worst(&self) -> Severity {
        let severities = self.0.iter().map(|finding| finding.severity);
        severities.max().unwrap_or(Severity::Fine)
    }

    /// Puts right what can be.
    fn repair(&mut self, interfaces: &[Interface; 2], pin_root: &Path) {
        let repairable = self
            .0
            .iter_mut()
            .filter(|finding| finding.severity == Severity::Repairable);
        for finding in repairable {
            let Some((side, repair)) = finding.repair else {
                continue;
            };
            match afxdp::repair(&interfaces[side.index()], pin_root, repair) {
                Ok(()) => {
                    finding.severity = Severity::Repaired;
                    finding.remedy = None;
                }
                Err(error) => {
                    finding.severity = Severity::Warning;
                    finding.cause = format!("{}; it could not be repaired: {error}", finding.cause);
                }
            }
        }
    }
}
