//! A worker's sign of life, in memory that the kernel program reads.
//!
//! The `heartbeats` map of steer.bpf.c is mapped into the process, so that a heartbeat is one
//! store. Its clock is `CLOCK_MONOTONIC_COARSE`, which is what `bpf_ktime_get_coarse_ns` reads.

use std::{
    io,
    os::fd::AsFd,
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustix::{
    mm::{MapFlags, ProtFlags, mmap, munmap},
    time::{ClockId, clock_getres, clock_gettime},
};

/// Octets of one heartbeat: a cache line (`struct heartbeat` of steer.bpf.c).
pub(super) const HEARTBEAT_SIZE: usize = 64;

/// The `heartbeats` map, in our address space.
#[derive(Debug)]
pub(super) struct Heartbeats {
    start: NonNull<u8>,
    count: usize,
}

// SAFETY: the mapping belongs to this value, and is only ever read and written atomically.
unsafe impl Send for Heartbeats {}
// SAFETY: as above.
unsafe impl Sync for Heartbeats {}

impl Heartbeats {
    /// Maps the `heartbeats` map, which has `count` elements.
    pub(super) fn map(map: impl AsFd, count: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let length = count * HEARTBEAT_SIZE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let start = unsafe { mmap(ptr::null_mut(), length, access, MapFlags::SHARED, map, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { start, count })
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made, nobody else unmaps it, and every user of it
        // holds an `Arc` of `self`. That it cannot fail with these arguments is what the manual
        // promises; if it did, the mapping would stay, which harms nothing.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.count * HEARTBEAT_SIZE) };
    }
}

/// One worker's heartbeat.
///
/// While it is younger than the deadline, the kernel program gives the worker its frames; else
/// they bypass it.
#[derive(Debug)]
pub struct Heartbeat {
    all: Arc<Heartbeats>,
    queue: usize,
}

impl Heartbeat {
    /// `None` if there is no such queue.
    pub(super) fn new(all: &Arc<Heartbeats>, queue: u32) -> Option<Self> {
        let (all, queue) = (Arc::clone(all), queue as usize);
        (queue < all.count).then_some(Self { all, queue })
    }

    /// Says: alive now.
    #[inline]
    pub fn beat(&self) {
        self.time().store(coarse_now(), Ordering::Relaxed);
    }

    #[inline]
    fn time(&self) -> &AtomicU64 {
        // SAFETY: `queue` is below the number of elements, so that the pointer lies in the
        // mapping, aligned to a cache line; the mapping lives as long as `all`, is zeroed or
        // written by `store` alone in this process, and the kernel only reads it.
        unsafe {
            self.all
                .start
                .add(self.queue * HEARTBEAT_SIZE)
                .cast()
                .as_ref()
        }
    }
}

/// The shortest deadline that the coarse clock can measure: a tick may pass between a heartbeat
/// and its next chance, and another one unseen.
#[must_use]
pub fn deadline_min() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    2 * Duration::new(tick.tv_sec as u64, tick.tv_nsec as u32)
}

#[inline]
fn coarse_now() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
