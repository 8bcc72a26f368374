//! The one walk over a frame, from its first octet to its TCP ports.
//!
//! A [`Walk`] holds what has been learnt so far and hands out octets, each read bounded twice: by
//! the lengths that the headers state (beyond them there is nothing: a fault) and by what the
//! capture kept (beyond it nobody knows: unreadable). The steps over the layers live in `link`,
//! `network` and `transport`; each returns `Err` with an [`End`] as soon as the answer is known.

use std::net::IpAddr;

use super::{Crossing, Decoded, Evasion, Fault, Link, Segment, Softwire, Transport, Vlans};

/// Full judgement of one frame.
///
/// `wire_length` beyond `bytes.len()` means that the capture cut the frame; lengths are then held
/// against the wire, and what was cut off is [`Decoded::Unreadable`] rather than malformed.
/// `is_concentrator` says whether an address is one of the provider's own softwire concentrators.
#[must_use]
pub fn decode(
    bytes: &[u8],
    wire_length: u32,
    link: Link,
    is_concentrator: &dyn Fn(IpAddr) -> bool,
) -> Decoded {
    Walk::new(bytes, wire_length, is_concentrator, ()).decode(link)
}

/// Source and destination of the outermost IP header, whatever follows it.
///
/// `None` where there is no IP header, or not all of it.
#[must_use]
pub fn endpoints(bytes: &[u8], link: Link) -> Option<(IpAddr, IpAddr)> {
    let mut walk = Walk::new(bytes, 0, &|_| false, ());
    let (at, family) = walk.link(link).ok()?;
    let header = bytes.get(at..)?;
    (header.first()? >> 4 == family.version()).then(|| family.addresses(header))?
}

/// Told of every layer that a walk crosses; `()` listens to nothing and costs nothing.
pub(super) trait Trace {
    /// A layer of this name begins at this offset.
    fn layer(&mut self, offset: usize, name: &'static str, detail: impl FnOnce() -> String);
}

impl Trace for () {
    #[inline]
    fn layer(&mut self, _: usize, _: &'static str, _: impl FnOnce() -> String) {}
}

/// How a walk ends before it reaches a segment to or from a mail port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Crosses(Crossing),
    Evades(Fault),
    Unreadable,
}

/// What a step of the walk yields.
pub(super) type Step<T> = Result<T, End>;

/// Which IP header comes next, by the layer in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    /// The family of a header that nothing announced, by its first octet.
    pub(super) const fn of_nibble(first: u8) -> Option<Self> {
        match first >> 4 {
            4 => Some(Self::V4),
            6 => Some(Self::V6),
            _ => None,
        }
    }

    /// What the header's version field must say.
    pub(super) const fn version(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// Source and destination of a header of this family; `None` if it is cut short.
    pub(super) fn addresses(self, header: &[u8]) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::V4 => {
                let source: [u8; 4] = *header.get(12..)?.first_chunk()?;
                let destination: [u8; 4] = *header.get(16..)?.first_chunk()?;
                Some((source.into(), destination.into()))
            }
            Self::V6 => {
                let source: [u8; 16] = *header.get(8..)?.first_chunk()?;
                let destination: [u8; 16] = *header.get(24..)?.first_chunk()?;
                Some((source.into(), destination.into()))
            }
        }
    }
}

/// The innermost IP header so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Where it begins.
    pub(super) offset: usize,
    /// Where its packet ends by its own length. Of a packet in the first fragment of a softwire,
    /// that lies beyond what is there.
    pub(super) stated_end: usize,
}

/// What has been learnt of a frame so far.
pub(super) struct Walk<'a, T> {
    pub(super) bytes: &'a [u8],
    /// Where the frame ends by every length stated so far: nothing beyond belongs to it.
    pub(super) end: usize,
    pub(super) is_concentrator: &'a dyn Fn(IpAddr) -> bool,
    pub(super) trace: T,
    pub(super) vlans: Vlans,
    /// The 802.3 length field and the PPPoE header, for whoever writes an answer.
    pub(super) length_field: Option<usize>,
    pub(super) pppoe: Option<usize>,
    /// The outermost length that overran. It matters only if mail cannot be excluded.
    pub(super) overrun: Option<Fault>,
    /// Set in a first fragment: the fault of not holding the whole header chain.
    pub(super) first_fragment: Option<Fault>,
    pub(super) outermost: Option<(IpAddr, IpAddr)>,
    pub(super) network: Option<Network>,
    pub(super) softwire: Option<Softwire>,
    /// An IPv4 header's checksum does not verify.
    pub(super) bad_checksum: bool,
    /// A source route that the packet has yet to follow.
    pub(super) source_route: bool,
    /// What the innermost packet carries, where the walk came so far.
    pub(super) transport: Transport,
    /// Whether a TCP segment between any ports is wanted, not only mail's.
    pub(super) any_port: bool,
}

impl<'a, T: Trace> Walk<'a, T> {
    pub(super) fn new(
        bytes: &'a [u8],
        wire_length: u32,
        is_concentrator: &'a dyn Fn(IpAddr) -> bool,
        trace: T,
    ) -> Self {
        Self {
            bytes,
            end: bytes.len().max(wire_length as usize),
            is_concentrator,
            trace,
            vlans: Vlans::default(),
            length_field: None,
            pppoe: None,
            overrun: None,
            first_fragment: None,
            outermost: None,
            network: None,
            softwire: None,
            bad_checksum: false,
            source_route: false,
            transport: Transport::default(),
            any_port: false,
        }
    }

    /// Walks the whole frame.
    pub(super) fn decode(&mut self, link: Link) -> Decoded {
        match self.segment(link) {
            Ok(segment) => Decoded::Segment(segment),
            Err(End::Crosses(crossing)) => Decoded::Crosses(crossing),
            Err(End::Unreadable) => Decoded::Unreadable,
            Err(End::Evades(fault)) => Decoded::Evasion(Evasion {
                fault,
                endpoints: self.outermost,
            }),
        }
    }

    fn segment(&mut self, link: Link) -> Step<Segment> {
        let (at, family) = self.link(link)?;
        self.network(at, family)
    }

    /// The `N` octets at `at`; `fault` if the packet ends before they do.
    #[inline]
    pub(super) fn read<const N: usize>(&self, at: usize, fault: Fault) -> Step<[u8; N]> {
        if at + N > self.end {
            return Err(self.missing(fault));
        }
        let octets = self.bytes.get(at..).and_then(|rest| rest.first_chunk());
        octets.copied().ok_or(End::Unreadable)
    }

    /// The `N` octets at `at` if they are there to be seen.
    #[inline]
    pub(super) fn peek<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let seen = self.bytes.get(..self.end.min(self.bytes.len()))?;
        seen.get(at..)?.first_chunk().copied()
    }

    /// Evasion by `fault`, unless an outer length overran: the outermost broken rule is named.
    pub(super) fn evades(&self, fault: Fault) -> End {
        End::Evades(self.overrun.unwrap_or(fault))
    }

    /// Evasion by a header that is not there: in a first fragment, that is the fragment's fault.
    pub(super) fn missing(&self, fault: Fault) -> End {
        self.evades(self.first_fragment.unwrap_or(fault))
    }
}
