//! What judging a frame costs, beside its limits, in one run.
//!
//! These machines are noisy, so every figure stands beside others of the same round: (a) `touch`,
//! which only reads the first cache line of every frame; (b) `touch + record`, which also reads one
//! random record of a table of a million; (c) `naive`, the same judgement composed of a general
//! parser, a concurrent map and a log of timestamps per source; (d) `limit`, which parses nothing
//! and knows no policy, and only does to memory what every exact limiter must that knows
//! retransmissions: see [`Memory`]. The ratios are what to keep.
//!
//! ```text
//! cargo bench --bench judge                      # both profiles, medians of nine rounds
//! cargo bench --bench judge -- --rounds 3 --frames 200000
//! cargo bench --bench judge -- --instructions    # one fixed round, for valgrind
//! ```

use std::{collections::VecDeque, hint::black_box, net::IpAddr, sync::Arc, time::Instant};

use clap::Parser;
use dashmap::DashMap;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use lychgate::{
    detect::Observer,
    engine::{Direction, Engine, Frame, Judgements},
    policy::Policy,
    source::{
        SourceTable,
        pages::{huge_array, prefetch},
    },
    synth::profile::{self, profile_mixed, profile_policy, profile_syn},
    wire::{self, Decoded, Link},
};
use portable_atomic::{AtomicU64, AtomicU128, Ordering};

const BATCH: usize = 64;
const RECORDS: usize = 1 << 20;
/// Lines that remember recent SYNs: as many as the source table has for a million sources.
const RECENT_LINES: usize = RECORDS / 4;
/// How far ahead (d) prefetches frames.
const FRAMES_AHEAD: usize = 24;

#[derive(Parser)]
struct Options {
    /// Frames in each profile.
    #[arg(long, default_value_t = 1_000_000)]
    frames: usize,
    /// Rounds; medians are printed.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Sources in the `syn` profile.
    #[arg(long, default_value_t = 1_000_000)]
    sources: u32,
    /// Only this profile.
    #[arg(long, value_parser = ["mixed", "syn"])]
    profile: Option<String>,
    /// Judge with every detector on and everybody observed; compare with a run without.
    #[arg(long)]
    detect: bool,
    /// Judge each profile once and do nothing else, to count instructions.
    #[arg(long)]
    instructions: bool,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let policy = match options.detect {
        true => detecting_policy(),
        false => profile_policy().to_owned(),
    };
    for name in ["mixed", "syn"] {
        if options.profile.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let mut frames = Frames::aligned(&match name {
            "mixed" => profile_mixed(1, options.frames),
            _ => profile_syn(1, options.frames, options.sources),
        });
        if options.instructions {
            let mut judge = Judge::new(&policy);
            black_box(judge.run(&frames, 0..frames.len()));
        } else {
            // One frame in so many is an attempt.
            let spacing = if name == "mixed" { 20 } else { 1 };
            compare(name, &mut frames, spacing, options.rounds, &policy);
        }
    }
}

/// Frames as a NIC lays them down: each begins on a cache line.
struct Frames {
    bytes: Box<[u8]>,
    /// Start and length of each frame.
    places: Vec<(u32, u32)>,
    /// Where the sequence number of each attempt is.
    sequences: Vec<u32>,
}

impl Frames {
    const LINE: usize = 64;

    fn aligned(frames: &profile::Frames) -> Self {
        let octets: usize = frames
            .iter()
            .map(|frame| frame.len().next_multiple_of(Self::LINE))
            .sum();
        let mut bytes = huge_array::<u8>(octets + Self::LINE);
        let mut start = bytes.as_ptr().align_offset(Self::LINE);
        let mut places = Vec::with_capacity(frames.len());
        let mut sequences = Vec::new();
        for frame in frames.iter() {
            bytes[start..][..frame.len()].copy_from_slice(frame);
            let decoded = wire::decode(frame, frame.len() as u32, Link::Ethernet, &|_| false);
            if let Decoded::Segment(segment) = decoded
                && segment.flags.is_attempt()
            {
                sequences.push(start as u32 + u32::from(segment.tcp_offset) + 4);
            }
            places.push((start as u32, frame.len() as u32));
            start += frame.len().next_multiple_of(Self::LINE);
        }
        Self {
            bytes,
            places,
            sequences,
        }
    }

    /// Makes every attempt another one, or it would be remembered from the round before and taken
    /// for a retransmission, which is not charged.
    fn renewed(&mut self) -> &Self {
        for &sequence in &self.sequences {
            let octet = &mut self.bytes[sequence as usize];
            *octet = octet.wrapping_add(1);
        }
        self
    }

    fn len(&self) -> usize {
        self.places.len()
    }

    #[inline]
    fn get(&self, index: usize) -> &[u8] {
        let (start, length) = self.places[index];
        &self.bytes[start as usize..][..length as usize]
    }
}

/// The cases, as they are printed.
const CASES: [&str; 8] = [
    "(a) touch",
    "(b) touch + one random record",
    "(d) limit",
    "lychgate",
    "(c) naive",
    "touch, two cores",
    "limit, two cores",
    "lychgate, two workers",
];

/// Times every case once a round, in turn, and prints medians and their ratios.
fn compare(name: &str, frames: &mut Frames, spacing: usize, rounds: usize, policy: &str) {
    let count = frames.len();
    let all = || 0..count;
    let records = records();
    let memory = Memory::new();
    let mut judge = Judge::new(policy);
    let mut naive = Naive::default();
    let mut workers = [judge.beside(), judge.beside()];
    let mut samples: [Vec<f64>; CASES.len()] = Default::default();
    for round in 0..=rounds {
        let nanoseconds = [
            time(frames, |frames| touch(frames, all())),
            time(frames, |frames| touch_and_record(frames, &records)),
            time(frames, |frames| memory.limit(frames, all(), spacing, round)),
            time(frames.renewed(), |frames| judge.run(frames, all())),
            time(frames, |frames| naive.run(frames)),
            time(frames, |frames| {
                on_two_cores(|half| touch(frames, half_of(frames, half)))
            }),
            time(frames, |frames| {
                on_two_cores(|half| memory.limit(frames, half_of(frames, half), spacing, !round))
            }),
            time(frames.renewed(), |frames| two_workers(&mut workers, frames)),
        ];
        // The first round warms caches and fills tables.
        if round > 0 {
            for (sample, figure) in samples.iter_mut().zip(nanoseconds) {
                sample.push(figure);
            }
        }
    }
    let medians = samples.map(median);
    println!(
        "\n{name}: {} frames a round, medians of {rounds} rounds",
        frames.len()
    );
    println!("{:<34}{:>10}{:>16}", "", "ns/frame", "M frames/s");
    for (label, figure) in CASES.iter().zip(medians) {
        println!("{label:<34}{figure:>10.1}{:>16.1}", 1e3 / figure);
    }
    let [
        touch,
        record,
        limit,
        judge,
        naive,
        touch_two,
        limit_two,
        judge_two,
    ] = medians;
    println!(
        "lychgate/(a) {:.2}   lychgate/(b) {:.2}   lychgate/(d) {:.2}   (d)/(a) {:.2}   (d)/(b) {:.2}   \
         (c)/lychgate {:.1}",
        judge / touch,
        judge / record,
        judge / limit,
        limit / touch,
        limit / record,
        naive / judge,
    );
    println!(
        "two cores / one: lychgate {:.2}   (d) {:.2}   (a) {:.2}",
        judge / judge_two,
        limit / limit_two,
        touch / touch_two,
    );
}

/// Nanoseconds a frame.
fn time<T>(frames: &Frames, run: impl FnOnce(&Frames) -> T) -> f64 {
    let start = Instant::now();
    black_box(run(frames));
    start.elapsed().as_nanos() as f64 / frames.len() as f64
}

fn median(mut sample: Vec<f64>) -> f64 {
    sample.sort_by(f64::total_cmp);
    sample[sample.len() / 2]
}

fn touch(frames: &Frames, range: std::ops::Range<usize>) -> u64 {
    range.map(|index| u64::from(frames.get(index)[0])).sum()
}

fn half_of(frames: &Frames, half: usize) -> std::ops::Range<usize> {
    let middle = frames.len() / 2;
    if half == 0 {
        0..middle
    } else {
        middle..frames.len()
    }
}

/// A record of a cache line, as the source table's.
#[repr(align(64))]
#[derive(Default)]
struct Record([u64; 8]);

fn records() -> Box<[Record]> {
    huge_array(RECORDS)
}

/// Batches as the engine's: all frames are touched, then all records, so that misses overlap.
fn touch_and_record(frames: &Frames, records: &[Record]) -> u64 {
    let mut sum = 0;
    let mut places = [0; BATCH];
    for start in (0..frames.len()).step_by(BATCH) {
        let count = BATCH.min(frames.len() - start);
        for (offset, place) in places[..count].iter_mut().enumerate() {
            let frame = frames.get(start + offset);
            // The last octets of an address, wherever it is: enough to be random.
            let source = u64::from_le_bytes(frame[22..30].try_into().expect("eight octets"));
            *place = random_place(source, RECORDS);
        }
        for &place in &places[..count] {
            sum += records[place].0[0];
        }
    }
    sum
}

/// What exactness costs whoever judges: one swap of 16 octets on a random record for each attempt,
/// since the count must not miss another worker's, and one random line read and written that
/// remembers the SYN, since a retransmission must not count. All prefetched as well as can be.
struct Memory {
    windows: Box<[WindowLine]>,
    recent: Box<[RecentLine]>,
}

#[repr(align(64))]
#[derive(Default)]
struct WindowLine(AtomicU128);

#[repr(align(64))]
#[derive(Default)]
struct RecentLine([AtomicU64; 8]);

impl Memory {
    fn new() -> Self {
        Self {
            windows: huge_array(RECORDS),
            recent: huge_array(RECENT_LINES),
        }
    }

    /// One frame in `spacing` is an attempt. `salt` makes another round's SYNs other ones.
    fn limit(
        &self,
        frames: &Frames,
        range: std::ops::Range<usize>,
        spacing: usize,
        salt: usize,
    ) -> u64 {
        let mut sum = 0;
        let mut places = [(0, 0); BATCH];
        for start in range.clone().step_by(BATCH) {
            let mut count = 0;
            for index in start..range.end.min(start + BATCH) {
                if index + FRAMES_AHEAD < range.end {
                    prefetch(frames.get(index + FRAMES_AHEAD));
                }
                let frame = frames.get(index);
                if index % spacing != 0 {
                    sum += u64::from(frame[0]);
                    continue;
                }
                // The last octets of an address, wherever it is: enough to be random.
                let source = u64::from_le_bytes(frame[22..30].try_into().expect("eight octets"));
                let syn = source ^ (index as u64) << 32 ^ salt as u64;
                let place = (
                    random_place(source, RECORDS),
                    random_place(syn, RECENT_LINES),
                );
                prefetch(&self.windows[place.0]);
                prefetch(&self.recent[place.1]);
                places[count] = place;
                count += 1;
            }
            for &(window, recent) in &places[..count] {
                let RecentLine(recent) = &self.recent[recent];
                sum += recent[0].load(Ordering::Relaxed);
                recent[7].store(sum, Ordering::Relaxed);
                let WindowLine(window) = &self.windows[window];
                let bits = window.load(Ordering::Acquire);
                // A failure means that the other core was first; it has paid for the swap.
                let _ =
                    window.compare_exchange(bits, bits + 1, Ordering::AcqRel, Ordering::Acquire);
            }
        }
        sum
    }
}

/// One of so many places (a power of two), as good as at random.
fn random_place(value: u64, places: usize) -> usize {
    let mixed = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed as usize >> (64 - places.ilog2()) as usize
}

/// The profiles' policy with every detector on and everybody bound to a VLAN (none): all sources
/// are observed, no answer ever comes.
fn detecting_policy() -> String {
    let detect = "[class.residential.detect]\n\
        volume = { attempts = 4000, window = \"1h\" }\n\
        destinations = { distinct = 1000, window = \"1h\" }\n\
        outcomes = { theta0 = 0.2, theta1 = 0.9 }\n\n[[pool]]\n";
    let bound = profile_policy().replace(
        "class = \"residential\"\n",
        "class = \"residential\"\nvlans = []\n",
    );
    bound.replacen("[[pool]]\n", detect, 1) + "observed = 1048576\n"
}

/// The engine in the wire's way of working: batches of frames that share one clock reading.
struct Judge {
    engine: Engine,
    policy: Arc<Policy>,
    sources: Arc<SourceTable>,
    observer: Option<Arc<Observer>>,
    judgements: Judgements,
    clock: Instant,
}

impl Judge {
    fn new(policy: &str) -> Self {
        let (policy, _) =
            Policy::from_toml("profile.toml", policy).expect("the profiles' own policy");
        let sources = Arc::new(SourceTable::new(policy.capacity(), Some(1)));
        let observed = policy.detects().then(|| policy.observed());
        let observer = observed.map(|observed| Arc::new(Observer::new(observed)));
        Self::with(Arc::new(policy), sources, observer)
    }

    fn with(
        policy: Arc<Policy>,
        sources: Arc<SourceTable>,
        observer: Option<Arc<Observer>>,
    ) -> Self {
        let mut engine = Engine::new(Arc::clone(&policy), Arc::clone(&sources));
        if let Some(observer) = &observer {
            engine = engine.observing(Arc::clone(observer));
        }
        Self {
            engine,
            policy,
            sources,
            observer,
            judgements: Judgements::default(),
            clock: Instant::now(),
        }
    }

    /// Another worker on the same table.
    fn beside(&self) -> Self {
        let observer = self.observer.as_ref().map(Arc::clone);
        Self::with(
            Arc::clone(&self.policy),
            Arc::clone(&self.sources),
            observer,
        )
    }

    fn run(&mut self, frames: &Frames, range: std::ops::Range<usize>) -> usize {
        let mut batch: Vec<Frame<'_>> = Vec::with_capacity(BATCH);
        let mut attempts = 0;
        for start in range.clone().step_by(BATCH) {
            let time = self.clock.elapsed().as_nanos() as u64;
            batch.clear();
            batch.extend((start..range.end.min(start + BATCH)).map(|index| {
                let bytes = frames.get(index);
                Frame {
                    bytes,
                    wire_length: bytes.len() as u32,
                    link: Link::Ethernet,
                    direction: Some(Direction::Outbound),
                    time,
                }
            }));
            self.engine.process(&batch, &mut self.judgements);
            attempts += self.judgements.attempts.len();
        }
        attempts
    }
}

/// Runs both halves at once, each on a core of its own.
fn on_two_cores<T: Send>(run: impl Fn(usize) -> T + Sync) -> [T; 2] {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let run = &run;
    let cores = &cores;
    std::thread::scope(|scope| {
        [0, 1]
            .map(|half| {
                scope.spawn(move || {
                    if let Some(&core) = cores.get(half) {
                        core_affinity::set_for_current(core);
                    }
                    run(half)
                })
            })
            .map(|worker| worker.join().expect("no panic"))
    })
}

fn two_workers(workers: &mut [Judge; 2], frames: &Frames) -> usize {
    let workers = workers.each_mut().map(std::sync::Mutex::new);
    on_two_cores(|half| {
        workers[half]
            .lock()
            .expect("one user each")
            .run(frames, half_of(frames, half))
    })
    .iter()
    .sum()
}

/// The same judgement from general parts. It doesn't know retransmissions, tags or tunnels, which
/// is in its favour.
struct Naive {
    log: DashMap<IpAddr, VecDeque<u64>>,
    clock: Instant,
}

impl Default for Naive {
    fn default() -> Self {
        Self {
            log: DashMap::new(),
            clock: Instant::now(),
        }
    }
}

impl Naive {
    const LIMIT: usize = 10_000;
    const WINDOW_NS: u64 = 60_000_000_000;

    fn run(&mut self, frames: &Frames) -> usize {
        (0..frames.len())
            .filter(|&index| self.admits(frames.get(index)))
            .count()
    }

    fn admits(&self, frame: &[u8]) -> bool {
        let Ok(packet) = SlicedPacket::from_ethernet(frame) else {
            return false;
        };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
            return true;
        };
        if tcp.destination_port() != 25 || !tcp.syn() || tcp.ack() {
            return true;
        }
        let source = match &packet.net {
            Some(NetSlice::Ipv4(ip)) => IpAddr::V4(ip.header().source_addr()),
            Some(NetSlice::Ipv6(ip)) => {
                let prefix = ip.header().source_addr().to_bits() >> 72 << 72;
                IpAddr::V6(prefix.into())
            }
            _ => return true,
        };
        let now = self.clock.elapsed().as_nanos() as u64;
        let mut log = self.log.entry(source).or_default();
        while log
            .front()
            .is_some_and(|&time| time + Self::WINDOW_NS <= now)
        {
            log.pop_front();
        }
        if log.len() >= Self::LIMIT {
            return false;
        }
        log.push_back(now);
        true
    }
}
