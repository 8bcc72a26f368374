//! A worker's frames: one memory, registered with the kernel once and shared by both ports.
//!
//! A frame is in exactly one place: the free list here, a ring (and then the kernel's), or a
//! [`Frame`] in the worker's hands. Descriptors are copyable integers; everything that could use
//! one twice is in this file and in `rings`.

use std::{
    fmt,
    io::{self, Write},
    num::NonZeroU32,
    ptr,
    sync::atomic::{AtomicU32, Ordering},
};

use xsk_rs::{
    FrameDesc, Umem,
    config::{FrameSize, QueueSize, UmemConfig},
};

/// Octets that the kernel keeps in front of a frame's contents (linux/bpf.h,
/// `XDP_PACKET_HEADROOM`).
pub(super) const HEADROOM: usize = 256;

/// What a stamped frame carries in front of it (`struct stamp` of steer.bpf.c): the time in
/// nanoseconds of `CLOCK_MONOTONIC`, and a mark.
type Stamp = [u64; 2];
/// `STAMP_MARK` of steer.bpf.c.
pub(super) const STAMP_MARK: u64 = u64::from_be_bytes(*b"Lychgate");

/// A frame that the worker holds. It goes back by [`transmit`](crate::io::Ports::transmit) or
/// [`release`](crate::io::Ports::release).
#[derive(Debug)]
#[must_use = "a frame that is dropped is lost to its memory"]
pub struct Frame {
    descriptor: FrameDesc,
    /// Which memory it lies in.
    memory: u32,
    /// The time that it carried.
    pub(super) arrival: Option<u64>,
}

/// One worker's frames, and which of them are in nobody's hands.
pub(super) struct Memory {
    umem: Umem,
    free: Vec<FrameDesc>,
    total: usize,
    held: usize,
    /// Tells this memory's frames from any other's.
    id: u32,
    /// Octets of a frame's place.
    frame_size: usize,
    /// Whether frames may carry stamps.
    stamps: bool,
}

impl fmt::Debug for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Memory")
            .field("total", &self.total)
            .field("free", &self.free.len())
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// `total` frames of `frame_size` octets, for rings of these sizes.
    pub(super) fn new(
        total: u32,
        frame_size: u32,
        (fill_ring, completion_ring): (u32, u32),
        huge_pages: bool,
        stamps: bool,
    ) -> io::Result<Self> {
        static MEMORIES: AtomicU32 = AtomicU32::new(0);
        let queue_size = |size| QueueSize::new(size).map_err(io::Error::other);
        let config = UmemConfig::builder()
            .frame_size(FrameSize::new(frame_size).map_err(io::Error::other)?)
            .fill_queue_size(queue_size(fill_ring)?)
            .comp_queue_size(queue_size(completion_ring)?)
            .build()
            .map_err(io::Error::other)?;
        let count = NonZeroU32::new(total).ok_or(io::ErrorKind::InvalidInput)?;
        let (umem, free) = Umem::new(config, count, huge_pages).map_err(io_error)?;
        Ok(Self {
            umem,
            total: free.len(),
            free,
            held: 0,
            id: MEMORIES.fetch_add(1, Ordering::Relaxed),
            frame_size: frame_size as usize,
            stamps,
        })
    }

    pub(super) const fn umem(&self) -> &Umem {
        &self.umem
    }

    pub(super) const fn total(&self) -> usize {
        self.total
    }

    pub(super) const fn free(&self) -> usize {
        self.free.len()
    }

    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// Hands a received frame out.
    #[inline]
    pub(super) fn hand_out(&mut self, descriptor: FrameDesc) -> Frame {
        self.held += 1;
        let arrival = if self.stamps {
            self.take_stamp(&descriptor)
        } else {
            None
        };
        Frame {
            descriptor,
            memory: self.id,
            arrival,
        }
    }

    /// The time that a received frame carries in front of it, if it does. It is taken away: the
    /// next frame in this place may carry none.
    #[inline]
    fn take_stamp(&mut self, descriptor: &FrameDesc) -> Option<u64> {
        // A driver may put frames anywhere in their place, but leaves this much room if the
        // program could store a stamp.
        let room = descriptor.addr() % self.frame_size;
        if room < size_of::<Stamp>() {
            return None;
        }
        // SAFETY: the frame was just received, so that it lies in this memory and is nobody's but
        // ours; its contents are not looked at, only where they begin.
        let first = unsafe { self.umem.data(descriptor) }.contents().as_ptr();
        let stamp = ptr::with_exposed_provenance_mut::<Stamp>(
            first.expose_provenance() - size_of::<Stamp>(),
        );
        // SAFETY: as above, and the octets in front of the contents are of the same place (checked)
        // and the same mapping, which comes from the kernel, so that its provenance is exposed. No
        // reference to them exists, and any octets are integers. Nothing says that they are aligned.
        unsafe {
            let [time, mark] = stamp.read_unaligned();
            (mark == STAMP_MARK).then(|| {
                stamp.write_unaligned([0, 0]);
                time
            })
        }
    }

    /// Takes a frame back: it is for the caller to put somewhere.
    #[inline]
    pub(super) fn take_back(&mut self, frame: Frame) -> FrameDesc {
        self.check(&frame);
        self.held -= 1;
        frame.descriptor
    }

    /// Takes a frame back that nobody wants.
    #[inline]
    pub(super) fn release(&mut self, frame: Frame) {
        let descriptor = self.take_back(frame);
        self.free.push(descriptor);
    }

    /// Puts frames on the free list that the kernel is done with.
    #[inline]
    pub(super) fn reclaim(&mut self, descriptors: &[FrameDesc]) {
        self.free.extend_from_slice(descriptors);
    }

    /// Lends up to `at_most` free frames to `lend`, which says how many it took from the end.
    #[inline]
    pub(super) fn lend(&mut self, at_most: usize, lend: impl FnOnce(&[FrameDesc]) -> usize) {
        let first = self.free.len().saturating_sub(at_most);
        let taken = lend(&self.free[first..]);
        assert!(
            taken == 0 || taken == self.free.len() - first,
            "all or nothing"
        );
        self.free.truncate(self.free.len() - taken);
    }

    #[inline]
    pub(super) fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.check(frame);
        // SAFETY: the frame lies in this memory (checked), and while the worker holds its token,
        // neither the kernel nor anything else here has its descriptor. The kernel gave the
        // descriptor's address and length, or `replace` did, within one frame.
        unsafe { self.umem.data(&frame.descriptor) }.contents()
    }

    /// Replaces a frame's contents; `false` and no change if they don't fit.
    pub(super) fn replace(&mut self, frame: &mut Frame, bytes: &[u8]) -> bool {
        self.check(frame);
        // SAFETY: as in `bytes`; and `&mut` of both makes this the only reference.
        let mut data = unsafe { self.umem.data_mut(&mut frame.descriptor) };
        let mut cursor = data.cursor();
        if cursor.buf_len() < bytes.len() {
            return false;
        }
        cursor.set_pos(0);
        cursor.write_all(bytes).is_ok()
    }

    /// Safe code may hold the frames of two workers.
    #[inline]
    fn check(&self, frame: &Frame) {
        assert_eq!(frame.memory, self.id, "a frame of another worker's memory");
    }
}

/// The operating system's error inside one of xsk-rs'.
pub(super) fn io_error(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    let number = std::error::Error::source(&error)
        .and_then(|cause| cause.downcast_ref::<io::Error>())
        .and_then(io::Error::raw_os_error);
    number.map_or_else(|| io::Error::other(error), io::Error::from_raw_os_error)
}
