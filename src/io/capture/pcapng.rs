//! pcapng: sections of blocks (<https://datatracker.ietf.org/doc/html/draft-ietf-opsawg-pcapng>).
//!
//! Section headers and interface descriptions are parsed by pcap-parser, blocks are framed here:
//! only so can a block that overruns itself be told from a file that ends. Packet blocks are laid
//! out here, too: pcap-parser collects a packet's options in a `Vec`, which costs 44 ns a packet
//! that has one (15 ns without) against 5 ns, and does not know the obsolete Packet Block.
//!
//! A frame check sequence that options announce stays in place: behind the IP packet's own end
//! it is no different from Ethernet's padding.

use pcap_parser::{
    BOM_MAGIC, EPB_MAGIC, IDB_MAGIC, InterfaceDescriptionBlock, OptionCode, SHB_MAGIC, SPB_MAGIC,
    parse_interfacedescriptionblock_be, parse_interfacedescriptionblock_le,
    parse_sectionheaderblock,
};

use super::{
    Fault, Found, captured_max, link,
    pcap::cut,
    stream::{CAPACITY, Stream},
};
use crate::wire::Link;

/// Type of the obsolete Packet Block.
const PACKET_BLOCK: u32 = 2;
/// A section may describe this many interfaces.
const INTERFACES_MAX: usize = 65_536;
/// A block that is passed over may be this long (Wireshark's and libpcap's bound).
const SKIPPED_MAX: usize = 16 * 1024 * 1024;
/// Type and length in front of a block's body.
const BLOCK_HEADER: usize = 8;

/// The section being read.
pub(super) struct Pcapng {
    big_endian: bool,
    interfaces: Vec<Interface>,
    /// Time of the record before, for Simple Packets.
    time: u64,
}

/// Where packets come from.
struct Interface {
    /// The number of a link type that is not supported is refused with its first packet.
    link: Result<Link, u16>,
    clock: Clock,
    snap_length: u32,
    captured_max: usize,
}

/// The header of a packet block, whichever of the three it is.
struct Packet {
    interface: usize,
    /// Nothing in a Simple Packet Block.
    ticks: Option<u64>,
    /// Likewise: then it is the original length, as far as the interface's snap length goes.
    captured: Option<u32>,
    original: u32,
    /// Where the frame begins in the block.
    start: usize,
}

impl Pcapng {
    /// Whether the window begins with a section header.
    pub fn recognises(stream: &Stream) -> bool {
        stream.window().starts_with(&SHB_MAGIC.to_le_bytes())
    }

    /// At the beginning of a file that [`Pcapng::recognises`].
    pub const fn begin() -> Self {
        Self {
            big_endian: false,
            interfaces: Vec::new(),
            time: 0,
        }
    }

    /// Whether the window begins with a whole packet block.
    #[inline]
    pub fn has_whole_record(&self, window: &[u8]) -> bool {
        if window.len() < BLOCK_HEADER {
            return false;
        }
        let [kind, length] = self.words(window);
        matches!(kind, EPB_MAGIC | SPB_MAGIC | PACKET_BLOCK) && window.len() >= length as usize
    }

    /// Finds the next packet and consumes it, and whatever stands in front of it.
    pub fn advance(&mut self, stream: &mut Stream) -> Result<Option<Found>, Fault> {
        loop {
            if !stream.fill(BLOCK_HEADER)? {
                let clean = stream.window().is_empty();
                let end = || cut(stream, "block", BLOCK_HEADER + 4);
                return if clean { Ok(None) } else { Err(end()) };
            }
            let [kind] = self.words(stream.window());
            match kind {
                EPB_MAGIC => return self.packet(stream, 32, Self::enhanced_packet).map(Some),
                SPB_MAGIC => return self.packet(stream, 16, Self::simple_packet).map(Some),
                PACKET_BLOCK => return self.packet(stream, 32, Self::obsolete_packet).map(Some),
                IDB_MAGIC => self.describe_interface(stream)?,
                // Reads the same in either order.
                SHB_MAGIC => self.begin_section(stream)?,
                _ => self.skip(stream)?,
            }
        }
    }

    #[inline]
    fn packet(
        &mut self,
        stream: &mut Stream,
        least: usize,
        header: impl FnOnce(&Self, &[u8]) -> Packet,
    ) -> Result<Found, Fault> {
        let length = self.whole_block(stream, least)?;
        let packet = header(self, stream.window());
        let Some(interface) = self.interfaces.get(packet.interface) else {
            return Err(self.unknown_interface(stream, packet.interface));
        };
        let captured = packet
            .captured
            .unwrap_or_else(|| match interface.snap_length {
                0 => packet.original,
                snap_length => packet.original.min(snap_length),
            });
        let room = length - 4 - packet.start;
        if captured as usize > room.min(interface.captured_max) {
            return Err(too_long(stream, captured, room, interface.captured_max));
        }
        let offset = stream.offset();
        let link = interface
            .link
            .map_err(|number| link::unsupported(number.into(), offset))?;
        self.time = packet
            .ticks
            .map_or(self.time, |ticks| interface.clock.nanoseconds(ticks));
        let start = stream.position() + packet.start;
        stream.consume(length);
        Ok(Found {
            time: self.time,
            link,
            start,
            length: captured as usize,
            wire_length: packet.original.max(captured),
        })
    }

    fn enhanced_packet(&self, block: &[u8]) -> Packet {
        let [_, _, interface, high, low, captured, original] = self.words(block);
        Packet {
            interface: interface as usize,
            ticks: Some(u64::from(high) << 32 | u64::from(low)),
            captured: Some(captured),
            original,
            start: 28,
        }
    }

    fn obsolete_packet(&self, block: &[u8]) -> Packet {
        // Behind the interface's number stands the count of packets lost.
        let number = field(block, 8);
        let number = if self.big_endian {
            u16::from_be_bytes(number)
        } else {
            u16::from_le_bytes(number)
        };
        Packet {
            interface: number.into(),
            ..self.enhanced_packet(block)
        }
    }

    fn simple_packet(&self, block: &[u8]) -> Packet {
        let [_, _, original] = self.words(block);
        Packet {
            interface: 0,
            ticks: None,
            captured: None,
            original,
            start: 12,
        }
    }

    #[cold]
    fn unknown_interface(&self, stream: &Stream, number: usize) -> Fault {
        let count = self.interfaces.len();
        let what = format!(
            "a packet of interface {number} in a section that has described {count} so far"
        );
        corrupt(stream, what)
    }

    fn begin_section(&mut self, stream: &mut Stream) -> Result<(), Fault> {
        if !stream.fill(12)? {
            return Err(cut(stream, "section header", 28));
        }
        self.big_endian = match field(stream.window(), 8) {
            magic if u32::from_le_bytes(magic) == BOM_MAGIC => false,
            magic if u32::from_be_bytes(magic) == BOM_MAGIC => true,
            _ => {
                return Err(corrupt(
                    stream,
                    "a section header without its byte-order magic",
                ));
            }
        };
        let length = self.whole_block(stream, 28)?;
        let version = match parse_sectionheaderblock(&stream.window()[..length]) {
            Ok((_, header)) => (header.major_version, header.minor_version),
            Err(_) => return Err(corrupt(stream, "a section header that overruns itself")),
        };
        if version.0 != 1 {
            let (major, minor) = version;
            let what = format!("pcapng version {major}.{minor}, where only 1 is known");
            return Err(corrupt(stream, what));
        }
        self.interfaces.clear();
        stream.consume(length);
        Ok(())
    }

    fn describe_interface(&mut self, stream: &mut Stream) -> Result<(), Fault> {
        let length = self.whole_block(stream, 20)?;
        let block = &stream.window()[..length];
        let parsed = if self.big_endian {
            parse_interfacedescriptionblock_be(block)
        } else {
            parse_interfacedescriptionblock_le(block)
        };
        let Ok((_, description)) = parsed else {
            return Err(corrupt(
                stream,
                "an interface description that overruns itself",
            ));
        };
        let Some(clock) = Clock::of_interface(&description, self.big_endian, length - 20) else {
            return Err(corrupt(
                stream,
                "an interface description with malformed options",
            ));
        };
        if self.interfaces.len() == INTERFACES_MAX {
            return Err(corrupt(
                stream,
                format!("more than {INTERFACES_MAX} interfaces"),
            ));
        }
        let number = description.linktype.0 as u16;
        let snap_length = description.snaplen;
        let link = link::of_number(number.into()).ok_or(number);
        let captured_max = captured_max(snap_length);
        self.interfaces.push(Interface {
            link,
            clock,
            snap_length,
            captured_max,
        });
        stream.consume(length);
        Ok(())
    }

    /// Statistics, names, secrets, journals and what others may have invented.
    fn skip(&self, stream: &mut Stream) -> Result<(), Fault> {
        let length = self.length(stream, 12, SKIPPED_MAX)?;
        if length <= CAPACITY {
            let length = self.whole_block(stream, 12)?;
            stream.consume(length);
            return Ok(());
        }
        let offset = stream.offset();
        let lacking = stream.skip(length as u64 - 4)?;
        let at_end = lacking == 0 && stream.fill(4)?;
        if !at_end {
            let left = stream.offset() + stream.window().len() as u64 - offset;
            return Err(Fault::Truncated {
                offset,
                what: "block",
                needed: length as u64,
                left,
            });
        }
        let [end] = self.words(stream.window());
        if end as usize != length {
            return Err(Fault::Corrupt {
                offset,
                what: two_lengths(length, end),
            });
        }
        stream.consume(4);
        Ok(())
    }

    /// Has the next block in the window, end to end; returns its length.
    #[inline]
    fn whole_block(&self, stream: &mut Stream, least: usize) -> Result<usize, Fault> {
        let length = self.length(stream, least, CAPACITY)?;
        if !stream.fill(length)? {
            return Err(cut(stream, "block", length));
        }
        let [end] = self.words(&stream.window()[length - 4..]);
        if end as usize != length {
            return Err(corrupt(stream, two_lengths(length, end)));
        }
        Ok(length)
    }

    #[inline]
    fn length(&self, stream: &Stream, least: usize, most: usize) -> Result<usize, Fault> {
        let [kind, length] = self.words(stream.window());
        let octets = length as usize;
        if octets < least || octets > most || !octets.is_multiple_of(4) {
            let what = format!(
                "a block of type {kind:#x} and {length} octets, where a multiple of 4 from {least} \
                 to {most} is credible"
            );
            return Err(corrupt(stream, what));
        }
        Ok(octets)
    }

    /// The first fields of 32 bits of a block that is known to be long enough.
    #[inline]
    fn words<const N: usize>(&self, octets: &[u8]) -> [u32; N] {
        let mut words = [0; N];
        let (fields, _) = octets[..N * 4].as_chunks();
        for (word, &field) in words.iter_mut().zip(fields) {
            *word = if self.big_endian {
                u32::from_be_bytes(field)
            } else {
                u32::from_le_bytes(field)
            };
        }
        words
    }
}

/// How an interface's ticks become nanoseconds since 1970.
struct Clock {
    scale: Scale,
    /// Seconds to add.
    offset: i64,
}

enum Scale {
    /// Ticks of 10^-9 s and longer.
    Multiply(u64),
    /// Shorter ones.
    Divide(u64),
    /// Ticks of 2^-n s.
    Binary(u8),
}

impl Clock {
    /// What the options if_tsresol and if_tsoffset say, unless options are malformed; `room` is
    /// how many octets of the block are options.
    ///
    /// pcap-parser 0.17 has these two as fields, but reads if_tsoffset little-endian in every
    /// section and refuses resolutions by powers of 2.
    fn of_interface(
        description: &InterfaceDescriptionBlock<'_>,
        big_endian: bool,
        room: usize,
    ) -> Option<Self> {
        let mut clock = Self {
            scale: Scale::Multiply(1000),
            offset: 0,
        };
        let mut parsed = 0;
        for option in &description.options {
            parsed += 4 + option.value.len();
            match (option.code, option.as_bytes()) {
                (OptionCode::EndOfOpt, _) => return Some(clock),
                (OptionCode::IfTsresol, Ok(&[resolution])) => {
                    clock.scale = Scale::of_resolution(resolution);
                }
                (OptionCode::IfTsoffset, Ok(value)) => {
                    let value = value.try_into().ok()?;
                    clock.offset = if big_endian {
                        i64::from_be_bytes(value)
                    } else {
                        i64::from_le_bytes(value)
                    };
                }
                (OptionCode::IfTsresol, _) | (_, Err(_)) => return None,
                _ => {}
            }
        }
        (parsed == room).then_some(clock)
    }

    fn nanoseconds(&self, ticks: u64) -> u64 {
        let time = self.scale.nanoseconds(ticks);
        if self.offset == 0 {
            return time;
        }
        let time = i128::from(time) + i128::from(self.offset) * 1_000_000_000;
        time.clamp(0, u64::MAX.into()) as u64
    }
}

impl Scale {
    fn of_resolution(resolution: u8) -> Self {
        let power = resolution & 0x7f;
        match power {
            _ if resolution & 0x80 != 0 => Self::Binary(power),
            0..=9 => Self::Multiply(10_u64.pow(u32::from(9 - power))),
            // So short that 64 bits of them are no nanosecond.
            _ => 10_u64
                .checked_pow(u32::from(power - 9))
                .map_or(Self::Binary(127), Self::Divide),
        }
    }

    fn nanoseconds(&self, ticks: u64) -> u64 {
        match *self {
            Self::Multiply(factor) => ticks.saturating_mul(factor),
            Self::Divide(divisor) => ticks / divisor,
            Self::Binary(power) => {
                let time = (u128::from(ticks) * 1_000_000_000) >> power;
                u64::try_from(time).unwrap_or(u64::MAX)
            }
        }
    }
}

/// A field of a block that is known to be long enough.
fn field<const N: usize>(octets: &[u8], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&octets[at..at + N]);
    field
}

#[cold]
fn corrupt(stream: &Stream, what: impl Into<String>) -> Fault {
    Fault::Corrupt {
        offset: stream.offset(),
        what: what.into(),
    }
}

#[cold]
fn too_long(stream: &Stream, captured: u32, room: usize, max: usize) -> Fault {
    let what = if captured as usize > room {
        format!("{captured} octets captured in a block with room for {room}")
    } else {
        format!("{captured} octets captured, where at most {max} are credible")
    };
    corrupt(stream, what)
}

fn two_lengths(first: usize, second: u32) -> String {
    format!("a block of {first} octets by its beginning and {second} by its end")
}
