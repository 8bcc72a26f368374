//! The engine's judgements, frame by frame: a policy, packets, and what must come of them.

use std::{net::IpAddr, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{policy::steps::Scope, synth::packet::Packet, wire::TcpFlags};

const S: Nanos = 1_000_000_000;

const POLICY: &str = r#"
[relays]
addresses = ["192.0.2.25", "2001:db8:25::/64"]
limit = { connections = 2, window = "8s" }

[softwires]
concentrators = ["2001:db8:aaaa::1"]

[class.residential]
smtp = { limit = { connections = 3, window = "8s" } }
submission = { limit = { connections = 1, window = "8s" } }
excess = "reset"

[class.mta]
smtp = "allow"

[class.closed]
smtp = "block"
submission = "block"

[class.watched]
smtp = "block"
mode = "observe"

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "198.51.100.0/25"
class = "closed"

[[pool]]
prefix = "198.51.100.128/25"
vlans = [66]
class = "residential"

[[pool]]
prefix = "10.9.0.0/16"
class = "watched"

[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"

[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30/32"]
class = "mta"

[sources]
capacity = 1024
"#;

fn engine(policy: &str) -> Engine {
    let (policy, _) = Policy::from_toml("test.toml", policy).expect("a valid policy");
    let sources = SourceTable::new(policy.capacity(), Some(1));
    Engine::new(Arc::new(policy), Arc::new(sources))
}

fn frame(bytes: &[u8], time: Nanos) -> Frame<'_> {
    Frame {
        bytes,
        wire_length: bytes.len() as u32,
        link: Link::Ethernet,
        direction: None,
        time,
    }
}

/// Judges one frame alone and checks that exactly one counter went up by one.
fn judge(engine: &mut Engine, packet: &Packet, time: Nanos) -> (Verdict, Option<Attempt>) {
    let bytes = packet.build();
    let mut judgements = Judgements::default();
    let before = engine.counters().clone();
    engine.process(&[frame(&bytes, time)], &mut judgements);
    let verdict = judgements.verdicts[0];
    let counted =
        |counters: &Counters| counters.get(verdict.reason, verdict.direction, verdict.class);
    assert_eq!(
        counted(engine.counters()),
        counted(&before) + 1,
        "{verdict:?}"
    );
    assert_eq!(engine.counters().total(), before.total() + 1, "{verdict:?}");
    assert_eq!(verdict.attempt.is_some(), judgements.attempts.len() == 1);
    (verdict, judgements.attempts.pop())
}

fn reason(engine: &mut Engine, packet: &Packet, time: Nanos) -> (Reason, Action) {
    let (verdict, _) = judge(engine, packet, time);
    (verdict.reason, verdict.action)
}

fn syn(from: &str, to: &str, port: u16, sequence: u32) -> Packet {
    tcp(from, to, 40_000, port, TcpFlags::SYN).sequence(sequence)
}

fn tcp(from: &str, to: &str, source_port: u16, port: u16, flags: u16) -> Packet {
    let packet = Packet::ethernet();
    let packet = if from.contains(':') {
        packet.ipv6(from, to)
    } else {
        packet.ipv4(from, to)
    };
    packet.tcp(source_port, port).flags(flags)
}

#[test]
fn attempts_beyond_the_limit_are_refused_as_the_class_says() {
    let mut engine = engine(POLICY);
    for n in 0..3 {
        let attempt = syn("203.0.113.10", "192.0.2.1", 25, n);
        assert_eq!(
            reason(&mut engine, &attempt, 9 * S),
            (Reason::Admitted, Action::Forward)
        );
    }
    let fourth = syn("203.0.113.10", "192.0.2.1", 25, 4);
    assert_eq!(
        reason(&mut engine, &fourth, 10 * S),
        (Reason::LimitExceeded, Action::Reset)
    );
    let neighbour = syn("203.0.113.11", "192.0.2.1", 25, 4);
    assert_eq!(
        reason(&mut engine, &neighbour, 10 * S),
        (Reason::Admitted, Action::Forward)
    );
    let later = syn("203.0.113.10", "192.0.2.1", 25, 5);
    assert_eq!(
        reason(&mut engine, &later, 18 * S),
        (Reason::Admitted, Action::Forward)
    );
}

#[test]
fn an_ipv6_subscriber_is_its_prefix() {
    let mut engine = engine(POLICY);
    for n in 0..4u32 {
        let rotating = format!("2001:db8:200:7{n:02x}::{n}");
        let (verdict, attempt) = judge(&mut engine, &syn(&rotating, "2001:db9::1", 25, n), S);
        let expected = if n < 3 {
            Reason::Admitted
        } else {
            Reason::LimitExceeded
        };
        assert_eq!(verdict.reason, expected, "{rotating}");
        assert_eq!(
            attempt.expect("an attempt").key.to_string(),
            "2001:db8:200:700::/56"
        );
    }
}

#[test]
fn relays_and_submission_are_limited_apart() {
    let mut engine = engine(POLICY);
    let client = "203.0.113.12";
    let mut is = |to: &str, port, sequence, expected| {
        let (found, _) = reason(&mut engine, &syn(client, to, port, sequence), S);
        assert_eq!(found, expected, "{to}:{port} number {sequence}");
    };
    is("192.0.2.25", 25, 1, Reason::Relayed);
    is("192.0.2.25", 587, 2, Reason::Relayed);
    is("192.0.2.25", 25, 3, Reason::RelayLimitExceeded);
    is("192.0.2.1", 587, 4, Reason::Admitted);
    is("192.0.2.1", 465, 5, Reason::SubmissionLimitExceeded);
    is("192.0.2.1", 25, 6, Reason::Admitted);
}

#[test]
fn a_retransmitted_syn_is_no_other_attempt_and_has_the_verdict_of_the_first() {
    let mut engine = engine(POLICY);
    let from = "203.0.113.13";
    for wait in [0, 1, 3, 7] {
        let (verdict, attempt) = judge(&mut engine, &syn(from, "192.0.2.1", 25, 1), wait * S);
        assert_eq!(verdict.reason, Reason::Admitted);
        assert_eq!(attempt.expect("an attempt").retransmission, wait > 0);
    }
    for n in 2..=3 {
        judge(&mut engine, &syn(from, "192.0.2.1", 25, n), 7 * S);
    }
    let refused = syn(from, "192.0.2.1", 25, 4);
    assert_eq!(
        reason(&mut engine, &refused, 7 * S).0,
        Reason::LimitExceeded
    );
    // By then the window is open again, but this SYN was refused.
    let (verdict, attempt) = judge(&mut engine, &refused, 22 * S);
    assert_eq!(
        (verdict.reason, verdict.action),
        (Reason::LimitExceeded, Action::Reset)
    );
    assert!(attempt.is_some_and(|attempt| attempt.retransmission && !attempt.admitted));
    assert_eq!(
        reason(&mut engine, &syn(from, "192.0.2.1", 25, 5), 22 * S).0,
        Reason::Admitted
    );
}

#[test]
fn a_closed_class_sends_no_segment_and_gets_no_reply_from_port_25() {
    let mut engine = engine(POLICY);
    let (client, server) = ("198.51.100.9", "192.0.2.1");
    let mut is = |packet: Packet, expected| {
        assert_eq!(reason(&mut engine, &packet, S), expected, "{packet:?}");
    };
    is(
        syn(client, server, 25, 1),
        (Reason::SmtpBlocked, Action::Drop),
    );
    is(
        tcp(client, server, 4000, 25, TcpFlags::ACK),
        (Reason::SmtpBlocked, Action::Drop),
    );
    is(
        tcp(client, server, 4000, 25, TcpFlags::RST),
        (Reason::SmtpBlocked, Action::Drop),
    );
    is(
        syn(client, server, 587, 1),
        (Reason::SubmissionBlocked, Action::Drop),
    );
    is(
        syn(client, "192.0.2.25", 25, 1),
        (Reason::Relayed, Action::Forward),
    );
    is(
        tcp(client, "192.0.2.25", 4000, 25, TcpFlags::ACK),
        (Reason::MailSegment, Action::Forward),
    );
    is(
        tcp(server, client, 25, 4000, TcpFlags::ACK),
        (Reason::SmtpReplyBlocked, Action::Drop),
    );
    is(
        tcp("192.0.2.25", client, 25, 4000, 0x12),
        (Reason::MailSegment, Action::Forward),
    );
    is(
        tcp(server, client, 4000, 25, TcpFlags::SYN),
        (Reason::InboundMail, Action::Forward),
    );
    is(
        tcp(client, server, 4000, 443, TcpFlags::SYN),
        (Reason::NotMail, Action::Forward),
    );
}

#[test]
fn a_named_subscriber_overrides_its_pools_class() {
    let mut engine = engine(POLICY);
    for n in 0..50 {
        let (verdict, _) = judge(&mut engine, &syn("203.0.113.30", "192.0.2.1", 25, n), S);
        assert_eq!(verdict.reason, Reason::Allowed);
        assert_eq!(verdict.class, Some(ClassId(1)));
    }
}

#[test]
fn observe_mode_judges_and_counts_and_forwards() {
    let mut engine = engine(POLICY);
    let (verdict, attempt) = judge(&mut engine, &syn("10.9.0.1", "192.0.2.1", 25, 1), S);
    assert_eq!(
        (verdict.reason, verdict.action),
        (Reason::SmtpBlocked, Action::Forward)
    );
    assert!(verdict.observed && attempt.is_some_and(|attempt| !attempt.admitted));

    let mut engine = self::engine(&format!("mode = \"observe\"\n{POLICY}"));
    let (verdict, _) = judge(&mut engine, &syn("192.88.99.7", "192.0.2.1", 25, 1), S);
    assert_eq!(
        (verdict.reason, verdict.action),
        (Reason::Stranger, Action::Forward)
    );
    assert!(verdict.observed);
}

#[test]
fn a_source_outside_its_vlan_is_spoofed_and_not_charged() {
    let mut engine = engine(POLICY);
    let victim = "198.51.100.200";
    let from = |tags: &[u16]| {
        let tagged = tags
            .iter()
            .fold(Packet::ethernet(), |packet, &id| packet.vlan(0x8100, id));
        tagged
            .ipv4(victim, "192.0.2.1")
            .tcp(40_000, 25)
            .flags(TcpFlags::SYN)
    };
    for tags in [&[][..], &[67], &[7, 66]] {
        let (verdict, attempt) = judge(&mut engine, &from(tags), S);
        assert_eq!(verdict.reason, Reason::WrongVlan, "{tags:?}");
        assert!(attempt.is_none(), "{tags:?}");
    }
    assert_eq!(reason(&mut engine, &from(&[66]), S).0, Reason::Admitted);
    assert_eq!(
        reason(&mut engine, &from(&[66, 7]).sequence(9), S).0,
        Reason::Admitted
    );
}

#[test]
fn strangers_may_not_send_mail_and_leave_no_state() {
    let mut engine = engine(POLICY);
    for n in 0..2000u32 {
        let from = format!("172.{}.{}.1", 16 + n / 250, n % 250);
        let (verdict, attempt) = judge(&mut engine, &syn(&from, "192.0.2.1", 25, n), S);
        assert_eq!(
            (verdict.reason, verdict.action),
            (Reason::Stranger, Action::Drop)
        );
        assert!(attempt.is_none());
    }
    assert_eq!(engine.sources().live(), 0);
    let web = tcp("172.16.0.1", "192.0.2.1", 4000, 443, TcpFlags::SYN);
    assert_eq!(
        reason(&mut engine, &web, S),
        (Reason::NotMail, Action::Forward)
    );
}

#[test]
fn a_softwire_is_charged_to_the_subscriber_around_it() {
    let mut engine = engine(POLICY);
    let tunnelled = |b4: &str, sequence| {
        Packet::ethernet()
            .ipv6(b4, "2001:db8:aaaa::1")
            .ipv4("192.0.0.2", "192.0.2.1")
            .tcp(40_000, 25)
            .flags(TcpFlags::SYN)
            .sequence(sequence)
    };
    for n in 0..4 {
        for b4 in ["2001:db8:200::1", "2001:db8:200:100::1"] {
            let (verdict, attempt) = judge(&mut engine, &tunnelled(b4, n), S);
            let expected = if n < 3 {
                Reason::Admitted
            } else {
                Reason::LimitExceeded
            };
            assert_eq!(verdict.reason, expected, "{b4} number {n}");
            assert!(attempt.is_some_and(|a| a.key.contains(&b4.parse::<IpAddr>().expect("IPv6"))));
        }
    }
}

#[test]
fn a_blemished_attempt_is_refused_without_using_up_the_window() {
    let mut engine = engine(POLICY);
    let odd =
        |sequence, flags| tcp("203.0.113.14", "192.0.2.1", 4000, 25, flags).sequence(sequence);
    for n in 0..5 {
        let (verdict, attempt) = judge(&mut engine, &odd(n, TcpFlags::SYN | TcpFlags::FIN), S);
        assert_eq!(verdict.reason, Reason::SynFin);
        assert!(attempt.is_some_and(|attempt| !attempt.admitted && !attempt.retransmission));
    }
    // Its clean twin is another attempt, not a retransmission of the odd one.
    assert_eq!(
        reason(&mut engine, &odd(0, TcpFlags::SYN), S).0,
        Reason::Admitted
    );
    let bad = Packet::ethernet()
        .ipv4("203.0.113.14", "192.0.2.1")
        .bad_checksum();
    let (verdict, attempt) = judge(&mut engine, &bad.tcp(4000, 25).flags(TcpFlags::SYN), S);
    assert_eq!(
        (verdict.reason, verdict.action),
        (Reason::BadIpv4Checksum, Action::Drop)
    );
    assert!(attempt.is_none());
}

#[test]
fn a_full_table_does_as_the_policy_says_and_says_so() {
    for (fallback, expected) in [
        ("forward", (Reason::TableFullForwarded, Action::Forward)),
        ("drop", (Reason::TableFull, Action::Reset)),
    ] {
        let policy = POLICY.replace("= 1024", &format!("= 1024\nfull = \"{fallback}\""));
        let mut engine = engine(&policy);
        for n in 0..1024u32 {
            let from = format!("2001:db8:2{:02x}:{:02x}00::1", n / 256, n % 256);
            assert_eq!(
                reason(&mut engine, &syn(&from, "2001:db9::1", 25, 1), S).0,
                Reason::Admitted
            );
        }
        let late = syn("203.0.113.77", "192.0.2.1", 25, 1);
        assert_eq!(reason(&mut engine, &late, S), expected);
        let after = syn("203.0.113.78", "192.0.2.1", 25, 1);
        assert_eq!(
            reason(&mut engine, &after, 20 * S).0,
            Reason::Admitted,
            "windows are empty"
        );
    }
}

#[test]
fn ports_decide_the_direction_where_they_are_known() {
    let mut engine = engine(POLICY);
    let bytes = syn("203.0.113.15", "192.0.2.1", 25, 1).build();
    let mut judgements = Judgements::default();
    let inbound = Frame {
        direction: Some(Direction::Inbound),
        ..frame(&bytes, S)
    };
    engine.process(&[inbound], &mut judgements);
    assert_eq!(judgements.verdicts[0].reason, Reason::InboundMail);
}

/// Traffic of a few sources that meets every reason of the limits.
fn traffic() -> impl Strategy<Value = Vec<(Vec<u8>, Nanos)>> {
    let frame = (0u8..6, 0u8..3, 0u32..4, 0u64..S).prop_map(|(host, service, sequence, step)| {
        let from = format!("203.0.113.{}", 40 + host);
        let (to, port) =
            [("192.0.2.1", 25), ("192.0.2.25", 25), ("192.0.2.1", 587)][usize::from(service)];
        (syn(&from, to, port, sequence).build(), step)
    });
    prop::collection::vec(frame, 1..200).prop_map(|frames| {
        let mut now = 0;
        frames
            .into_iter()
            .map(|(bytes, step)| {
                now += step;
                (bytes, now)
            })
            .collect()
    })
}

fn verdicts_in_batches(traffic: &[(Vec<u8>, Nanos)], size: usize) -> Vec<Verdict> {
    let mut engine = engine(POLICY);
    let mut judgements = Judgements::default();
    let mut verdicts = Vec::new();
    for batch in traffic.chunks(size) {
        let frames: Vec<_> = batch
            .iter()
            .map(|(bytes, time)| frame(bytes, *time))
            .collect();
        engine.process(&frames, &mut judgements);
        verdicts.extend(judgements.verdicts.iter().map(|v| Verdict {
            attempt: None,
            ..*v
        }));
    }
    verdicts
}

proptest! {
    #[test]
    fn how_frames_are_batched_changes_no_verdict(traffic in traffic(), size in 1usize..100) {
        prop_assert_eq!(verdicts_in_batches(&traffic, 1), verdicts_in_batches(&traffic, size));
    }
}

/// The engine of these tests, and who is quarantined in it.
fn restricted_engine() -> (Engine, Restrictions) {
    let restrictions = Restrictions::default();
    (
        engine(POLICY).restricted_by(restrictions.clone()),
        restrictions,
    )
}

fn quarantine(restrictions: &Restrictions, keys: &[&str]) {
    let key = |key: &&str| (key.parse().expect("a prefix"), Scope::Mail);
    restrictions.set(keys.iter().map(key));
}

#[test]
fn quarantine_and_release_take_effect_with_the_very_next_frame() {
    let (mut engine, restrictions) = restricted_engine();
    // The same SYN again and again, as a client that gets no answer sends it.
    let packet = syn("203.0.113.1", "192.0.2.1", 25, 7);
    let mut fares = |time| reason(&mut engine, &packet, time).0;
    assert_eq!(fares(1_000_000_000), Reason::Admitted);
    quarantine(&restrictions, &["203.0.113.1/32"]);
    assert_eq!(fares(2_000_000_000), Reason::Quarantined);
    quarantine(&restrictions, &[]);
    assert_eq!(fares(4_000_000_000), Reason::Admitted);
    assert!(restrictions.is_empty());
}

#[test]
fn quarantined_attempts_are_charged_to_the_subscriber_and_leave_the_window_alone() {
    let (mut engine, restrictions) = restricted_engine();
    quarantine(&restrictions, &["203.0.113.1/32"]);
    for sequence in 0..50 {
        let packet = syn("203.0.113.1", "192.0.2.1", 25, sequence);
        let (verdict, attempt) = judge(&mut engine, &packet, 1_000_000_000);
        assert_eq!(verdict.reason, Reason::Quarantined);
        let attempt = attempt.expect("an attempt");
        assert!(!attempt.admitted && !attempt.retransmission);
    }
    quarantine(&restrictions, &[]);
    let packet = syn("203.0.113.1", "192.0.2.1", 25, 99);
    let fares = reason(&mut engine, &packet, 1_000_000_000);
    assert_eq!(fares, (Reason::Admitted, Action::Forward));
}

#[test]
fn a_named_subscriber_is_quarantined_under_its_first_prefix() {
    let (mut engine, restrictions) = restricted_engine();
    quarantine(&restrictions, &["203.0.113.30/32"]);
    let packet = syn("203.0.113.30", "192.0.2.1", 25, 1);
    assert_eq!(reason(&mut engine, &packet, 0).0, Reason::Quarantined);
}

#[test]
fn a_class_that_only_observes_stops_no_quarantined_mail() {
    let (mut engine, restrictions) = restricted_engine();
    quarantine(&restrictions, &["10.9.0.1/32"]);
    let packet = syn("10.9.0.1", "192.0.2.1", 25, 1);
    let (verdict, _) = judge(&mut engine, &packet, 0);
    assert_eq!(
        (verdict.reason, verdict.action, verdict.observed),
        (Reason::Quarantined, Action::Forward, true)
    );
}
