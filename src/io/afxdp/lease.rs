//! Leases (src/bpf/lease.bpf.h): the memory of SYNs that the kernel program shares with the workers,
//! and how leases get into the kernel.

use std::{
    io,
    net::IpAddr,
    os::fd::AsFd,
    ptr::{self, NonNull},
    slice,
    sync::atomic::AtomicU64,
};

use ipnet::IpNet;
use libbpf_rs::{MapCore, MapFlags, MapHandle, OpenObject};
use rustix::mm::{MapFlags as MapMode, ProtFlags, mmap, munmap};

use super::error::{Error, Result};
use crate::io::Lease;

const SUBJECT: &str = "kernel program";

/// Octets of a bucket of SYNs (`struct syn_bucket`).
const BUCKET_SIZE: usize = 64;
/// Octets of `struct lease_key` and `struct lease`.
const KEY_SIZE: usize = 20;
const VALUE_SIZE: usize = 16;

/// So much longer than any lease lasts is looked for leases, in nanoseconds.
const AHEAD: u64 = 1_000_000_000;

/// As many leases are put at once without allocating: an attempt a frame, two full batches.
const LEASES_AT_ONCE: usize = 128;

/// The most refusal counters there are (`LEASE_COUNTERS_MAX`).
pub const LEASE_COUNTERS_MAX: u32 = 2_000;

/// There is room for so many relays, or for as many as the first policy has (`RELAYS_MAX`).
const RELAYS_MAX: u32 = 65_536;

/// What leases need, beside a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Buckets of the shared memory of SYNs, 64 octets each, at least 1.
    pub buckets: u32,
    /// The secret key of its hash.
    pub key: [u64; 2],
    /// Destinations that no lease is about.
    pub relays: Vec<IpNet>,
}

impl Default for LeaseOptions {
    /// For who has no leases.
    fn default() -> Self {
        Self {
            buckets: 1,
            key: [0; 2],
            relays: Vec::new(),
        }
    }
}

impl LeaseOptions {
    /// Sizes the maps of an object that is not loaded yet.
    pub(super) fn size(&self, object: &mut OpenObject) -> libbpf_rs::Result<()> {
        let relays = u32::try_from(self.relays.len()).unwrap_or(u32::MAX);
        for mut map in object.maps_mut() {
            match map.name().to_str() {
                Some("syns") => map.set_max_entries(self.buckets)?,
                Some("relays") => map.set_max_entries(relays.max(RELAYS_MAX))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `struct lease_terms`.
    pub(super) fn terms(&self, generation: u32) -> [u8; 24] {
        let mut octets = [0; 24];
        octets[..8].copy_from_slice(&self.key[0].to_ne_bytes());
        octets[8..16].copy_from_slice(&self.key[1].to_ne_bytes());
        octets[16..20].copy_from_slice(&self.buckets.to_ne_bytes());
        octets[20..].copy_from_slice(&generation.to_ne_bytes());
        octets
    }
}

/// `struct prefix_key`.
pub(super) fn prefix_key(prefix: IpNet) -> [u8; 20] {
    let (length, address) = match prefix {
        IpNet::V4(prefix) => (96 + prefix.prefix_len(), prefix.network().to_ipv6_mapped()),
        IpNet::V6(prefix) => (prefix.prefix_len(), prefix.network()),
    };
    let mut octets = [0; 20];
    octets[..4].copy_from_slice(&u32::from(length).to_ne_bytes());
    octets[4..].copy_from_slice(&address.octets());
    octets
}

/// Puts one worker's leases into the kernel.
#[derive(Debug)]
pub struct Leases {
    map: MapHandle,
    /// The map `leases_until`, and what this worker wrote into it last.
    until: (MapHandle, u64),
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Leases {
    pub(super) fn new(map: MapHandle, until: MapHandle) -> Self {
        Self {
            map,
            until: (until, 0),
            keys: Vec::with_capacity(LEASES_AT_ONCE * KEY_SIZE),
            values: Vec::with_capacity(LEASES_AT_ONCE * VALUE_SIZE),
        }
    }

    /// One system call for all. What the kernel does not take (it is out of memory, say) is decided
    /// by the workers, as without leases.
    pub fn put(&mut self, leases: &[Lease]) {
        self.keys.clear();
        self.values.clear();
        for lease in leases {
            self.keys.extend(key_of(lease));
            self.values.extend(value_of(lease));
        }
        let count = leases.len() as u32;
        if count > 0 {
            let any = MapFlags::ANY;
            let _ = self
                .map
                .update_batch(&self.keys, &self.values, count, any, any);
            self.extend(leases.iter().map(|lease| lease.until).max().unwrap_or(0));
        }
    }

    /// Has the kernel program look leases up until then, and somewhat longer, so that not every
    /// lease is news. Where two workers write at once, the earlier time may stay for a while: then
    /// some leases are not looked up, and the workers decide.
    fn extend(&mut self, until: u64) {
        let (map, written) = &mut self.until;
        if until > *written {
            *written = until.saturating_add(AHEAD);
            let _ = map.update(&[0; 4], &written.to_ne_bytes(), MapFlags::ANY);
        }
    }
}

fn key_of(lease: &Lease) -> [u8; KEY_SIZE] {
    let mut octets = [0; KEY_SIZE];
    let version: u32 = match lease.source {
        IpAddr::V4(source) => {
            octets[..4].copy_from_slice(&source.octets());
            4
        }
        IpAddr::V6(source) => {
            octets[..16].copy_from_slice(&source.octets());
            6
        }
    };
    let meter = u32::from(lease.is_submission) | version << 4;
    octets[16..].copy_from_slice(&meter.to_ne_bytes());
    octets
}

fn value_of(lease: &Lease) -> [u8; VALUE_SIZE] {
    let mut octets = [0; VALUE_SIZE];
    octets[..8].copy_from_slice(&lease.until.to_ne_bytes());
    octets[8..12].copy_from_slice(&lease.generation.to_ne_bytes());
    octets[12..].copy_from_slice(&lease.counter.to_ne_bytes());
    octets
}

/// The map `syns`, in our address space.
#[derive(Debug)]
pub struct SynMemory {
    start: NonNull<AtomicU64>,
    octets: usize,
}

// SAFETY: the mapping belongs to this value, and is only ever read and written atomically.
unsafe impl Send for SynMemory {}
// SAFETY: as above.
unsafe impl Sync for SynMemory {}

impl SynMemory {
    pub(super) fn map(map: impl AsFd, buckets: u32) -> Result<Self> {
        let octets = buckets as usize * BUCKET_SIZE;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let start = unsafe { mmap(ptr::null_mut(), octets, access, MapMode::SHARED, map, 0) };
        let start = start.map_err(io::Error::from).and_then(|start| {
            NonNull::new(start.cast()).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
        });
        let start = start.map_err(|cause| Error::new(SUBJECT, "map the memory of SYNs", cause))?;
        Ok(Self { start, octets })
    }
}

impl AsRef<[AtomicU64]> for SynMemory {
    #[inline]
    fn as_ref(&self) -> &[AtomicU64] {
        let words = self.octets / size_of::<AtomicU64>();
        // SAFETY: the mapping is that long, aligned to a page, zeroed or written as words, and lives
        // as long as `self`. The kernel program writes words too, atomically.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), words) }
    }
}

impl Drop for SynMemory {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, nobody else unmaps it, and whoever uses it
        // borrows `self`. With these arguments it cannot fail; if it did, the mapping would stay.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.octets) };
    }
}
