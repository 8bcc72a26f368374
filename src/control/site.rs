//! What the workers stand on.

use crate::{
    engine::{Leasing, Reason},
    io::Ports,
    policy::ClassId,
};

/// Opens each worker's ports, and knows what the kernel does with frames that no worker sees.
pub trait Site: Sync {
    /// What a worker works on.
    type Ports: Ports;

    /// Opens the ports of worker `index` (from 0) and has frames sent to them. Called on that
    /// worker's own thread, after it was pinned, so that its memory lies near its core; what is
    /// opened never leaves that thread.
    ///
    /// # Errors
    ///
    /// They can't be had: names interface, queue, cause and remedy.
    fn open(&self, index: usize) -> anyhow::Result<Self::Ports>;

    /// Called once, when every worker has its ports.
    ///
    /// # Errors
    ///
    /// The run cannot begin after all.
    fn ready(&self) -> anyhow::Result<()> {
        Ok(())
    }

    /// What an engine needs to offer leases, if its ports, which are open, want any.
    fn leasing(&self) -> Option<Leasing> {
        None
    }

    /// Outbound attempts refused under leases since the start, by reason and class.
    fn leased(&self) -> Vec<(Reason, ClassId, u64)> {
        Vec::new()
    }

    /// What has become of frames in the kernel since the start, without a worker.
    fn kernel(&self) -> Vec<KernelRow> {
        Vec::new()
    }
}

/// One counter of the kernel program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRow {
    /// Its label.
    pub name: &'static str,
    /// What became of these frames.
    pub fate: KernelFate,
    /// How many: outbound, inbound.
    pub frames: [u64; 2],
}

/// What the kernel program did with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelFate {
    /// Handed them to a worker.
    ToWorker,
    /// Let them cross by itself.
    Crossed,
    /// Dropped them.
    Dropped,
    /// Refused them under a lease: counted among the verdicts, under their reasons.
    Refused,
}
