//! A quarantined browser before a worker: it is answered out of the port that it is behind.

use super::*;
use crate::{engine::Restrictions, policy::steps::Scope, wire::Redirect};

const PAGE: &str = "http://notice.example.net/";

fn policy() -> String {
    format!("{POLICY}\n[notice]\nurl = \"{PAGE}\"\naddresses = [\"192.0.2.8\"]\n")
}

fn web(flags: u16, sequence: u32, acknowledgement: u32) -> Packet {
    Packet::ethernet()
        .vlan(0x8100, 7)
        .ipv4("203.0.113.9", "192.0.2.80")
        .tcp(40_000, 80)
        .flags(flags)
        .sequence(sequence)
        .acknowledgement(acknowledgement)
}

#[test]
fn a_quarantined_browser_is_told_and_after_the_release_it_is_not() {
    let (ports, far) = pair(Shape::default());
    let restrictions = Restrictions::default();
    let engine = engine(&policy()).restricted_by(restrictions.clone());
    let redirect = Some(Redirect::new(PAGE));
    let clock = Clock::at(S);
    let mut worker = Worker::new(ports, engine, clock.read(), Settings::default());
    worker = worker.redirecting(redirect);
    let mut say = |packet: Packet| {
        send(&far, Side::Access, &[packet.build()]);
        worker.round().expect("memory does not fail");
        worker.check();
        let crossed = take_all(&far, Side::Uplink).len();
        let answers = take_all(&far, Side::Access);
        let segment = |answer: &Vec<u8>| {
            let length = answer.len() as u32;
            wire::tcp_segment(answer, length, Link::Ethernet, &|_| false).expect("a segment")
        };
        let counts = worker.counts.directions[0];
        let texts = answers
            .iter()
            .map(|answer| String::from_utf8_lossy(answer).into_owned());
        let texts: Vec<_> = texts.collect();
        (
            crossed,
            answers.iter().map(segment).next(),
            texts.concat(),
            counts,
        )
    };
    restrictions.set([("203.0.113.9/32".parse().expect("a prefix"), Scope::Mail)]);
    let (crossed, hello, ..) = say(web(TcpFlags::SYN, 5, 0));
    let hello = hello.expect("a SYN ACK");
    assert_eq!((crossed, hello.flags.0), (0, TcpFlags::SYN | TcpFlags::ACK));
    assert_eq!(hello.vlans.as_slice(), [7]);
    let agreed = hello.sequence.wrapping_add(1);
    let (crossed, silence, _, counts) = say(web(TcpFlags::ACK, 6, agreed));
    assert_eq!((crossed, silence), (0, None));
    assert_eq!((counts.redirected, counts.unanswered), (1, 1));
    let request = web(TcpFlags::ACK, 6, agreed).bytes(b"GET / HTTP/1.1\r\n\r\n");
    let (crossed, told, text, counts) = say(request);
    assert_eq!(
        (crossed, told.map(|told| told.acknowledgement)),
        (0, Some(24))
    );
    assert!(text.contains(&format!("Location: {PAGE}\r\n")), "{text}");
    assert_eq!(
        (counts.redirected, counts.unanswered, counts.reset),
        (2, 1, 0)
    );
    restrictions.set::<Scope>([]);
    let (crossed, answer, ..) = say(web(TcpFlags::SYN, 5, 0));
    assert_eq!((crossed, answer), (1, None));
}
