//! The pure stage: decode a frame, look up the policy, prepare what judging will need.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Action, Attempt, Direction, Effect, Engine, Frame, Judgements, Reason, Verdict};
use crate::{
    detect,
    policy::{Class, ClassId, Excess, Fallback, Member, Policy, Role, Rule},
    source::{Fingerprint, Limit, Meter, Source, Syn},
    wire::{
        self, Blemish, Decoded, Link, PlainSegment, Quote, Segment, Service, Softwire, TcpFlags,
        Triage, Vlans,
    },
};

/// A rule in the source table's terms.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ruling {
    Allow,
    Block,
    /// As `Block`, but for the subscriber, not the class.
    Quarantine,
    Limit(Limit),
}

impl From<Rule> for Ruling {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Allow => Self::Allow,
            Rule::Block => Self::Block,
            Rule::Limit(limit) => Self::Limit(Limit::new(limit.connections, limit.window)),
        }
    }
}

/// A class, ready for the frame path: what becomes of its attempts, by destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    smtp: Ruling,
    submission: Ruling,
    relay: Ruling,
    pub(super) excess: Excess,
    pub(super) observe: bool,
    pub(super) detect: Option<detect::Terms>,
}

impl Terms {
    pub fn new(class: &Class, policy: &Policy) -> Self {
        Self {
            smtp: class.smtp.into(),
            submission: class.submission.into(),
            relay: policy
                .relay_limit()
                .map_or(Ruling::Allow, |limit| Rule::Limit(limit).into()),
            excess: class.excess,
            observe: class.observe || policy.observe(),
            detect: class.detect.as_ref().map(super::observe::terms),
        }
    }

    const fn ruling(&self, service: Service, relay: bool) -> (Meter, Ruling) {
        match (relay, service) {
            (true, _) => (Meter::Relay, self.relay),
            (false, Service::Smtp) => (Meter::Smtp, self.smtp),
            (false, Service::Submission) => (Meter::Submission, self.submission),
        }
    }
}

/// An attempt between the stages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    pub fingerprint: Fingerprint,
    /// The SYN as the kernel program knows it, where there are leases.
    pub syn: Option<(Syn, Service)>,
    pub ruling: StagedRuling,
}

/// What remains to be decided about an attempt that is not a retransmission.
#[derive(Clone, Copy, Debug)]
pub(super) enum StagedRuling {
    /// Nothing.
    Decided(Reason),
    /// Whether the source's window has room.
    Charge {
        source: Source,
        limit: Limit,
        meter: Meter,
    },
}

/// A mail segment as judging sees it. What only few ask for stays in the frame.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    source: IpAddr,
    pub(super) destination: IpAddr,
    softwire: Option<Softwire>,
    pub(super) ports: (u16, u16),
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) payload_length: u16,
    pub(super) flags: TcpFlags,
    blemish: Option<Blemish>,
}

impl Sight {
    /// Out of a frame that triage knew. All of it stays in registers, which is why it is not made
    /// by way of a [`Segment`].
    #[inline(always)]
    fn of_plain(plain: &PlainSegment, frame: &[u8]) -> Self {
        let (source, destination) = plain.addresses(frame);
        Self {
            source,
            destination,
            softwire: None,
            ports: (plain.source_port, plain.destination_port),
            sequence: plain.sequence,
            acknowledgement: plain.acknowledgement,
            payload_length: plain.payload_length,
            flags: plain.flags,
            blemish: None,
        }
    }

    const fn of_segment(segment: &Segment) -> Self {
        Self {
            source: segment.source,
            destination: segment.destination,
            softwire: segment.softwire,
            ports: (segment.source_port, segment.destination_port),
            sequence: segment.sequence,
            acknowledgement: segment.acknowledgement,
            payload_length: segment.payload_length,
            flags: segment.flags,
            blemish: segment.blemish,
        }
    }

    /// The attempt that an ICMP message quotes.
    pub(super) const fn of_quote(quote: &Quote) -> Self {
        Self {
            source: quote.source,
            destination: quote.destination,
            softwire: None,
            ports: (quote.source_port, quote.destination_port),
            sequence: quote.sequence,
            acknowledgement: 0,
            payload_length: 0,
            flags: TcpFlags(TcpFlags::SYN),
            blemish: None,
        }
    }

    /// The attempt that began what this segment goes on with, if it is the client's second.
    pub(super) const fn opening(&self) -> Self {
        Self {
            sequence: self.sequence.wrapping_sub(1),
            ..*self
        }
    }

    /// The attempt that this segment answers, if it answers one: the way back, and the sequence
    /// number before the one that it acknowledges.
    pub(super) fn answered(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            softwire: self.softwire.map(|softwire| Softwire {
                source: softwire.destination,
                destination: softwire.source,
                ..softwire
            }),
            ports: (self.ports.1, self.ports.0),
            sequence: self.acknowledgement.wrapping_sub(1),
            flags: TcpFlags(TcpFlags::SYN),
            blemish: None,
            ..*self
        }
    }

    /// Who answers for it when it leaves: [`Segment::charged`].
    #[inline(always)]
    fn charged(&self) -> IpAddr {
        self.softwire
            .map_or(self.source, |softwire| softwire.source)
    }

    #[inline(always)]
    fn outer_destination(&self) -> IpAddr {
        self.softwire
            .map_or(self.destination, |softwire| softwire.destination)
    }
}

impl Engine {
    /// Decodes one frame and pushes its verdict. An attempt is staged, and its verdict filled in by
    /// the judging stage.
    #[inline]
    pub(super) fn stage(&mut self, frame: &Frame<'_>, judgements: &mut Judgements) {
        if self.quarantine.has_walls() && self.stops(frame, judgements) {
            return;
        }
        if frame.link == Link::Ethernet {
            match wire::triage(frame.bytes) {
                Triage::NotMail => return self.crosses(frame, Reason::NotMail, judgements),
                Triage::Mail(plain) => {
                    let sight = Sight::of_plain(&plain, frame.bytes);
                    return self.segment(frame, &sight, || plain.vlans(frame.bytes), judgements);
                }
                Triage::Icmp(network_offset) => {
                    self.watch_icmp(frame, network_offset, judgements);
                    return self.crosses(frame, Reason::NotMail, judgements);
                }
                Triage::Unsure => {}
            }
        }
        self.decode(frame, judgements);
    }

    #[inline(never)]
    fn decode(&mut self, frame: &Frame<'_>, judgements: &mut Judgements) {
        let policy = &self.policy;
        let decoded = wire::decode(frame.bytes, frame.wire_length, frame.link, &|address| {
            policy.is_concentrator(address)
        });
        match decoded {
            Decoded::Crosses(crossing) => self.crosses(frame, crossing.into(), judgements),
            Decoded::Unreadable => self.crosses(frame, Reason::Unreadable, judgements),
            Decoded::Segment(segment) => {
                let sight = Sight::of_segment(&segment);
                self.segment(frame, &sight, || segment.vlans, judgements);
            }
            Decoded::Evasion(evasion) => {
                let direction = self.direction(frame);
                let subscriber = evasion.endpoints.and_then(|(source, destination)| {
                    self.member(match direction {
                        Direction::Outbound => source,
                        Direction::Inbound => destination,
                    })
                });
                let class = subscriber.map(|member| member.class);
                self.decided(evasion.fault.into(), direction, class, judgements);
            }
        }
    }

    /// Pushes the verdict for a frame that is nobody's business.
    #[inline]
    fn crosses(&self, frame: &Frame<'_>, reason: Reason, judgements: &mut Judgements) {
        judgements.verdicts.push(Verdict {
            action: Action::Forward,
            reason,
            direction: match frame.direction {
                Some(direction) => direction,
                None => self.direction(frame),
            },
            observed: false,
            class: None,
            attempt: None,
        });
    }

    /// Pushes the verdict that a reason leads to where no window is asked.
    #[inline]
    fn decided(
        &self,
        reason: Reason,
        direction: Direction,
        class: Option<ClassId>,
        judgements: &mut Judgements,
    ) {
        let observe = class.map_or(self.policy.observe(), |class| self.terms(class).observe);
        let refused = reason.effect() != Effect::Forward;
        judgements.verdicts.push(Verdict {
            action: if refused && !observe {
                Action::Drop
            } else {
                Action::Forward
            },
            reason,
            direction,
            observed: refused && observe,
            class,
            attempt: None,
        });
    }

    /// Which way a frame travels: as its port says, else as the pools say.
    pub(super) fn direction(&self, frame: &Frame<'_>) -> Direction {
        frame.direction.unwrap_or_else(|| {
            wire::endpoints(frame.bytes, frame.link).map_or(Direction::Outbound, |(from, to)| {
                self.direction_between(from, to)
            })
        })
    }

    fn direction_between(&self, from: IpAddr, to: IpAddr) -> Direction {
        // Frames of the two directions alternate without a pattern that a branch predictor could
        // learn: looking up both addresses costs less than guessing wrong.
        if !self.policy.is_subscriber(from) & self.policy.is_subscriber(to) {
            Direction::Inbound
        } else {
            Direction::Outbound
        }
    }

    fn member(&self, address: IpAddr) -> Option<Member<'_>> {
        match self.policy.role(address) {
            Role::Subscriber(member) => Some(member),
            _ => None,
        }
    }

    #[inline(always)]
    fn segment(
        &mut self,
        frame: &Frame<'_>,
        sight: &Sight,
        vlans: impl FnOnce() -> Vlans,
        judgements: &mut Judgements,
    ) {
        let direction = frame
            .direction
            .unwrap_or_else(|| self.direction_between(sight.charged(), sight.outer_destination()));
        match (direction, Service::of_port(sight.ports.1)) {
            (Direction::Outbound, Some(service)) => {
                self.outbound(sight, service, vlans, judgements);
            }
            (Direction::Outbound, None) => self.answer(sight, judgements),
            (Direction::Inbound, service) => self.inbound(sight, service, judgements),
        }
    }

    /// A segment that leaves the access network for a mail port.
    #[inline(always)]
    fn outbound(
        &mut self,
        sight: &Sight,
        service: Service,
        vlans: impl FnOnce() -> Vlans,
        judgements: &mut Judgements,
    ) {
        let direction = Direction::Outbound;
        let member = match self.policy.role(sight.charged()) {
            Role::Subscriber(member) => member,
            Role::Relay | Role::Concentrator => {
                return self.decided(Reason::MailSegment, direction, None, judgements);
            }
            Role::Stranger => return self.decided(self.stranger(), direction, None, judgements),
        };
        let class = Some(member.class);
        if member
            .vlans
            .is_some_and(|expected| !carries(&vlans(), expected))
        {
            return self.decided(Reason::WrongVlan, direction, class, judgements);
        }
        let (key, member_class) = (member.key, member.class);
        let bound = member.vlans.is_some();
        let relay = self.policy.is_relay(sight.destination);
        let (meter, ruling) = match service {
            Service::Smtp if self.quarantine.restriction(member.key).is_some() => {
                (Meter::Smtp, Ruling::Quarantine)
            }
            _ => self.terms(member.class).ruling(service, relay),
        };
        if !sight.flags.is_attempt() {
            let reason = match ruling {
                Ruling::Quarantine => Reason::Quarantined,
                Ruling::Block => blocked(service),
                _ => Reason::MailSegment,
            };
            self.watch_handshake(sight, (key, member_class), judgements);
            return self.decided(reason, direction, class, judgements);
        }
        if sight.blemish == Some(Blemish::BadIpv4Checksum) {
            return self.decided(Reason::BadIpv4Checksum, direction, class, judgements);
        }
        let staged = self.prepare(sight, key, service, meter, ruling);
        self.watch_attempt(sight, &staged, (key, member_class), bound, judgements);
        self.staged.push(staged);
        judgements.attempts.push(Attempt {
            frame: judgements.verdicts.len() as u16,
            key,
            class: member_class,
            service,
            relay,
            admitted: false,
            retransmission: false,
        });
        // Whatever it says is replaced by the judging stage, except for whose attempt it is.
        judgements.verdicts.push(Verdict {
            action: Action::Forward,
            reason: Reason::Admitted,
            direction,
            observed: false,
            class,
            attempt: Some((judgements.attempts.len() - 1) as u16),
        });
    }

    /// What judging will need of an attempt; the source table's lines are asked for already.
    #[inline(always)]
    fn prepare(
        &self,
        sight: &Sight,
        key: IpNet,
        service: Service,
        meter: Meter,
        ruling: Ruling,
    ) -> Staged {
        let fingerprint = match ruling {
            Ruling::Quarantine => self.quarantined_fingerprint(sight),
            _ => self.fingerprint(sight),
        };
        self.sources.prefetch_recent(fingerprint);
        let syn = match (sight.softwire, sight.blemish) {
            (None, None) => {
                let addresses = (sight.source, sight.destination);
                self.syn(addresses, sight.ports, sight.sequence)
            }
            _ => None,
        };
        let ruling = match (sight.blemish, ruling) {
            (Some(blemish), _) => StagedRuling::Decided(blemish.into()),
            (None, Ruling::Block) => StagedRuling::Decided(blocked(service)),
            (None, Ruling::Quarantine) => StagedRuling::Decided(Reason::Quarantined),
            (None, Ruling::Allow) if meter == Meter::Relay => {
                StagedRuling::Decided(Reason::Relayed)
            }
            (None, Ruling::Allow) => StagedRuling::Decided(Reason::Allowed),
            (None, Ruling::Limit(limit)) => {
                let source = self.sources.source(key, meter, limit);
                self.sources.prefetch_source(source);
                StagedRuling::Charge {
                    source,
                    limit,
                    meter,
                }
            }
        };
        Staged {
            fingerprint,
            syn,
            ruling,
        }
    }

    /// Hashes what makes two SYNs the same: addresses, ports and sequence number, in a softwire
    /// also whose it is. A SYN with a blemish is never taken for its clean twin.
    #[inline(always)]
    pub(super) fn fingerprint(&self, sight: &Sight) -> Fingerprint {
        let (from, to) = sight.ports;
        let numbers = u128::from(from) << 48 | u128::from(to) << 32 | u128::from(sight.sequence);
        match (
            sight.source,
            sight.destination,
            sight.softwire,
            sight.blemish,
        ) {
            (IpAddr::V4(source), IpAddr::V4(destination), None, None) => {
                let addresses =
                    u128::from(source.to_bits()) << 96 | u128::from(destination.to_bits()) << 64;
                self.sources.fingerprint(&[addresses | numbers])
            }
            (IpAddr::V6(source), IpAddr::V6(destination), None, None) => {
                let (source, destination) = (source.to_bits(), destination.to_bits());
                self.sources.fingerprint(&[source, destination, numbers])
            }
            (source, destination, softwire, blemish) => {
                let outer = softwire.map_or(0, |softwire| bits(softwire.source));
                let blemish = blemish.map_or(0, |blemish| blemish as u128 + 1);
                let numbers = blemish << 64 | numbers;
                self.sources
                    .fingerprint(&[bits(source), bits(destination), numbers, outer])
            }
        }
    }

    /// A SYN under quarantine is never taken for its twin from before or after, so that both the
    /// quarantine and the release take effect with the next frame.
    #[inline(never)]
    fn quarantined_fingerprint(&self, sight: &Sight) -> Fingerprint {
        let (from, to) = sight.ports;
        let numbers = u128::from(from) << 48 | u128::from(to) << 32 | u128::from(sight.sequence);
        let (charged, mark) = (bits(sight.charged()), 1 << 127);
        let addresses = [bits(sight.source), bits(sight.destination)];
        self.sources
            .fingerprint(&[addresses[0], addresses[1], numbers | mark, charged])
    }

    /// A segment that leaves the access network from a mail port.
    fn answer(&self, sight: &Sight, judgements: &mut Judgements) {
        let class = self.member(sight.charged()).map(|member| member.class);
        self.decided(Reason::MailSegment, Direction::Outbound, class, judgements);
    }

    /// A mail segment that comes from the internet.
    fn inbound(&mut self, sight: &Sight, service: Option<Service>, judgements: &mut Judgements) {
        let member = self.member(sight.outer_destination());
        let is_held =
            member.is_some_and(|member| self.quarantine.restriction(member.key).is_some());
        let member = member.map(|member| (member.key, member.class));
        let class = member.map(|(_, class)| class);
        let closed = class.is_some_and(|class| matches!(self.terms(class).smtp, Ruling::Block));
        let from_smtp = Service::of_port(sight.ports.0) == Some(Service::Smtp);
        let reason = if is_held && from_smtp {
            Reason::QuarantinedReply
        } else if closed && from_smtp && !self.policy.is_relay(sight.source) {
            Reason::SmtpReplyBlocked
        } else if service.is_some() {
            Reason::InboundMail
        } else {
            Reason::MailSegment
        };
        self.watch_reply(sight, member, reason, judgements);
        self.decided(reason, Direction::Inbound, class, judgements);
    }

    fn stranger(&self) -> Reason {
        match self.policy.strangers() {
            Fallback::Forward => Reason::StrangerForwarded,
            Fallback::Drop => Reason::Stranger,
        }
    }

    #[inline(always)]
    pub(super) fn terms(&self, class: ClassId) -> &Terms {
        &self.terms[usize::from(class.0)]
    }
}

/// Whether a frame came through its pool's VLANs: none at all where the pool says so, else at
/// least these, outermost first (a customer may tag further within).
fn carries(seen: &Vlans, expected: &[u16]) -> bool {
    if expected.is_empty() {
        seen.as_slice().is_empty()
    } else {
        seen.as_slice().starts_with(expected)
    }
}

const fn blocked(service: Service) -> Reason {
    match service {
        Service::Smtp => Reason::SmtpBlocked,
        Service::Submission => Reason::SubmissionBlocked,
    }
}

pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}
