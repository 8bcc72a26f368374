//! Limits: exactly as many as the policy says, each attempt once.

use lychgate::{engine::Reason, synth::packet::Packet, wire::TcpFlags};

use super::{
    case::{Case, attempt, syn_from},
    policies::{VILLAGE, one_class},
};

pub fn cases() -> Vec<Case> {
    vec![
        window_edges(),
        retransmissions(),
        relays(),
        submission_limit(),
        reset(),
        burst_zombie(),
        rotating_zombie(),
    ]
}

fn limited(connections: u16, window: &str) -> String {
    one_class(&format!(
        "smtp = {{ limit = {{ connections = {connections}, window = \"{window}\" }} }}\n\
         submission = \"allow\""
    ))
}

fn window_edges() -> Case {
    let from = |host: &str, port| syn_from(host, port, "192.0.2.1", 25);
    let (a, b, c) = ("203.0.113.1", "203.0.113.2", "203.0.113.3");
    let (on, over) = (Reason::Admitted, Reason::LimitExceeded);
    Case::new(
        "window-edges",
        "Never more than 3 attempts in any 8 s, and never a refusal for a source that keeps to 3 in \
         any 9 s. The parts of the window, 1 s each, begin with the capture's clock.",
        limited(3, "8s"),
    )
    .at_ms(0)
    .frame("A's first", from(a, 1), on)
    .frame("C, who keeps to 3 in 9 s, calls first", from(c, 1), on)
    .at_ms(100)
    .frame("A's second", from(a, 2), on)
    .at_ms(200)
    .frame("A's third", from(a, 3), on)
    .at_ms(300)
    .frame("A's fourth", from(a, 4), over)
    .at_ms(997)
    .frame("B's first, late in the same part", from(b, 1), on)
    .frame("B's second", from(b, 2), on)
    .frame("B's third", from(b, 3), on)
    .at_ms(3000)
    .frame("C's second", from(c, 2), on)
    .at_ms(6000)
    .frame("C's third", from(c, 3), on)
    .at_ms(7999)
    .frame("A: not yet 8 s", from(a, 5), over)
    .at_ms(8000)
    .frame("A: 8 s, but parts are not divided", from(a, 6), over)
    .at_ms(8997)
    .frame("B: 8 s after its first, less than the window after its third", from(b, 4), over)
    .at_ms(8999)
    .frame("A: still in the ninth part", from(a, 7), over)
    .at_ms(9000)
    .frame("A: 9/8 of the window after its first", from(a, 8), on)
    .frame("B: more than the window after its third", from(b, 5), on)
    .frame("C's fourth, 9 s after its first", from(c, 4), on)
    .frame("A's second in the new window", from(a, 9), on)
    .frame("A's third", from(a, 10), on)
    .frame("A's fourth", from(a, 11), over)
    .at_ms(12_000)
    .frame("C's fifth", from(c, 5), on)
    .at_ms(15_000)
    .frame("C's sixth", from(c, 6), on)
    .at_ms(17_999)
    .frame("A: the end of the ninth part again", from(a, 12), over)
    .at_ms(18_000)
    .frame("A: and the next window", from(a, 13), on)
}

fn retransmissions() -> Case {
    let from = |port| syn_from("203.0.113.1", port, "192.0.2.1", 25);
    let (on, over) = (Reason::Admitted, Reason::LimitExceeded);
    Case::new(
        "retransmissions",
        "A SYN sent again is the same attempt: it has the first one's verdict, whatever the window \
         says by then.",
        limited(1, "2s"),
    )
    .at_ms(0)
    .frame("A", from(1), on)
    .frame("B", from(2), over)
    .at_ms(1000)
    .frame("A again, after 1 s", from(1), on)
    .frame("B again", from(2), over)
    .at_ms(3000)
    .frame("A again, after 3 s", from(1), on)
    .frame("B again: the window is empty, B is refused", from(2), over)
    .frame("C, who finds it empty", from(3), on)
    .at_ms(7000)
    .frame("A again, after 7 s", from(1), on)
    .frame("B again", from(2), over)
    .frame(
        "B with another sequence number is another attempt",
        from(2).sequence(2000),
        on,
    )
    .frame("A's sequence number from another port, too", from(4), over)
    .at_ms(15_000)
    .frame(
        "A again, after 15 s, without the ECN it never asked for",
        from(1),
        on,
    )
    .frame("D, who asks for ECN", from(5).flags(0x0c2), on)
    .frame("E", from(6).flags(0x0c2), over)
    .at_ms(18_000)
    .frame(
        "D again, without ECN, as RFC 3168 section 6.1.1.1 has it",
        from(5),
        on,
    )
    .frame("E likewise", from(6), over)
    .counts([16, 7, 4, 3], [0; 4])
}

fn relays() -> Case {
    let to = |port, server: &str, service| syn_from("203.0.113.1", port, server, service);
    let segment = |packet: Packet| packet.flags(TcpFlags::ACK);
    Case::new(
        "relays",
        "Relays are always a permitted destination, under a limit of their own: 3 in 10 s, beside \
         the class's 2 in 10 s.",
        limited(2, "10s"),
    )
    .frame("The relay, first", to(1, "192.0.2.25", 25), Reason::Relayed)
    .frame(
        "The relay, by submission",
        to(2, "192.0.2.25", 587),
        Reason::Relayed,
    )
    .frame(
        "The relay, by submission over TLS",
        to(3, "192.0.2.25", 465),
        Reason::Relayed,
    )
    .frame(
        "The relay once too often",
        to(4, "192.0.2.25", 25),
        Reason::RelayLimitExceeded,
    )
    .frame(
        "Submission to the relay shares that limit",
        to(5, "192.0.2.25", 587),
        Reason::RelayLimitExceeded,
    )
    .frame(
        "Another server: the class's own limit",
        to(6, "192.0.2.1", 25),
        Reason::Admitted,
    )
    .frame("And again", to(7, "192.0.2.2", 25), Reason::Admitted)
    .frame(
        "And once too often",
        to(8, "192.0.2.3", 25),
        Reason::LimitExceeded,
    )
    .frame(
        "Submission elsewhere is not limited",
        to(9, "192.0.2.3", 587),
        Reason::Allowed,
    )
    .frame(
        "Data to the relay",
        segment(to(1, "192.0.2.25", 25)),
        Reason::MailSegment,
    )
    .frame(
        "Data to the relay that was refused",
        segment(to(4, "192.0.2.25", 25)),
        Reason::MailSegment,
    )
    .frame(
        "The relay answers",
        segment(syn_from("192.0.2.25", 25, "203.0.113.1", 1)),
        Reason::MailSegment,
    )
    .frame(
        "The relay delivers to a subscriber",
        syn_from("192.0.2.25", 9, "203.0.113.1", 25),
        Reason::InboundMail,
    )
    .frame(
        "Another subscriber has a window of its own",
        syn_from("203.0.113.2", 1, "192.0.2.25", 25),
        Reason::Relayed,
    )
    .counts([6, 6, 4, 2], [4, 4, 3, 1])
}

fn submission_limit() -> Case {
    let to = |port, service| syn_from("203.0.113.1", port, "192.0.2.1", service);
    Case::new(
        "submission-limit",
        "Ports 587 and 465 share one limit, apart from port 25's.",
        one_class(
            "smtp = { limit = { connections = 1, window = \"10s\" } }\n\
             submission = { limit = { connections = 2, window = \"10s\" } }",
        ),
    )
    .frame("587", to(1, 587), Reason::Admitted)
    .frame("465", to(2, 465), Reason::Admitted)
    .frame(
        "587 once too often",
        to(3, 587),
        Reason::SubmissionLimitExceeded,
    )
    .frame(
        "465 once too often",
        to(4, 465),
        Reason::SubmissionLimitExceeded,
    )
    .frame("25", to(5, 25), Reason::Admitted)
    .frame("25 once too often", to(6, 25), Reason::LimitExceeded)
    .frame(
        "The refused one sent again",
        to(3, 587),
        Reason::SubmissionLimitExceeded,
    )
    .frame(
        "Data on 587",
        to(1, 587).flags(TcpFlags::ACK),
        Reason::MailSegment,
    )
    .at_ms(11_250)
    .frame("587 in the next window", to(7, 587), Reason::Admitted)
}

fn reset() -> Case {
    let policy = one_class(
        "smtp = { limit = { connections = 1, window = \"10s\" } }\n\
         submission = \"block\"\nexcess = \"reset\"",
    );
    let v4 = |packet: Packet, port| attempt(packet.ipv4("203.0.113.1", "192.0.2.1"), port, 25);
    let v6 =
        |packet: Packet, port| attempt(packet.ipv6("2001:db8:200::1", "2001:db8::1"), port, 25);
    let start = Packet::ethernet;
    let over = Reason::LimitExceeded;
    Case::new(
        "reset",
        "A class with `excess = \"reset\"` answers what it refuses with a TCP RST, through whatever \
         the SYN came in.",
        policy,
    )
    .frame("The one attempt of this window", v4(start(), 1), Reason::Admitted)
    .frame("One too many", v4(start(), 2), over)
    .reset()
    .frame("The same SYN again", v4(start(), 2), over)
    .reset()
    .frame("In QinQ", v4(start().vlan(0x88a8, 100).vlan(0x8100, 7), 3), over)
    .reset()
    .frame("In PPPoE", v4(start().vlan(0x8100, 7).pppoe(9), 4), over)
    .reset()
    .frame("Behind labels", v4(start().mpls(&[17, 18]), 5), over)
    .reset()
    .frame("With data (the RST acknowledges it, RFC 9293)", v4(start(), 6).payload(9), over)
    .reset()
    .frame("IPv6: the one attempt", v6(start(), 1), Reason::Admitted)
    .frame("IPv6: one too many", v6(start(), 2), over)
    .reset()
    .frame("IPv6 in PPPoE", v6(start().pppoe(9), 3), over)
    .reset()
    .frame("Submission, which the class blocks", syn_from("203.0.113.1", 7, "192.0.2.1", 587), Reason::SubmissionBlocked)
    .reset()
    .frame(
        "A tiny first fragment is nobody's attempt: no RST",
        attempt(start().ipv4("203.0.113.1", "192.0.2.1").fragment(0, true, 1).only(0..8), 8, 25),
        Reason::TinyFragment,
    )
}

fn burst_zombie() -> Case {
    let mut case = Case::new(
        "burst-zombie",
        "A zombie sends forty attempts in two seconds, among users who send one mail each and a \
         business mail server. Only the zombie is refused.",
        VILLAGE,
    );
    for n in 0..40_u16 {
        let server = format!("192.0.2.{}", 100 + n);
        let reason = if n < 10 {
            Reason::Admitted
        } else {
            Reason::LimitExceeded
        };
        case = case.at_ms(u64::from(n) * 50).frame(
            format!("The zombie's attempt {}", n + 1),
            syn_from("203.0.113.66", 50_000 + n, &server, 25),
            reason,
        );
        let user = format!("203.0.113.{}", 100 + n);
        case = match n % 8 {
            3 => case.frame(
                "A user sends a mail",
                syn_from(&user, 50_000, "192.0.2.25", 587),
                Reason::Relayed,
            ),
            5 => case.frame(
                "A user calls a server directly",
                syn_from(&user, 50_000, &server, 25),
                Reason::Admitted,
            ),
            7 => case.frame(
                "The mail server delivers",
                syn_from("203.0.113.30", 50_000 + n, &server, 25),
                Reason::Allowed,
            ),
            _ => case,
        };
    }
    case
}

fn rotating_zombie() -> Case {
    let mut case = Case::new(
        "rotating-zombie",
        "A zombie takes a new IPv6 address for every attempt, all over its /56: one subscriber, one \
         window. Its neighbour in the next /56 has another.",
        VILLAGE,
    );
    for n in 0..20_u32 {
        let source = format!("2001:db8:200:42{:02x}:{:x}::1", n * 13 % 256, n + 1);
        let reason = if n < 10 {
            Reason::Admitted
        } else {
            Reason::LimitExceeded
        };
        case = case.at_ms(u64::from(n) * 100).frame(
            format!("The zombie as {source}"),
            syn_from(&source, 50_000, "2001:db8::1", 25),
            reason,
        );
    }
    case.frame(
        "The neighbour",
        syn_from("2001:db8:200:4300::1", 50_000, "2001:db8::1", 25),
        Reason::Admitted,
    )
}
