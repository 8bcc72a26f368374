//! The site that is a box in the wire: two interfaces, the kernel program on them, and a pair of
//! AF_XDP sockets for each queue.
//!
//! Promises: from [`Live::open`] on, frames cross in the kernel; from the moment that a worker has
//! its ports, its queue's frames come to it. When the process ends, however it ends, they cross in
//! the kernel again, until [`Live::detach`] or `lychgate detach` takes the program off.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::bail;

use super::{KernelFate, KernelRow, Site};
use crate::{
    engine::{Lease, Leasing, Reason},
    io::{
        Side,
        afxdp::{
            self, AttachMode, Attachment, Fate, Interface, LeaseOptions, Options, QueuePair,
            Settings, Steering,
        },
    },
    policy::{ClassId, Policy, Steer},
    source::Syns,
};

/// Sources for each bucket of SYNs, of which it holds eight; and the least and most buckets (512 KiB
/// and 64 MiB): a small table may meet a large flood, and where they are too few, the kernel program
/// leaves more to the workers.
const SOURCES_PER_BUCKET: usize = 4;
const BUCKETS: std::ops::RangeInclusive<usize> = 1 << 13..=1 << 20;

/// What the kernel program is told, when it is known whether all ports run without copying.
const fn resolve(steer: Steer, is_zero_copy: bool) -> afxdp::Steer {
    match (steer, is_zero_copy) {
        (Steer::All, _) | (Steer::Auto, true) => afxdp::Steer::All,
        (Steer::Mail, _) | (Steer::Auto, false) => afxdp::Steer::Mail,
    }
}

/// What to open, and how.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// Names of the interfaces: access, uplink.
    pub interfaces: [&'a str; 2],
    /// Which frames come to user space.
    pub steer: Steer,
    /// What the kernel program goes by; what it says of steering does not count.
    pub settings: Settings,
    /// What each worker asks of its sockets.
    pub options: Options,
    /// Whose limits the kernel program may apply by itself, under leases.
    pub policy: &'a Policy,
    /// Where the kernel program's links are pinned.
    pub pin_root: &'a Path,
}

/// What the kernel gave, which may be less than was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// The queue of both interfaces.
    pub queue: u32,
    /// Whether frames get into memory and out of it without copying: access, uplink.
    pub is_zero_copy: [bool; 2],
}

/// A box in the wire.
#[derive(Debug)]
pub struct Live {
    interfaces: [Interface; 2],
    attachments: [Attachment; 2],
    steering: Steering,
    syns: Arc<Syns>,
    classes: usize,
    steer: Steer,
    settings: Settings,
    options: Options,
    queues: u32,
    obtained: Mutex<Vec<Obtained>>,
}

impl Live {
    /// Puts the kernel program on both interfaces. No worker runs yet.
    ///
    /// # Errors
    ///
    /// An interface is not there, or not fit, or not free; or the kernel refuses.
    pub fn open(config: &Config<'_>) -> anyhow::Result<Self> {
        let [access, uplink] = config.interfaces;
        if access == uplink {
            bail!(
                "{access} cannot be both ports: name the interface towards the subscribers as access, the one towards the internet as uplink"
            );
        }
        let interfaces = [Interface::by_name(access)?, Interface::by_name(uplink)?];
        let queues = common_queues(&interfaces)?;
        let settings = Settings {
            steer: resolve(config.steer, false),
            ..config.settings
        };
        let leasing = lease_options(config.policy);
        let key = leasing.key;
        let ports = [&interfaces[0], &interfaces[1]];
        let steering = Steering::load_with_leases(ports, &settings, leasing)?;
        let syns = Arc::new(Syns::new(Box::new(steering.syn_memory()?), key));
        let attach =
            |side: Side| afxdp::attach(&steering, side, &interfaces[side.index()], config.pin_root);
        let attachments = [attach(Side::Access)?, attach(Side::Uplink)?];
        Ok(Self {
            attachments,
            interfaces,
            steering,
            syns,
            classes: config.policy.classes().len(),
            steer: config.steer,
            settings,
            options: config.options,
            queues,
            obtained: Mutex::default(),
        })
    }

    /// Queues of each interface: so many workers must there be, or frames would bypass the policy.
    #[must_use]
    pub const fn queues(&self) -> u32 {
        self.queues
    }

    /// What each worker's sockets got, by queue.
    #[must_use]
    pub fn obtained(&self) -> Vec<Obtained> {
        let mut obtained = self.lock().clone();
        obtained.sort_unstable_by_key(|obtained| obtained.queue);
        obtained
    }

    /// Which frames come to user space, now that every worker has its ports.
    #[must_use]
    pub fn steer(&self) -> afxdp::Steer {
        let is_zero_copy = self.lock().iter().all(|one| one.is_zero_copy == [true; 2]);
        resolve(self.steer, is_zero_copy)
    }

    /// How the kernel program runs on a port, and whatever an operator should know of it.
    #[must_use]
    pub fn attachment(&self, side: Side) -> (&'static str, Option<&str>) {
        let attachment = &self.attachments[side.index()];
        let mode = match (attachment.mode, attachment.taken_over) {
            (AttachMode::Native, false) => "native XDP",
            (AttachMode::Native, true) => "native XDP, taken over",
            (AttachMode::Generic, false) => "generic XDP",
            (AttachMode::Generic, true) => "generic XDP, taken over",
        };
        (mode, attachment.why_generic.as_deref())
    }

    /// Takes the kernel program off both interfaces again: no frame crosses any more.
    ///
    /// # Errors
    ///
    /// The kernel refuses.
    pub fn detach(self, pin_root: &Path) -> anyhow::Result<()> {
        // The claims go first: detaching claims the interfaces itself.
        drop(self.attachments);
        for interface in &self.interfaces {
            afxdp::detach(interface, pin_root)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Obtained>> {
        self.obtained.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What leases need under this policy.
fn lease_options(policy: &Policy) -> LeaseOptions {
    let buckets = (policy.capacity() / SOURCES_PER_BUCKET).clamp(*BUCKETS.start(), *BUCKETS.end());
    LeaseOptions {
        buckets: buckets as u32,
        key: rand::random(),
        relays: policy.relays().to_vec(),
    }
}

/// How many queues both interfaces have: a worker has the same one of each, so that a flow's frames
/// stay in order.
fn common_queues(interfaces: &[Interface; 2]) -> anyhow::Result<u32> {
    let [access, uplink] = interfaces;
    let (ours, theirs) = (access.queues()?, uplink.queues()?);
    if ours != theirs {
        let fewer = ours.min(theirs);
        let larger = if ours > theirs { access } else { uplink };
        bail!(
            "{access} has {ours} queues and {uplink} has {theirs}: a worker needs the same queue of both\nremedy: ethtool -L {} combined {fewer}",
            larger.name()
        );
    }
    Ok(ours)
}

impl Site for Live {
    type Ports = QueuePair;

    fn open(&self, index: usize) -> anyhow::Result<QueuePair> {
        let queue = u32::try_from(index)?;
        let heartbeat = self.steering.heartbeat(queue)?;
        let interfaces = [&self.interfaces[0], &self.interfaces[1]];
        let mut pair = QueuePair::open(&self.options, interfaces, queue, heartbeat)?;
        self.lock().push(Obtained {
            queue,
            is_zero_copy: Side::BOTH.map(|side| pair.is_zero_copy(side)),
        });
        pair.serve(&self.steering)?;
        Ok(pair)
    }

    fn ready(&self) -> anyhow::Result<()> {
        let settings = Settings {
            steer: self.steer(),
            ..self.settings
        };
        Ok(self.steering.set(&settings)?)
    }

    fn leasing(&self) -> Option<Leasing> {
        (self.steer() == afxdp::Steer::Mail).then(|| Leasing {
            syns: Arc::clone(&self.syns),
            generation: self.steering.lease_generation(),
        })
    }

    fn leased(&self) -> Vec<(Reason, ClassId, u64)> {
        let counters = Lease::counters(self.classes);
        // As below: what cannot be read stands still.
        let leased = self.steering.leased(counters).unwrap_or_default();
        leased
            .into_iter()
            .map(|(counter, frames)| {
                let (reason, class) = Lease::counted(counter);
                (reason, class, frames)
            })
            .collect()
    }

    fn kernel(&self) -> Vec<KernelRow> {
        // Counters that cannot be read are shown as standing still, not as a reason to stop.
        let fates = self.steering.fates().unwrap_or_default();
        let row = |&fate: &Fate| KernelRow {
            name: fate.name(),
            fate: match fate {
                Fate::ToWorker => KernelFate::ToWorker,
                Fate::Harmless | Fate::BypassNoSocket | Fate::BypassStale => KernelFate::Crossed,
                Fate::Leased => KernelFate::Refused,
                Fate::ClosedNoSocket | Fate::ClosedStale | Fate::NoPort => KernelFate::Dropped,
            },
            frames: Side::BOTH.map(|side| fates.get(fate, side)),
        };
        Fate::ALL.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automatic_steering_takes_all_only_where_nothing_is_copied() {
        assert_eq!(resolve(Steer::Auto, true), afxdp::Steer::All);
        assert_eq!(resolve(Steer::Auto, false), afxdp::Steer::Mail);
        assert_eq!(resolve(Steer::All, false), afxdp::Steer::All);
        assert_eq!(resolve(Steer::Mail, true), afxdp::Steer::Mail);
    }
}
