//! The pure stage: decode a frame, look up the policy, prepare what judging will need.

use std::net::IpAddr;

use super::{Action, Attempt, Direction, Effect, Engine, Frame, Judgements, Reason, Verdict};
use crate::{
    policy::{Class, ClassId, Excess, Member, Policy, Role, Rule},
    source::{Fingerprint, Limit, Meter, Source},
    wire::{self, Blemish, Decoded, Link, Segment, Service, Triage},
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
    smtp: Ruling,
    submission: Ruling,
    relay: Ruling,
    pub(super) excess: Excess,
    pub(super) observe: bool,
}

impl Terms {
    pub fn new(class: &Class, policy: &Policy) -> Self {
        Self {
            smtp: class.smtp.into(),
            submission: class.submission.into(),
            relay: policy.relay_limit().map_or(Ruling::Allow, |limit| Rule::Limit(limit).into()),
            excess: class.excess,
            observe: class.observe || policy.observe(),
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
    pub ruling: StagedRuling,
}

/// What remains to be decided about an attempt that is not a retransmission.
#[derive(Clone, Copy, Debug)]
pub(super) enum StagedRuling {
    /// Nothing.
    Decided(Reason),
    /// Whether the source's window has room.
    Charge { source: Source, limit: Limit, meter: Meter },
}

impl Engine {
    /// Decodes one frame. Attempts are pushed to `judgements` and staged; their verdict is filled
    /// in by the judging stage.
    #[inline]
    pub(super) fn stage(&mut self, frame: &Frame<'_>, judgements: &mut Judgements) -> Verdict {
        if frame.link == Link::Ethernet {
            match wire::triage(frame.bytes) {
                Triage::NotMail => return self.crosses(frame, Reason::NotMail),
                Triage::Mail(plain) => {
                    return self.segment(frame, &plain.segment(frame.bytes), judgements);
                }
                Triage::Unsure => {}
            }
        }
        self.decode(frame, judgements)
    }

    #[cold]
    fn decode(&mut self, frame: &Frame<'_>, judgements: &mut Judgements) -> Verdict {
        let policy = &self.policy;
        let decoded = wire::decode(frame.bytes, frame.wire_length, frame.link, &|address| {
            matches!(policy.role(address), Role::Concentrator)
        });
        match decoded {
            Decoded::Crosses(crossing) => self.crosses(frame, crossing.into()),
            Decoded::Unreadable => self.crosses(frame, Reason::Unreadable),
            Decoded::Segment(segment) => self.segment(frame, &segment, judgements),
            Decoded::Evasion(evasion) => {
                let direction = self.direction(frame);
                let subscriber = evasion.endpoints.and_then(|(source, destination)| {
                    self.member(match direction {
                        Direction::Outbound => source,
                        Direction::Inbound => destination,
                    })
                });
                let class = subscriber.map(|member| member.class);
                self.verdict(evasion.fault.into(), direction, class)
            }
        }
    }

    /// The verdict for a frame that is nobody's business.
    #[inline]
    fn crosses(&self, frame: &Frame<'_>, reason: Reason) -> Verdict {
        let direction = match frame.direction {
            Some(direction) => direction,
            None => self.direction(frame),
        };
        Verdict {
            action: Action::Forward,
            reason,
            direction,
            observed: false,
            class: None,
            attempt: None,
        }
    }

    /// Which way a frame travels: as its port says, else as the pools say.
    fn direction(&self, frame: &Frame<'_>) -> Direction {
        frame.direction.unwrap_or_else(|| {
            wire::endpoints(frame.bytes, frame.link)
                .map_or(Direction::Outbound, |(from, to)| self.direction_between(from, to))
        })
    }

    fn direction_between(&self, from: IpAddr, to: IpAddr) -> Direction {
        if self.member(from).is_none() && self.member(to).is_some() {
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

    #[inline]
    fn segment(
        &mut self,
        frame: &Frame<'_>,
        segment: &Segment,
        judgements: &mut Judgements,
    ) -> Verdict {
        let outer_destination =
            segment.softwire.map_or(segment.destination, |softwire| softwire.destination);
        let direction = frame
            .direction
            .unwrap_or_else(|| self.direction_between(segment.charged(), outer_destination));
        match direction {
            Direction::Outbound => self.outbound(segment, judgements),
            Direction::Inbound => self.inbound(segment, outer_destination),
        }
    }

    /// A mail segment that leaves the access network.
    #[inline]
    fn outbound(&mut self, segment: &Segment, judgements: &mut Judgements) -> Verdict {
        let direction = Direction::Outbound;
        let role = self.policy.role(segment.charged());
        let Some(service) = Service::of_port(segment.destination_port) else {
            let class = match role {
                Role::Subscriber(member) => Some(member.class),
                _ => None,
            };
            return self.verdict(Reason::MailSegment, direction, class);
        };
        let member = match role {
            Role::Subscriber(member) => member,
            Role::Relay | Role::Concentrator => {
                return self.verdict(Reason::MailSegment, direction, None);
            }
            Role::Stranger => return self.verdict(self.stranger(), direction, None),
        };
        let class = Some(member.class);
        if member.vlans.is_some_and(|vlans| !segment.vlans.as_slice().starts_with(vlans)) {
            return self.verdict(Reason::WrongVlan, direction, class);
        }
        let relay = self.policy.is_relay(segment.destination);
        let (meter, ruling) = self.terms(member.class).ruling(service, relay);
        if !segment.flags.is_attempt() {
            let reason = match ruling {
                Ruling::Block => blocked(service),
                _ => Reason::MailSegment,
            };
            return self.verdict(reason, direction, class);
        }
        if segment.blemish == Some(Blemish::BadIpv4Checksum) {
            return self.verdict(Reason::BadIpv4Checksum, direction, class);
        }
        let staged = self.staged(segment, member.key, service, meter, ruling);
        let attempt = judgements.attempts.len() as u16;
        self.staged.push(staged);
        judgements.attempts.push(Attempt {
            frame: judgements.verdicts.len() as u16,
            key: member.key,
            class: member.class,
            service,
            relay,
            admitted: false,
            retransmission: false,
        });
        // Whatever it says is replaced by the judging stage, except for whose attempt it is.
        Verdict {
            action: Action::Forward,
            reason: Reason::Admitted,
            direction,
            observed: false,
            class,
            attempt: Some(attempt),
        }
    }

    #[inline]
    fn staged(
        &self,
        segment: &Segment,
        key: ipnet::IpNet,
        service: Service,
        meter: Meter,
        ruling: Ruling,
    ) -> Staged {
        let ruling = match (segment.blemish, ruling) {
            (Some(blemish), _) => StagedRuling::Decided(blemish.into()),
            (None, Ruling::Block) => StagedRuling::Decided(blocked(service)),
            (None, Ruling::Allow) if meter == Meter::Relay => {
                StagedRuling::Decided(Reason::Relayed)
            }
            (None, Ruling::Allow) => StagedRuling::Decided(Reason::Allowed),
            (None, Ruling::Limit(limit)) => {
                let source = self.sources.source(key, meter, limit);
                StagedRuling::Charge { source, limit, meter }
            }
        };
        Staged { fingerprint: self.fingerprint(segment), ruling }
    }

    /// Hashes what makes two SYNs the same: addresses, ports and sequence number, in a softwire
    /// also whose it is. A SYN with a blemish is never taken for its clean twin.
    #[inline]
    fn fingerprint(&self, segment: &Segment) -> Fingerprint {
        let ports = u64::from(segment.source_port) << 16 | u64::from(segment.destination_port);
        let blemish = segment.blemish.map_or(0, |blemish| blemish as u64 + 1);
        let rest = ports << 32 | u64::from(segment.sequence);
        if segment.softwire.is_none()
            && let (IpAddr::V4(source), IpAddr::V4(destination)) =
                (segment.source, segment.destination)
        {
            let addresses =
                u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
            return self.sources.fingerprint(&[addresses, rest, blemish]);
        }
        let [s1, s0] = words(segment.source);
        let [d1, d0] = words(segment.destination);
        let [o1, o0] = segment.softwire.map_or([0, 0], |softwire| words(softwire.source));
        self.sources.fingerprint(&[s1, s0, d1, d0, rest, blemish, o1, o0])
    }

    /// A mail segment that comes from the internet.
    fn inbound(&self, segment: &Segment, outer_destination: IpAddr) -> Verdict {
        let direction = Direction::Inbound;
        let class = self.member(outer_destination).map(|member| member.class);
        let from_smtp = Service::of_port(segment.source_port) == Some(Service::Smtp);
        let reason = match class {
            Some(class)
                if from_smtp
                    && matches!(self.terms(class).smtp, Ruling::Block)
                    && !self.policy.is_relay(segment.source) =>
            {
                Reason::SmtpReplyBlocked
            }
            _ if Service::of_port(segment.destination_port).is_some() => Reason::InboundMail,
            _ => Reason::MailSegment,
        };
        self.verdict(reason, direction, class)
    }

    fn stranger(&self) -> Reason {
        match self.policy.strangers() {
            crate::policy::Fallback::Forward => Reason::StrangerForwarded,
            crate::policy::Fallback::Drop => Reason::Stranger,
        }
    }

    pub(super) fn terms(&self, class: ClassId) -> &Terms {
        &self.terms[usize::from(class.0)]
    }

    /// What a reason does to a frame that is not a charged attempt.
    #[inline]
    fn verdict(&self, reason: Reason, direction: Direction, class: Option<ClassId>) -> Verdict {
        let observe = class.map_or(self.policy.observe(), |class| self.terms(class).observe);
        let refused = reason.effect() != Effect::Forward;
        let action = if refused && !observe { Action::Drop } else { Action::Forward };
        let observed = refused && observe;
        Verdict { action, reason, direction, observed, class, attempt: None }
    }
}

const fn blocked(service: Service) -> Reason {
    match service {
        Service::Smtp => Reason::SmtpBlocked,
        Service::Submission => Reason::SubmissionBlocked,
    }
}

fn words(address: IpAddr) -> [u64; 2] {
    let bits = match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}
