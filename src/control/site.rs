//! What the workers stand on.

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

use crate::{
    engine::{Leasing, Reason, Wall},
    io::Ports,
    policy::{ClassId, Policy},
    report::words::{counted, thousands},
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

    /// What was obtained, which may be less than was asked for; complete when every worker has its
    /// ports.
    fn obtained(&self) -> Obtained {
        Obtained::default()
    }

    /// What an engine needs to offer leases, if its ports, which are open, want any.
    fn leasing(&self) -> Option<Leasing> {
        None
    }

    /// Called before another policy comes into force: whatever the kernel does by itself under the
    /// present one ends. Gives the generation of what it does under the next.
    ///
    /// # Errors
    ///
    /// The present policy stays in force.
    fn renew(&self, _next: &Policy) -> anyhow::Result<u32> {
        Ok(0)
    }

    /// Outbound attempts refused under leases since the start, by reason and class, of which there
    /// are so many.
    fn leased(&self, _classes: usize) -> Vec<(Reason, ClassId, u64)> {
        Vec::new()
    }

    /// Has frames come to the workers that would cross in the kernel, of those who are behind walls:
    /// of these and no others.
    ///
    /// # Errors
    ///
    /// The kernel refuses: whether the walls hold is not certain.
    fn wall(&self, walls: &[(IpNet, Wall)]) -> anyhow::Result<()> {
        let _ = walls;
        Ok(())
    }

    /// What has become of frames in the kernel since the start, without a worker.
    fn kernel(&self) -> Vec<KernelRow> {
        Vec::new()
    }
}

/// What a site got: read back, wherever that can be, and not what was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Obtained {
    /// Access, uplink; none where there are no interfaces.
    pub ports: Vec<ObtainedPort>,
    /// Which frames come to user space: `all` or `mail`.
    pub steer: Option<&'static str>,
    /// By queue.
    pub queues: Vec<ObtainedQueue>,
}

/// What one interface gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObtainedPort {
    /// `access` or `uplink`.
    pub port: &'static str,
    /// The interface.
    pub interface: String,
    /// Its queues.
    pub queues: u32,
    /// How the kernel program runs: `native` or `generic`.
    pub xdp: &'static str,
    /// Why it does not run in the driver, if so.
    pub why_generic: Option<String>,
    /// Whether the program replaced an earlier one of ours without a gap.
    pub taken_over: bool,
    /// How many empty polls keep interrupts off, if that was asked for.
    pub defer_irqs: Option<u64>,
    /// How long at most, in microseconds.
    pub flush_timeout: Option<u64>,
}

/// What one worker's sockets got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObtainedQueue {
    /// The queue of both interfaces.
    pub queue: u32,
    /// The core that the worker runs on, if it was pinned.
    pub core: Option<usize>,
    /// Frames in its memory.
    pub frames: u32,
    /// Octets of a frame's place.
    pub frame_size: u32,
    /// Whether they lie in huge pages.
    pub huge_pages: bool,
    /// Descriptors in each receive and transmit ring.
    pub ring: u32,
    /// The access port's socket.
    pub access: ObtainedSocket,
    /// The uplink port's socket.
    pub uplink: ObtainedSocket,
}

/// What one socket got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ObtainedSocket {
    /// `zero-copy` or `copy`.
    pub mode: &'static str,
    /// How long a system call polls the card, in microseconds, if busy polling is on.
    pub busy_poll: Option<u64>,
}

impl fmt::Display for Obtained {
    /// Some lines; the last one begins with `running:`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for port in &self.ports {
            writeln!(out, "{port}")?;
        }
        for queue in &self.queues {
            writeln!(out, "{queue}")?;
        }
        let steered = match self.steer {
            Some("mail") => "what may be mail comes to the workers, the rest crosses in the kernel",
            _ => "all frames come to the workers",
        };
        writeln!(out, "running: {steered}")
    }
}

impl fmt::Display for ObtainedPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            port,
            interface,
            xdp,
            ..
        } = self;
        write!(
            out,
            "{port}: {interface}, {}, {xdp} XDP",
            counted(self.queues.into(), "queue")
        )?;
        if self.taken_over {
            out.write_str(", taken over")?;
        }
        if let Some(why) = &self.why_generic {
            write!(out, " (native: {why})")?;
        }
        if let (Some(polls), Some(time)) = (self.defer_irqs, self.flush_timeout) {
            write!(
                out,
                ", interrupts deferred by {polls} empty polls and {time} µs"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for ObtainedQueue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "queue {}: ", self.queue)?;
        if let Some(core) = self.core {
            write!(out, "core {core}, ")?;
        }
        let Self { access, uplink, .. } = self;
        write!(
            out,
            "access {access}, uplink {uplink}, rings of {}, ",
            self.ring
        )?;
        let (frames, size) = (thousands(self.frames.into()), self.frame_size);
        write!(out, "{frames} frames of {size} octets")?;
        if self.huge_pages {
            out.write_str(" in huge pages")?;
        }
        Ok(())
    }
}

impl fmt::Display for ObtainedSocket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.mode)?;
        match self.busy_poll {
            Some(time) => write!(out, " and busy poll of {time} µs"),
            None => Ok(()),
        }
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
    /// Let them cross by itself: no worker would have stopped them.
    Harmless,
    /// Let them cross unjudged: there was no living worker.
    Bypassed,
    /// Dropped them.
    Dropped,
    /// Refused them under a lease: counted among the verdicts, under their reasons.
    Refused,
}
