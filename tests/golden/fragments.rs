//! Fragments and header chains: where a TCP header can hide.

use lychgate::{
    engine::Reason,
    synth::packet::{Extension, Packet},
};

use super::{
    case::{Case, attempt},
    policies::VILLAGE,
};

pub fn cases() -> Vec<Case> {
    vec![ipv4(), ipv6(), chains()]
}

fn v4() -> Packet {
    Packet::ethernet().ipv4("203.0.113.1", "192.0.2.1")
}

fn v6() -> Packet {
    Packet::ethernet().ipv6("2001:db8:200::1", "2001:db8::1")
}

/// A SYN with 20 octets of options: a header of 40 octets.
fn long(around: Packet, port: u16) -> Packet {
    around.tcp(port, 25).flags(2).options(&[1; 20])
}

fn ipv4() -> Case {
    let first = |octets: usize| v4().fragment(0, true, octets as u32).only(0..octets);
    let later = |offset: u16, more| {
        let begin = usize::from(offset) * 8;
        v4().fragment(offset, more, 99).only(begin..begin + 48)
    };
    let body = |packet: Packet, port: u16| packet.tcp(40_000, port).flags(2).payload(400);
    let tiny = Reason::TinyFragment;
    Case::new(
        "fragments-ipv4",
        "A first fragment must hold the whole TCP header (RFC 1858, RFC 3128); one that does counts \
         like any segment. Later fragments show no ports and cross.",
        VILLAGE,
    )
    .frame("First fragment of 8 octets: ports, no flags", body(first(8), 25), tiny)
    .frame("First fragment of 16 octets: flags, half a header", body(first(16), 25), tiny)
    .frame("First fragment without any octet", body(first(0), 25), tiny)
    .frame("First fragment of 24 octets that cuts a header of 40", long(first(24), 1), tiny)
    .frame("First fragment with exactly the whole header", body(v4().fragment(0, true, 1).only(0..24), 25), Reason::Admitted)
    .frame("First fragment with a header of 40 and no more", long(first(40), 2), Reason::Admitted)
    .frame("Offset 1 of TCP overwrites the flags", body(later(1, true), 25), Reason::FragmentAtOffsetOne)
    .frame("Offset 1, last fragment", body(later(1, false), 25), Reason::FragmentAtOffsetOne)
    .frame("Offset 2 is a later fragment", body(later(2, true), 25), Reason::LaterFragment)
    .frame("Offset 3", body(later(3, false), 25), Reason::LaterFragment)
    .frame(
        "A later fragment whose octets look like a SYN to port 25",
        v4().fragment(185, false, 7).protocol(6).bytes(&attempt(Packet::ip(), 3, 25).build()),
        Reason::LaterFragment,
    )
    .frame("Offset 1 of UDP", v4().fragment(1, true, 8).only(8..64).udp(1, 25).payload(99), Reason::LaterFragment)
    .frame("First fragment of UDP, 8 octets", v4().fragment(0, true, 9).only(0..8).udp(1, 25).payload(99), Reason::NotMail)
    .frame("First fragment of ICMP, 8 octets", v4().fragment(0, true, 10).only(0..8).icmp(8, 0, 1).payload(99), Reason::NotMail)
    .frame("First fragment to a web server, whole header", body(v4().fragment(0, true, 11).only(0..24), 80), Reason::NotMail)
    .frame("Not a fragment: \"do not fragment\" is set", attempt(v4().do_not_fragment(), 4, 25), Reason::Admitted)
}

fn ipv6() -> Case {
    let body = |packet: Packet, port: u16| packet.tcp(port, 25).flags(2).payload(400);
    let first = |octets: usize| v6().fragment(0, true, octets as u32).only(0..octets);
    let incomplete = Reason::IncompleteHeaderChain;
    Case::new(
        "fragments-ipv6",
        "An IPv6 first fragment must hold the whole header chain (RFC 7112); an atomic fragment is \
         no fragment (RFC 6946).",
        VILLAGE,
    )
    .frame(
        "Atomic fragment",
        attempt(v6().fragment(0, false, 1), 1, 25),
        Reason::Admitted,
    )
    .frame(
        "First fragment with the whole chain",
        body(first(24), 2),
        Reason::Admitted,
    )
    .frame("First fragment of 8 octets", body(first(8), 3), incomplete)
    .frame(
        "First fragment of 16 octets",
        body(first(16), 4),
        incomplete,
    )
    .frame(
        "First fragment that ends inside its destination options",
        body(first(16).extension(Extension::Destination, 64), 5),
        incomplete,
    )
    .frame(
        "First fragment that ends behind its destination options",
        body(first(64).extension(Extension::Destination, 64), 6),
        incomplete,
    )
    .frame(
        "First fragment with destination options and the whole header",
        body(first(88).extension(Extension::Destination, 64), 7),
        Reason::Admitted,
    )
    .frame(
        "Hop-by-hop options, then a whole first fragment",
        body(
            v6().extension(Extension::HopByHop, 8)
                .fragment(0, true, 8)
                .only(0..24),
            8,
        ),
        Reason::Admitted,
    )
    .frame(
        "Offset 1 of TCP overwrites the flags",
        body(v6().fragment(1, true, 9).only(8..64), 9),
        Reason::FragmentAtOffsetOne,
    )
    .frame(
        "A later fragment",
        body(v6().fragment(3, false, 9).only(24..64), 9),
        Reason::LaterFragment,
    )
    .frame(
        "First fragment of UDP, 8 octets",
        v6().fragment(0, true, 10).only(0..8).udp(1, 25).payload(99),
        Reason::NotMail,
    )
    .frame(
        "A later fragment of UDP at offset 1",
        v6().fragment(1, false, 10)
            .only(8..64)
            .udp(1, 25)
            .payload(99),
        Reason::LaterFragment,
    )
}

fn chains() -> Case {
    let chain = |count: usize| {
        (0..count).fold(v6(), |packet, _| {
            packet.extension(Extension::Destination, 8)
        })
    };
    let mut case = Case::new(
        "ipv6-chains",
        "Every extension header is crossed, up to a bound (RFC 8504); AH counts its length in units \
         of 4 octets.",
        VILLAGE,
    );
    // One /56 a frame, so that no limit is reached.
    for (n, kind) in Extension::ALL.into_iter().enumerate() {
        let source = format!("2001:db8:200:{n}00::1");
        let around = Packet::ethernet()
            .ipv6(source.as_str(), "2001:db8::1")
            .extension(kind, 24);
        case = case.frame(
            format!("{kind:?}"),
            attempt(around, 1, 25),
            Reason::Admitted,
        );
    }
    let beyond = Reason::ExtensionOverrun;
    case.frame(
        "AH whose length is no multiple of 8 octets",
        attempt(v6().extension(Extension::Authentication, 28), 2, 25),
        Reason::Admitted,
    )
    .frame(
        "AH in IPv4",
        attempt(v4().extension(Extension::Authentication, 24), 3, 25),
        Reason::Admitted,
    )
    .frame("Eight headers", attempt(chain(8), 4, 25), Reason::Admitted)
    .frame(
        "Nine headers",
        attempt(chain(9), 5, 25),
        Reason::TooManyExtensions,
    )
    .frame(
        "A header that ends beyond the packet",
        attempt(v6().extension(Extension::Destination, 8).length(30), 6, 25),
        beyond,
    )
    .frame(
        "AH that ends beyond the packet",
        attempt(
            v6().extension(Extension::Authentication, 12).length(255),
            7,
            25,
        ),
        beyond,
    )
    .frame(
        "A packet that ends inside its first extension header",
        v6().protocol(60).bytes(&[6, 0, 1, 4]),
        beyond,
    )
    .frame(
        "UDP behind destination options",
        v6().extension(Extension::Destination, 8)
            .udp(1, 25)
            .payload(8),
        Reason::NotMail,
    )
    .frame(
        "ESP behind hop-by-hop options",
        v6().extension(Extension::HopByHop, 8).esp(7).payload(32),
        Reason::Tunnel,
    )
    .frame(
        "No next header behind hop-by-hop options",
        v6().extension(Extension::HopByHop, 8).protocol(59),
        Reason::NotMail,
    )
}
