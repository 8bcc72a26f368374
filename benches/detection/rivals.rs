//! What else is in use: plain thresholds, and the limiters that routers offer.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    net::IpAddr,
};

use ipnet::IpNet;
use lychgate::engine::Nanos;

use crate::{
    Score,
    watch::{Attempt, Fate, Observed, People},
};

const SECOND: Nanos = 1_000_000_000;
/// Windows that thresholds are tried with.
const WINDOWS: [(Nanos, &str); 5] = [
    (60 * SECOND, "1 minute"),
    (600 * SECOND, "10 minutes"),
    (3600 * SECOND, "1 hour"),
    (6 * 3600 * SECOND, "6 hours"),
    (24 * 3600 * SECOND, "1 day"),
];

/// More than so many attempts of a subscriber in a window: one threshold for direct attempts, one
/// for the rest. Counted exactly, by subscriber: it is no weaker than it must be.
#[derive(Clone, Copy)]
pub struct Threshold {
    /// Whether it is told who has a mail server, and leaves those alone.
    exempts: bool,
    direct: (usize, usize),
    others: (usize, usize),
}

/// A threshold's false positives and what it lets out, as it grows.
pub struct Curve {
    pub window: &'static str,
    pub points: Vec<(u64, u64)>,
}

impl Threshold {
    /// The one that lets out least among those that accuse at most so many innocents.
    pub fn best(people: &People, observed: &Observed, exempts: bool, innocents: usize) -> Self {
        let candidates = |direct: bool| {
            (0..WINDOWS.len()).map(move |window| {
                let peaks = innocent_peaks(people, observed, (exempts, direct), window);
                (window, peaks.get(innocents).copied().unwrap_or(0))
            })
        };
        let cost = |threshold: &Self| {
            let found = threshold.found(observed);
            Score::new("", people, observed, &found).let_out(|_| true)
        };
        let never = (0, usize::MAX);
        let direct = candidates(true).min_by_key(|&direct| {
            cost(&Self {
                exempts,
                direct,
                others: never,
            })
        });
        let others = candidates(false).min_by_key(|&others| {
            cost(&Self {
                exempts,
                direct: never,
                others,
            })
        });
        Self {
            exempts,
            direct: direct.unwrap_or(never),
            others: others.unwrap_or(never),
        }
    }

    /// For each window, thresholds from strict to lax.
    pub fn curves(people: &People, observed: &Observed) -> Vec<Curve> {
        let curve = |window: usize| Curve {
            window: WINDOWS[window].1,
            points: (0..24)
                .map(|step| {
                    let count = 1.45_f64.powi(step).round() as usize;
                    let threshold = Self {
                        exempts: true,
                        direct: (window, count),
                        others: (window, count),
                    };
                    let found = threshold.found(observed);
                    let score = Score::new("", people, observed, &found);
                    (score.innocents, score.let_out(|_| true))
                })
                .collect(),
        };
        (0..WINDOWS.len()).map(curve).collect()
    }

    /// Whom it finds, and when.
    pub fn found(&self, observed: &Observed) -> HashMap<IpNet, Nanos> {
        let first = |attempts: &[Attempt]| {
            let direct = exceeded(attempts, true, self.direct);
            let others = exceeded(attempts, false, self.others);
            direct.into_iter().chain(others).min()
        };
        let all = observed.logs(self.exempts);
        all.filter_map(|(key, attempts)| Some((key, first(attempts)?)))
            .collect()
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |(window, count): (usize, usize)| format!("{count} in {}", WINDOWS[window].1);
        let who = if self.exempts {
            "mail servers exempt"
        } else {
            "for everybody"
        };
        let (direct, others) = (words(self.direct), words(self.others));
        write!(
            f,
            "plain threshold, {who} (more than {direct}; to submission {others})"
        )
    }
}

/// When a subscriber makes an attempt, and how many that are in the window that ends with it.
fn counts(
    attempts: &[Attempt],
    direct: bool,
    window: usize,
) -> impl Iterator<Item = (Nanos, usize)> {
    let mut recent = VecDeque::new();
    let counted = attempts.iter().filter(move |one| one.direct == direct);
    counted.map(move |attempt| {
        let reach = attempt.time.saturating_sub(WINDOWS[window].0);
        while recent.front().is_some_and(|&time| time <= reach) {
            recent.pop_front();
        }
        recent.push_back(attempt.time);
        (attempt.time, recent.len())
    })
}

/// When a subscriber first makes more than so many attempts in a window.
fn exceeded(attempts: &[Attempt], direct: bool, (window, most): (usize, usize)) -> Option<Nanos> {
    let mut counts = counts(attempts, direct, window);
    counts.find_map(|(time, count)| (count > most).then_some(time))
}

/// The most attempts that each innocent makes in a window, the busiest first.
fn innocent_peaks(
    people: &People,
    observed: &Observed,
    (exempts, direct): (bool, bool),
    window: usize,
) -> Vec<usize> {
    let innocents = observed.logs(exempts);
    let innocents = innocents.filter(|(key, _)| people.began(*key).is_none());
    let mut peaks: Vec<_> = innocents
        .map(|(_, attempts)| {
            let counts = counts(attempts, direct, window);
            counts.map(|(_, count)| count).max().unwrap_or(0)
        })
        .collect();
    peaks.sort_unstable_by(|a, b| b.cmp(a));
    peaks
}

/// A router's limiter, for each source address, on all mail ports.
pub struct Limiter {
    pub name: &'static str,
    rule: Rule,
}

enum Rule {
    /// Connections at a time.
    Concurrent(usize),
    /// A token bucket: so many at once, and so many in a time.
    Rate(f64, Nanos),
}

/// RouterOS `connection-limit=30,32`.
pub const CONCURRENT: Limiter = Limiter {
    name: "connection-limit 30",
    rule: Rule::Concurrent(30),
};
/// RouterOS `dst-limit=5/3s,5,src-address`.
pub const RATE: Limiter = Limiter {
    name: "dst-limit 5 in 3 s",
    rule: Rule::Rate(5.0, 3 * SECOND),
};

impl Limiter {
    /// Which attempts pass. Where it `lists`, none passes after the first that doesn't.
    pub fn pass(&self, attempts: &[Attempt], lists: bool) -> Vec<bool> {
        let mut addresses: HashMap<IpAddr, Tracked> = HashMap::new();
        let pass = |attempt: &Attempt| {
            let tracked = addresses.entry(attempt.address).or_insert_with(|| Tracked {
                tokens: f64::INFINITY,
                ..Tracked::default()
            });
            if lists && tracked.is_listed {
                return false;
            }
            let passes = tracked.pass(&self.rule, attempt);
            tracked.is_listed |= !passes;
            passes
        };
        attempts.iter().map(pass).collect()
    }
}

/// What the router remembers of an address.
#[derive(Default)]
struct Tracked {
    /// When each tracked connection is forgotten.
    ends: Vec<Nanos>,
    tokens: f64,
    last: Nanos,
    is_listed: bool,
}

impl Tracked {
    fn pass(&mut self, rule: &Rule, attempt: &Attempt) -> bool {
        match *rule {
            Rule::Concurrent(most) => {
                self.ends.retain(|&end| end > attempt.time);
                let passes = self.ends.len() < most;
                if passes {
                    self.ends.push(attempt.time + tracked_for(attempt.fate));
                }
                passes
            }
            Rule::Rate(burst, time) => {
                let elapsed = attempt.time.saturating_sub(self.last) as f64;
                self.tokens = (self.tokens + elapsed * burst / time as f64).min(burst);
                self.last = attempt.time;
                let passes = self.tokens >= 1.0;
                if passes {
                    self.tokens -= 1.0;
                }
                passes
            }
        }
    }
}

/// How long a connection is tracked. The day has handshakes only, so this is an assumption: ten
/// seconds of session and ten of closing; ten after a reset; while a SYN is sent again, and five
/// seconds after it.
const fn tracked_for(fate: Fate) -> Nanos {
    match fate {
        Fate::Answered => 20 * SECOND,
        Fate::Reset => 10 * SECOND,
        Fate::Silent => 20 * SECOND,
    }
}
