//! The kernel program (src/bpf/steer.bpf.c): loaded, set, fed with sockets, read.
//!
//! What it does stands at the top of its source. How it hangs on the ports, and stays there, is
//! the business of `link`.

use std::{
    collections::HashSet,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use libbpf_rs::{
    MapCore, MapFlags, MapHandle, Object, ObjectBuilder, PrintLevel, ProgramInput, get_print,
    set_print,
};

use super::{
    error::{Error, Result},
    heartbeat::{Heartbeat, Heartbeats, deadline_min},
    lease::{LEASE_COUNTERS_MAX, LeaseOptions, Leases, SynMemory, prefix_key},
    netdev::Interface,
    wall::{Wall, Walls},
};
use crate::io::Side;

/// The most queues that a port may have (`QUEUES_MAX` of steer.bpf.c).
pub const QUEUES_MAX: u32 = 128;

/// The program's object file; libbpf wants it aligned.
static OBJECT: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/steer.bpf.o")));

#[repr(align(8))]
pub(super) struct Aligned<T: ?Sized>(pub T);

const SUBJECT: &str = "kernel program";

/// Which frames come to user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Steer {
    /// All of them.
    #[default]
    All,
    /// All but those that are positively harmless.
    Mail,
}

/// What becomes of a frame that should come to user space and finds no living worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fail {
    /// It crosses.
    #[default]
    Open,
    /// It is dropped.
    Closed,
}

/// What the kernel program goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which frames come to user space.
    pub steer: Steer,
    /// What becomes of them if nobody is there.
    pub fail: Fail,
    /// How old a worker's heartbeat may be.
    pub deadline: Duration,
    /// Of the frames that come to user space, one in so many carries the time
    /// ([`Ports::arrival`](crate::io::Ports::arrival)): a power of 2, or 0 for none.
    pub stamp: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            steer: Steer::default(),
            fail: Fail::default(),
            deadline: Duration::from_millis(20),
            stamp: 64,
        }
    }
}

impl Settings {
    /// `struct settings` of steer.bpf.c.
    fn to_octets(self) -> [u8; 24] {
        let deadline = u64::try_from(self.deadline.as_nanos()).unwrap_or(u64::MAX);
        // Of 0, all bits: no frame's number has none of them.
        let stamp_mask = u64::from(self.stamp).wrapping_sub(1);
        let mut octets = [0; 24];
        octets[..8].copy_from_slice(&deadline.to_ne_bytes());
        octets[8..16].copy_from_slice(&stamp_mask.to_ne_bytes());
        octets[16..20].copy_from_slice(&(self.steer as u32).to_ne_bytes());
        octets[20..].copy_from_slice(&(self.fail as u32).to_ne_bytes());
        octets
    }
}

macro_rules! fates {
    ($($variant:ident $name:literal $text:literal,)+) => {
        /// What became of a frame in the kernel program (`enum fate` of steer.bpf.c).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Fate { $(#[doc = $text] $variant,)+ }

        impl Fate {
            /// Every fate, in the kernel program's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label in JSON, metrics and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

fates! {
    ToWorker "to_worker" "Handed to the worker of its queue.",
    Harmless "harmless" "Crossed in the kernel: certainly not mail.",
    Leased "leased" "Dropped in the kernel: a worker said that its source is refused until later. Counted under its reason, too.",
    BypassNoSocket "bypass_no_socket" "Crossed in the kernel: its queue has no worker.",
    BypassStale "bypass_stale" "Crossed in the kernel: the worker's heartbeat is too old.",
    ClosedNoSocket "closed_no_socket" "Dropped in the kernel: its queue has no worker, and Lychgate fails closed.",
    ClosedStale "closed_stale" "Dropped in the kernel: the worker's heartbeat is too old, and Lychgate fails closed.",
    NoPort "no_port" "Dropped in the kernel: the other port is gone.",
}

impl Fate {
    /// How many fates there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The key in the `counters` map.
    const fn key(self, side: Side) -> u32 {
        self as u32 * 2 + side.index() as u32
    }
}

/// How many frames of each port had each fate in the kernel program since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates([[u64; 2]; Fate::COUNT]);

impl Fates {
    /// Frames that arrived on `side` and had this fate.
    #[must_use]
    pub const fn get(&self, fate: Fate, side: Side) -> u64 {
        self.0[fate as usize][side.index()]
    }

    /// What came since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = *self;
        for (now, then) in difference.0.iter_mut().zip(&earlier.0) {
            for (now, then) in now.iter_mut().zip(then) {
                *now -= then;
            }
        }
        difference
    }
}

/// The kernel program of both ports, loaded.
#[derive(Debug)]
pub struct Steering {
    object: Object,
    heartbeats: Arc<Heartbeats>,
    leasing: LeaseOptions,
    generation: AtomicU32,
    walls: Mutex<Walls>,
}

impl Steering {
    /// Loads the program for two ports, without attaching it yet.
    ///
    /// # Errors
    ///
    /// If the kernel refuses it (the verifier's words are in the message), or the deadline is
    /// shorter than the kernel's clock can measure.
    pub fn load(ports: [&Interface; 2], settings: &Settings) -> Result<Self> {
        Self::load_with_leases(ports, settings, LeaseOptions::default())
    }

    /// As [`Self::load`], ready for leases.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn load_with_leases(
        ports: [&Interface; 2],
        settings: &Settings,
        leasing: LeaseOptions,
    ) -> Result<Self> {
        let object = with_messages(|| {
            let mut object = ObjectBuilder::default().open_memory(&OBJECT.0)?;
            leasing.size(&mut object)?;
            object.load()
        })?;
        let heartbeats = {
            let map = map(&object, "heartbeats")?;
            Heartbeats::map(map.as_fd(), QUEUES_MAX as usize)
                .map_err(|cause| Error::new(SUBJECT, "map the heartbeats", cause))?
        };
        let steering = Self {
            object,
            heartbeats: Arc::new(heartbeats),
            leasing,
            generation: AtomicU32::new(0),
            walls: Mutex::default(),
        };
        steering.set(settings)?;
        steering.void_leases(&steering.leasing.relays)?;
        for (side, port) in (0_u32..).zip(ports) {
            steering.update("ports", side, &port.index().to_ne_bytes())?;
        }
        Ok(steering)
    }

    /// Changes the settings, from the next frame on.
    ///
    /// # Errors
    ///
    /// If the deadline is shorter than the kernel's clock can measure, or one frame in a number
    /// that is no power of 2 is to be stamped.
    pub fn set(&self, settings: &Settings) -> Result<()> {
        if settings.stamp != 0 && !settings.stamp.is_power_of_two() {
            let attempt = format!("stamp one frame in {}", settings.stamp);
            let cause = "the kernel program counts by powers of 2";
            let remedy = "choose a power of 2, or 0 to stamp none";
            return Err(Error::new(SUBJECT, attempt, cause).remedy(remedy));
        }
        let least = deadline_min();
        if settings.deadline < least {
            let attempt = format!("set a heartbeat deadline of {:?}", settings.deadline);
            let cause = format!("the kernel's coarse clock cannot measure less than {least:?}");
            return Err(Error::new(SUBJECT, attempt, cause).remedy("choose a longer one"));
        }
        self.update("settings", 0, &settings.to_octets())
    }

    /// The heartbeat of the worker of a queue, silent until it beats.
    ///
    /// # Errors
    ///
    /// If the queue is not below [`QUEUES_MAX`].
    pub fn heartbeat(&self, queue: u32) -> Result<Heartbeat> {
        Heartbeat::new(&self.heartbeats, queue).ok_or_else(|| {
            let cause = format!("the kernel program knows {QUEUES_MAX} queues");
            Error::new(format!("queue {queue}"), "serve it", cause)
                .remedy("reduce the interface's queues with `ethtool -L`")
        })
    }

    /// Sends a queue's frames to these sockets (access, uplink) until the registration is dropped
    /// or they are closed.
    pub(super) fn register(
        &self,
        queue: u32,
        sockets: [BorrowedFd<'_>; 2],
    ) -> Result<Registration> {
        let attempt = || format!("send the frames of queue {queue} to its worker");
        let map = MapHandle::try_from(&map(&self.object, "sockets")?)
            .map_err(|cause| Error::new(SUBJECT, attempt(), cause))?;
        let registration = Registration { map, queue };
        for (key, socket) in registration.keys().into_iter().zip(sockets) {
            let socket = socket.as_raw_fd().to_ne_bytes();
            registration
                .map
                .update(&key, &socket, MapFlags::ANY)
                .map_err(|cause| Error::new(SUBJECT, attempt(), cause))?;
        }
        Ok(registration)
    }

    /// Makes every lease meaningless, such as before another policy comes into force, whose relays
    /// these are; gives the generation that new leases must have. Call it before the workers hear
    /// of the new policy.
    ///
    /// # Errors
    ///
    /// If the kernel refuses. Then leases are what they were; some of the relays may be known
    /// already, to which the workers decide instead.
    pub fn void_leases(&self, relays: &[IpNet]) -> Result<u32> {
        let known = map(&self.object, "relays")?;
        for &relay in relays {
            known
                .update(&prefix_key(relay), &[0; 4], MapFlags::ANY)
                .map_err(|cause| {
                    Error::new(SUBJECT, format!("make {relay} known as a relay"), cause)
                        .remedy("restart the box, which makes room for as many as there are")
                })?;
        }
        let generation = self.generation.load(Ordering::Relaxed) + 1;
        self.update("lease_terms", 0, &self.leasing.terms(generation))?;
        self.generation.store(generation, Ordering::Relaxed);
        // Not before: until now they stood between leases and those relays.
        let current: HashSet<_> = relays.iter().map(|&relay| prefix_key(relay)).collect();
        let gone: Vec<_> = known
            .keys()
            .filter(|key| key.first_chunk().is_none_or(|key| !current.contains(key)))
            .collect();
        for key in gone {
            // One that stays costs its leases, and nothing else.
            let _ = known.delete(&key);
        }
        Ok(generation)
    }

    /// The generation that leases must have now.
    #[must_use]
    pub fn lease_generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// The memory of SYNs that the kernel program and the workers share.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn syn_memory(&self) -> Result<SynMemory> {
        SynMemory::map(map(&self.object, "syns")?.as_fd(), self.leasing.buckets)
    }

    /// Where a worker puts its leases.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn leases(&self) -> Result<Leases> {
        let hold = |name| {
            MapHandle::try_from(&map(&self.object, name)?)
                .map_err(|cause| Error::new(SUBJECT, format!("hold on to its map {name}"), cause))
        };
        Ok(Leases::new(hold("leases")?, hold("leases_until")?))
    }

    /// From now on, harmless frames under these addresses come from the access port to the workers,
    /// and no others. If the kernel has no room for all of them, everything does.
    ///
    /// # Errors
    ///
    /// If the kernel refuses. Everything comes to the workers then, if that much can be had.
    pub fn wall(&self, walls: &[(IpNet, Wall)]) -> Result<()> {
        let mut known = self.walls.lock().unwrap_or_else(PoisonError::into_inner);
        known.set(&self.object, walls)
    }

    /// Frames refused under leases, by counter: those that are not 0.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn leased(&self, counters: u32) -> Result<Vec<(u32, u64)>> {
        let map = map(&self.object, "leased")?;
        let mut leased = Vec::new();
        for counter in 0..counters.min(LEASE_COUNTERS_MAX) {
            match sum_over_cpus(&map, counter)? {
                0 => {}
                frames => leased.push((counter, frames)),
            }
        }
        Ok(leased)
    }

    /// Reads the program's counters.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn fates(&self) -> Result<Fates> {
        let counters = map(&self.object, "counters")?;
        let mut fates = Fates::default();
        for &fate in Fate::ALL {
            for side in Side::BOTH {
                fates.0[fate as usize][side.index()] = sum_over_cpus(&counters, fate.key(side))?;
            }
        }
        Ok(fates)
    }

    /// Runs the program of a port on a frame that never was on the wire (`BPF_PROG_TEST_RUN`) and
    /// says what it would do with it; counted like any other. With live traffic on the port the
    /// answer may be another frame's.
    ///
    /// # Errors
    ///
    /// If the kernel refuses: frames under 14 octets, or longer than a page takes.
    pub fn try_frame(&self, side: Side, frame: &[u8]) -> Result<Fate> {
        let before = self.fates()?;
        let input = ProgramInput {
            data_in: Some(frame),
            ..ProgramInput::default()
        };
        self.program(side)?
            .test_run(input)
            .map_err(|cause| Error::new(SUBJECT, "run it on a frame", cause))?;
        let new = self.fates()?.since(&before);
        let fate = Fate::ALL.iter().find(|&&fate| new.get(fate, side) > 0);
        fate.copied()
            .ok_or_else(|| Error::new(SUBJECT, "tell a frame's fate", "nothing was counted"))
    }

    /// The program of a port.
    pub(super) fn program(&self, side: Side) -> Result<libbpf_rs::ProgramMut<'_>> {
        let name = match side {
            Side::Access => "steer_access",
            Side::Uplink => "steer_uplink",
        };
        self.object
            .progs_mut()
            .find(|program| program.name() == name)
            .ok_or_else(|| missing("program", name))
    }

    fn update(&self, name: &'static str, key: u32, value: &[u8]) -> Result<()> {
        map(&self.object, name)?
            .update(&key.to_ne_bytes(), value, MapFlags::ANY)
            .map_err(|cause| Error::new(SUBJECT, format!("write its map {name}"), cause))
    }
}

/// A counter that each processor has for itself.
fn sum_over_cpus(map: &libbpf_rs::Map<'_>, key: u32) -> Result<u64> {
    let by_cpu = map
        .lookup_percpu(&key.to_ne_bytes(), MapFlags::ANY)
        .map_err(|cause| Error::new(SUBJECT, "read a counter", cause))?;
    let by_cpu = by_cpu.unwrap_or_default();
    let counts = by_cpu.iter().filter_map(|octets| octets.first_chunk());
    Ok(counts.map(|&octets| u64::from_ne_bytes(octets)).sum())
}

/// A queue's place in the `sockets` map.
#[derive(Debug)]
pub(super) struct Registration {
    map: MapHandle,
    queue: u32,
}

impl Registration {
    fn keys(&self) -> [[u8; 4]; 2] {
        Side::BOTH.map(|side| (self.queue * 2 + side.index() as u32).to_ne_bytes())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        for key in self.keys() {
            // Fails only if the kernel has taken a socket out itself.
            let _ = self.map.delete(&key);
        }
    }
}

pub(super) fn map<'a>(object: &'a Object, name: &'static str) -> Result<libbpf_rs::Map<'a>> {
    object
        .maps()
        .find(|map| map.name() == name)
        .ok_or_else(|| missing("map", name))
}

/// The object that is built in lacks a part: steer.bpf.c and this file disagree.
pub(super) fn missing(what: &str, name: &str) -> Error {
    Error::new(
        SUBJECT,
        format!("find its {what} {name}"),
        "not in the object",
    )
}

/// Runs a call of libbpf, and puts what libbpf would print (the verifier's log) into the error.
pub(super) fn with_messages<T>(call: impl FnOnce() -> libbpf_rs::Result<T>) -> Result<T> {
    static MESSAGES: Mutex<String> = Mutex::new(String::new());
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    fn messages() -> std::sync::MutexGuard<'static, String> {
        MESSAGES.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn listen(_: PrintLevel, message: String) {
        messages().push_str(&message);
    }

    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    messages().clear();
    let before = get_print();
    set_print(Some((PrintLevel::Warn, listen)));
    let result = call();
    set_print(before);
    result.map_err(|cause| {
        Error::new(
            SUBJECT,
            "load it",
            format!("{cause:#}\n{}", messages().trim_end()),
        )
        .remedy(
            "run as root, or with CAP_BPF and CAP_NET_ADMIN, on Linux 5.15 or later; in a \
             container, its seccomp profile and the kernel's lockdown mode must allow bpf(2)",
        )
    })
}
