//! The detectors against exact arithmetic and against oracles that keep everything.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

mod observed;

const S: u64 = 1_000_000_000;
const WITHIN: Duration = Duration::from_secs(3);

fn test(theta0: f64, theta1: f64, alpha: f64, beta: f64) -> Sequential {
    Sequential::new(theta0, theta1, alpha, beta, WITHIN)
}

/// The outcome of one attempt, known at once.
fn outcome(test: &Sequential, trial: Trial, fails: bool) -> Step<Trial> {
    let sent = test.step(trial, Event::Attempt, 0).state;
    let event = if fails {
        Event::Refused(0)
    } else {
        Event::Answered(0)
    };
    test.step(sent, event, 0)
}

/// One test from 0 to a bound: the probability that it ends above, and the expected number of
/// outcomes until it ends, for a source that fails with a probability. Exact but for what is left
/// after 2,000 outcomes: the distribution over all states that the machine can be in.
fn ends_above(test: &Sequential, failure: f64) -> (f64, f64) {
    let mut at: BTreeMap<u64, (Trial, f64)> = BTreeMap::new();
    at.insert(0, (Trial::default(), 1.0));
    let (mut above, mut expected) = (0.0, 0.0);
    for outcomes in 1..=2000 {
        let mut next: BTreeMap<u64, (Trial, f64)> = BTreeMap::new();
        for (trial, probability) in at.into_values() {
            for (fails, share) in [(true, failure), (false, 1.0 - failure)] {
                let step = outcome(test, trial, fails);
                let mass = probability * share;
                if step.suspect.is_some() {
                    (above, expected) = (above + mass, expected + mass * f64::from(outcomes));
                } else if step.benign {
                    expected += mass * f64::from(outcomes);
                } else {
                    let state = step.state.score().to_bits();
                    next.entry(state).or_insert((step.state, 0.0)).1 += mass;
                }
            }
        }
        at = next;
    }
    (above, expected)
}

/// How many outcomes of one kind in a row end a test.
fn in_a_row(test: &Sequential, fails: bool) -> u32 {
    let mut trial = Trial::default();
    (1..)
        .find(|_| {
            let step = outcome(test, trial, fails);
            trial = step.state;
            step.suspect.is_some() || step.benign
        })
        .expect("the test ends")
}

#[track_caller]
fn is_near(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{found} is not {expected}"
    );
}

#[test]
fn the_sequential_tests_numbers_are_exact() {
    // θ0, θ1, α, β; failures to B, successes to A, E[N|H1], E[N|H0], FP, FN.
    let rows = [
        ((0.2, 0.9, 0.01, 0.01), (4, 3, 5.00, 4.12, 0.0033, 0.0044)),
        ((0.2, 0.8, 0.01, 0.01), (4, 4, 6.61, 6.61, 0.0039, 0.0039)),
        ((0.2, 0.8, 5e-5, 0.01), (8, 4, 13.26, 6.67, 1.5e-5, 0.0039)),
    ];
    for ((theta0, theta1, alpha, beta), (to_b, to_a, n1, n0, fp, fn_)) in rows {
        let test = test(theta0, theta1, alpha, beta);
        assert_eq!(in_a_row(&test, true), to_b, "failures to B");
        assert_eq!(in_a_row(&test, false), to_a, "successes to A");
        let (detected, expected) = ends_above(&test, theta1);
        is_near(expected, n1, 0.005);
        is_near(1.0 - detected, fn_, 0.00005);
        let (false_positives, expected) = ends_above(&test, theta0);
        is_near(expected, n0, 0.005);
        is_near(false_positives, fp, if fp < 1e-4 { 5e-7 } else { 5e-5 });
    }
}

#[test]
fn the_default_alpha_asks_for_seven_failures() {
    let test = test(0.2, 0.9, 5e-5, 0.01);
    assert_eq!((in_a_row(&test, true), in_a_row(&test, false)), (7, 3));
    let (false_positives, _) = ends_above(&test, 0.2);
    assert!(false_positives < 5e-5, "{false_positives}");
    let (false_positives, _) = ends_above(&test, 0.05);
    assert!(false_positives < 1e-8, "{false_positives}");
}

#[test]
fn silence_is_a_failure_after_its_time_and_not_before() {
    let test = test(0.2, 0.9, 0.01, 0.01);
    let sent = tick(1000 * S);
    let mut trial = Trial::default();
    for _ in 0..4 {
        trial = test.step(trial, Event::Attempt, sent).state;
    }
    let early = test.step(trial, Event::Time, tick(1003 * S));
    assert_eq!((early.silent, early.suspect), (0, None));
    let late = test.step(trial, Event::Time, tick(1060 * S));
    assert_eq!((late.silent, late.state.awaited()), (4, 0));
    let due = late.suspect.expect("four failures reach the bound");
    assert!(due > tick(1003 * S) && due <= tick(1005 * S), "{due}");
    assert_eq!(test.due(trial, tick(1060 * S)), Some(due));
}

#[test]
fn two_hundred_connections_that_are_answered_in_time_are_no_failures() {
    let test = test(0.2, 0.9, 5e-5, 0.01);
    let mut trial = Trial::default();
    let at = |milliseconds: u64| tick(5 * S + milliseconds * 1_000_000);
    for n in 0..200 {
        let step = test.step(trial, Event::Attempt, at(n));
        assert_eq!(step.suspect, None);
        trial = step.state;
    }
    assert_eq!(trial.awaited(), 200);
    for n in 0..200 {
        let step = test.step(trial, Event::Answered(at(n)), at(n + 300));
        assert_eq!(step.suspect, None);
        trial = step.state;
    }
    let end = test.step(trial, Event::Time, at(60_000));
    assert_eq!((end.suspect, end.silent, end.state.awaited()), (None, 0, 0));
}

#[test]
fn a_late_answer_takes_the_failure_back() {
    let test = test(0.2, 0.9, 5e-5, 0.01);
    let (sent, later) = (tick(1000 * S), tick(1020 * S));
    let once = |events: &[(Event, Tick)]| {
        events.iter().fold(Trial::default(), |trial, &(event, at)| {
            test.step(trial, event, at).state
        })
    };
    let failures = [(Event::Attempt, sent); 4];
    let mut took_back = failures.to_vec();
    took_back.push((Event::Answered(sent), later));
    let mut in_time = failures.to_vec();
    in_time.push((Event::Answered(sent), sent));
    in_time.push((Event::Time, later));
    let (took_back, in_time) = (once(&took_back), once(&in_time));
    is_near(took_back.score(), in_time.score(), 1e-9);
    assert!(took_back.score() > 0.0);
}

#[test]
fn complaints_alone_never_reach_the_bound() {
    let test = test(0.2, 0.9, 5e-5, 0.01);
    let mut trial = Trial::default();
    for _ in 0..1000 {
        let step = test.step(trial, Event::Complaint, 0);
        assert_eq!(step.suspect, None);
        trial = step.state;
    }
    is_near(trial.score(), test.bound() / 2.0, 0.001);
    let failures = (1..).find(|_| {
        let step = outcome(&test, trial, true);
        trial = step.state;
        step.suspect.is_some()
    });
    assert_eq!(failures, Some(4), "instead of seven");
}

#[test]
fn a_thousand_destinations_are_estimated_within_the_stated_error() {
    for (distinct, errors) in [(20_u32, 0.10), (200, 0.05), (1000, 0.11)] {
        let mut squares = 0.0;
        for round in 0..100_u64 {
            let sketch = Sketch::default();
            let hit = (0..u64::from(distinct))
                .filter(|n| sketch.mark(mix(round << 32 | n), 100))
                .count();
            let estimate = f64::from(Destinations::estimate(hit as u32));
            squares += (estimate / f64::from(distinct) - 1.0).powi(2);
        }
        let error = (squares / 100.0).sqrt();
        assert!(error < errors * 1.25, "{distinct}: {error}");
    }
}

/// A hash good enough for tests.
fn mix(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// What the test would do that keeps every attempt by name.
#[derive(Default)]
struct Oracle {
    /// Part of time in which each awaited attempt was sent.
    awaited: Vec<u64>,
    score: i64,
    suspect: Option<Tick>,
}

const FIXED: f64 = 65_536.0;

impl Oracle {
    fn fail(&mut self, at: Tick) {
        let before = self.score;
        self.score += ((0.9_f64 / 0.2).ln() * FIXED).round() as i64;
        let bound = ((0.99_f64 / 5e-5).ln() * FIXED).round() as i64;
        if before < bound && self.score >= bound {
            self.suspect = self.suspect.or(Some(at));
        }
    }

    fn succeed(&mut self, taken_back: bool) {
        self.score += ((0.1_f64 / 0.8).ln() * FIXED).round() as i64;
        if taken_back {
            self.score -= ((0.9_f64 / 0.2).ln() * FIXED).round() as i64;
        }
        if self.score <= ((0.01_f64 / (1.0 - 5e-5)).ln() * FIXED).round() as i64 {
            self.score = 0;
        }
    }

    fn settle(&mut self, part: u64, ticks: u64) {
        self.awaited.sort_unstable();
        while self.awaited.first().is_some_and(|sent| sent + 5 <= part) {
            let sent = self.awaited.remove(0);
            self.fail((sent + 5) * ticks);
        }
    }
}

proptest! {
    #[test]
    fn the_test_is_what_an_oracle_with_a_list_of_attempts_says(
        events in prop::collection::vec((0u8..5, 0u64..9, 0usize..64), 1..300),
        start in 0u64..1 << 40,
    ) {
        let test = test(0.2, 0.9, 5e-5, 0.01);
        // Three seconds are 22 ticks, in quarters of six.
        let ticks = 6;
        let (mut now, mut trial, mut oracle) = (start, Trial::default(), Oracle::default());
        let mut suspect = None;
        let mut sent: Vec<Tick> = Vec::new();
        for (kind, step, which) in events {
            now += step;
            let event = match kind {
                0 | 1 => Event::Attempt,
                2 if !sent.is_empty() => Event::Answered(sent.swap_remove(which % sent.len())),
                3 if !sent.is_empty() => Event::Refused(sent.swap_remove(which % sent.len())),
                _ => Event::Time,
            };
            let done = test.step(trial, event, now);
            trial = done.state;
            suspect = suspect.or(done.suspect);
            oracle.settle(now / ticks, ticks);
            match event {
                Event::Attempt => {
                    sent.push(now);
                    oracle.awaited.push(now / ticks);
                }
                Event::Answered(at) | Event::Refused(at) => {
                    let place = oracle.awaited.iter().position(|&part| part == at / ticks);
                    place.map(|place| oracle.awaited.swap_remove(place));
                    match (matches!(event, Event::Answered(_)), place) {
                        (true, place) => oracle.succeed(place.is_none()),
                        (false, Some(_)) => oracle.fail(now),
                        (false, None) => {}
                    }
                }
                _ => {}
            }
            prop_assert_eq!(trial.awaited() as usize, oracle.awaited.len());
            prop_assert!((trial.score() - oracle.score as f64 / FIXED).abs() < 1e-9);
            prop_assert_eq!(suspect, oracle.suspect);
        }
    }

    #[test]
    fn when_silence_is_settled_makes_no_difference(
        attempts in prop::collection::vec(0u64..20, 1..60),
        looks in prop::collection::vec(0u64..2000, 0..20),
    ) {
        let test = test(0.2, 0.9, 5e-5, 0.01);
        let run = |looks: &[u64]| {
            let mut times: Vec<(u64, bool)> = looks.iter().map(|&at| (5000 + at, false)).collect();
            let mut now = 5000;
            for step in &attempts {
                now += step;
                times.push((now, true));
            }
            times.push((9000, false));
            times.sort_unstable();
            times.iter().fold((Trial::default(), None), |(trial, suspect), &(at, attempt)| {
                let event = if attempt { Event::Attempt } else { Event::Time };
                let step = test.step(trial, event, at);
                (step.state, suspect.or(step.suspect))
            })
        };
        prop_assert_eq!(run(&[]), run(&looks));
    }

    #[test]
    fn the_volume_is_never_stricter_than_its_window_and_nearly_as_strict(
        steps in prop::collection::vec(0u64..40, 1..400),
        threshold in 1u32..60,
    ) {
        // 64 s in parts of 8 s, which are 59 ticks: 472 ticks in all.
        let volume = Volume::new(threshold, 64 * S);
        let (mut now, mut state) = (1 << 20, Counts::default());
        let mut log: Vec<Tick> = Vec::new();
        for step in steps {
            now += step;
            log.push(now);
            let done = volume.step(state, Event::Attempt, now);
            state = done.state;
            let within = |ticks: u64| log.iter().filter(|&&at| at + ticks > now).count() as u32;
            if done.suspect.is_some() {
                prop_assert!(within(8 * 59) > threshold);
            }
            if within(7 * 59) > threshold {
                prop_assert!(done.suspect.is_some());
            }
        }
    }

    #[test]
    fn the_sketch_forgets_what_the_window_has_left(
        steps in prop::collection::vec((0u64..4, 0u64..300), 1..300),
    ) {
        let sketch = Sketch::default();
        let mut part = 1000;
        let mut log: Vec<(u64, u64)> = Vec::new();
        for (step, destination) in steps {
            let passed = sketch.pass(part, part + step);
            part += step;
            let cell = |n: u64| (mix(n) >> 32) % u64::from(CELLS);
            let live = |log: &[(u64, u64)]| -> HashSet<u64> {
                let fresh = log.iter().filter(|(at, _)| at + 14 > part);
                fresh.map(|&(_, n)| cell(n)).collect()
            };
            prop_assert_eq!(passed as usize, live(&log).len());
            let is_new = !live(&log).contains(&cell(destination));
            prop_assert_eq!(sketch.mark(mix(destination), part), is_new);
            log.push((part, destination));
        }
    }
}
