//! Observation: what [`detect`] is told of attempts and of what became of them.
//!
//! Staged with the rest, so that its cache misses overlap too, and told in the order of frames,
//! after attempts are decided. Without a class that asks for it nothing is staged.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    Action, Direction, Engine, Frame, Judgements, Nanos, Reason,
    stage::{Seat, Sight, bits},
};
use crate::{
    detect::{self, Destinations, Flag, Observer, Sequential, Volume},
    policy::{ClassId, Detect, Member, Threshold},
    source::{Fingerprint, Recalled},
    wire::{self, Service, TcpFlags},
};

/// One record of the observer is looked after for so many frames.
const FRAMES_PER_SETTLED_RECORD: usize = 16;

/// How far ahead of what is told it is known where a record is not.
const WATCHED_AHEAD: usize = 4;

/// Something to tell the observer about a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    frame: u16,
    what: Watch,
}

#[derive(Clone, Copy, Debug)]
enum Watch {
    /// An attempt of an observed class.
    Attempt {
        index: u16,
        source: u64,
        contact: u64,
        flow: u64,
        destination: IpAddr,
        bound: bool,
    },
    /// A SYN-ACK with its sequence number.
    Answer { flow: u64, number: u32 },
    /// A reset, or a message that says unreachable.
    Refusal { flow: u64, is_reset: bool },
    /// A segment that may complete a handshake, and the number that it acknowledges.
    Handshake {
        flow: u64,
        number: u32,
        source: u64,
        key: IpNet,
        class: ClassId,
    },
    /// A SYN-ACK to a subscriber who may not send mail: did it ask for it?
    Unasked {
        attempt: Fingerprint,
        source: u64,
        class: ClassId,
    },
}

/// A class's detection in the observer's terms.
#[must_use]
pub fn terms(detect: &Detect) -> detect::Terms {
    let nanoseconds =
        |threshold: Threshold| u64::try_from(threshold.window.as_nanos()).unwrap_or(u64::MAX);
    let volume = |threshold: Threshold| Volume::new(threshold.count, nanoseconds(threshold));
    detect::Terms {
        volume: detect.volume.map(volume),
        destinations: detect
            .destinations
            .map_or_else(Destinations::default, |threshold| {
                Destinations::new(threshold.count, nanoseconds(threshold))
            }),
        outcomes: detect.outcomes.map(|outcomes| {
            Sequential::new(
                outcomes.theta0,
                outcomes.theta1,
                outcomes.alpha,
                outcomes.beta,
                outcomes.answer_within,
            )
        }),
        submission: detect.submission.map(volume),
    }
}

impl Engine {
    /// The same engine, which tells an observer, shared by all workers, what it sees of classes
    /// that ask for it.
    #[must_use]
    pub fn observing(mut self, observer: Arc<Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Who else is found once all that is due at `now` is counted: at the end of a capture.
    pub fn settle(&self, now: Nanos, found: impl FnMut(Flag)) {
        if let Some(observer) = &self.observer {
            observer.settle_all(|class| self.detects(ClassId(class)).copied(), now, found);
        }
    }

    /// What is observed of a class, if anything is.
    #[inline(always)]
    fn detects(&self, class: ClassId) -> Option<&detect::Terms> {
        self.terms.get(usize::from(class.0))?.detect.as_ref()
    }

    #[inline(always)]
    pub(super) fn observer_of(&self, class: ClassId) -> Option<&Arc<Observer>> {
        self.observer
            .as_ref()
            .filter(|_| self.detects(class).is_some())
    }

    /// Stages an attempt that is about to be pushed.
    #[inline(always)]
    pub(super) fn watch_attempt(
        &mut self,
        sight: &Sight,
        fingerprint: Fingerprint,
        member: (IpNet, ClassId),
        bound: bool,
        seat: &Seat<'_>,
    ) {
        let Some(observer) = self.observer_of(member.1) else {
            return;
        };
        let source = self.source_hash(member);
        let contact = self.contact_hash(sight.destination);
        let flow = fingerprint.bits();
        observer.prefetch(source, flow);
        let what = Watch::Attempt {
            index: seat.attempts.len() as u16,
            source,
            contact,
            flow,
            destination: sight.destination,
            bound,
        };
        self.watch(what, seat.frame);
    }

    /// Stages what may be the third segment of a handshake.
    #[inline(always)]
    pub(super) fn watch_handshake(
        &mut self,
        sight: &Sight,
        (key, class): (IpNet, ClassId),
        frame: u16,
    ) {
        let Some(observer) = self.observer_of(class) else {
            return;
        };
        if sight.flags.0 != TcpFlags::ACK || sight.payload_length != 0 {
            return;
        }
        let flow = self.fingerprint(&sight.opening()).bits();
        observer.prefetch_answer(flow);
        let what = Watch::Handshake {
            flow,
            number: sight.acknowledgement.wrapping_sub(1),
            source: self.source_hash((key, class)),
            key,
            class,
        };
        self.watch(what, frame);
    }

    /// Stages what comes from a mail port: the answer to an attempt, or one that nobody asked for.
    #[inline(always)]
    pub(super) fn watch_reply(
        &mut self,
        sight: &Sight,
        member: Option<(IpNet, ClassId)>,
        reason: Reason,
        frame: u16,
    ) {
        let Some((key, class)) = member else { return };
        let is_answer = sight.flags.0 & (TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST)
            == TcpFlags::SYN | TcpFlags::ACK;
        let is_reset = sight.flags.has(TcpFlags::RST);
        if Service::of_port(sight.ports.0).is_none() || !(is_answer || is_reset) {
            return;
        }
        let attempt = self.fingerprint(&sight.answered());
        if is_answer && reason == Reason::SmtpReplyBlocked {
            self.sources.prefetch_recent(attempt);
            let source = self.source_hash((key, class));
            let what = Watch::Unasked {
                attempt,
                source,
                class,
            };
            self.watch(what, frame);
        }
        let Some(observer) = self.observer_of(class) else {
            return;
        };
        let flow = attempt.bits();
        observer.prefetch_answer(flow);
        self.watch(
            if is_answer {
                Watch::Answer {
                    flow,
                    number: sight.sequence,
                }
            } else {
                Watch::Refusal { flow, is_reset }
            },
            frame,
        );
    }

    /// Stages an ICMP message that quotes an attempt of an observed class.
    #[cold]
    pub(super) fn watch_icmp(&mut self, frame: &Frame<'_>, network_offset: u8, index: u16) {
        if self.observer.is_none() || frame.direction == Some(Direction::Outbound) {
            return;
        }
        let Some(quote) = wire::unreachable(frame.bytes, network_offset) else {
            return;
        };
        let Some(Member { class, .. }) = self.policy.member(quote.source) else {
            return;
        };
        if self.observer_of(class).is_some() {
            let flow = self.fingerprint(&Sight::of_quote(&quote)).bits();
            let is_reset = false;
            self.watch(Watch::Refusal { flow, is_reset }, index);
        }
    }

    #[inline(always)]
    fn watch(&mut self, what: Watch, frame: u16) {
        self.watched.push(Watched { frame, what });
    }

    /// The class is part of it: what was observed by another class's measures says nothing.
    fn source_hash(&self, (key, class): (IpNet, ClassId)) -> u64 {
        let is_ipv6 = u128::from(matches!(key, IpNet::V6(_)));
        let length = u128::from(key.prefix_len());
        let words = [
            bits(key.addr()),
            u128::from(class.0) << 16 | length << 8 | is_ipv6,
        ];
        self.sources.fingerprint(&words).bits()
    }

    /// A destination is an IPv4 address or an IPv6 /64.
    fn contact_hash(&self, destination: IpAddr) -> u64 {
        let word = match destination {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64 | 6,
        };
        self.sources.fingerprint(&[word]).bits()
    }

    /// Tells the observer what was staged up to (and without) a frame, beginning with number
    /// `told`; gives how much is told then.
    pub(super) fn tell(
        &self,
        mut told: usize,
        until: usize,
        frames: &[Frame<'_>],
        judgements: &mut Judgements,
    ) -> usize {
        while let Some(watched) = self.watched.get(told)
            && usize::from(watched.frame) < until
        {
            if let Some(ahead) = self.watched.get(told + WATCHED_AHEAD) {
                self.prefetch_watched(ahead);
            }
            let now = frames[usize::from(watched.frame)].time;
            let flag = self.tell_one(watched, now, judgements);
            judgements.flags.extend(flag);
            told += 1;
        }
        told
    }

    #[inline]
    fn prefetch_watched(&self, watched: &Watched) {
        if let Watch::Attempt {
            source, contact, ..
        } = watched.what
            && let Some(observer) = &self.observer
        {
            observer.prefetch_further(source, contact);
        }
    }

    fn tell_one(&self, watched: &Watched, now: Nanos, judgements: &mut Judgements) -> Option<Flag> {
        if let Watch::Unasked {
            attempt,
            source,
            class,
        } = watched.what
        {
            if let Recalled::First(_) = self.sources.recall(attempt, now) {
                return None;
            }
            judgements.verdicts[usize::from(watched.frame)].reason = Reason::OrphanSynAck;
            let terms = self.detects(class)?;
            return self.observer.as_ref()?.orphan(terms, source, now);
        }
        let observer = self.observer.as_ref()?;
        let terms = |class| self.detects(ClassId(class)).copied();
        match watched.what {
            Watch::Attempt {
                index,
                source,
                contact,
                flow,
                destination,
                bound,
            } => {
                let attempt = &judgements.attempts[usize::from(index)];
                if attempt.retransmission {
                    return None;
                }
                let crossed =
                    judgements.verdicts[usize::from(watched.frame)].action == Action::Forward;
                let seen = detect::Attempt {
                    source,
                    contact,
                    flow,
                    key: attempt.key,
                    class: attempt.class.0,
                    destination,
                    direct: attempt.service == Service::Smtp && !attempt.relay,
                    bound,
                    crossed,
                };
                observer.attempt(self.detects(attempt.class)?, &seen, now)
            }
            Watch::Answer { flow, number } => observer.answered(terms, flow, number, now),
            Watch::Refusal { flow, is_reset } => observer.refused(terms, flow, is_reset, now),
            Watch::Handshake {
                flow,
                number,
                source,
                key,
                class,
            } => {
                observer.completed(flow, number, source, (key, class.0), now);
                None
            }
            Watch::Unasked { .. } => None,
        }
    }

    /// Settles a few records, so that whoever falls silent is found too.
    pub(super) fn settle_some(&self, frames: &[Frame<'_>], judgements: &mut Judgements) {
        let Some((observer, last)) = self.observer.as_ref().zip(frames.last()) else {
            return;
        };
        let count = frames.len().div_ceil(FRAMES_PER_SETTLED_RECORD);
        let terms = |class| self.detects(ClassId(class)).copied();
        observer.sweep(terms, count, last.time, |flag| judgements.flags.push(flag));
    }
}
