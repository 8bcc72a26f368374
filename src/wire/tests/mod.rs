//! The rules of `wire`, each as a sentence, and its promises, over packets built by hand.

mod build;
mod corpus;
mod links;
mod packets;
mod promises;
mod redirects;
mod resets;
mod segments;
mod stacks;
mod triaged;

use std::net::IpAddr;

use super::*;

/// The provider's concentrators in these tests; the contract of `wire` knows the same.
const AFTR: &str = "2001:db8:64::1";
const RELAY_6IN4: &str = "192.88.99.1";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn is_concentrator(address: IpAddr) -> bool {
    address == ip(AFTR) || address == ip(RELAY_6IN4)
}

/// Decodes a frame that nothing was cut off.
fn whole(link: Link, bytes: &[u8]) -> Decoded {
    cut(link, bytes, bytes.len())
}

/// Decodes what a capture kept of a frame.
fn cut(link: Link, bytes: &[u8], wire_length: usize) -> Decoded {
    decode(bytes, wire_length as u32, link, &is_concentrator)
}

fn ethernet(bytes: &[u8]) -> Decoded {
    whole(Link::Ethernet, bytes)
}

fn crosses(crossing: Crossing) -> Decoded {
    Decoded::Crosses(crossing)
}

/// A frame as [`check_contract`] and the fuzz target want it: link, octets cut off (in steps of 8),
/// bytes.
fn case(link: Link, cut: u8, frame: &[u8]) -> Vec<u8> {
    let index = match link {
        Link::Ethernet => 0,
        Link::Ip => 1,
        Link::LinuxSll => 2,
        Link::LinuxSll2 => 3,
        Link::Loopback => 4,
        Link::Ppp => 5,
    };
    [&[index | cut << 3], frame].concat()
}

/// The segment in a frame, which must hold one.
#[track_caller]
fn segment(decoded: Decoded) -> Segment {
    match decoded {
        Decoded::Segment(segment) => segment,
        other => panic!("expected a segment, got {other:?}"),
    }
}

/// The rule that a frame broke, which must have broken one.
#[track_caller]
fn fault(decoded: Decoded) -> Fault {
    match decoded {
        Decoded::Evasion(evasion) => evasion.fault,
        other => panic!("expected an evasion, got {other:?}"),
    }
}
