//! Frames to send: plain ones, and those of every odd kind.

use lychgate::synth::packet::{Packet, UPLINK_MAC};

pub use super::odd::{LENGTHS, changed, golden, odd};

/// A SYN to a mail server.
pub fn syn() -> Vec<u8> {
    let packet = Packet::ethernet().ipv4("192.0.2.1", "198.51.100.25");
    packet.tcp(40_000, 25).flags(0x02).build()
}

/// Something of the web.
pub fn web() -> Vec<u8> {
    let packet = Packet::ethernet().ipv4("192.0.2.1", "198.51.100.80");
    packet.tcp(40_000, 443).flags(0x10).build()
}

/// ARP: no mail, but nothing that the kernel program would know either.
pub fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(UPLINK_MAC);
    frame.extend([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.resize(60, 0);
    frame
}
