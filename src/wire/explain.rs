//! The walk of [`decode`](super::decode), told layer by layer.

use std::net::IpAddr;

use super::{
    Blemish, Crossing, Decoded, Fault, Link, Segment, Service,
    walk::{Trace, Walk},
};

/// One layer of a frame, or the decision at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Where it begins, in octets from the start of the frame; for the decision, where the last
    /// layer that was read begins.
    pub offset: usize,
    /// What it is: "Ethernet", "VLAN tag", "IPv6", … or "decision".
    pub name: &'static str,
    /// What was read there.
    pub detail: String,
}

impl Trace for &mut Vec<Layer> {
    fn layer(&mut self, offset: usize, name: &'static str, detail: impl FnOnce() -> String) {
        self.push(Layer {
            offset,
            name,
            detail: detail(),
        });
    }
}

/// The layers of a frame, outermost first, and the decision that [`decode`](super::decode) comes
/// to on the same walk. Arguments as there.
#[must_use]
pub fn layers(
    bytes: &[u8],
    wire_length: u32,
    link: Link,
    is_concentrator: &dyn Fn(IpAddr) -> bool,
) -> Vec<Layer> {
    let mut layers = Vec::new();
    let decoded = Walk::new(bytes, wire_length, is_concentrator, &mut layers).decode(link);
    let offset = layers.last().map_or(0, |layer| layer.offset);
    layers.push(Layer {
        offset,
        name: "decision",
        detail: decision(&decoded),
    });
    layers
}

fn decision(decoded: &Decoded) -> String {
    match decoded {
        Decoded::Crosses(crossing) => format!("crosses: {}", crossing_text(*crossing)),
        Decoded::Segment(segment) => segment_text(segment),
        Decoded::Evasion(evasion) => format!("could hide mail: {}", fault_text(evasion.fault)),
        Decoded::Unreadable => "unreadable: the capture was cut before what would tell".to_owned(),
    }
}

fn segment_text(segment: &Segment) -> String {
    let towards = Service::of_port(segment.destination_port);
    let service = match towards.or(Service::of_port(segment.source_port)) {
        Some(Service::Submission) => "submission",
        _ => "SMTP",
    };
    let what = match (segment.flags.is_attempt(), towards) {
        (true, Some(_)) => "attempt",
        (true, None) => "attempt from the mail port",
        (false, _) => "segment",
    };
    let mut text = format!(
        "{service} {what}, {} octets of data",
        segment.payload_length
    );
    if segment.softwire.is_some() {
        text += &format!(", in a softwire of {}", segment.charged());
    }
    if let Some(blemish) = segment.blemish {
        text += match blemish {
            Blemish::BadIpv4Checksum => ", with a wrong IPv4 header checksum",
            Blemish::SourceRoute => ", under a source route",
            Blemish::SynFin => ", with FIN",
            Blemish::SynRst => ", with RST",
        };
    }
    text
}

const fn crossing_text(crossing: Crossing) -> &'static str {
    match crossing {
        Crossing::NotMail => "not TCP to or from a mail port",
        Crossing::LinkControl => "link-layer control",
        Crossing::UnknownProtocol => "a protocol that is not judged",
        Crossing::LaterFragment => "a later fragment, which shows no ports",
        Crossing::Tunnel => "a tunnel that is not one of the provider's softwires",
    }
}

const fn fault_text(fault: Fault) -> &'static str {
    match fault {
        Fault::TinyFragment => "first fragment without the whole TCP header (RFC 1858, RFC 3128)",
        Fault::FragmentAtOffsetOne => "TCP fragment at 8 octets (RFC 1858, RFC 3128)",
        Fault::IncompleteHeaderChain => "first fragment without the whole header chain (RFC 7112)",
        Fault::TooManyTags => "more tags or labels than the bound",
        Fault::TooManyExtensions => "more extension headers than the bound",
        Fault::VersionMismatch => "the IP version is not the one announced",
        Fault::BadInternetHeaderLength => "IHL below 5 or beyond the packet (RFC 791)",
        Fault::BadDataOffset => "data offset below 5 or beyond the packet (RFC 9293)",
        Fault::LengthOverrun => "the packet's length goes beyond the frame",
        Fault::PppoeLengthOverrun => "the PPPoE length goes beyond the frame (RFC 2516)",
        Fault::ExtensionOverrun => "an extension header ends beyond the packet (RFC 8200)",
        Fault::TruncatedTcpHeader => "the packet ends before its TCP header does (RFC 9293)",
        Fault::TruncatedHeader => "the frame ends before a header that it announces",
    }
}
