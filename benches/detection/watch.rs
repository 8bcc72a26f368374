//! One pass over the day: who is found when, and what everybody tried.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use ipnet::IpNet;
use lychgate::{
    detect::{Finding, Observer},
    engine::{Direction, Engine, Judgements, Nanos},
    policy::Policy,
    source::SourceTable,
    synth::{
        Sent,
        isp::{Day, Truth},
    },
    wire::Service,
};

/// Frames that are judged at once.
const BATCH: usize = 64;
/// Makes every run the same.
const SEED: u64 = 0;

/// Who is what, by accounting key.
pub struct People(BTreeMap<IpNet, Truth>);

impl People {
    pub fn new(truth: &[Truth]) -> Self {
        Self(truth.iter().map(|one| (one.key, *one)).collect())
    }

    pub fn zombies(&self, kind: &str) -> impl Iterator<Item = &Truth> {
        let all = self.0.values();
        all.filter(move |one| one.is_zombie && one.kind == kind)
    }

    /// Since when somebody is a zombie.
    pub fn began(&self, key: IpNet) -> Option<Nanos> {
        let one = self.0.get(&key).filter(|one| one.is_zombie)?;
        Some(one.began)
    }

    pub fn is_zombie_at(&self, key: IpNet, time: Nanos) -> bool {
        self.began(key).is_some_and(|began| began <= time)
    }

    pub fn kind(&self, key: IpNet) -> &'static str {
        self.0.get(&key).map_or("household", |one| one.kind)
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Silent,
    Reset,
    Answered,
}

/// One attempt, retransmissions counted once.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub time: Nanos,
    /// A router knows addresses, not subscribers.
    pub address: IpAddr,
    /// To port 25 of a server that is no relay.
    pub direct: bool,
    /// Within the class's limit.
    pub admitted: bool,
    pub fate: Fate,
}

/// Everybody's attempts, and whom each policy's detectors found.
pub struct Observed {
    pub frames: u64,
    pub attempts: u64,
    log: HashMap<IpNet, Vec<Attempt>>,
    /// When, for each policy.
    pub found: Vec<HashMap<IpNet, Nanos>>,
    /// By what, under the first policy.
    pub detector: HashMap<IpNet, Finding>,
    /// Attempts that may still be answered.
    open: HashMap<(IpAddr, IpAddr, u16), (IpNet, usize)>,
}

impl Observed {
    /// Judges the whole day by each policy.
    pub fn new(day: Day, policies: &[String]) -> Self {
        let mut judges: Vec<_> = policies.iter().map(|text| Judge::new(text)).collect();
        let mut observed = Self {
            frames: 0,
            attempts: 0,
            log: HashMap::new(),
            found: vec![HashMap::new(); policies.len()],
            detector: HashMap::new(),
            open: HashMap::new(),
        };
        let mut batch: Vec<Sent> = Vec::with_capacity(BATCH);
        let mut last = 0;
        for sent in day {
            last = sent.time;
            batch.push(sent);
            if batch.len() == BATCH {
                observed.judge(&mut judges, &batch);
                batch.clear();
            }
        }
        observed.judge(&mut judges, &batch);
        for (number, judge) in judges.iter().enumerate() {
            let mut flags = Vec::new();
            judge.engine.settle(last, |flag| flags.push(flag));
            for flag in flags {
                observed.find(number, flag.key, flag.time, flag.detector);
            }
        }
        observed
    }

    pub fn of(&self, key: IpNet) -> &[Attempt] {
        self.log.get(&key).map_or(&[], Vec::as_slice)
    }

    pub fn keys(&self) -> impl Iterator<Item = IpNet> {
        self.log.keys().copied()
    }

    /// Everybody's attempts; without the businesses', where a rival is told who has a mail server.
    pub fn logs(&self, exempts: bool) -> impl Iterator<Item = (IpNet, &[Attempt])> {
        let all = self.log.iter().map(|(&key, log)| (key, log.as_slice()));
        all.filter(move |(key, _)| !exempts || !is_business(*key))
    }

    fn find(&mut self, number: usize, key: IpNet, time: Nanos, detector: Finding) {
        let before = *self.found[number].entry(key).or_insert(time);
        self.found[number].insert(key, before.min(time));
        if number == 0 {
            self.detector.entry(key).or_insert(detector);
        }
    }

    fn judge(&mut self, judges: &mut [Judge], batch: &[Sent]) {
        let frames: Vec<_> = batch.iter().map(Sent::frame).collect();
        for (number, judge) in judges.iter_mut().enumerate() {
            judge.engine.process(&frames, &mut judge.judgements);
            for flag in &judge.judgements.flags {
                self.find(number, flag.key, flag.time, flag.detector);
            }
        }
        self.frames += batch.len() as u64;
        let mut attempts = judges[0].judgements.attempts.iter().peekable();
        for (index, sent) in batch.iter().enumerate() {
            let attempt = attempts.next_if(|attempt| usize::from(attempt.frame) == index);
            let Some(segment) = Segment::read(&sent.bytes) else {
                continue;
            };
            match (sent.direction, attempt) {
                (Direction::Inbound, _) => self.answer(&segment),
                (Direction::Outbound, Some(attempt)) if !attempt.retransmission => {
                    self.attempts += 1;
                    let log = self.log.entry(attempt.key).or_default();
                    let flow = (segment.source, segment.destination, segment.ports.0);
                    self.open.insert(flow, (attempt.key, log.len()));
                    log.push(Attempt {
                        time: sent.time,
                        address: segment.source,
                        direct: attempt.service == Service::Smtp && !attempt.relay,
                        admitted: attempt.admitted,
                        fate: Fate::Silent,
                    });
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, segment: &Segment) {
        let fate = match (segment.syn && segment.ack, segment.rst) {
            (true, _) => Fate::Answered,
            (_, true) => Fate::Reset,
            _ => return,
        };
        let flow = (segment.destination, segment.source, segment.ports.1);
        if let Some((key, index)) = self.open.remove(&flow)
            && let Some(log) = self.log.get_mut(&key)
        {
            log[index].fate = fate;
        }
    }
}

fn is_business(key: IpNet) -> bool {
    matches!(key, IpNet::V4(net) if net.addr().octets()[0] == 203)
}

/// An engine of its own for a policy.
struct Judge {
    engine: Engine,
    judgements: Judgements,
}

impl Judge {
    fn new(policy: &str) -> Self {
        let (policy, _) = Policy::from_toml("isp.toml", policy).expect("the day's own policy");
        let sources = Arc::new(SourceTable::new(policy.capacity(), Some(SEED)));
        let observer = Arc::new(Observer::new(policy.observed()));
        Self {
            engine: Engine::new(Arc::new(policy), sources).observing(observer),
            judgements: Judgements::default(),
        }
    }
}

/// What a rival's router sees of a TCP segment.
struct Segment {
    source: IpAddr,
    destination: IpAddr,
    ports: (u16, u16),
    syn: bool,
    ack: bool,
    rst: bool,
}

impl Segment {
    fn read(frame: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (source, destination): (IpAddr, IpAddr) = match packet.net? {
            NetSlice::Ipv4(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            NetSlice::Ipv6(ip) => (
                ip.header().source_addr().into(),
                ip.header().destination_addr().into(),
            ),
            _ => return None,
        };
        match packet.transport? {
            TransportSlice::Tcp(tcp) => Some(Self {
                source,
                destination,
                ports: (tcp.source_port(), tcp.destination_port()),
                syn: tcp.syn(),
                ack: tcp.ack(),
                rst: tcp.rst(),
            }),
            _ => None,
        }
    }
}

/// The same policy with the numbers that detection began with.
pub fn as_it_began(policy: &str) -> String {
    let policy = changed(policy, "distinct = 100", "distinct = 200");
    let policy = changed(&policy, "attempts = 100", "attempts = 300");
    let policy = with_short_memory(&policy);
    changed(
        &policy,
        "theta0 = 0.1, theta1 = 0.6, alpha = 1e-6",
        "theta0 = 0.2, theta1 = 0.9, alpha = 5e-5",
    )
}

/// The same policy, where a contact is a first one again after an hour.
pub fn with_short_memory(policy: &str) -> String {
    changed(policy, "window = \"1d\"", "window = \"1h\"")
}

/// The same policy without thresholds on direct attempts, but with the memory of a day.
pub fn with_the_test_alone(policy: &str) -> String {
    let policy = changed(policy, "volume = { attempts = 500, window = \"1h\" }\n", "");
    changed(&policy, "distinct = 100", "distinct = 1000")
}

fn changed(policy: &str, from: &str, to: &str) -> String {
    assert!(policy.contains(from), "the day's policy has changed");
    policy.replace(from, to)
}
