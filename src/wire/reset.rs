//! The TCP RST that refuses a segment, so that the client's kernel gives up at once. What a reset
//! may never answer gets none: another reset (RFC 9293 §3.10.7.1), and what nothing may answer.

use etherparse::TcpHeader;

use super::{
    Link, Segment, TcpFlags,
    answer::{Answer, build, may_be_answered},
};

/// Writes the TCP RST that refuses `segment`, which was decoded from `frame`, into `out`, and
/// returns its length in octets.
///
/// `None` if it does not fit, if `frame` is not what `segment` came from, or if a reset would be
/// no fit answer (to a RST, or to group addresses): such a segment is dropped in silence. Cooked
/// captures keep their pseudo-header as it is.
#[must_use]
pub fn build_reset(frame: &[u8], link: Link, segment: &Segment, out: &mut [u8]) -> Option<usize> {
    if segment.flags.has(TcpFlags::RST) || !may_be_answered(frame, link, segment) {
        return None;
    }
    let answer = Answer::bare(reset_header(segment));
    build(frame, link, segment, &answer, out)
}

/// The TCP header of the reset (RFC 9293 §3.10.7.1): an attempt is acknowledged with all it occupies
/// in sequence space; where the segment has an ACK, that number is the sequence number its sender
/// expects.
pub(super) fn reset_header(segment: &Segment) -> TcpHeader {
    let (from, to) = (segment.destination_port, segment.source_port);
    let mut header = TcpHeader::new(from, to, 0, 0);
    header.rst = true;
    if segment.flags.has(TcpFlags::ACK) {
        header.sequence_number = segment.acknowledgement;
    } else {
        header.ack = true;
        header.acknowledgment_number = segment.sequence.wrapping_add(occupied(segment));
    }
    header
}

/// What a segment occupies in sequence space (RFC 9293 §3.4).
pub(super) fn occupied(segment: &Segment) -> u32 {
    let flag = |bit| u32::from(segment.flags.has(bit));
    u32::from(segment.payload_length) + flag(TcpFlags::SYN) + flag(TcpFlags::FIN)
}
