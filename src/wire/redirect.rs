//! The answer to a quarantined browser: a whole web server that says one sentence and remembers
//! nothing.
//!
//! ```text
//!   SYN ───────────────▶
//!       ◀─────────────── SYN ACK        sequence number: a keyed hash of addresses and ports
//!   ACK, request ──────▶
//!       ◀─────────────── ACK, HTTP redirect, FIN
//!   FIN, ACK ──────────▶
//!       ◀─────────────── ACK
//! ```
//!
//! Each answer follows from the one segment that it answers: where the connection stands is told by
//! the number that the client acknowledges, and that it stands at all by the hash in that number.
//! So whatever is lost and sent again is answered again, in the same way. What is in the request is
//! not looked at: any data gets the redirect, always at the same place of the sequence. A segment
//! that belongs to no such connection (one from before the quarantine, say) gets a RST. An ACK that
//! says nothing more is not answered, nor is a RST, so no answer ever brings another one.

use std::hash::{BuildHasher, RandomState};

use etherparse::{TcpHeader, TcpOptionElement};

use super::{
    Link, Segment, TcpFlags,
    answer::{Answer, build, may_be_answered},
    reset::{occupied, reset_header},
};

/// The largest segment that is asked for: what IPv6 carries on any path (RFC 8200 §5).
const SEGMENT_MAX: u16 = 1220;
/// All of a request may come at once.
const WINDOW: u16 = 0x7fff;

/// The longest location, in octets: with it, the answer is small enough for any path of IPv4 (576
/// octets, RFC 791 §3.1), headers and a softwire's included.
pub const LOCATION_MAX: usize = 256;

/// Answers connections to a web server with a redirect to one location.
///
/// Clones share the key of the hash, so any of them may answer any segment.
#[derive(Clone, Debug)]
pub struct Redirect {
    reply: Vec<u8>,
    key: RandomState,
}

impl Redirect {
    /// To this location, a URL of at most [`LOCATION_MAX`] octets. What is not visible ASCII has no
    /// place in it and is left out.
    #[must_use]
    pub fn new(location: &str) -> Self {
        let visible = location.chars().filter(char::is_ascii_graphic);
        let location: String = visible.take(LOCATION_MAX).collect();
        let reply = format!(
            "HTTP/1.1 302 Found\r\n\
             Location: {location}\r\n\
             Cache-Control: no-store\r\n\
             Content-Length: 0\r\n\
             Connection: close\r\n\r\n"
        );
        Self {
            reply: reply.into_bytes(),
            key: RandomState::new(),
        }
    }

    /// Writes what answers `segment`, which was decoded from `frame`, into `out`, and returns its
    /// length in octets.
    ///
    /// `None` if nothing is to be said to it, if it does not fit, if `frame` is not what `segment`
    /// came from, or if it is not from one host to another.
    #[must_use]
    pub fn answer(
        &self,
        frame: &[u8],
        link: Link,
        segment: &Segment,
        out: &mut [u8],
    ) -> Option<usize> {
        if !may_be_answered(frame, link, segment) {
            return None;
        }
        build(frame, link, segment, &self.say(segment)?, out)
    }

    /// What is to be said to a segment, if anything is.
    fn say(&self, segment: &Segment) -> Option<Answer<'_>> {
        let first = self.first_number(segment);
        let has = |bit| segment.flags.has(bit);
        if has(TcpFlags::RST) || segment.blemish.is_some() {
            return None;
        }
        if segment.flags.is_attempt() {
            return Some(Answer::bare(agree(segment, first)));
        }
        if !has(TcpFlags::ACK) {
            return None;
        }
        let end = self.reply.len() as u32 + 1; // and the FIN
        let taken = segment.acknowledgement.wrapping_sub(first.wrapping_add(1));
        if has(TcpFlags::SYN) || taken > end {
            return Some(Answer::bare(reset_header(segment)));
        }
        let mut tcp = header(segment, segment.acknowledgement);
        tcp.acknowledgment_number = segment.sequence.wrapping_add(occupied(segment));
        if segment.payload_length > 0 || (has(TcpFlags::FIN) && taken < end) {
            tcp.sequence_number = first.wrapping_add(1);
            (tcp.psh, tcp.fin) = (true, true);
            let payload = &self.reply;
            return Some(Answer { tcp, payload });
        }
        has(TcpFlags::FIN).then(|| Answer::bare(tcp))
    }

    /// Our first sequence number towards whoever sent the segment: nobody else can know it.
    fn first_number(&self, segment: &Segment) -> u32 {
        let ends = (segment.source, segment.destination);
        let ports = (segment.source_port, segment.destination_port);
        self.key.hash_one((ends, ports)) as u32
    }
}

/// A header with ACK, on the way back.
fn header(segment: &Segment, sequence: u32) -> TcpHeader {
    let (from, to) = (segment.destination_port, segment.source_port);
    let mut header = TcpHeader::new(from, to, sequence, WINDOW);
    header.ack = true;
    header
}

/// SYN and ACK to an attempt. Data in it is not taken: the client sends it again.
fn agree(segment: &Segment, first: u32) -> TcpHeader {
    let mut header = header(segment, first);
    header.syn = true;
    header.acknowledgment_number = segment.sequence.wrapping_add(1);
    let options = [TcpOptionElement::MaximumSegmentSize(SEGMENT_MAX)];
    // Four octets of forty: cannot fail, and without them the connection stands as well.
    let _ = header.set_options(&options);
    header
}
