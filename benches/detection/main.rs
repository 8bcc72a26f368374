//! How well zombies are found in the day of a simulated provider, beside what else is in use.
//!
//! One pass over [`Day`]: an engine with every detector judges each frame, and what every
//! subscriber tried is kept. The rivals are worked out from that afterwards: plain thresholds, each
//! as strict as it can be at the same false positives, and the concurrency limits and rates that
//! routers offer. Prints the tables of docs/detection.md and draws its plots.
//!
//! ```text
//! cargo bench --bench detection                             # a day of 100,000 subscribers
//! cargo bench --bench detection -- --subscribers 10000 --seed 7
//! cargo bench --bench detection -- --plots docs             # also draws docs/detection-*.svg
//! ```

mod plot;
mod rivals;
mod watch;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use clap::Parser;
use ipnet::IpNet;
use lychgate::{
    engine::Nanos,
    synth::{
        isp::{Day, Settings, Truth},
        network::{BUSINESSES_MAX, Encapsulation},
    },
};

use rivals::{CONCURRENT, RATE, Threshold};
use watch::{Observed, People};

const KINDS: [&str; 5] = ["burst", "slow", "rotating", "steady", "hijacked"];

/// Another policy out of the day's own.
type Change = fn(&str) -> String;

#[derive(Parser)]
struct Options {
    /// Subscribers; one in a hundred is a zombie.
    #[arg(long, default_value_t = 100_000)]
    subscribers: u32,
    /// Which of all such days.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many hours of it.
    #[arg(long, default_value_t = 24)]
    hours: u64,
    /// Draw the plots into this folder.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let options = Options::parse();
    let day = Day::new(&Settings {
        seed: options.seed,
        duration: Duration::from_secs(options.hours * 3600),
        subscribers: options.subscribers,
        businesses: (options.subscribers / 500).min(BUSINESSES_MAX),
        zombies: options.subscribers / 100,
        encapsulation: Encapsulation::None,
    });
    let people = People::new(day.truth());
    let settings: [(&str, Change); 4] = [
        ("Lychgate", str::to_owned),
        ("Lychgate, first numbers", watch::as_it_began),
        ("Lychgate, memory of an hour", watch::with_short_memory),
        ("Lychgate, the test alone", watch::with_the_test_alone),
    ];
    let stock = day.policy();
    let observed = Observed::new(day, &settings.map(|(_, change)| change(&stock)));
    println!(
        "{} subscribers, {} hours, seed {}: {} frames, {} attempts",
        options.subscribers, options.hours, options.seed, observed.frames, observed.attempts
    );
    let names = settings.iter().map(|(name, _)| name);
    let mut rows: Vec<_> = names
        .zip(&observed.found)
        .map(|(name, found)| Score::new(name, &people, &observed, found))
        .collect();
    let innocents = rows[0].innocents as usize;
    for exempts in [true, false] {
        let threshold = Threshold::best(&people, &observed, exempts, innocents);
        let found = threshold.found(&observed);
        rows.push(Score::new(
            &threshold.to_string(),
            &people,
            &observed,
            &found,
        ));
    }
    for limiter in [&CONCURRENT, &RATE] {
        for lists in [false, true] {
            rows.push(Score::of_limiter(limiter, lists, &people, &observed));
        }
    }
    rows.push(Score::new(
        "limit alone",
        &people,
        &observed,
        &HashMap::new(),
    ));
    print_rows(&rows);
    print_kinds(&rows[0], &rows[settings.len()]);
    print_detectors(&people, &observed);
    print_innocents(&people, &observed, &rows[0]);
    if let Some(folder) = &options.plots {
        let curves = Threshold::curves(&people, &observed);
        plot::draw(folder, &rows, &curves).expect("the plots can be written");
    }
}

/// What one way to find zombies achieved.
pub struct Score {
    name: String,
    kinds: Vec<KindScore>,
    /// Innocents who were taken for zombies, or had a connection refused.
    innocents: u64,
    /// Who those are.
    accused: Vec<(IpNet, Nanos)>,
}

/// Scores each kind of zombies, by what each zombie let out, and when it was found.
fn kinds(people: &People, fate: impl Fn(&Truth) -> (u64, Option<Nanos>)) -> Vec<KindScore> {
    let score = |kind| {
        let mut score = KindScore {
            kind,
            ..KindScore::default()
        };
        for zombie in people.zombies(kind) {
            let (out, found) = fate(zombie);
            score.count(out, found.map(|time| time.saturating_sub(zombie.began)));
        }
        score.sorted()
    };
    KINDS.into_iter().map(score).collect()
}

/// The same for one kind of zombies.
#[derive(Default)]
pub struct KindScore {
    kind: &'static str,
    zombies: u64,
    /// Connections that got out.
    let_out: u64,
    /// From a zombie's first attempt until it is found, sorted.
    times: Vec<Nanos>,
    /// Connections that got out until then, sorted.
    before: Vec<u64>,
}

impl Score {
    fn new(
        name: &str,
        people: &People,
        observed: &Observed,
        found: &HashMap<IpNet, Nanos>,
    ) -> Self {
        let accused: Vec<_> = found
            .iter()
            .filter(|&(key, &time)| !people.is_zombie_at(*key, time))
            .map(|(&key, &time)| (key, time))
            .collect();
        let kinds = kinds(people, |zombie| {
            let until = found.get(&zombie.key).copied();
            let spam = observed.of(zombie.key).iter();
            let spam = spam.filter(|attempt| attempt.time >= zombie.began);
            let before = spam
                .filter(|attempt| until.is_none_or(|until| attempt.time < until))
                .filter(|attempt| attempt.admitted)
                .count() as u64;
            (before, until)
        });
        Self {
            name: name.to_owned(),
            kinds,
            innocents: accused.len() as u64,
            accused,
        }
    }

    /// What a router's limiter lets out, and whom it hits; where it `lists`, who exceeds it once
    /// gets nothing out any more.
    fn of_limiter(
        limiter: &rivals::Limiter,
        lists: bool,
        people: &People,
        observed: &Observed,
    ) -> Self {
        let accused: Vec<_> = observed
            .logs(true)
            .filter_map(|(key, attempts)| {
                let begins = people.began(key).unwrap_or(Nanos::MAX);
                let passed = limiter.pass(attempts, false).into_iter().zip(attempts);
                let refused = passed
                    .filter(|(passes, _)| !passes)
                    .map(|(_, one)| one.time);
                refused
                    .min()
                    .filter(|&time| time < begins)
                    .map(|time| (key, time))
            })
            .collect();
        let kinds = kinds(people, |zombie| {
            let attempts = observed.of(zombie.key);
            let passes = limiter.pass(attempts, lists);
            let refused = passes.iter().position(|passes| !passes);
            let mine = attempts.iter().zip(&passes);
            let out = mine.filter(|(one, passes)| **passes && one.time >= zombie.began);
            (
                out.count() as u64,
                refused.map(|index| attempts[index].time),
            )
        });
        Self {
            name: format!(
                "{}, {}",
                limiter.name,
                if lists { "lists" } else { "drops" }
            ),
            kinds,
            innocents: accused.len() as u64,
            accused,
        }
    }

    fn zombies(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.zombies).sum()
    }

    fn detected(&self) -> usize {
        self.kinds.iter().map(|kind| kind.times.len()).sum()
    }

    fn let_out(&self, kinds: impl Fn(&str) -> bool) -> u64 {
        let chosen = self.kinds.iter().filter(|kind| kinds(kind.kind));
        chosen.map(|kind| kind.let_out).sum()
    }

    fn times(&self) -> Vec<Nanos> {
        let mut times: Vec<_> = self
            .kinds
            .iter()
            .flat_map(|kind| kind.times.clone())
            .collect();
        times.sort_unstable();
        times
    }
}

impl KindScore {
    fn count(&mut self, let_out: u64, time: Option<Nanos>) {
        self.zombies += 1;
        self.let_out += let_out;
        if let Some(time) = time {
            self.times.push(time);
            self.before.push(let_out);
        }
    }

    fn sorted(mut self) -> Self {
        self.times.sort_unstable();
        self.before.sort_unstable();
        self
    }
}

fn print_rows(rows: &[Score]) {
    println!(
        "\n| | zombies found | innocents hit | spam connections let out | of them direct | × Lychgate | time to detect, median | 95 % |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    );
    let ours = rows[0].let_out(|_| true) as f64;
    for row in rows {
        let all = row.let_out(|_| true);
        let times = row.times();
        println!(
            "| {} | {} of {} | {} | {all} | {} | {:.1} | {} | {} |",
            row.name,
            row.detected(),
            row.zombies(),
            row.innocents,
            row.let_out(|kind| kind != "hijacked"),
            all as f64 / ours,
            span(quantile(&times, 0.5)),
            span(quantile(&times, 0.95)),
        );
    }
}

fn print_kinds(ours: &Score, plain: &Score) {
    println!(
        "\n| kind | zombies | found | let out before, median | 95 % | in all | time, median | 95 % | plain threshold: found | let out |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    );
    for (kind, other) in ours.kinds.iter().zip(&plain.kinds) {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            kind.kind,
            kind.zombies,
            kind.times.len(),
            quantile(&kind.before, 0.5).unwrap_or(0),
            quantile(&kind.before, 0.95).unwrap_or(0),
            kind.let_out,
            span(quantile(&kind.times, 0.5)),
            span(quantile(&kind.times, 0.95)),
            other.times.len(),
            other.let_out,
        );
    }
}

/// Which detector found them, and who was not found.
fn print_detectors(people: &People, observed: &Observed) {
    println!("\nfound by:");
    for kind in KINDS {
        let mut by: HashMap<&str, u32> = HashMap::new();
        let mut missed = Vec::new();
        for zombie in people.zombies(kind) {
            match observed.detector.get(&zombie.key) {
                Some(detector) => *by.entry(detector.name()).or_default() += 1,
                None => missed.push((zombie.key, zombie.failing)),
            }
        }
        let mut by: Vec<_> = by.into_iter().collect();
        by.sort_unstable();
        println!("  {kind}: {by:?}; missed, with how many of a hundred fail: {missed:?}");
    }
}

/// Who was accused wrongly, by kind; and how close the others came.
fn print_innocents(people: &People, observed: &Observed, ours: &Score) {
    let mut kinds: HashMap<&str, (usize, usize)> = HashMap::new();
    for key in observed.keys().filter(|&key| people.began(key).is_none()) {
        kinds.entry(people.kind(key)).or_default().0 += 1;
    }
    for &(key, time) in &ours.accused {
        kinds.entry(people.kind(key)).or_default().1 += 1;
        println!("accused: {key} ({}) at {time}", people.kind(key));
    }
    println!("\ninnocents who made attempts, and how many were accused:");
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_unstable();
    for (kind, (all, accused)) in kinds {
        println!("  {kind}: {all}, {accused}");
    }
}

/// The least value that this share of a sorted list does not exceed.
fn quantile<T: Copy>(sorted: &[T], share: f64) -> Option<T> {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.max(1) - 1).copied()
}

fn span(time: Option<Nanos>) -> String {
    match time.map(|time| time / 1_000_000_000) {
        None => "never".to_owned(),
        Some(seconds @ 0..120) => format!("{seconds} s"),
        Some(seconds @ 120..7200) => format!("{} min", seconds / 60),
        Some(seconds) => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}
