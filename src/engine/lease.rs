//! Refusal leases: what the kernel program may refuse by itself, and until when.
//!
//! Refused attempts don't consume the window, so "refuse this source until t" is exact. The engine
//! offers such leases; whoever runs it hands them to the kernel program (src/bpf/lease.bpf.h), which
//! knows SYNs by the memory that both share ([`Syns`]). Replay has no kernel program, and no leases.

use std::{net::IpAddr, sync::Arc};

use super::{
    Attempt, Engine, Frame, Nanos, Reason,
    stage::{Sight, Staged, StagedRuling},
};
use crate::{
    policy::{ClassId, Excess, Role},
    source::{Meter, Syn, Syns},
    wire::{self, Decoded, Segment, Service},
};

/// A lease that ends sooner than this is not worth its system call.
const WORTH: Nanos = 20_000_000;

/// Until `until`, every new attempt from `source` to `service` is refused, except to relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address: it is one subscriber's, in no VLAN, and in no softwire.
    pub source: IpAddr,
    /// Which mail service.
    pub service: Service,
    /// When the source's window has room again.
    pub until: Nanos,
    /// The subscriber's class.
    pub class: ClassId,
    /// The policy's generation: under another one the lease means nothing.
    pub generation: u32,
}

impl Lease {
    /// The number of the counter that counts what it refuses: one for each class and service.
    #[must_use]
    pub fn counter(&self) -> u32 {
        2 * u32::from(self.class.0) + u32::from(self.service == Service::Submission)
    }

    /// What a counter of that number counts, out of [`Self::counters`].
    #[must_use]
    pub const fn counted(counter: u32) -> (Reason, ClassId) {
        let service = if counter.is_multiple_of(2) {
            Service::Smtp
        } else {
            Service::Submission
        };
        (refused(service), ClassId((counter / 2) as u16))
    }

    /// How many counters a policy of so many classes needs.
    #[must_use]
    pub const fn counters(classes: usize) -> u32 {
        2 * classes as u32
    }
}

/// What an engine needs to offer leases.
#[derive(Clone, Debug)]
pub struct Leasing {
    /// The memory of SYNs that the kernel program shares.
    pub syns: Arc<Syns>,
    /// The policy's generation.
    pub generation: u32,
}

impl Engine {
    /// Has the engine offer leases from now on ([`super::Judgements::leases`]).
    pub fn offer_leases(&mut self, leasing: Leasing) {
        self.leasing = Some(leasing);
    }

    /// Whether the kernel program refused this SYN lately; then for what reason.
    #[inline]
    pub(super) fn refused_in_kernel(&self, attempt: usize, now: Nanos) -> Option<Reason> {
        let leasing = self.leasing.as_ref()?;
        let (syn, service) = self.syn_of(attempt)?;
        leasing
            .syns
            .was_refused(syn, now)
            .then_some(refused(service))
    }

    /// Notes a SYN that is let through, so that no lease stops its retransmission.
    #[inline]
    pub(super) fn note_let_through(&self, attempt: usize, now: Nanos) {
        if let (Some(leasing), Some((syn, _))) = (&self.leasing, self.syn_of(attempt)) {
            leasing.syns.note_let_through(syn, now);
        }
    }

    fn syn_of(&self, attempt: usize) -> Option<(Syn, Service)> {
        self.syns.get(attempt).copied().flatten()
    }

    /// The lease that follows from the refusal of an attempt, if there is one.
    #[cold]
    pub(super) fn lease(
        &self,
        frame: &Frame<'_>,
        attempt: &Attempt,
        staged: &Staged,
    ) -> Option<Lease> {
        let leasing = self.leasing.as_ref()?;
        let StagedRuling::Charge {
            source,
            limit,
            meter: Meter::Smtp | Meter::Submission,
        } = staged.ruling
        else {
            return None;
        };
        let terms = self.terms(attempt.class);
        // Detection counts refused attempts, too: it must see them.
        let is_watched = self.observer_of(attempt.class).is_some();
        if terms.observe || terms.excess != Excess::Drop || is_watched {
            return None;
        }
        let until = self.sources.full_until(source, limit, frame.time)?;
        if until.saturating_sub(frame.time) < WORTH {
            return None;
        }
        let policy = &self.policy;
        let decoded = wire::decode(frame.bytes, frame.wire_length, frame.link, &|address| {
            policy.is_concentrator(address)
        });
        let Decoded::Segment(Segment {
            source,
            softwire: None,
            ..
        }) = decoded
        else {
            return None;
        };
        match policy.role(source) {
            Role::Subscriber(member) if member.vlans.is_none() => Some(Lease {
                source,
                service: attempt.service,
                until,
                class: attempt.class,
                generation: leasing.generation,
            }),
            _ => None,
        }
    }

    /// Stages the SYN as the kernel program knows it; none in a softwire, which it does not look
    /// into, and none with a blemish, which it does not judge.
    #[inline(never)]
    pub(super) fn note_syn(&mut self, sight: Sight, service: Service) {
        let leasing = self.leasing.as_ref();
        let clean = sight.softwire.is_none() && sight.blemish.is_none();
        let syn = leasing.filter(|_| clean).and_then(|leasing| {
            let (from, to) = sight.ports;
            let numbers = u64::from(from) << 48 | u64::from(to) << 32 | u64::from(sight.sequence);
            let syn = match (sight.source, sight.destination) {
                (IpAddr::V4(source), IpAddr::V4(destination)) => {
                    leasing
                        .syns
                        .ipv4(source.to_bits(), destination.to_bits(), numbers)
                }
                (IpAddr::V6(source), IpAddr::V6(destination)) => {
                    leasing
                        .syns
                        .ipv6(source.to_bits(), destination.to_bits(), numbers)
                }
                _ => return None,
            };
            leasing.syns.prefetch(syn);
            Some((syn, service))
        });
        self.syns.push(syn);
    }
}

const fn refused(service: Service) -> Reason {
    match service {
        Service::Smtp => Reason::LimitExceeded,
        Service::Submission => Reason::SubmissionLimitExceeded,
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
