//! Records of one file.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use super::{CaptureError, Fault, Found, Record, Run, pcap::Pcap, pcapng::Pcapng, stream::Stream};

/// The records of one capture file, or of standard input, in the order in which they stand there.
pub struct Reader {
    name: String,
    stream: Stream,
    format: Format,
    /// Octets of the file as it is stored, where that is known.
    total: Option<u64>,
    /// Where the last record lies that was found.
    found: Found,
    ended: bool,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// How far a reader has come, in octets of the file as it is stored (compressed, if it is).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Octets read.
    pub read: u64,
    /// Octets there are, unless it is a pipe.
    pub total: Option<u64>,
}

impl Reader {
    /// Opens a file and reads its header; "-" is standard input.
    ///
    /// # Errors
    /// The file cannot be opened, is no capture, or its only link type is not supported.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        if path.as_os_str() == "-" {
            return Self::from_read("standard input", io::stdin());
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) =
            opened.map_err(|error| CaptureError::new(&name, Fault::Open(error)))?;
        let mut reader = Self::from_read(&name, file)?;
        reader.total = metadata.is_file().then_some(metadata.len());
        Ok(reader)
    }

    /// Reads the header of anything that can be read; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn from_read(name: &str, source: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        let begun = Stream::new(source).and_then(|mut stream| {
            let format = Format::begin(&mut stream)?;
            Ok((stream, format))
        });
        let (stream, format) = begun.map_err(|fault| CaptureError::new(name, fault))?;
        let (name, found) = (name.to_owned(), Found::EMPTY);
        Ok(Self {
            name,
            stream,
            format,
            total: None,
            found,
            ended: false,
        })
    }

    /// The next record, which lives in the reader's buffer until the next call; `None` at the
    /// end.
    ///
    /// # Errors
    /// The capture is damaged or cannot be read on. All records in front of that have been
    /// handed out, and every later call returns `None`.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend its items"
    )]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        Ok(if self.advance()? {
            Some(self.record())
        } else {
            None
        })
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            read: self.stream.stored(),
            total: self.total,
        }
    }

    /// What errors call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Finds the next record, if there is one, for [`Reader::record`] to show.
    #[inline]
    pub(super) fn advance(&mut self) -> Result<bool, CaptureError> {
        let found = self.find()?;
        if let Some(found) = found {
            self.found = found;
        }
        Ok(found.is_some())
    }

    /// Inlined, so that what is found goes from registers to where it is kept.
    #[inline(always)]
    fn find(&mut self) -> Result<Option<Found>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.advance(&mut self.stream),
            Format::Pcapng(pcapng) => pcapng.advance(&mut self.stream),
        };
        self.ended = !matches!(found, Ok(Some(_)));
        found.map_err(|fault| CaptureError::new(&self.name, fault))
    }

    /// The record found last.
    #[inline]
    pub(super) fn record(&self) -> Record<'_> {
        self.found.record(self.stream.buffer())
    }

    /// Hands out every record that lies whole in the buffer, at least one unless this is the end,
    /// and the buffer with them. `found` says that the first was found already. An error comes
    /// behind the records in front of it.
    pub(super) fn hand_out(&mut self, run: &mut Run, found: bool) -> Result<(), CaptureError> {
        run.truncate(0);
        if found {
            run.push(self.found);
        } else if let Some(found) = self.find()? {
            run.push(found);
        }
        let mut damage = Ok(());
        while !run.is_empty() && self.format.has_whole_record(self.stream.window()) {
            match self.find() {
                Ok(Some(found)) => run.push(found),
                Ok(None) => break,
                Err(error) => {
                    damage = Err(error);
                    break;
                }
            }
        }
        self.stream.exchange(run.octets());
        damage
    }

    /// Time of the record found last.
    pub(super) const fn time(&self) -> u64 {
        self.found.time
    }
}

impl Format {
    /// Whether the next record can be found without reading on; false also when in doubt.
    #[inline]
    fn has_whole_record(&self, window: &[u8]) -> bool {
        match self {
            Self::Pcap(pcap) => pcap.has_whole_record(window),
            Self::Pcapng(pcapng) => pcapng.has_whole_record(window),
        }
    }

    fn begin(stream: &mut Stream) -> Result<Self, Fault> {
        stream.fill(4)?;
        if Pcapng::recognises(stream) {
            return Ok(Self::Pcapng(Pcapng::begin()));
        }
        match Pcap::begin(stream)? {
            Some(pcap) => Ok(Self::Pcap(pcap)),
            None => Err(Fault::UnknownFormat {
                what: describe(stream.window()),
            }),
        }
    }
}

/// What a file that is no capture may be.
fn describe(head: &[u8]) -> String {
    let known = match head {
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("xz data"),
        [b'B', b'Z', b'h', ..] => Some("bzip2 data"),
        [0x04, 0x22, 0x4d, 0x18, ..] => Some("lz4 data"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive"),
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed twice"),
        [b's', b'n', b'o', b'o', b'p', 0, ..] => Some("a snoop capture"),
        _ => None,
    };
    match (known, head) {
        (Some(known), _) => format!("it is {known}, decompress or convert it first"),
        (None, [a, b, c, d, ..]) => format!("it begins with {a:02x} {b:02x} {c:02x} {d:02x}"),
        (None, _) => "it is too short".to_owned(),
    }
}
