//! One frame told in full: how it was decoded, whose it was, and why it was judged so.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use ipnet::IpNet;

use super::{Captures, Input, NamedPolicy, ReplayError, batch::Batch, sink};
use crate::{
    engine::{Attempt, Engine, Judgements, Nanos, Verdict},
    io::capture::CaptureError,
    policy::{Class, Limit, Role, Rule},
    source::SourceTable,
    wire::{self, Layer, Service},
};

/// What came before from the same subscriber, towards the same limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The limit that applies; nothing where the class allows or blocks all.
    pub limit: Option<Limit>,
    /// Attempts admitted in the window that ends with this frame, without this one.
    pub admitted: u64,
    /// Attempts refused in that window, without this one.
    pub refused: u64,
    /// The earliest admitted attempt in the window.
    pub oldest_admitted: Option<Nanos>,
}

/// Whose frame it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// The accounting key.
    pub key: IpNet,
    /// The subscriber's own name.
    pub name: Option<String>,
    /// VLANs the pool's frames must carry, outermost first.
    pub vlans: Option<Vec<u16>>,
    /// The class.
    pub class: Class,
}

/// Everything about one frame.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its number, from 1 as Wireshark counts.
    pub number: u64,
    /// When the capture says it arrived.
    pub stamp: Nanos,
    /// When it was judged: later than the stamp where time ran backwards.
    pub time: Nanos,
    /// Octets captured.
    pub captured: usize,
    /// Octets on the wire.
    pub wire_length: u32,
    /// Its layers, outermost first, and the decoder's decision.
    pub layers: Vec<Layer>,
    /// The subscriber, if it belongs to one.
    pub owner: Option<Owner>,
    /// The verdict.
    pub verdict: Verdict,
    /// The attempt, if it is one that a subscriber is charged with, and what came before.
    pub attempt: Option<(Attempt, History)>,
}

/// What became of looking for a frame.
pub enum Sought {
    /// There it is.
    Found(Box<Explanation>),
    /// The captures end before; so many frames there are, and the damage that ended them.
    Missing(u64, Vec<CaptureError>),
}

/// Replays up to the frame with this number, so that the windows are as full as they were, and
/// explains it.
///
/// # Errors
/// A capture cannot be opened.
pub fn explain(
    captures: &Captures,
    named: &NamedPolicy,
    number: u64,
) -> Result<Sought, ReplayError> {
    let mut input = Input::open(captures)?;
    let policy = &named.policy;
    let sources = Arc::new(SourceTable::new(policy.capacity(), Some(0)));
    let mut engine = Engine::new(Arc::clone(policy), sources);
    let mut batch = Batch::default();
    let mut log = Log::default();
    loop {
        input.fill_up_to(&mut batch, number);
        if batch.is_empty() {
            let frames = input.frames();
            return Ok(Sought::Missing(frames, input.finish().1));
        }
        let (frames, judgements, _) = batch.parts();
        engine.process(&frames, judgements);
        if input.frames() == number {
            log.absorb(&batch, batch.len() - 1);
            return Ok(Sought::Found(Box::new(explanation(
                &batch, named, number, &log,
            ))));
        }
        log.absorb(&batch, batch.len());
    }
}

/// Explains the last frame of a batch.
fn explanation(batch: &Batch, named: &NamedPolicy, number: u64, log: &Log) -> Explanation {
    let policy = &*named.policy;
    let index = batch.len() - 1;
    let (frame, verdict) = (batch.frame(index), batch.judgements.verdicts[index]);
    let attempt = verdict
        .attempt
        .map(|attempt| batch.judgements.attempts[usize::from(attempt)]);
    let member = sink::member(policy, &frame, verdict.direction);
    let owner = member.map(|member| Owner {
        key: member.key,
        name: policy.name_of(member.key).map(str::to_owned),
        vlans: member.vlans.map(<[u16]>::to_vec),
        class: policy.class(member.class).clone(),
    });
    let is_concentrator = |address| matches!(policy.role(address), Role::Concentrator);
    Explanation {
        number,
        stamp: batch.record(index).time,
        time: frame.time,
        captured: frame.bytes.len(),
        wire_length: frame.wire_length,
        layers: wire::layers(frame.bytes, frame.wire_length, frame.link, &is_concentrator),
        owner,
        verdict,
        attempt: attempt.map(|attempt| {
            let class = policy.class(attempt.class);
            let limit = match (attempt.relay, attempt.service) {
                (true, _) => policy.relay_limit(),
                (false, Service::Smtp) => limit_of(class.smtp),
                (false, Service::Submission) => limit_of(class.submission),
            };
            let history = log.history(&attempt, limit, frame.time);
            (attempt, history)
        }),
    }
}

fn limit_of(rule: Rule) -> Option<Limit> {
    match rule {
        Rule::Limit(limit) => Some(limit),
        Rule::Allow | Rule::Block => None,
    }
}

/// What counts towards one limit: a subscriber's attempts to relays, or to one service elsewhere.
type Meter = (IpNet, Option<Service>);

/// Every attempt so far, exactly.
#[derive(Default)]
struct Log(HashMap<Meter, Vec<(Nanos, bool)>, RandomState>);

impl Log {
    fn meter(attempt: &Attempt) -> Meter {
        (attempt.key, (!attempt.relay).then_some(attempt.service))
    }

    /// Takes in the attempts among the first `frames` frames.
    fn absorb(&mut self, batch: &Batch, frames: usize) {
        let Judgements { attempts, .. } = &batch.judgements;
        let earlier = attempts
            .iter()
            .filter(|attempt| usize::from(attempt.frame) < frames);
        for attempt in earlier.filter(|attempt| !attempt.retransmission) {
            let time = batch.time(usize::from(attempt.frame));
            self.0
                .entry(Self::meter(attempt))
                .or_default()
                .push((time, attempt.admitted));
        }
    }

    fn history(&self, attempt: &Attempt, limit: Option<Limit>, now: Nanos) -> History {
        let window = limit.map_or(Nanos::MAX, |limit| {
            u64::try_from(limit.window.as_nanos()).unwrap_or(Nanos::MAX)
        });
        let attempts = self
            .0
            .get(&Self::meter(attempt))
            .map_or(&[][..], Vec::as_slice);
        let recent = attempts.iter().filter(|(time, _)| now - time < window);
        let count = |admitted| recent.clone().filter(|(_, was)| *was == admitted).count() as u64;
        History {
            limit,
            admitted: count(true),
            refused: count(false),
            oldest_admitted: recent
                .clone()
                .find(|(_, admitted)| *admitted)
                .map(|(time, _)| *time),
        }
    }
}
