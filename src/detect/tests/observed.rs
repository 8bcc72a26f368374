//! The observer: who is observed, who is flagged, and what races and full tables lose.

use super::*;

fn terms() -> Terms {
    Terms {
        volume: Some(Volume::new(50, 3600 * S)),
        destinations: Destinations::new(40, 3600 * S),
        outcomes: Some(test(0.2, 0.9, 5e-5, 0.01)),
        submission: Some(Volume::new(30, 3600 * S)),
    }
}

fn key(n: u32) -> IpNet {
    IpNet::from(IpAddr::from([10, (n >> 16) as u8, (n >> 8) as u8, n as u8]))
}

fn attempt(source: u32, contact: u64) -> Attempt {
    Attempt {
        source: mix(u64::from(source)),
        contact: contact << 32,
        flow: mix(u64::from(source) << 32 | contact),
        key: key(source),
        class: 0,
        destination: IpAddr::from([192, 0, 2, contact as u8]),
        direct: true,
        bound: true,
        crossed: true,
    }
}

fn settled(observer: &Observer, now: u64) -> Vec<Flag> {
    let mut flags = Vec::new();
    observer.settle_all(|_| Some(terms()), now, |flag| flags.push(flag));
    flags
}

#[test]
fn a_source_that_nobody_answers_is_flagged_when_silence_is_due() {
    let observer = Observer::new(64);
    for n in 0..7 {
        let at = 1000 * S + n * 10 * S;
        assert_eq!(observer.attempt(&terms(), &attempt(1, n), at), None, "{n}");
    }
    let flags = settled(&observer, 2000 * S);
    let [flag] = &flags[..] else {
        panic!("{flags:?}")
    };
    assert_eq!((flag.key, flag.detector), (key(1), Finding::Outcomes));
    assert!((1063 * S..1065 * S).contains(&flag.time), "{}", flag.time);
    assert_eq!((flag.attempts, flag.destinations), (7, 7));
    assert_eq!((flag.evidence.silent, flag.evidence.awaited), (7, 0));
    assert_eq!(flag.evidence.sample.len(), 3, "attempts 1, 2 and 4");
    assert_eq!(settled(&observer, 3000 * S), [], "once");
}

#[test]
fn answers_and_resets_find_their_attempts_once() {
    let observer = Observer::new(64);
    let class = |_| Some(terms());
    for n in 0..12 {
        let attempt = attempt(1, n);
        let at = 1000 * S + n * S;
        observer.attempt(&terms(), &attempt, at);
        for _ in 0..3 {
            assert_eq!(observer.answered(class, attempt.flow, 9, at + 1), None);
        }
    }
    let found: Vec<_> = (20..40)
        .filter_map(|n| {
            let attempt = attempt(1, n);
            let at = 1000 * S + n * S;
            observer.attempt(&terms(), &attempt, at);
            let first = observer.refused(class, attempt.flow, true, at + 1);
            assert_eq!(observer.refused(class, attempt.flow, true, at + 2), None);
            first
        })
        .collect();
    let [flag] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((flag.evidence.answered, flag.evidence.reset), (12, 7));
    assert_eq!(flag.time, 1026 * S + 1);
}

#[test]
fn nobody_is_suspected_before_a_handshake_is_completed() {
    let observer = Observer::new(64);
    let loose = |contact| Attempt {
        bound: false,
        ..attempt(1, contact)
    };
    for n in 0..100 {
        assert_eq!(observer.attempt(&terms(), &loose(n), 1000 * S), None);
    }
    assert_eq!((observer.observed(), observer.unproven()), (0, 100));
    let flow = loose(0).flow;
    let source = loose(0).source;
    observer.completed(flow, 77, source, (key(1), 0), 1000 * S);
    assert_eq!(observer.observed(), 0, "not answered yet");
    observer.answered(|_| Some(terms()), flow, 77, 1000 * S);
    observer.completed(flow, 78, source, (key(1), 0), 1000 * S);
    assert_eq!(
        observer.observed(),
        0,
        "who sees the answer knows its number"
    );
    observer.completed(flow, 77, source, (key(1), 0), 1000 * S);
    assert_eq!(observer.observed(), 1);
    for n in 200..207 {
        observer.attempt(&terms(), &loose(n), 1010 * S);
    }
    assert_eq!(settled(&observer, 1100 * S).len(), 1);
}

#[test]
fn each_detector_has_its_own_threshold() {
    let find = |make: &dyn Fn(u64) -> Attempt| {
        let observer = Observer::new(64);
        let quiet = Terms {
            outcomes: None,
            ..terms()
        };
        (0..100_u64).find_map(|n| {
            let flag = observer.attempt(&quiet, &make(n), 1000 * S + n)?;
            Some((flag.detector, n + 1))
        })
    };
    assert_eq!(find(&|_| attempt(1, 5)), Some((Finding::Volume, 51)));
    let (finding, at) = find(&|n| attempt(1, n)).expect("flagged");
    assert_eq!(finding, Finding::Destinations);
    assert!((36..=50).contains(&at), "{at}");
    let relayed = |n| Attempt {
        direct: false,
        ..attempt(1, n % 2)
    };
    assert_eq!(find(&relayed), Some((Finding::Submission, 31)));
}

#[test]
fn an_attempt_that_is_crowded_out_counts_neither_way() {
    let observer = Observer::new(4);
    let flags: Vec<_> = (0..40_000_u64)
        .filter_map(|n| {
            let source = (n % 4) as u32 + 1;
            let same_server = Attempt {
                flow: mix(n << 20),
                ..attempt(source, n)
            };
            let quiet = Terms {
                volume: None,
                destinations: Destinations::new(40, 10 * S),
                ..terms()
            };
            // A new destination every hour, never answered, but always answered in time.
            let at = n * 3600 * S;
            let flag = observer.attempt(&quiet, &same_server, at);
            flag.or_else(|| observer.answered(|_| Some(quiet), same_server.flow, 1, at + S))
        })
        .collect();
    assert_eq!(flags, []);
    // Now all at once: far more than can be awaited. What is crowded out is no failure.
    for n in 0..(2 * (1 << 14)) {
        let contact = Attempt {
            flow: mix(n << 21),
            contact: n << 32,
            ..attempt(9, n)
        };
        observer.attempt(&terms(), &contact, 1 << 60);
    }
    let awaited: u32 = observer_awaited(&observer);
    assert!(awaited <= 1 << 14, "{awaited}");
}

fn observer_awaited(observer: &Observer) -> u32 {
    let mut most = 0;
    observer.settle_all(
        |_| Some(terms()),
        (1 << 60) + 100 * S,
        |flag| {
            most = flag.evidence.silent;
        },
    );
    most
}

#[test]
fn a_full_observer_says_so_and_a_day_later_has_room_again() {
    let observer = Observer::new(1);
    for n in 0..100 {
        observer.attempt(&terms(), &attempt(n, 1), 1000 * S);
    }
    let (observed, full) = (observer.observed(), observer.full());
    assert!(
        observed < 100 && observed + full == 100,
        "{observed} {full}"
    );
    for n in 200..210 {
        observer.attempt(&terms(), &attempt(n, 1), 1000 * S + 90_000 * S);
    }
    assert_eq!(observer.full(), full);
}

#[test]
fn memory_is_what_the_documentation_says() {
    for subscribers in [1, 1024, 20_000] {
        assert_eq!(Observer::new(subscribers).octets(), octets(subscribers));
    }
    assert_eq!(octets(1_000_000) / 1_000_000, 544);
}

#[test]
fn two_workers_find_what_one_finds() {
    // Each source's SYNs come to one worker, its resets to the other.
    let observer = Observer::new(1024);
    let flags = std::sync::Mutex::new(Vec::new());
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (observer, flags) = (&observer, &flags);
        scope.spawn(move || {
            for n in 0..7 {
                for source in 0..200 {
                    let attempt = attempt(source, n);
                    let flag = observer.attempt(&terms(), &attempt, 1000 * S + n);
                    flags.lock().expect("no panic").extend(flag);
                    send.send(attempt.flow).expect("the other listens");
                }
            }
        });
        scope.spawn(move || {
            for flow in receive {
                let flag = observer.refused(|_| Some(terms()), flow, true, 1000 * S + 10);
                flags.lock().expect("no panic").extend(flag);
            }
        });
    });
    assert_eq!((observer.observed(), observer.full()), (200, 0));
    let flags = flags.into_inner().expect("no panic");
    let who: HashSet<_> = flags.iter().map(|flag| flag.key).collect();
    assert_eq!((flags.len(), who.len()), (200, 200));
}
