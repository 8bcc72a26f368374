//! Octets in order: a file or pipe, uncompressed on the way, seen through one buffer.
//!
//! Promises that the buffer never grows and that a read error is told apart from a damaged
//! compressed stream. Leaves to others what the octets mean.

use std::{
    io::{self, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use flate2::bufread::MultiGzDecoder;

use super::Fault;

/// Octets in one buffer: a packet block of the greatest size that is accepted.
pub(super) const CAPACITY: usize = 512 * 1024;

/// As much is read at a time, where no record wants more: what was just read should still be in
/// the L2 cache, beside all that judging it needs, when it is judged. Always as much, so that
/// what comes through a pipe is cut into the same runs as a file.
const CHUNK: usize = 128 * 1024;

/// Octets read ahead of a decoder.
const READ_AHEAD: usize = 128 * 1024;

/// What is known of the file itself below a decoder.
#[derive(Debug, Default)]
struct Tally {
    read: AtomicU64,
    failed: AtomicBool,
}

/// The file itself, with its tally.
struct Tallied<R> {
    source: R,
    tally: Arc<Tally>,
}

impl<R: Read> Read for Tallied<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer) {
            Ok(count) => {
                self.tally.read.fetch_add(count as u64, Ordering::Relaxed);
                Ok(count)
            }
            Err(error) => {
                let interrupted = error.kind() == io::ErrorKind::Interrupted;
                self.tally.failed.fetch_or(!interrupted, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

/// Uncompressed octets, a window at a time.
pub(super) struct Stream {
    source: Box<dyn Read + Send>,
    tally: Arc<Tally>,
    compression: Option<&'static str>,
    buffer: Box<[u8]>,
    /// The window: what has been read and not yet consumed.
    start: usize,
    end: usize,
    /// Offset of the buffer's first octet in the uncompressed stream.
    origin: u64,
    ended: bool,
    /// Met behind what the window shows; told when more is wanted.
    failure: Option<io::Error>,
}

impl Stream {
    /// Looks at the first octets and uncompresses the rest accordingly.
    pub fn new(source: impl Read + Send + 'static) -> Result<Self, Fault> {
        let tally = Arc::new(Tally::default());
        let mut source = Tallied {
            source,
            tally: Arc::clone(&tally),
        };
        let unread = |cause| Fault::Read { offset: 0, cause };
        let mut head = Vec::with_capacity(4);
        source
            .by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(unread)?;
        let compression = compression(&head);
        let whole = Cursor::new(head).chain(source);
        let source: Box<dyn Read + Send> = match compression {
            Some("gzip") => Box::new(MultiGzDecoder::new(BufReader::with_capacity(
                READ_AHEAD, whole,
            ))),
            Some(_) => {
                let ahead = BufReader::with_capacity(READ_AHEAD, whole);
                Box::new(zstd::Decoder::with_buffer(ahead).map_err(unread)?)
            }
            None => Box::new(whole),
        };
        Ok(Self {
            source,
            tally,
            compression,
            buffer: vec![0; CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
            origin: 0,
            ended: false,
            failure: None,
        })
    }

    /// Octets of the file as it is stored that have been read so far.
    pub fn stored(&self) -> u64 {
        self.tally.read.load(Ordering::Relaxed)
    }

    /// Offset of the window in the uncompressed stream.
    #[inline]
    pub const fn offset(&self) -> u64 {
        self.origin + self.start as u64
    }

    /// Where the window begins in the buffer; good until the next [`Stream::fill`].
    #[inline]
    pub const fn position(&self) -> usize {
        self.start
    }

    /// What has been read and not yet consumed.
    #[inline]
    pub fn window(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The whole buffer, for what was found by position.
    #[inline]
    pub fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Gives the buffer away for `other`, where the window goes on.
    pub fn exchange(&mut self, other: &mut Box<[u8]>) {
        debug_assert_eq!(other.len(), CAPACITY);
        let length = self.end - self.start;
        other[..length].copy_from_slice(self.window());
        std::mem::swap(&mut self.buffer, other);
        self.origin += self.start as u64;
        (self.start, self.end) = (0, length);
    }

    /// Moves the window's beginning; `count` may not exceed its length.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.start);
        self.start += count;
    }

    /// Makes the window at least `need` octets long (at most [`CAPACITY`]); false if the stream
    /// ends before.
    #[inline]
    pub fn fill(&mut self, need: usize) -> Result<bool, Fault> {
        if need <= self.end - self.start {
            return Ok(true);
        }
        self.read(need)
    }

    #[cold]
    fn read(&mut self, need: usize) -> Result<bool, Fault> {
        debug_assert!(need <= CAPACITY);
        self.buffer.copy_within(self.start..self.end, 0);
        self.origin += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        let goal = need.max(CHUNK);
        while self.end < goal && !self.ended && self.failure.is_none() {
            match self.source.read(&mut self.buffer[self.end..goal]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.failure = Some(error),
            }
        }
        match self.failure.take_if(|_| self.end < need) {
            Some(error) => Err(self.fault(error)),
            None => Ok(self.end >= need),
        }
    }

    /// Passes over `count` octets, however many; returns how many the stream lacks.
    pub fn skip(&mut self, mut count: u64) -> Result<u64, Fault> {
        while count > 0 && self.fill(1)? {
            let step = (self.window().len() as u64).min(count);
            self.consume(step as usize);
            count -= step;
        }
        Ok(count)
    }

    /// A decoder fails on what it is fed, unless the file below it failed first.
    fn fault(&self, cause: io::Error) -> Fault {
        let offset = self.origin + self.end as u64;
        match self.compression {
            Some(format) if !self.tally.failed.load(Ordering::Relaxed) => Fault::Compression {
                format,
                offset,
                cause,
            },
            _ => Fault::Read { offset, cause },
        }
    }
}

/// gzip: RFC 1952 §2.3.1; zstd: RFC 8878 §3.1 (a frame, or a skippable one in front of it).
const fn compression(head: &[u8]) -> Option<&'static str> {
    match head {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Some("zstd"),
        _ => None,
    }
}
