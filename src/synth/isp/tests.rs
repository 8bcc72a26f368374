use std::collections::{HashMap, HashSet};

use super::*;
use crate::{
    engine::{Direction, Engine, Judgements},
    policy::Policy,
    source::SourceTable,
};

fn settings() -> Settings {
    Settings {
        seed: 1,
        duration: Duration::from_secs(2 * 3600),
        subscribers: 2000,
        businesses: 20,
        zombies: 20,
        encapsulation: Encapsulation::None,
    }
}

#[test]
fn a_day_is_in_order_reproducible_and_ends() {
    let frames = |seed| Day::new(&Settings { seed, ..settings() });
    let times: Vec<_> = frames(1).map(|sent| sent.time).collect();
    assert!(times.is_sorted() && times.len() > 10_000);
    let end = MIDNIGHT + 2 * 3_600_000_000_000;
    assert!(times[0] >= MIDNIGHT && times[times.len() - 1] < end);
    assert!(frames(3).take(2000).eq(frames(3).take(2000)));
    assert!(!frames(3).take(2000).eq(frames(4).take(2000)));
}

#[test]
fn the_truth_names_zombies_of_every_kind_once_each_and_since_when() {
    let day = Day::new(&settings());
    let zombies: Vec<_> = day.truth().iter().filter(|one| one.is_zombie).collect();
    assert_eq!(zombies.len(), 20);
    for what in What::ZOMBIES {
        let same = zombies.iter().filter(|one| one.kind == what.name());
        assert_eq!(same.count(), 4, "{}", what.name());
    }
    let keys: HashSet<_> = day.truth().iter().map(|one| one.key).collect();
    assert_eq!(keys.len(), day.truth().len());
    let half = MIDNIGHT + 3_600_000_000_000;
    assert!(
        zombies
            .iter()
            .all(|one| (MIDNIGHT..half).contains(&one.began))
    );
}

/// Attempts of each subscriber as the engine sees them, with the time of the first.
fn attempts(encapsulation: Encapsulation) -> (HashMap<IpNet, (Nanos, u32)>, Vec<Truth>) {
    let day = Day::new(&Settings {
        encapsulation,
        ..settings()
    });
    let truth = day.truth().to_vec();
    let (policy, _) = Policy::from_toml("isp", &day.policy()).unwrap();
    let sources = std::sync::Arc::new(SourceTable::new(policy.capacity(), Some(0)));
    let mut engine = Engine::new(std::sync::Arc::new(policy), sources);
    let (mut judgements, mut seen) = (Judgements::default(), HashMap::new());
    for sent in day {
        engine.process(&[sent.frame()], &mut judgements);
        if sent.direction == Direction::Outbound
            && let [attempt] = &judgements.attempts[..]
            && !attempt.retransmission
        {
            seen.entry(attempt.key).or_insert((sent.time, 0)).1 += 1;
        }
    }
    (seen, truth)
}

#[test]
fn zombies_begin_when_the_truth_says_under_the_key_that_it_says() {
    for encapsulation in [Encapsulation::None, Encapsulation::DsLite] {
        let (seen, truth) = attempts(encapsulation);
        for one in truth.iter().filter(|one| one.is_zombie) {
            let (first, count) = seen[&one.key];
            assert!(first <= one.began, "{one:?}: {first}");
            assert!(count > 20, "{one:?}: {count} attempts");
        }
    }
}

#[test]
fn a_mail_server_is_in_nothing_like_a_zombie_but_in_its_numbers() {
    let (seen, truth) = attempts(Encapsulation::None);
    let most = |kind| {
        let same = truth.iter().filter(|one| one.kind == kind);
        same.filter_map(|one| seen.get(&one.key))
            .map(|&(_, count)| count)
            .max()
    };
    assert!(most("newsletter") > Some(2000), "{:?}", most("newsletter"));
    assert!(most("mail-server") > Some(200), "{:?}", most("mail-server"));
    assert!(most("home-server") < Some(60), "{:?}", most("home-server"));
}
