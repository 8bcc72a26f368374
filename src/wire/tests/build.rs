//! Packets by hand, from the inside out: each function puts one header in front of what it is
//! given. Nothing here knows the code under test.

use std::net::{Ipv4Addr, Ipv6Addr};

pub const SYN: u16 = 0x02;
pub const ACK: u16 = 0x10;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
pub const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 80);
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 10);
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x25, 0, 0, 0, 0, 80);

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// TCP with `words` words of options (no-operations) and `data` octets of payload.
pub fn tcp_with(ports: (u16, u16), flags: u16, words: u8, data: usize) -> Vec<u8> {
    let offset_and_flags = (u16::from(5 + words) << 12) | flags;
    joined(&[
        &ports.0.to_be_bytes(),
        &ports.1.to_be_bytes(),
        &0x0102_0304_u32.to_be_bytes(), // sequence
        &0x0a0b_0c0d_u32.to_be_bytes(), // acknowledgement
        &offset_and_flags.to_be_bytes(),
        &[0x20, 0, 0, 0, 0, 0], // window, checksum, urgent pointer
        &vec![1; usize::from(words) * 4],
        &vec![b'x'; data],
    ])
}

pub fn tcp(ports: (u16, u16), flags: u16) -> Vec<u8> {
    tcp_with(ports, flags, 0, 0)
}

/// A plain attempt to port 25.
pub fn attempt() -> Vec<u8> {
    tcp((40_000, 25), SYN)
}

pub fn udp(ports: (u16, u16), data: usize) -> Vec<u8> {
    let length = 8 + data as u16;
    joined(&[
        &ports.0.to_be_bytes(),
        &ports.1.to_be_bytes(),
        &length.to_be_bytes(),
        &[0, 0],
        &vec![b'u'; data],
    ])
}

/// An IPv4 header's parts that tests vary.
#[derive(Clone, Debug)]
pub struct V4 {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    /// Flags and fragment offset as they stand in the header.
    pub fragment: u16,
    pub options: Vec<u8>,
}

impl Default for V4 {
    fn default() -> Self {
        Self {
            source: CLIENT,
            destination: SERVER,
            protocol: TCP,
            fragment: 0x4000,
            options: Vec::new(),
        }
    }
}

impl V4 {
    pub fn around(&self, payload: &[u8]) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let total = (header_length + payload.len()) as u16;
        let mut packet = joined(&[
            &[0x40 | (header_length / 4) as u8, 0],
            &total.to_be_bytes(),
            &[0x12, 0x34],
            &self.fragment.to_be_bytes(),
            &[61, self.protocol, 0, 0],
            &self.source.octets(),
            &self.destination.octets(),
            &self.options,
            payload,
        ]);
        sum_ipv4(&mut packet, header_length);
        packet
    }
}

/// Writes the right checksum into an IPv4 header.
pub fn sum_ipv4(packet: &mut [u8], header_length: usize) {
    packet[10..12].fill(0);
    let mut sum: u32 = packet[..header_length]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) * 256 + u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    packet[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    V4 {
        protocol,
        ..V4::default()
    }
    .around(payload)
}

pub fn ipv6_between(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    joined(&[
        &[0x60, 0, 0, 0],
        &(payload.len() as u16).to_be_bytes(),
        &[next_header, 61],
        &source.octets(),
        &destination.octets(),
        payload,
    ])
}

pub fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    ipv6_between(CLIENT6, SERVER6, next_header, payload)
}

/// An IPv6 extension header of `length` octets in front of `payload`.
pub fn extension(kind: u8, length: usize, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![0; length];
    header[0] = next_header;
    header[1] = if kind == 51 {
        length / 4 - 2
    } else {
        length / 8 - 1
    } as u8;
    joined(&[&header, payload])
}

/// An IPv6 fragment header; `offset` in units of 8 octets.
pub fn fragment(offset: u16, more: bool, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let field = (offset << 3) | u16::from(more);
    joined(&[
        &[next_header, 0],
        &field.to_be_bytes(),
        &[0, 0, 0, 7],
        payload,
    ])
}

pub const MACS: [u8; 12] = [0x02, 0, 0, 0, 0, 0xbb, 0x02, 0, 0, 0, 0, 0xaa];

pub fn ether(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    joined(&[&MACS, &ethertype.to_be_bytes(), payload])
}

/// Pads as a network card does.
pub fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}

/// A VLAN tag's control field and the ethertype it hides.
pub fn tag(vid: u16, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    joined(&[&vid.to_be_bytes(), &ethertype.to_be_bytes(), payload])
}

pub fn pppoe(payload: &[u8]) -> Vec<u8> {
    joined(&[
        &[0x11, 0, 0, 1],
        &(payload.len() as u16).to_be_bytes(),
        payload,
    ])
}

pub fn label(bottom: bool, payload: &[u8]) -> Vec<u8> {
    joined(&[&[0x00, 0x01, 0x20 | u8::from(bottom), 64], payload])
}

pub fn snap(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    joined(&[
        &[0xaa, 0xaa, 0x03, 0, 0, 0],
        &ethertype.to_be_bytes(),
        payload,
    ])
}

/// Overwrites a 16-bit field.
pub fn set16(frame: &mut [u8], at: usize, value: u16) {
    frame[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
