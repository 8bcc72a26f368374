//! The table as the engine uses it: one thread exactly, several threads exactly, never too full.

use std::{
    collections::HashMap,
    sync::{Arc, Barrier},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000_000;

fn limit(connections: u16, seconds: u64) -> Limit {
    Limit::new(connections, Duration::from_secs(seconds))
}

fn key(n: u32) -> IpNet {
    IpNet::new(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into(), 32).expect("valid prefix")
}

#[test]
fn a_source_costs_what_the_documentation_says() {
    for capacity in [1, 1000, 1 << 16] {
        let table = SourceTable::new(capacity, Some(1));
        let taken = table.table.octets() + table.recent.octets();
        assert!(taken <= octets(capacity), "{taken} for {capacity}");
    }
    assert_eq!(octets(1 << 16), (1 << 16) * OCTETS_PER_SOURCE);
}

#[test]
fn meters_and_keys_do_not_share_a_window() {
    let table = SourceTable::new(64, Some(1));
    let limit = limit(1, 10);
    let v6: IpNet = "2001:db8::/56".parse().expect("valid prefix");
    let wider: IpNet = "2001:db8::/48".parse().expect("valid prefix");
    for key in [key(1), key(2), v6, wider] {
        for meter in [Meter::Smtp, Meter::Submission, Meter::Relay] {
            let source = table.source(key, meter, limit);
            assert_eq!(
                table.admit(source, limit, S),
                Admission::Admitted,
                "{key} {meter:?}"
            );
            assert_eq!(
                table.admit(source, limit, S),
                Admission::Refused,
                "{key} {meter:?}"
            );
        }
    }
}

#[test]
fn exactly_the_capacity_fits_and_one_more_is_told_so() {
    let capacity = 1000;
    let table = SourceTable::new(capacity, Some(7));
    let limit = limit(5, 10);
    for n in 0..capacity as u32 {
        let source = table.source(key(n), Meter::Smtp, limit);
        assert_eq!(
            table.admit(source, limit, S),
            Admission::Admitted,
            "source {n}"
        );
    }
    assert_eq!(table.live(), capacity);
    let late = table.source(key(5000), Meter::Smtp, limit);
    assert_eq!(table.admit(late, limit, S), Admission::Full);
    let early = table.source(key(3), Meter::Smtp, limit);
    assert_eq!(
        table.admit(early, limit, S),
        Admission::Admitted,
        "who is in stays in"
    );
}

#[test]
fn a_full_table_of_quiet_sources_makes_room() {
    let table = SourceTable::new(100, Some(7));
    let limit = limit(5, 10);
    for round in 0..50u64 {
        for n in 0..100 {
            let source = table.source(key(round as u32 * 100 + n), Meter::Smtp, limit);
            let admission = table.admit(source, limit, (round * 12 + 1) * S);
            assert_eq!(admission, Admission::Admitted, "round {round}, source {n}");
        }
    }
}

#[test]
fn the_sweep_takes_what_is_empty_and_nothing_else() {
    let table = SourceTable::new(100, Some(7));
    let (short, long) = (limit(5, 10), limit(5, 3600));
    table.admit(table.source(key(1), Meter::Smtp, short), short, S);
    table.admit(table.source(key(2), Meter::Smtp, long), long, S);
    table.sweep(11 * S, 1000);
    assert_eq!(table.live(), 2, "both windows still remember");
    table.sweep(30 * S, 1000);
    assert_eq!(table.live(), 1);
    assert_eq!(
        table.admitted(table.source(key(2), Meter::Smtp, long), long, 30 * S),
        1
    );
}

#[test]
fn a_changed_number_of_connections_goes_on_with_the_same_window() {
    let table = SourceTable::new(100, Some(7));
    let (loose, tight) = (limit(10, 60), limit(3, 60));
    let source = table.source(key(1), Meter::Smtp, loose);
    assert_eq!(source, table.source(key(1), Meter::Smtp, tight));
    for _ in 0..4 {
        assert_eq!(table.admit(source, loose, S), Admission::Admitted);
    }
    assert_eq!(table.admit(source, tight, S), Admission::Refused);
    assert_eq!(table.admit(source, loose, S), Admission::Admitted);
}

#[test]
fn the_largest_limit_is_exact() {
    let table = SourceTable::new(100, Some(7));
    let limit = limit(10_000, 86_400);
    let source = table.source(key(1), Meter::Smtp, limit);
    let admitted = (0..12_000u64)
        .filter(|n| table.admit(source, limit, n * S) == Admission::Admitted)
        .count();
    assert_eq!(admitted, 10_000);
    assert_eq!(table.admitted(source, limit, 12_000 * S), 10_000);
}

/// When each source's attempts were admitted, by the clock of the worker that asked. All workers
/// race through a round before any begins the next, and in a round worker `w` reads `rounds[_][w]`.
fn race(limit: Limit, sources: u32, rounds: &[Vec<u64>]) -> Vec<(u32, u64)> {
    let table = Arc::new(SourceTable::new(64, Some(3)));
    let barrier = Barrier::new(rounds[0].len());
    let work = |worker: usize| {
        let mut admitted = Vec::new();
        for now in rounds.iter().map(|clocks| clocks[worker]) {
            barrier.wait();
            for n in 0..sources {
                let source = table.source(key(n), Meter::Smtp, limit);
                match table.admit(source, limit, now) {
                    Admission::Admitted => admitted.push((n, now)),
                    Admission::Refused => {}
                    Admission::Full => panic!("there is room for all"),
                }
                table.sweep(now, 8);
            }
        }
        admitted
    };
    std::thread::scope(|scope| {
        let work = &work;
        let workers: Vec<_> = (0..rounds[0].len())
            .map(|worker| scope.spawn(move || work(worker)))
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no panic"))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One to four workers, the clock the same for all within a round. Between rounds nothing is
    /// promised about order, so each round is one race and its count is compared with the log's.
    #[test]
    fn workers_that_race_admit_what_the_log_of_timestamps_allows(
        workers in 1usize..=4, connections in 1u16..50, sources in 1u32..4,
        steps in prop::collection::vec(0u64..20 * S, 1..6),
    ) {
        let limit = limit(connections, 16);
        let table = Arc::new(SourceTable::new(64, Some(3)));
        let mut log: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut asked: HashMap<u32, Vec<u64>> = HashMap::new();
        let mut now = 0;
        for step in steps {
            now += step;
            let admitted = race_once(&table, limit, sources, workers, now);
            for n in 0..sources {
                let admitted = admitted.iter().filter(|&&source| source == n).count();
                asked.entry(n).or_default().extend(std::iter::repeat_n(now, workers * TURNS));
                log.entry(n).or_default().extend(std::iter::repeat_n(now, admitted));
                let within = |log: &[u64], length: u64| {
                    log.iter().filter(|&&time| time + length > now).count()
                };
                prop_assert!(within(&log[&n], 16 * S) <= connections.into());
                if admitted < workers * TURNS {
                    prop_assert!(within(&asked[&n], 18 * S) > connections.into());
                }
                // All at one time: the race leaves no room unused.
                if admitted < workers * TURNS {
                    prop_assert!(within(&log[&n], 18 * S) >= connections.into());
                }
            }
        }
    }

    /// Workers whose clocks differ by up to `LAG`: the upper bound holds for every interval that is
    /// shorter than the window by that much (docs/architecture.md).
    #[test]
    fn workers_whose_clocks_run_apart_exceed_no_limit(
        connections in 1u16..20, sources in 1u32..3, workers in 2usize..=4,
        steps in prop::collection::vec((0u64..S, prop::collection::vec(0..LAG, 4)), 60..150),
    ) {
        let limit = limit(connections, 8);
        let mut slowest = 100 * S;
        let rounds: Vec<Vec<u64>> = steps.iter().map(|(step, ahead)| {
            slowest += step;
            ahead[..workers].iter().map(|ahead| slowest + ahead).collect()
        }).collect();
        let admitted = race(limit, sources, &rounds);
        for n in 0..sources {
            let times: Vec<u64> =
                admitted.iter().filter(|&&(source, _)| source == n).map(|&(_, time)| time).collect();
            for &end in &times {
                let start = end - (8 * S - LAG);
                let within = times.iter().filter(|&&time| time > start && time <= end).count();
                prop_assert!(within <= connections.into(), "{} by {}", within, end);
            }
        }
    }
}

/// How far the workers' clocks are apart.
const LAG: u64 = 3 * S / 2;

const TURNS: usize = 20;

fn race_once(
    table: &Arc<SourceTable>,
    limit: Limit,
    sources: u32,
    workers: usize,
    now: u64,
) -> Vec<u32> {
    let barrier = Barrier::new(workers);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let mut admitted = Vec::new();
                    for turn in 0..TURNS as u32 * sources {
                        let n = turn % sources;
                        let source = table.source(key(n), Meter::Smtp, limit);
                        if table.admit(source, limit, now) == Admission::Admitted {
                            admitted.push(n);
                        }
                        table.sweep(now, 16);
                    }
                    admitted
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no panic"))
            .collect()
    })
}
