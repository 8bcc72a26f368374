//! Reading and writing capture files.
//!
//! A [`Reader`] hands out the [`Record`]s of one file or of standard input, in the order in which
//! they stand there; a [`Merge`] hands out those of several readers in the order of their times,
//! one by one or as [`Run`]s; a [`Writer`] writes pcapng and a [`PcapWriter`] classic pcap.
//!
//! What this module promises:
//!
//! - **Everything in front of damage is handed out**, then one [`CaptureError`] that says where
//!   (in octets of the uncompressed stream) and what, then nothing more.
//! - **Memory is bounded**, whatever a file claims: one buffer a reader, records are slices into
//!   it or into a run's, nothing is allocated per record. A zstd stream may ask for a window of up to 128 MiB.
//! - **Formats are told by their first octets**, never by the name: pcap (µs, ns, either byte
//!   order, Kuznetzov's variant) and pcapng (several sections and interfaces), each plain or
//!   compressed by gzip or zstd.
//!
//! What it leaves to others: time that runs backwards (the replay clamps and counts), what is in
//! a frame (`wire`), which input is which port (the replay).
//!
//! | file | noun |
//! |---|---|
//! | `stream` | octets in order, uncompressed, in one buffer |
//! | `pcap`, `pcapng` | where the next record lies in that buffer |
//! | `reader`, `merge` | records of one file, of several |
//! | `run` | records a bufferful at a time |
//! | `writer` | records to a file |
//! | `link` | which link types there are, and what they are to `wire` |
//! | `error` | what went wrong, where, and what to do |
//!
//! The layout of file headers, classic records and pcapng's descriptions comes from `pcap-parser`.
//! Packet blocks and written records are laid out here; the reasons stand where that is done.

mod error;
mod link;
mod merge;
mod pcap;
mod pcapng;
mod reader;
mod run;
mod stream;
mod writer;

use crate::wire::Link;

pub use error::{CaptureError, Fault};
pub use merge::Merge;
pub use reader::{Progress, Reader};
pub use run::Run;
pub use writer::{PcapWriter, Precision, Writer};

/// At most this many octets of one frame are captured (`MAXIMUM_SNAPLEN` of libpcap). A record
/// that claims more is taken for damage.
pub const CAPTURED_MAX: usize = 256 * 1024;

/// One captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When, in nanoseconds since the Unix epoch. Times before 1970 or after 2554 are clamped to
    /// these ends; a pcapng Simple Packet, which has no time, has that of the record before it.
    pub time: u64,
    /// What its first octets are.
    pub link: Link,
    /// What was captured of it, from its link-layer header on, without a frame check sequence
    /// that the file's header announces.
    pub bytes: &'a [u8],
    /// Its length on the wire in octets, likewise without; never less than `bytes.len()`.
    pub wire_length: u32,
}

/// Where a record lies in a stream's buffer, and what its header said.
#[derive(Clone, Copy, Debug)]
struct Found {
    time: u64,
    link: Link,
    start: usize,
    length: usize,
    wire_length: u32,
}

impl Found {
    /// Before the first record.
    const EMPTY: Self = Self {
        time: 0,
        link: Link::Ethernet,
        start: 0,
        length: 0,
        wire_length: 0,
    };

    #[inline]
    fn record<'a>(&self, buffer: &'a [u8]) -> Record<'a> {
        Record {
            time: self.time,
            link: self.link,
            bytes: &buffer[self.start..self.start + self.length],
            wire_length: self.wire_length,
        }
    }
}

/// How many octets of one frame a file with this snap length may hold: twice as many as it says
/// and at least 64 KiB, because writers state too little, but never more than [`CAPTURED_MAX`].
fn captured_max(snap_length: u32) -> usize {
    match snap_length as usize {
        0 => CAPTURED_MAX,
        stated => stated.saturating_mul(2).clamp(65_536, CAPTURED_MAX),
    }
}
