//! The pure stage: decode a frame, look up the policy, prepare what judging will need.

use std::net::IpAddr;

use super::{Action, Attempt, Direction, Effect, Engine, Frame, Reason, Verdict};
use crate::{
    detect,
    policy::{Class, ClassId, Excess, Fallback, Member, Policy, Role, Rule},
    source::{Fingerprint, Limit, Meter, Source},
    wire::{
        self, Blemish, Crossing, Decoded, Glance, Link, PlainSegment, Quote, Segment, Service,
        Softwire, TcpFlags, Triage, Vlans,
    },
};

/// A rule in the source table's terms.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ruling {
    Allow,
    Block,
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
    /// By [`Meter`].
    rulings: [Ruling; 3],
    pub(super) excess: Excess,
    pub(super) observe: bool,
    pub(super) detect: Option<detect::Terms>,
}

impl Terms {
    pub fn new(class: &Class, policy: &Policy) -> Self {
        let relay = policy.relay_limit().map_or(Rule::Allow, Rule::Limit);
        Self {
            rulings: [class.smtp, class.submission, relay].map(Ruling::from),
            excess: class.excess,
            observe: class.observe || policy.observe(),
            detect: class.detect.as_ref().map(super::observe::terms),
        }
    }

    #[inline(always)]
    const fn ruling(&self, meter: Meter) -> &Ruling {
        &self.rulings[meter as usize]
    }
}

/// An attempt between the stages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staged {
    pub fingerprint: Fingerprint,
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
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) softwire: Option<Softwire>,
    pub(super) ports: (u16, u16),
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) payload_length: u16,
    pub(super) flags: TcpFlags,
    pub(super) blemish: Option<Blemish>,
}

impl Sight {
    /// Out of a frame that triage knew. All of it stays in registers, which is why it is not made
    /// by way of a [`Segment`].
    #[inline(always)]
    const fn of_plain(glance: Glance) -> Self {
        Self {
            source: glance.source,
            destination: glance.destination,
            softwire: None,
            ports: glance.ports,
            sequence: glance.sequence,
            acknowledgement: glance.acknowledgement,
            payload_length: glance.payload_length,
            flags: glance.flags,
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

/// Where the judgement of one frame goes.
pub(super) struct Seat<'a> {
    /// The frame's index.
    pub frame: u16,
    pub verdict: &'a mut Verdict,
    pub attempts: &'a mut Vec<Attempt>,
}

impl Engine {
    /// Decodes one frame and writes its verdict. An attempt is staged, and its verdict completed
    /// by the judging stage.
    #[inline(always)]
    pub(super) fn stage(&mut self, frame: &Frame<'_>, seat: Seat<'_>) {
        if self.quarantine.has_walls()
            && let Some(verdict) = self.stop(frame)
        {
            *seat.verdict = verdict;
            return self.decided.push(seat.frame);
        }
        if frame.link != Link::Ethernet {
            return self.decode(frame, seat);
        }
        match wire::triage(frame.bytes) {
            Triage::NotMail => self.crosses(frame, seat),
            Triage::Mail(plain) if plain.is_ipv6 => self.plain_ipv6(frame, plain, seat),
            Triage::Mail(plain) => self.plain_ipv4(frame, plain, seat),
            Triage::Icmp(network_offset) => {
                self.watch_icmp(frame, network_offset, seat.frame);
                self.crosses(frame, seat);
            }
            Triage::Unsure => self.decode(frame, seat),
        }
    }

    /// Mail that triage knew, compiled for each family: its addresses are machine words from the
    /// header to the hashes.
    #[inline(never)]
    fn plain_ipv4(&mut self, frame: &Frame<'_>, plain: PlainSegment, seat: Seat<'_>) {
        let sight = Sight::of_plain(plain.ipv4(frame.bytes));
        self.segment(frame, sight, || plain.vlans(frame.bytes), seat);
    }

    #[inline(never)]
    fn plain_ipv6(&mut self, frame: &Frame<'_>, plain: PlainSegment, seat: Seat<'_>) {
        let sight = Sight::of_plain(plain.ipv6(frame.bytes));
        self.segment(frame, sight, || plain.vlans(frame.bytes), seat);
    }

    #[inline(never)]
    fn decode(&mut self, frame: &Frame<'_>, seat: Seat<'_>) {
        let policy = &self.policy;
        let decoded = wire::decode(frame.bytes, frame.wire_length, frame.link, &|address| {
            policy.is_concentrator(address)
        });
        match decoded {
            Decoded::Crosses(Crossing::NotMail) => self.crosses(frame, seat),
            Decoded::Crosses(crossing) => {
                self.decided(crossing.into(), self.direction(frame), None, seat);
            }
            Decoded::Unreadable => {
                self.decided(Reason::Unreadable, self.direction(frame), None, seat);
            }
            Decoded::Segment(segment) => {
                self.segment(frame, Sight::of_segment(&segment), || segment.vlans, seat);
            }
            Decoded::Evasion(evasion) => {
                let direction = self.direction(frame);
                let subscriber = evasion.endpoints.and_then(|(source, destination)| {
                    self.policy.member(match direction {
                        Direction::Outbound => source,
                        Direction::Inbound => destination,
                    })
                });
                let class = subscriber.map(|member| member.class);
                self.decided(evasion.fault.into(), direction, class, seat);
            }
        }
    }

    /// The verdict for what is certainly not mail, which is nearly everything.
    #[inline(always)]
    fn crosses(&mut self, frame: &Frame<'_>, seat: Seat<'_>) {
        let direction = match frame.direction {
            Some(direction) => direction,
            None => self.direction(frame),
        };
        self.crossed[direction as usize] += 1;
        *seat.verdict = Verdict::crosses(direction);
    }

    /// The verdict that a reason leads to where no window is asked.
    #[inline]
    fn decided(
        &mut self,
        reason: Reason,
        direction: Direction,
        class: Option<ClassId>,
        seat: Seat<'_>,
    ) {
        let observe = class.map_or(self.policy.observe(), |class| self.terms(class).observe);
        let refused = reason.effect() != Effect::Forward;
        *seat.verdict = Verdict {
            action: if refused && !observe {
                Action::Drop
            } else {
                Action::Forward
            },
            reason,
            observed: refused && observe,
            class,
            ..Verdict::crosses(direction)
        };
        self.decided.push(seat.frame);
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

    #[inline(always)]
    fn segment(
        &mut self,
        frame: &Frame<'_>,
        sight: Sight,
        vlans: impl FnOnce() -> Vlans,
        seat: Seat<'_>,
    ) {
        let direction = frame
            .direction
            .unwrap_or_else(|| self.direction_between(sight.charged(), sight.outer_destination()));
        match (direction, Service::of_port(sight.ports.1)) {
            (Direction::Outbound, Some(service)) => self.outbound(sight, service, vlans, seat),
            (Direction::Outbound, None) => self.answer(sight, seat),
            (Direction::Inbound, service) => self.inbound(sight, service, seat),
        }
    }

    /// A segment that leaves the access network for a mail port.
    #[inline(always)]
    fn outbound(
        &mut self,
        sight: Sight,
        service: Service,
        vlans: impl FnOnce() -> Vlans,
        seat: Seat<'_>,
    ) {
        let direction = Direction::Outbound;
        let Member {
            key,
            class,
            vlans: expected,
        } = match self.policy.role(sight.charged()) {
            Role::Subscriber(member) => member,
            Role::Relay | Role::Concentrator => {
                return self.decided(Reason::MailSegment, direction, None, seat);
            }
            Role::Stranger => return self.decided(self.stranger(), direction, None, seat),
        };
        let bound = expected.is_some();
        if expected.is_some_and(|expected| !carries(&vlans(), expected)) {
            return self.decided(Reason::WrongVlan, direction, Some(class), seat);
        }
        let relay = self.policy.is_relay(sight.destination);
        let held = service == Service::Smtp && self.quarantine.restriction(key).is_some();
        let meter = match (relay & !held, service) {
            (true, _) => Meter::Relay,
            (false, Service::Smtp) => Meter::Smtp,
            (false, Service::Submission) => Meter::Submission,
        };
        if !sight.flags.is_attempt() {
            let reason = match self.terms(class).ruling(meter) {
                _ if held => Reason::Quarantined,
                Ruling::Block => blocked(service),
                _ => Reason::MailSegment,
            };
            self.watch_handshake(&sight, (key, class), seat.frame);
            return self.decided(reason, direction, Some(class), seat);
        }
        if sight.blemish == Some(Blemish::BadIpv4Checksum) {
            return self.decided(Reason::BadIpv4Checksum, direction, Some(class), seat);
        }
        let attempt = Attempt {
            frame: seat.frame,
            key,
            class,
            service,
            relay,
            admitted: true,
            retransmission: false,
        };
        self.attempt(&sight, attempt, meter, held, bound, seat);
    }

    /// An attempt: all that judging will need of it, and its lines of the source table asked for.
    #[inline(always)]
    fn attempt(
        &mut self,
        sight: &Sight,
        attempt: Attempt,
        meter: Meter,
        held: bool,
        bound: bool,
        seat: Seat<'_>,
    ) {
        let Attempt {
            key,
            class,
            service,
            ..
        } = attempt;
        let fingerprint = if held {
            self.quarantined_fingerprint(*sight)
        } else {
            self.fingerprint(sight)
        };
        self.sources.prefetch_recent(fingerprint);
        let ruling = match (sight.blemish, self.terms(class).ruling(meter)) {
            (Some(blemish), _) => StagedRuling::Decided(blemish.into()),
            (None, _) if held => StagedRuling::Decided(Reason::Quarantined),
            (None, Ruling::Limit(limit)) => {
                let source = self.sources.source(key, meter, *limit);
                self.sources.prefetch_source(source);
                StagedRuling::Charge {
                    source,
                    meter,
                    limit: *limit,
                }
            }
            (None, Ruling::Block) => StagedRuling::Decided(blocked(service)),
            (None, Ruling::Allow) => StagedRuling::Decided(match meter {
                Meter::Relay => Reason::Relayed,
                _ => Reason::Allowed,
            }),
        };
        if self.leasing.is_some() {
            self.note_syn(*sight, service);
        }
        self.watch_attempt(sight, fingerprint, (key, class), bound, &seat);
        self.staged.push(Staged {
            fingerprint,
            ruling,
        });
        // What is not yet known is filled in by the judging stage.
        *seat.verdict = Verdict {
            reason: Reason::Admitted,
            class: Some(class),
            attempt: Some(seat.attempts.len() as u16),
            ..Verdict::crosses(Direction::Outbound)
        };
        seat.attempts.push(attempt);
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
    #[cold]
    fn quarantined_fingerprint(&self, sight: Sight) -> Fingerprint {
        let (from, to) = sight.ports;
        let numbers = u128::from(from) << 48 | u128::from(to) << 32 | u128::from(sight.sequence);
        let (charged, mark) = (bits(sight.charged()), 1 << 127);
        let addresses = [bits(sight.source), bits(sight.destination)];
        self.sources
            .fingerprint(&[addresses[0], addresses[1], numbers | mark, charged])
    }

    /// A segment that leaves the access network from a mail port.
    #[inline(never)]
    fn answer(&mut self, sight: Sight, seat: Seat<'_>) {
        let class = self
            .policy
            .member(sight.charged())
            .map(|member| member.class);
        self.decided(Reason::MailSegment, Direction::Outbound, class, seat);
    }

    /// A mail segment that comes from the internet.
    #[inline(never)]
    fn inbound(&mut self, sight: Sight, service: Option<Service>, seat: Seat<'_>) {
        let member = self.policy.member(sight.outer_destination());
        let is_held =
            member.is_some_and(|member| self.quarantine.restriction(member.key).is_some());
        let member = member.map(|member| (member.key, member.class));
        let class = member.map(|(_, class)| class);
        let closed = class
            .is_some_and(|class| matches!(self.terms(class).ruling(Meter::Smtp), Ruling::Block));
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
        self.watch_reply(&sight, member, reason, seat.frame);
        self.decided(reason, Direction::Inbound, class, seat);
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
