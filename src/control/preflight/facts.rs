//! What the kernel tells.

use std::path::Path;

use rustix::{
    process::{Resource, getrlimit},
    system::uname,
    thread::{CapabilitySet, capabilities},
};

use super::card::{self, Interrupt};
use crate::{
    control::cores,
    io::afxdp::{self, Belonging, Interface, Occupant, OffloadState, Queues, Repair, XdpFeatures},
};

/// What is so at this moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The machine and this process.
    pub host: HostFacts,
    /// The ports: access, uplink.
    pub ports: [PortFacts; 2],
}

/// What is so on this machine, for this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// The kernel's version as it calls itself.
    pub kernel: String,
    /// The capabilities that are missing.
    pub missing: Vec<&'static str>,
    /// How many octets it may lock; nothing where there is no limit.
    pub memlock: Option<u64>,
    /// How many cores it may use.
    pub cores: usize,
}

/// What is so on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Its name.
    pub name: String,
    /// Its driver, where that tells.
    pub driver: Option<String>,
    /// Which kind it is and what it is part of.
    pub belonging: Belonging,
    /// What its driver can do with XDP, where that tells.
    pub xdp: Option<XdpFeatures>,
    /// Whose XDP program is on it.
    pub occupant: Occupant,
    /// Whether a Lychgate runs on it.
    pub is_claimed: bool,
    /// Its queues.
    pub queues: Queues,
    /// Its MTU.
    pub mtu: usize,
    /// Its offloads.
    pub offloads: Vec<OffloadState>,
    /// Whether it receives what is not for it.
    pub is_promiscuous: bool,
    /// What an earlier process put right on it.
    pub repaired: Vec<Repair>,
    /// Whether it is set up.
    pub is_up: bool,
    /// Whether it is set up and has a carrier.
    pub is_running: bool,
    /// The memory node of its card, and the cores that are on that.
    pub node: Option<(u32, Vec<usize>)>,
    /// The interrupts of its queues.
    pub interrupts: Vec<Interrupt>,
}

impl Facts {
    /// Asks the kernel.
    ///
    /// # Errors
    ///
    /// An interface is gone, or the kernel refuses to tell.
    pub fn read(interfaces: &[Interface; 2], pin_root: &Path) -> afxdp::Result<Self> {
        let [access, uplink] = interfaces;
        Ok(Self {
            host: HostFacts::read(),
            ports: [
                PortFacts::read(access, pin_root)?,
                PortFacts::read(uplink, pin_root)?,
            ],
        })
    }
}

impl HostFacts {
    fn read() -> Self {
        // Who may not even ask has none.
        let held = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let may_all = held.contains(CapabilitySet::SYS_ADMIN);
        let needed = [
            ("CAP_NET_ADMIN", held.contains(CapabilitySet::NET_ADMIN)),
            ("CAP_NET_RAW", held.contains(CapabilitySet::NET_RAW)),
            ("CAP_BPF", may_all || held.contains(CapabilitySet::BPF)),
        ];
        let is_exempt = held.contains(CapabilitySet::IPC_LOCK);
        Self {
            kernel: uname().release().to_string_lossy().into_owned(),
            missing: needed
                .into_iter()
                .filter(|(_, is_held)| !is_held)
                .map(|(name, _)| name)
                .collect(),
            memlock: (!is_exempt)
                .then(|| getrlimit(Resource::Memlock).current)
                .flatten(),
            cores: cores::available().map_or(1, |cores| cores.len()),
        }
    }

    /// The kernel's version as two numbers; nothing where it calls itself otherwise.
    #[must_use]
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.kernel.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next()?.parse().ok();
        Some((next()?, next()?))
    }
}

impl PortFacts {
    fn read(interface: &Interface, pin_root: &Path) -> afxdp::Result<Self> {
        Ok(Self {
            name: interface.name().to_owned(),
            driver: interface.driver(),
            belonging: interface.belonging()?,
            xdp: interface.xdp_features(),
            occupant: afxdp::occupant(interface, pin_root),
            is_claimed: interface.is_claimed(),
            queues: interface.queue_counts()?,
            mtu: interface.mtu()?,
            offloads: interface.offloads()?,
            is_promiscuous: interface.is_promiscuous()?,
            repaired: afxdp::repaired(interface, pin_root),
            is_up: interface.is_up()?,
            is_running: interface.is_running()?,
            node: card::node(interface).map(|node| (node, card::cores_of_node(node))),
            interrupts: card::interrupts(interface),
        })
    }
}
