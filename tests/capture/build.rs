//! Builds captures by hand and reads them back whole.

use std::io::{self, Cursor, Read, Write};

use lychgate::{
    io::capture::{CaptureError, Reader, Record},
    wire::Link,
};

/// A record that owns its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub time: u64,
    pub link: Link,
    pub bytes: Vec<u8>,
    pub wire_length: u32,
}

impl Owned {
    pub fn of(record: &Record<'_>) -> Self {
        let Record {
            time,
            link,
            bytes,
            wire_length,
        } = *record;
        Self {
            time,
            link,
            bytes: bytes.to_vec(),
            wire_length,
        }
    }

    pub fn record(&self) -> Record<'_> {
        let Self {
            time,
            link,
            ref bytes,
            wire_length,
        } = *self;
        Record {
            time,
            link,
            bytes,
            wire_length,
        }
    }
}

/// An Ethernet record whose octets count up from `first`.
pub fn owned(time: u64, first: u8, length: usize) -> Owned {
    let bytes = frame(first, length);
    Owned {
        time,
        link: Link::Ethernet,
        bytes,
        wire_length: length as u32,
    }
}

/// Octets that count up.
pub fn frame(first: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| first.wrapping_add(index as u8))
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

pub const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub fn i64(self, value: i64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }
}

pub const MICROSECONDS: u32 = 0xa1b2_c3d4;
pub const NANOSECONDS: u32 = 0xa1b2_3c4d;
pub const MODIFIED: u32 = 0xa1b2_cd34;

/// A classic header: magic, version 2.4, zone, precision, snap length, link type.
pub fn pcap_header(order: Order, magic: u32, snap_length: u32, link: u32) -> Vec<u8> {
    let mut header = order.u32(magic).to_vec();
    header.extend(order.u16(2));
    header.extend(order.u16(4));
    header.extend(order.words(&[0, 0, snap_length, link]));
    header
}

/// A classic record: seconds, fraction, captured and original length, frame.
pub fn pcap_record(order: Order, time: (u32, u32), original: u32, frame: &[u8]) -> Vec<u8> {
    let mut record = order.words(&[time.0, time.1, frame.len() as u32, original]);
    record.extend(frame);
    record
}

/// A block: type, length, body padded to 4 octets, length.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let length = padded as u32 + 12;
    let mut block = order.words(&[kind, length]);
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(order.u32(length));
    block
}

/// A Section Header Block without options.
pub fn section(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend(order.i64(-1));
    block(order, 0x0a0d_0d0a, &body)
}

/// One option, padded.
pub fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut option = order.u16(code).to_vec();
    option.extend(order.u16(value.len() as u16));
    option.extend(value);
    option.resize(option.len().next_multiple_of(4), 0);
    option
}

/// An Interface Description Block.
pub fn interface(order: Order, link: u16, snap_length: u32, options: &[u8]) -> Vec<u8> {
    let mut body = order.u16(link).to_vec();
    body.extend(order.u16(0));
    body.extend(order.u32(snap_length));
    body.extend(options);
    block(order, 1, &body)
}

/// An Enhanced Packet Block without options.
pub fn enhanced(order: Order, interface: u32, ticks: u64, original: u32, frame: &[u8]) -> Vec<u8> {
    let (high, low) = ((ticks >> 32) as u32, ticks as u32);
    let mut body = order.words(&[interface, high, low, frame.len() as u32, original]);
    body.extend(frame);
    block(order, 6, &body)
}

pub fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(octets).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

pub fn zstandard(octets: &[u8]) -> Vec<u8> {
    zstd::encode_all(octets, 3).expect("a Vec takes all")
}

/// Gives one octet a read, as a slow pipe may.
pub struct Dribble(pub Cursor<Vec<u8>>);

impl Read for Dribble {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = buffer.len().min(1);
        self.0.read(&mut buffer[..end])
    }
}

/// A disk that fails behind some good octets.
pub struct Failing(pub Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the disk fails")),
            count => Ok(count),
        }
    }
}

/// All records, and the error behind them if there is one. A reader that has ended stays so.
pub fn read_from(source: impl Read + Send + 'static) -> (Vec<Owned>, Option<CaptureError>) {
    let mut records = Vec::new();
    let mut reader = match Reader::from_read("test.cap", source) {
        Ok(reader) => reader,
        Err(error) => return (records, Some(error)),
    };
    let error = loop {
        match reader.next() {
            Ok(Some(record)) => records.push(Owned::of(&record)),
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    for _ in 0..2 {
        assert_eq!(reader.next().expect("an error is said once"), None);
    }
    (records, error)
}

pub fn read(octets: &[u8]) -> (Vec<Owned>, Option<CaptureError>) {
    read_from(Cursor::new(octets.to_vec()))
}

/// All records of a capture that is whole.
pub fn read_whole(octets: &[u8]) -> Vec<Owned> {
    let (records, error) = read(octets);
    assert!(error.is_none(), "{}", error.expect("just seen"));
    records
}
