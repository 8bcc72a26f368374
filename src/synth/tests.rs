use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use clap::ValueEnum;
use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;
use crate::{
    engine::{Effect, Engine, Judgements, Reason},
    policy::Policy,
    source::SourceTable,
};

fn settings() -> Settings {
    Settings {
        seed: 1,
        start: START,
        duration: Duration::from_secs(60),
        subscribers: 20,
        businesses: 2,
        zombies: Zombies {
            burst: 1,
            slow: 1,
            rotating: 1,
            spoofing: 1,
        },
        encapsulation: Encapsulation::None,
    }
}

/// Source, destination, ports, sequence number of a SYN without ACK.
fn syn(sent: &Sent) -> Option<(IpAddr, IpAddr, u16, u16, u32)> {
    let sliced = SlicedPacket::from_ethernet(&sent.bytes).ok()?;
    let (source, destination) = match sliced.net? {
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
    match sliced.transport? {
        TransportSlice::Tcp(tcp) if tcp.syn() && !tcp.ack() => Some((
            source,
            destination,
            tcp.source_port(),
            tcp.destination_port(),
            tcp.sequence_number(),
        )),
        _ => None,
    }
}

#[test]
fn time_never_runs_backwards_and_ends_when_it_should() {
    let settings = settings();
    let times: Vec<_> = Traffic::new(&settings).map(|sent| sent.time).collect();
    assert!(times.len() > 2_000, "{} frames", times.len());
    assert!(times.is_sorted());
    assert!(times[0] >= START && times[times.len() - 1] < START + 60_000_000_000);
}

#[test]
fn the_same_settings_make_the_same_traffic() {
    let frames = |seed| {
        Traffic::new(&Settings { seed, ..settings() })
            .take(500)
            .collect::<Vec<_>>()
    };
    assert_eq!(frames(3), frames(3));
    assert_ne!(frames(3), frames(4));
}

#[test]
fn one_more_zombie_changes_nothing_in_anybody_elses_day() {
    let frames = |slow| {
        let zombies = Zombies {
            slow,
            ..Zombies::default()
        };
        Traffic::new(&Settings {
            zombies,
            ..settings()
        })
    };
    let own = |sent: &Sent| match syn(sent) {
        Some((IpAddr::V4(source), ..)) => {
            source.octets()[3] != 30 && sent.direction == Direction::Outbound
        }
        _ => false,
    };
    let without: Vec<_> = frames(0).filter(own).collect();
    let with: Vec<_> = frames(1).filter(own).collect();
    assert!(!without.is_empty());
    assert_eq!(without, with);
}

/// How many frames got each verdict under the policy that fits.
fn judge(traffic: impl Iterator<Item = Sent>, policy: &str) -> HashMap<Reason, usize> {
    let (policy, _) = Policy::from_toml("test", policy).unwrap();
    let sources = Arc::new(SourceTable::new(policy.capacity(), Some(0)));
    let mut engine = Engine::new(Arc::new(policy), sources);
    let mut judgements = Judgements::default();
    let mut reasons = HashMap::new();
    for sent in traffic {
        engine.process(&[sent.frame()], &mut judgements);
        *reasons.entry(judgements.verdicts[0].reason).or_default() += 1;
    }
    reasons
}

#[test]
fn in_every_encapsulation_zombies_are_refused_and_nothing_is_malformed() {
    for &encapsulation in Encapsulation::value_variants() {
        let traffic = Traffic::new(&Settings {
            encapsulation,
            ..settings()
        });
        let policy = traffic.network().policy();
        let mut reasons = judge(traffic, &policy);
        let refused = reasons.remove(&Reason::LimitExceeded).unwrap_or(0);
        assert!(refused > 300, "{encapsulation:?}: {refused} refused");
        // Behind DS-Lite, whatever is inside the softwire is charged to the outer subscriber.
        let strangers = reasons.remove(&Reason::Stranger).unwrap_or(0);
        let recognised = strangers > 100 || encapsulation == Encapsulation::DsLite;
        assert!(recognised, "{encapsulation:?}: {strangers} from strangers");
        for harmless in [
            Reason::NotMail,
            Reason::LinkControl,
            Reason::MailSegment,
            Reason::InboundMail,
            Reason::Allowed,
            Reason::Admitted,
            Reason::Relayed,
        ] {
            let frames = reasons.remove(&harmless);
            assert!(
                frames > Some(5),
                "{encapsulation:?}: {frames:?} {harmless:?}"
            );
        }
        assert!(reasons.is_empty(), "{encapsulation:?}: {reasons:?}");
    }
}

#[test]
fn users_and_businesses_are_never_refused() {
    let duration = Duration::from_secs(600);
    let zombies = Zombies::default();
    let traffic = Traffic::new(&Settings {
        duration,
        zombies,
        ..settings()
    });
    let policy = traffic.network().policy();
    let reasons = judge(traffic, &policy);
    let refused: Vec<_> = reasons
        .iter()
        .filter(|(reason, _)| reason.effect() != Effect::Forward)
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert!(
        reasons[&Reason::Allowed] > 300 && reasons[&Reason::Relayed] > 50,
        "{reasons:?}"
    );
}

#[test]
fn the_profiles_policy_fits_the_profiles() {
    let mixed: Box<dyn profile::Profile> = Box::new(profile::Mixed::new(1));
    let syn: Box<dyn profile::Profile> = Box::new(profile::Syn::new(1, 1000));
    for (mut profile, attempts) in [(mixed, 450..550), (syn, 10_000..10_001)] {
        let sent = (0..10_000).map(|number| {
            let mut bytes = Vec::new();
            let direction = profile.write_next(&mut bytes);
            Sent {
                time: START + number * 1000,
                direction,
                bytes,
            }
        });
        let mut reasons = judge(sent, profile::profile_policy());
        let admitted = reasons.remove(&Reason::Admitted).unwrap_or(0);
        assert!(attempts.contains(&admitted), "{admitted} admitted");
        reasons.remove(&Reason::NotMail);
        assert!(reasons.is_empty(), "{reasons:?}");
    }
}

#[test]
fn every_frame_fits_and_parses_in_every_encapsulation() {
    for &encapsulation in Encapsulation::value_variants() {
        let duration = Duration::from_secs(15);
        let settings = Settings {
            encapsulation,
            duration,
            ..settings()
        };
        let frames: Vec<_> = Traffic::new(&settings).collect();
        assert!(
            frames.len() > 200,
            "{encapsulation:?}: {} frames",
            frames.len()
        );
        for sent in &frames {
            assert!(
                sent.bytes.len() <= 1518,
                "{encapsulation:?}: {} octets",
                sent.bytes.len()
            );
            SlicedPacket::from_ethernet(&sent.bytes)
                .unwrap_or_else(|error| panic!("{encapsulation:?}: {error}: {:02x?}", sent.bytes));
        }
    }
}

#[test]
fn a_syn_that_nobody_answers_is_sent_again_after_1_3_7_and_15_seconds() {
    let mut seen = HashMap::<_, Vec<Nanos>>::new();
    for sent in Traffic::new(&settings()) {
        if let Some(attempt) = syn(&sent).filter(|attempt| attempt.3 == 25) {
            seen.entry(attempt).or_default().push(sent.time);
        }
    }
    let whole: Vec<_> = seen.values().filter(|times| times.len() == 5).collect();
    assert!(whole.len() > 10, "{} silent attempts", whole.len());
    for times in whole {
        let after: Vec<_> = times
            .iter()
            .map(|time| (time - times[0]) / 1_000_000_000)
            .collect();
        assert_eq!(after, [0, 1, 3, 7, 15]);
    }
}

#[test]
fn a_rotating_zombie_never_leaves_its_prefix_and_never_stays() {
    let zombies = Zombies {
        rotating: 1,
        ..Zombies::default()
    };
    let settings = Settings {
        subscribers: 0,
        businesses: 0,
        zombies,
        ..settings()
    };
    let mut sources = HashSet::new();
    let mut attempts = HashSet::new();
    for attempt in Traffic::new(&settings).filter_map(|sent| syn(&sent)) {
        let IpAddr::V6(source) = attempt.0 else {
            panic!("{} is not IPv6", attempt.0)
        };
        sources.insert(source);
        attempts.insert(attempt);
    }
    assert!(sources.len() > 30 && sources.len() == attempts.len());
    let prefixes: HashSet<_> = sources
        .iter()
        .map(|source| source.to_bits() >> 72)
        .collect();
    assert_eq!(prefixes.len(), 1);
}

#[test]
fn a_burst_is_hundreds_of_attempts_and_a_slow_zombie_one_a_minute() {
    let attempts = |zombies, seconds| {
        let duration = Duration::from_secs(seconds);
        let settings = Settings {
            subscribers: 0,
            businesses: 0,
            zombies,
            duration,
            ..settings()
        };
        let calls = Traffic::new(&settings).filter_map(|sent| syn(&sent));
        calls
            .filter(|attempt| attempt.3 == 25)
            .collect::<HashSet<_>>()
            .len()
    };
    let burst = attempts(
        Zombies {
            burst: 1,
            ..Zombies::default()
        },
        60,
    );
    assert!((290..=310).contains(&burst), "{burst} attempts in a burst");
    let slow = attempts(
        Zombies {
            slow: 1,
            ..Zombies::default()
        },
        600,
    );
    assert!((8..=12).contains(&slow), "{slow} attempts in ten minutes");
}
