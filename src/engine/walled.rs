//! What a quarantined subscriber can't have, beside mail: pages in the clear, which are answered with
//! the notice instead, and in the garden everything that is not open there.
//!
//! Only what the subscriber sends is stopped: without it nothing lasts that the internet could
//! answer. Mail is judged as ever, so port 25 has its own reasons here as well.

use super::{Action, Direction, Effect, Engine, Frame, Reason, Restriction, Verdict};
use std::net::IpAddr;

use crate::{
    policy::{ClassId, Excess, Policy, Redirecting, steps::Scope},
    wire::{self, HTTP, Passage, SMTP, Transport},
};

/// Ports of DNS (RFC 1035), DHCP (RFC 2131) and DHCPv6 (RFC 8415).
const DNS: u16 = 53;
const DHCP: [u16; 2] = [67, 68];
const DHCPV6: [u16; 2] = [546, 547];

/// How much of what a subscriber sends comes before a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wall {
    /// Segments to port 80.
    Web,
    /// Everything.
    Everything,
}

impl Wall {
    /// The wall before a subscriber who is restricted so, if there is one.
    #[must_use]
    pub fn of(restriction: Restriction, policy: &Policy) -> Option<Self> {
        match restriction.scope {
            Scope::Garden => Some(Self::Everything),
            Scope::Mail => is_redirected(restriction, policy).then_some(Self::Web),
        }
    }
}

/// Whether a subscriber who is restricted so is sent to the notice page.
fn is_redirected(restriction: Restriction, policy: &Policy) -> bool {
    policy.notice().is_some_and(|notice| {
        restriction.scope == Scope::Garden
            || match notice.redirect {
                Redirecting::Always => true,
                Redirecting::Unread => !restriction.is_told,
                Redirecting::Garden => false,
            }
    })
}

impl Engine {
    /// The verdict on a frame that a wall stops; where none does, it is judged like any other.
    #[inline(never)]
    pub(super) fn stop(&self, frame: &Frame<'_>) -> Option<Verdict> {
        if self.direction(frame) != Direction::Outbound {
            return None;
        }
        let (source, _) = wire::endpoints(frame.bytes, frame.link)?;
        let member = self.policy.member(source)?;
        let restriction = self.quarantine.restriction(member.key)?;
        let policy = &self.policy;
        let is_concentrator = |address| policy.is_concentrator(address);
        let (bytes, length) = (frame.bytes, frame.wire_length);
        let passage = wire::passage(bytes, length, frame.link, &is_concentrator)?;
        let reason = stopped(&passage, restriction, policy)?;
        Some(self.stopped(frame, reason, member.class))
    }

    /// The verdict on what a wall stops.
    fn stopped(&self, frame: &Frame<'_>, reason: Reason, class: ClassId) -> Verdict {
        let terms = self.terms(class);
        let action = match (terms.observe, reason.effect(), terms.excess) {
            (true, ..) => Action::Forward,
            (_, Effect::Redirect, _) => Action::Redirect,
            (_, _, Excess::Reset) if self.is_attempt(frame) => Action::Reset,
            _ => Action::Drop,
        };
        Verdict {
            action,
            reason,
            direction: Direction::Outbound,
            observed: terms.observe,
            class: Some(class),
            attempt: None,
        }
    }

    /// Whether a frame would begin a TCP connection.
    fn is_attempt(&self, frame: &Frame<'_>) -> bool {
        let policy = &self.policy;
        let (bytes, length) = (frame.bytes, frame.wire_length);
        let segment = wire::tcp_segment(bytes, length, frame.link, &|address| {
            policy.is_concentrator(address)
        });
        segment.is_some_and(|segment| segment.flags.is_attempt())
    }
}

/// Why a packet is stopped, if it is.
fn stopped(passage: &Passage, restriction: Restriction, policy: &Policy) -> Option<Reason> {
    let Passage {
        destination,
        transport,
        ..
    } = *passage;
    let is_notice = policy
        .notice()
        .is_some_and(|notice| notice.is_at(destination));
    if is_notice || policy.garden().is_open(destination) {
        return None;
    }
    match transport {
        // Judged as mail.
        Transport::Tcp(_, SMTP) => None,
        Transport::Tcp(_, HTTP) if is_redirected(restriction, policy) => Some(Reason::Redirected),
        _ if restriction.scope == Scope::Mail => None,
        _ if is_needed(passage, policy) => None,
        _ => Some(Reason::Walled),
    }
}

/// Whether a packet is what a link lives on, or asks for a name.
fn is_needed(passage: &Passage, policy: &Policy) -> bool {
    let destination = passage.destination;
    let stays_on_link = match destination {
        IpAddr::V4(to) => to.is_link_local() || to.is_broadcast(),
        IpAddr::V6(to) => to.is_unicast_link_local(),
    };
    match passage.transport {
        _ if stays_on_link || destination.is_multicast() => true,
        Transport::Icmp => true,
        Transport::Udp(from, to) if is_dhcp(from, to) => true,
        Transport::Udp(_, DNS) | Transport::Tcp(_, DNS) => policy.garden().is_resolver(destination),
        _ => false,
    }
}

fn is_dhcp(from: u16, to: u16) -> bool {
    [DHCP, DHCPV6]
        .iter()
        .any(|ports| ports.contains(&from) && ports.contains(&to))
}

#[cfg(all(test, not(loom)))]
mod tests;
