//! The site that is a box in the wire: two interfaces, the kernel program on them, and a pair of
//! AF_XDP sockets for each queue.
//!
//! Promises: from [`Live::open`] on, frames cross in the kernel; from the moment that a worker has
//! its ports, its queue's frames come to it. When the process ends, however it ends, they cross in
//! the kernel again, until [`Live::detach`] or `lychgate detach` takes the program off.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;

use super::{KernelFate, KernelRow, Obtained, ObtainedPort, ObtainedQueue, ObtainedSocket, Site};
use crate::{
    engine::{Lease, Leasing, Reason, Wall},
    io::{
        Side,
        afxdp::{
            self, AttachMode, Attachment, Deferral, Fate, Interface, LeaseOptions, Options,
            QueuePair, Settings, SocketObtained, Steering,
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
    /// The interfaces: access, uplink; [`super::preflight`] found them fit.
    pub interfaces: [Interface; 2],
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

/// A box in the wire.
#[derive(Debug)]
pub struct Live {
    interfaces: [Interface; 2],
    attachments: [Attachment; 2],
    steering: Steering,
    syns: Arc<Syns>,
    steer: Steer,
    settings: Settings,
    options: Options,
    queues: u32,
    /// By queue, as workers open them: what their sockets got.
    opened: Mutex<BTreeMap<u32, [SocketObtained; 2]>>,
    /// With busy polling, of each interface.
    deferrals: Mutex<Vec<Deferral>>,
}

impl Live {
    /// Puts the kernel program on both interfaces. No worker runs yet.
    ///
    /// # Errors
    ///
    /// An interface is not there, or not fit, or not free; or the kernel refuses.
    pub fn open(config: &Config<'_>) -> anyhow::Result<Self> {
        let interfaces = config.interfaces.clone();
        let queues = interfaces[0].queues()?;
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
        let busy_poll = config.options.busy_poll.iter();
        let defer = |busy_poll| {
            let begun = interfaces
                .iter()
                .map(|port| Deferral::begin(port, busy_poll));
            begun.collect::<afxdp::Result<Vec<_>>>()
        };
        let deferrals = busy_poll.map(defer).collect::<afxdp::Result<Vec<_>>>()?;
        Ok(Self {
            attachments,
            interfaces,
            steering,
            syns,
            steer: config.steer,
            settings,
            options: config.options,
            queues,
            opened: Mutex::default(),
            deferrals: Mutex::new(deferrals.into_iter().flatten().collect()),
        })
    }

    /// Queues of each interface: so many workers must there be, or frames would bypass the policy.
    #[must_use]
    pub const fn queues(&self) -> u32 {
        self.queues
    }

    /// Which frames come to user space, as far as that can be known: when every worker has its
    /// ports.
    fn steer(&self) -> afxdp::Steer {
        let opened = lock(&self.opened);
        let is_zero_copy = opened.values().flatten().all(|socket| socket.zero_copy);
        resolve(self.steer, is_zero_copy && !opened.is_empty())
    }

    /// Why the kernel program does not run natively on access and uplink, where it does not.
    #[must_use]
    pub fn why_generic(&self) -> [Option<&str>; 2] {
        self.attachments
            .each_ref()
            .map(|attachment| attachment.why_generic.as_deref())
    }

    fn obtained_port(&self, side: Side) -> ObtainedPort {
        let attachment = &self.attachments[side.index()];
        let mut deferrals = lock(&self.deferrals);
        let deferral = deferrals.get_mut(side.index());
        // What cannot be read is not told: the interface is gone.
        let deferred = deferral.and_then(|deferral| deferral.obtained().ok());
        ObtainedPort {
            port: side.name(),
            interface: self.interfaces[side.index()].name().to_owned(),
            queues: self.queues,
            xdp: match attachment.mode {
                AttachMode::Native => "native",
                AttachMode::Generic => "generic",
            },
            why_generic: attachment.why_generic.clone(),
            taken_over: attachment.taken_over,
            defer_irqs: deferred.map(|(polls, _)| polls),
            flush_timeout: deferred.map(|(_, timeout)| micros(timeout)),
        }
    }

    /// How the kernel program hangs on a port, and why no better way could be had.
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
        // Both, whatever becomes of the first.
        let [access, uplink] = &self.interfaces;
        let access = afxdp::detach(access, pin_root);
        let uplink = afxdp::detach(uplink, pin_root);
        access.and(uplink)?;
        Ok(())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn obtained_socket(socket: SocketObtained) -> ObtainedSocket {
    ObtainedSocket {
        mode: if socket.zero_copy {
            "zero-copy"
        } else {
            "copy"
        },
        busy_poll: socket.busy_poll.map(micros),
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

impl Site for Live {
    type Ports = QueuePair;

    fn open(&self, index: usize) -> anyhow::Result<QueuePair> {
        let queue = u32::try_from(index)?;
        let heartbeat = self.steering.heartbeat(queue)?;
        let interfaces = [&self.interfaces[0], &self.interfaces[1]];
        let mut pair = QueuePair::open(&self.options, interfaces, queue, heartbeat)?;
        lock(&self.opened).insert(queue, Side::BOTH.map(|side| pair.obtained(side)));
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

    fn obtained(&self) -> Obtained {
        let opened = lock(&self.opened).clone();
        let queue = |(queue, sockets): (u32, [SocketObtained; 2])| {
            let [access, uplink] = sockets.map(obtained_socket);
            ObtainedQueue {
                queue,
                core: None,
                frames: self.options.frames(),
                frame_size: self.options.frame_size,
                huge_pages: self.options.huge_pages,
                ring: self.options.ring_size,
                access,
                uplink,
            }
        };
        Obtained {
            ports: Side::BOTH.map(|side| self.obtained_port(side)).to_vec(),
            steer: Some(match self.steer() {
                afxdp::Steer::All => "all",
                afxdp::Steer::Mail => "mail",
            }),
            queues: opened.into_iter().map(queue).collect(),
        }
    }

    fn leasing(&self) -> Option<Leasing> {
        (self.steer() == afxdp::Steer::Mail).then(|| Leasing {
            syns: Arc::clone(&self.syns),
            generation: self.steering.lease_generation(),
        })
    }

    fn renew(&self, next: &Policy) -> anyhow::Result<u32> {
        Ok(self.steering.void_leases(next.relays())?)
    }

    fn leased(&self, classes: usize) -> Vec<(Reason, ClassId, u64)> {
        let counters = Lease::counters(classes);
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

    fn wall(&self, walls: &[(IpNet, Wall)]) -> anyhow::Result<()> {
        let wall = |&(prefix, wall): &(IpNet, Wall)| match wall {
            Wall::Web => (prefix, afxdp::Wall::Web),
            Wall::Everything => (prefix, afxdp::Wall::Everything),
        };
        let walls: Vec<_> = walls.iter().map(wall).collect();
        Ok(self.steering.wall(&walls)?)
    }

    fn kernel(&self) -> Vec<KernelRow> {
        // Counters that cannot be read are shown as standing still, not as a reason to stop.
        let fates = self.steering.fates().unwrap_or_default();
        let row = |&fate: &Fate| KernelRow {
            name: fate.name(),
            fate: match fate {
                Fate::ToWorker => KernelFate::ToWorker,
                Fate::Harmless => KernelFate::Harmless,
                Fate::BypassNoSocket | Fate::BypassStale => KernelFate::Bypassed,
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
