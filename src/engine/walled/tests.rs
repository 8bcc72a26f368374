//! Walls, frame by frame; the golden cases hold the table of what is open.

use std::sync::Arc;

use super::super::Restrictions;
use super::*;
use crate::engine::Judgements;
use crate::{source::SourceTable, synth::packet::Packet, wire::TcpFlags};

const POLICY: &str = r#"
[notice]
url = "http://notice.example.net/"
addresses = ["192.0.2.80"]
[class.residential]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/24"
class = "residential"
[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"
[[subscriber]]
prefixes = ["203.0.113.30", "203.0.113.40/29", "2001:db8:200:3000::/56"]
class = "residential"
"#;

/// The engine of a policy whose notice says so, and who is restricted in it.
fn engine(redirect: &str) -> (Engine, Restrictions) {
    let redirect = format!("redirect = \"{redirect}\"\n[class.");
    let text = POLICY.replace("[class.", &redirect);
    let (policy, _) = Policy::from_toml("test.toml", &text).expect("a valid policy");
    let sources = SourceTable::new(policy.capacity(), Some(1));
    let restrictions = Restrictions::default();
    let engine = Engine::new(Arc::new(policy), Arc::new(sources));
    (engine.restricted_by(restrictions.clone()), restrictions)
}

fn syn(from: &str, port: u16) -> Packet {
    let to = if from.contains(':') {
        "2001:db8::1"
    } else {
        "192.0.2.1"
    };
    let packet = Packet::ethernet().between(from, to);
    packet.tcp(40_000, port).flags(TcpFlags::SYN)
}

fn reason(engine: &mut Engine, packet: &Packet, direction: Option<Direction>) -> Reason {
    let bytes = packet.build();
    let frame = Frame {
        bytes: &bytes,
        wire_length: bytes.len() as u32,
        link: crate::wire::Link::Ethernet,
        direction,
        time: 1,
    };
    let mut judgements = Judgements::default();
    engine.process(&[frame], &mut judgements);
    assert_eq!(judgements.verdicts.len(), 1);
    judgements.verdicts[0].reason
}

#[test]
fn a_policy_says_who_is_sent_to_the_notice_page() {
    let key = "203.0.113.1/32".parse().expect("a prefix");
    let browser = syn("203.0.113.1", 80);
    for (redirect, scope, is_told, is_redirected) in [
        ("unread", Scope::Mail, false, true),
        ("unread", Scope::Mail, true, false),
        ("unread", Scope::Garden, true, true),
        ("always", Scope::Mail, true, true),
        ("garden", Scope::Mail, false, false),
        ("garden", Scope::Garden, false, true),
    ] {
        let (mut engine, restrictions) = engine(redirect);
        restrictions.set([(key, Restriction { scope, is_told })]);
        let expected = if is_redirected {
            Reason::Redirected
        } else {
            Reason::NotMail
        };
        let found = reason(&mut engine, &browser, None);
        assert_eq!(found, expected, "{redirect} {scope:?} {is_told}");
    }
}

#[test]
fn a_wall_stands_and_falls_with_the_very_next_frame() {
    let (mut engine, restrictions) = engine("unread");
    let mut fares = |port| reason(&mut engine, &syn("203.0.113.1", port), None);
    assert_eq!((fares(443), fares(587)), (Reason::NotMail, Reason::Allowed));
    restrictions.set([("203.0.113.1/32".parse().expect("a prefix"), Scope::Garden)]);
    assert_eq!((fares(443), fares(587)), (Reason::Walled, Reason::Walled));
    restrictions.set::<Scope>([]);
    assert_eq!((fares(443), fares(587)), (Reason::NotMail, Reason::Allowed));
}

#[test]
fn a_wall_is_around_all_that_a_subscriber_has() {
    let (mut engine, restrictions) = engine("unread");
    restrictions.set([("203.0.113.30/32".parse().expect("a prefix"), Scope::Garden)]);
    for (from, expected) in [
        ("203.0.113.30", Reason::Walled),
        ("203.0.113.47", Reason::Walled),
        ("2001:db8:200:30ff::1", Reason::Walled),
        ("2001:db8:200:3100::1", Reason::NotMail),
        ("203.0.113.48", Reason::NotMail),
    ] {
        assert_eq!(
            reason(&mut engine, &syn(from, 443), None),
            expected,
            "{from}"
        );
    }
}

#[test]
fn what_comes_from_the_internet_under_a_walled_address_is_not_the_subscribers() {
    let (mut engine, restrictions) = engine("always");
    restrictions.set([("203.0.113.1/32".parse().expect("a prefix"), Scope::Garden)]);
    let inbound = Some(Direction::Inbound);
    assert_eq!(
        reason(&mut engine, &syn("203.0.113.1", 80), inbound),
        Reason::NotMail
    );
}

#[test]
fn what_the_capture_cut_off_is_not_guessed() {
    let (mut engine, restrictions) = engine("always");
    restrictions.set([("203.0.113.1/32".parse().expect("a prefix"), Scope::Garden)]);
    let bytes = syn("203.0.113.1", 443).build();
    let frame = Frame {
        bytes: &bytes[..34],
        wire_length: bytes.len() as u32,
        link: crate::wire::Link::Ethernet,
        direction: None,
        time: 1,
    };
    let mut judgements = Judgements::default();
    engine.process(&[frame], &mut judgements);
    assert_eq!(judgements.verdicts[0].reason, Reason::Unreadable);
}
