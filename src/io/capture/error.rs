//! What can go wrong with a capture file, said so that its owner can do something about it.
//!
//! A message is whole: it has its cause in it, so that none of these has a `source`.

use std::io;

use thiserror::Error;

/// A capture that cannot be read, read further or written: which one and why.
#[derive(Debug, Error)]
#[error("{file}: {fault}")]
pub struct CaptureError {
    /// The file's path, or "standard input" or "standard output".
    pub file: String,
    /// What is wrong.
    pub fault: Fault,
}

impl CaptureError {
    pub(super) fn new(file: &str, fault: Fault) -> Self {
        let file = file.to_owned();
        Self { file, fault }
    }

    /// Where the damage begins, in octets of the uncompressed stream, if it has a place.
    #[must_use]
    pub const fn offset(&self) -> Option<u64> {
        match self.fault {
            Fault::Truncated { offset, .. }
            | Fault::Corrupt { offset, .. }
            | Fault::UnsupportedLinkType { offset, .. }
            | Fault::Compression { offset, .. }
            | Fault::Read { offset, .. } => Some(offset),
            Fault::Open(_)
            | Fault::UnknownFormat { .. }
            | Fault::Unwritable(_)
            | Fault::Write(_) => None,
        }
    }
}

/// What is wrong with a capture.
#[derive(Debug, Error)]
pub enum Fault {
    /// It cannot be opened or created.
    #[error("cannot be opened: {0}; check the path and its permissions")]
    Open(io::Error),

    /// It is neither pcap nor pcapng.
    #[error("not a capture: {what}; pcap and pcapng are read, plain or compressed by gzip or zstd")]
    UnknownFormat {
        /// What it is instead.
        what: String,
    },

    /// Its frames begin with something that `wire` does not read.
    #[error(
        "link type {} at offset {offset} is not supported; capture on an interface with Ethernet, \
         raw IP, Linux cooked, BSD loopback or PPP framing",
        super::link::describe(*number)
    )]
    UnsupportedLinkType {
        /// The `LINKTYPE_` number.
        number: u32,
        /// Its name, if it is one of the common ones.
        name: Option<&'static str>,
        /// Where the file's header, or the first packet of such an interface, begins.
        offset: u64,
    },

    /// It ends in the middle of a header, record or block.
    #[error(
        "cut short: the {what} at offset {offset} is {needed} octets long and {left} of them are \
         there; all before it was read, copy the file again if it was longer once"
    )]
    Truncated {
        /// Where the incomplete part begins.
        offset: u64,
        /// What is incomplete.
        what: &'static str,
        /// How long it is, in octets, as far as is known.
        needed: u64,
        /// How many octets of it there are.
        left: u64,
    },

    /// It says what cannot be.
    #[error("corrupt at offset {offset}: {what}; all before it was read, copy the file again")]
    Corrupt {
        /// Where the header, record or block that cannot be begins.
        offset: u64,
        /// What it says.
        what: String,
    },

    /// Its gzip or zstd stream is cut short or fails its checks.
    #[error(
        "damaged {format} stream at offset {offset} of its uncompressed content: {cause}; all \
         before it was read, copy the file again or test it with `{format} -t`"
    )]
    Compression {
        /// "gzip" or "zstd".
        format: &'static str,
        /// How many octets could be uncompressed.
        offset: u64,
        /// What the decoder says.
        cause: io::Error,
    },

    /// The system cannot read on.
    #[error("cannot be read at offset {offset}: {cause}; all before it was read")]
    Read {
        /// How many octets could be read.
        offset: u64,
        /// What the system says.
        cause: io::Error,
    },

    /// The format has no place for this record.
    #[error("cannot be written: {0}")]
    Unwritable(String),

    /// The system cannot write on.
    #[error("cannot be written: {0}; check that the disk has room")]
    Write(io::Error),
}
