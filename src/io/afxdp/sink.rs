//! Taking whatever arrives on an interface (src/bpf/sink.bpf.c), to look at it or only to count it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    time::Duration,
};

use libbpf_rs::{
    MapCore, MapFlags, Object, ObjectBuilder, TC_INGRESS, TcHook, TcHookBuilder, libbpf_sys,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::{
    Mode, Options,
    error::{Error, Result, until_let_go},
    link::create_link,
    netdev::Interface,
    packet::PacketSocket,
    program::{Aligned, map, missing, with_messages},
    rings::Port,
    umem::Memory,
};

static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/sink.bpf.o")));

/// Frames that are taken from a queue at once.
const BATCH: usize = 64;

/// Where a [`Counter`] hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// In the driver: the fastest, where frames are not in an skb already.
    Xdp,
    /// At the ingress of traffic control: better where they are.
    Tc,
}

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All frames.
    pub frames: u64,
    /// Their octets.
    pub octets: u64,
    /// Attempts in plain frames.
    pub attempts: u64,
}

/// Counts and drops frames in the kernel.
#[derive(Debug)]
pub struct Counter {
    object: Object,
    _attached: Attached,
    _promiscuous: PacketSocket,
}

/// Takes a program off when it is dropped.
#[derive(Debug)]
struct Attached {
    _xdp: Option<OwnedFd>,
    tc: Option<TcHook>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(hook) = &mut self.tc {
            // Fails only if the interface is gone, and the hook with it.
            let _ = hook.detach();
        }
    }
}

impl Counter {
    /// Takes all frames of an interface.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or another program has the interface.
    pub fn attach(interface: &Interface, hook: Hook) -> Result<Self> {
        let object = load()?;
        let attached = match hook {
            Hook::Xdp => Attached {
                _xdp: Some(attach_xdp(&object, "count", interface)?),
                tc: None,
            },
            Hook::Tc => Attached {
                _xdp: None,
                tc: Some(attach_tc(&object, interface)?),
            },
        };
        Ok(Self {
            object,
            _attached: attached,
            _promiscuous: promiscuous(interface)?,
        })
    }

    /// What was counted so far.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn tally(&self) -> Result<Tally> {
        let [frames, octets, attempts, _] = read_tally(&self.object)?;
        Ok(Tally {
            frames,
            octets,
            attempts,
        })
    }
}

/// Receives all frames of an interface.
#[derive(Debug)]
pub struct Listener {
    queues: Vec<Queue>,
    object: Object,
    _xdp: OwnedFd,
    _promiscuous: PacketSocket,
    frames: Vec<super::Frame>,
}

#[derive(Debug)]
struct Queue {
    port: Port,
    memory: Memory,
}

impl Listener {
    /// Takes all frames of all queues of an interface.
    ///
    /// # Errors
    ///
    /// If the kernel refuses, or another program has the interface or a queue.
    pub fn open(interface: &Interface) -> Result<Self> {
        let options = Options {
            mode: Mode::Auto,
            ring_size: 4096,
            ..Options::default()
        };
        super::check_mtu(&options, interface)?;
        let object = load()?;
        let queues = (0..interface.queues()?)
            .map(|queue| until_let_go(|| open_queue(interface, queue, &options)))
            .collect::<Result<Vec<_>>>()?;
        let sockets = map(&object, "sockets")?;
        for (key, queue) in (0_u32..).zip(&queues) {
            let socket = queue.port.as_fd().as_raw_fd();
            sockets
                .update(&key.to_ne_bytes(), &socket.to_ne_bytes(), MapFlags::ANY)
                .map_err(|cause| Error::new(interface, format!("listen to queue {key}"), cause))?;
        }
        Ok(Self {
            queues,
            _xdp: attach_xdp(&object, "listen", interface)?,
            _promiscuous: promiscuous(interface)?,
            object,
            frames: Vec::with_capacity(BATCH),
        })
    }

    /// Takes up to 64 frames of one queue after the other; `clock` is read once for those of a
    /// queue, after they were taken, and goes to `each` with every frame. Says how many it was.
    ///
    /// # Errors
    ///
    /// If the sockets cannot be used any more.
    pub fn take(
        &mut self,
        clock: impl Fn() -> u64,
        mut each: impl FnMut(&[u8], u64),
    ) -> io::Result<usize> {
        let mut taken = 0;
        for Queue { port, memory } in &mut self.queues {
            taken += port.receive(memory, BATCH, &mut self.frames);
            let now = clock();
            for frame in self.frames.drain(..) {
                each(memory.bytes(&frame), now);
                memory.release(frame);
            }
            port.flush(memory)?;
        }
        Ok(taken)
    }

    /// Sleeps until a frame arrives, or until `timeout` has passed.
    ///
    /// # Errors
    ///
    /// If the sockets cannot be used any more.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let poll_fd = |queue| PollFd::new(queue, PollFlags::IN);
        let ports = self.queues.iter().map(|queue| &queue.port);
        let mut sockets: Vec<_> = ports.map(poll_fd).collect();
        match poll(&mut sockets, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Frames that arrived and were lost before they could be taken.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn missed(&self) -> Result<u64> {
        let [.., unheard] = read_tally(&self.object)?;
        let mut missed = unheard;
        for queue in &self.queues {
            let counted = queue.port.statistics();
            missed += counted
                .map_err(|cause| Error::new("sink", "read its sockets' statistics", cause))?
                .missed();
        }
        Ok(missed)
    }
}

fn open_queue(interface: &Interface, queue: u32, options: &Options) -> Result<Queue> {
    let (fill, ring) = (options.fill_ring_size(), options.ring_size);
    let memory = Memory::new(fill + ring, options.frame_size, (fill, ring), false, false);
    let failed = |cause| super::bind_error(interface, queue, cause);
    let mut memory = memory.map_err(failed)?;
    let mut port =
        Port::bind(memory.umem(), interface, queue, options.mode, options).map_err(failed)?;
    // Only now are there frames to receive into.
    port.flush(&mut memory).map_err(failed)?;
    Ok(Queue { port, memory })
}

fn load() -> Result<Object> {
    with_messages(|| ObjectBuilder::default().open_memory(&OBJECT.0)?.load())
}

fn promiscuous(interface: &Interface) -> Result<PacketSocket> {
    let socket = PacketSocket::open(interface)?;
    socket
        .be_promiscuous(interface)
        .map_err(|cause| Error::new(interface, "set promiscuous mode", cause))?;
    Ok(socket)
}

/// In the driver if it can, else in the generic path.
fn attach_xdp(object: &Object, name: &'static str, interface: &Interface) -> Result<OwnedFd> {
    let program = object
        .progs_mut()
        .find(|program| program.name() == name)
        .ok_or_else(|| missing("program", name))?;
    let attach = |flags| create_link(program.as_fd(), interface, flags);
    attach(libbpf_sys::XDP_FLAGS_DRV_MODE)
        .or_else(|error| match error.raw_os_error() {
            Some(libc::EBUSY | libc::EEXIST | libc::EPERM) => Err(error),
            _ => attach(libbpf_sys::XDP_FLAGS_SKB_MODE),
        })
        .map_err(|cause| {
            let remedy = format!(
                "an XDP program may be attached already: `ip link show {0}` tells, `ip link set \
                 dev {0} xdp off` takes it off",
                interface.name()
            );
            Error::new(interface, "attach the sink", cause).remedy(remedy)
        })
}

fn attach_tc(object: &Object, interface: &Interface) -> Result<TcHook> {
    let program = object
        .progs_mut()
        .find(|program| program.name() == "count_skb")
        .ok_or_else(|| missing("program", "count_skb"))?;
    let mut hook = TcHookBuilder::new(program.as_fd())
        .ifindex(interface.index() as i32)
        .replace(true)
        .handle(1)
        .priority(1)
        .hook(TC_INGRESS);
    hook.create()
        .and_then(|mut hook| hook.attach())
        .map_err(|cause| {
            Error::new(interface, "attach the sink to traffic control", cause)
                .remedy("use a kernel with clsact (CONFIG_NET_CLS_ACT), or count at XDP")
        })
}

/// The fields of `struct tally`, summed over all processors.
fn read_tally(object: &Object) -> Result<[u64; 4]> {
    let by_cpu = map(object, "tallies")?
        .lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)
        .map_err(|cause| Error::new("sink", "read its counters", cause))?
        .unwrap_or_default();
    let mut sums = [0; 4];
    for octets in by_cpu {
        for (sum, field) in sums.iter_mut().zip(octets.as_chunks::<8>().0) {
            *sum += u64::from_ne_bytes(*field);
        }
    }
    Ok(sums)
}
