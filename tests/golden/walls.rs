//! What quarantine stops beside mail: pages in the clear, and in the garden nearly everything.

use lychgate::{engine::Reason, policy::steps::Scope, synth::packet::Packet, wire::TcpFlags};

use super::{
    case::{Case, attempt, syn, syn_from},
    policies::with_class,
};

const ACK: u16 = TcpFlags::ACK;
/// A server that is nobody's business, the notice page, and what a cleaning tool needs.
const SERVER: &str = "192.0.2.1";
const PAGE: &str = "192.0.2.80";
const OPEN: &str = "198.51.100.9";
const ZOMBIE: &str = "203.0.113.66";
const ZOMBIE6: &str = "2001:db8:200:4200::1";

const NOTICE: &str = r#"[notice]
url = "http://notice.example.net/"
addresses = ["192.0.2.80", "2001:db8:25:1::80"]

[garden]
open = ["198.51.100.0/28"]
resolvers = ["192.0.2.53", "2001:db8:25:1::53"]

"#;

pub fn cases() -> Vec<Case> {
    vec![garden(), garden_encapsulated(), garden_alone(), told()]
}

fn tcp(source: &str, destination: &str, to: u16, flags: u16) -> Packet {
    let packet = Packet::ethernet().between(source, destination);
    packet.tcp(40_001, to).flags(flags)
}

fn udp(source: &str, from: u16, destination: &str, to: u16) -> Packet {
    let packet = Packet::ethernet().between(source, destination);
    packet.udp(from, to).payload(20)
}

fn garden() -> Case {
    let (no, told, yes) = (Reason::Walled, Reason::Redirected, Reason::NotMail);
    let policy = with_class(NOTICE, "smtp = \"allow\"\nexcess = \"reset\"");
    let case = Case::new(
        "garden",
        "203.0.113.66 and 2001:db8:200:4200::/56 are in the walled garden (`replay --garden`): \
         pages in the clear are answered with what leads to the notice page, and nothing else \
         crosses but to the notice page, to what is always open, to the resolvers, and what the \
         link lives on. Where the class says so, attempts get a RST. Neighbours notice nothing.",
        policy,
    )
    .quarantined("203.0.113.66/32", Scope::Garden)
    .quarantined("2001:db8:200:4200::/56", Scope::Garden)
    .frame("A browser", syn_from(ZOMBIE, 1, SERVER, 80), told)
    .frame(
        "Its request",
        tcp(ZOMBIE, SERVER, 80, ACK).payload(90),
        told,
    )
    .frame(
        "Its end",
        tcp(ZOMBIE, SERVER, 80, ACK | TcpFlags::FIN),
        told,
    )
    .frame(
        "A browser over IPv6",
        syn_from(ZOMBIE6, 1, "2001:db8::1", 80),
        told,
    )
    .frame("HTTPS", syn_from(ZOMBIE, 2, SERVER, 443), no)
    .reset()
    .frame(
        "HTTPS from before",
        tcp(ZOMBIE, SERVER, 443, ACK).payload(50),
        no,
    )
    .frame("QUIC", udp(ZOMBIE, 40_000, SERVER, 443), no)
    .frame(
        "The web from port 25",
        syn_from(ZOMBIE, 25, SERVER, 443),
        no,
    )
    .reset();
    let case = case
        .frame("The notice page", syn_from(ZOMBIE, 3, PAGE, 80), yes)
        .frame(
            "The notice page over IPv6",
            syn_from(ZOMBIE6, 3, "2001:db8:25:1::80", 80),
            yes,
        )
        .frame(
            "What is always open, in the clear",
            syn_from(ZOMBIE, 4, OPEN, 80),
            yes,
        )
        .frame(
            "What is always open, over TLS",
            syn_from(ZOMBIE, 5, OPEN, 443),
            yes,
        )
        .frame(
            "Submission there",
            syn_from(ZOMBIE, 6, OPEN, 587),
            Reason::Allowed,
        )
        .frame("Submission elsewhere", syn_from(ZOMBIE, 7, SERVER, 587), no)
        .reset()
        .frame("Port 25", syn(ZOMBIE, SERVER), Reason::Quarantined)
        .reset()
        .frame(
            "Port 25 of what is always open",
            syn(ZOMBIE, OPEN),
            Reason::Quarantined,
        )
        .reset()
        .frame("A name", udp(ZOMBIE, 40_000, "192.0.2.53", 53), yes)
        .frame("A long name", syn_from(ZOMBIE, 8, "192.0.2.53", 53), yes)
        .frame(
            "A name over IPv6",
            udp(ZOMBIE6, 40_000, "2001:db8:25:1::53", 53),
            yes,
        )
        .frame("Another resolver", udp(ZOMBIE, 40_000, SERVER, 53), no)
        .frame("DHCP", udp(ZOMBIE, 68, SERVER, 67), yes)
        .frame("DHCPv6", udp("fe80::1", 546, "ff02::1:2", 547), yes)
        .frame("NTP", udp(ZOMBIE, 123, SERVER, 123), no);
    needs(case)
}

/// The rest of the garden: what links live on, what hides, and who has nothing to do with it.
fn needs(case: Case) -> Case {
    let (no, yes) = (Reason::Walled, Reason::NotMail);
    let between = |destination| Packet::ethernet().between(ZOMBIE, destination);
    let gateway6 = Packet::ethernet().between(ZOMBIE6, "2001:db8:200:4200::fe");
    case.frame("A ping", between(SERVER).icmp(8, 0, 1), yes)
        .frame(
            "Whom does it reach?",
            gateway6.neighbour_solicitation("2001:db8:200:4200::fe"),
            yes,
        )
        .frame(
            "Where is 203.0.113.254?",
            Packet::ethernet().arp(1, ZOMBIE, "203.0.113.254"),
            Reason::LinkControl,
        )
        .frame(
            "A printer is looked for",
            udp(ZOMBIE, 5353, "224.0.0.251", 5353),
            yes,
        )
        .frame(
            "A tunnel",
            between(SERVER).gre().ipv4(ZOMBIE, SERVER).udp(1, 2),
            no,
        )
        .frame(
            "A tunnel to what is always open",
            between(OPEN).gre().ipv4(ZOMBIE, OPEN).udp(1, 2),
            Reason::Tunnel,
        )
        .frame(
            "A later fragment",
            between(SERVER).fragment(64, false, 7).bytes(&[0; 64]),
            no,
        )
        .frame(
            "What could hide a port",
            between(SERVER).fragment(0, true, 7).only(0..8).tcp(1, 80),
            Reason::TinyFragment,
        )
        .frame(
            "A web server answers",
            tcp(SERVER, ZOMBIE, 40_001, 0x12),
            yes,
        )
        .frame(
            "Port 25 answers",
            Packet::ethernet()
                .between(SERVER, ZOMBIE)
                .tcp(25, 1)
                .flags(0x12),
            Reason::QuarantinedReply,
        )
        .frame(
            "A neighbour's browser",
            syn_from("203.0.113.67", 1, SERVER, 80),
            yes,
        )
        .frame(
            "A neighbour's HTTPS",
            syn_from("203.0.113.67", 2, SERVER, 443),
            yes,
        )
}

fn garden_encapsulated() -> Case {
    let told = Reason::Redirected;
    let inner = |packet: Packet| attempt(packet.between(ZOMBIE, SERVER), 1, 80);
    let softwires = "[softwires]\nconcentrators = [\"2001:db8:64::1\"]\n\n";
    Case::new(
        "garden-encapsulated",
        "The same garden through tags, PPPoE, labels and a softwire: whatever stands around it, a \
         browser is told. In a softwire to the provider's own concentrator the subscriber is who \
         sends the outer packet, and the inner destination counts.",
        with_class(&format!("{NOTICE}{softwires}"), "smtp = \"allow\""),
    )
    .quarantined("203.0.113.66/32", Scope::Garden)
    .quarantined("2001:db8:200:4200::/56", Scope::Garden)
    .frame("In a VLAN", inner(Packet::ethernet().vlan(0x8100, 7)), told)
    .frame(
        "In two",
        inner(Packet::ethernet().vlan(0x88a8, 7).vlan(0x8100, 8)),
        told,
    )
    .frame("In PPPoE", inner(Packet::ethernet().pppoe(1)), told)
    .frame(
        "In PPPoE in a VLAN",
        inner(Packet::ethernet().vlan(0x8100, 7).pppoe(1)),
        told,
    )
    .frame(
        "Under labels",
        inner(Packet::ethernet().mpls(&[16, 17])),
        told,
    )
    .frame(
        "In a softwire",
        attempt(softwire().ipv4("192.168.0.2", SERVER), 1, 80),
        told,
    )
    .frame(
        "In a softwire, to the notice page",
        attempt(softwire().ipv4("192.168.0.2", PAGE), 2, 80),
        Reason::NotMail,
    )
    .frame(
        "In a softwire, over TLS",
        attempt(softwire().ipv4("192.168.0.2", SERVER), 3, 443),
        Reason::Walled,
    )
    .frame(
        "In a softwire, from a neighbour",
        attempt(
            Packet::ethernet()
                .ipv6("2001:db8:200:4300::1", "2001:db8:64::1")
                .ipv4("192.168.0.2", SERVER),
            1,
            80,
        ),
        Reason::NotMail,
    )
}

fn softwire() -> Packet {
    Packet::ethernet().ipv6(ZOMBIE6, "2001:db8:64::1")
}

fn garden_alone() -> Case {
    Case::new(
        "garden-without-notice",
        "A garden in a policy that names no notice page: nobody is redirected, and any resolver may \
         be asked.",
        with_class("", "smtp = \"allow\""),
    )
    .quarantined("203.0.113.66/32", Scope::Garden)
    .frame("A browser", syn_from(ZOMBIE, 1, SERVER, 80), Reason::Walled)
    .frame("A name", udp(ZOMBIE, 40_000, SERVER, 53), Reason::NotMail)
    .frame("A relay's submission", syn_from(ZOMBIE, 2, "192.0.2.25", 587), Reason::Walled)
}

fn told() -> Case {
    let (told, yes) = (Reason::Redirected, Reason::NotMail);
    Case::new(
        "redirected",
        "203.0.113.66 is quarantined, mail only, and has not read why: pages in the clear are \
         answered with what leads to the notice page. HTTPS and everything else crosses. \
         203.0.113.70 is in a class that only observes.",
        format!(
            "{}\n[class.observed]\nsmtp = \"allow\"\nmode = \"observe\"\n\n[[subscriber]]\n\
             prefixes = [\"203.0.113.70\"]\nclass = \"observed\"\n",
            with_class(NOTICE, "smtp = \"allow\"")
        ),
    )
    .quarantined("203.0.113.66/32", Scope::Mail)
    .quarantined("203.0.113.70/32", Scope::Garden)
    .frame("A browser", syn_from(ZOMBIE, 1, SERVER, 80), told)
    .frame(
        "Its request",
        tcp(ZOMBIE, SERVER, 80, ACK).payload(90),
        told,
    )
    .frame("What is always open", syn_from(ZOMBIE, 2, OPEN, 80), yes)
    .frame("The notice page", syn_from(ZOMBIE, 3, PAGE, 80), yes)
    .frame("HTTPS", syn_from(ZOMBIE, 4, SERVER, 443), yes)
    .frame("QUIC", udp(ZOMBIE, 40_000, SERVER, 443), yes)
    .frame("Another resolver", udp(ZOMBIE, 40_000, SERVER, 53), yes)
    .frame(
        "Submission",
        syn_from(ZOMBIE, 5, SERVER, 587),
        Reason::Allowed,
    )
    .frame("Port 25", syn(ZOMBIE, SERVER), Reason::Quarantined)
    .frame(
        "A web server of the zombie's answers",
        tcp(ZOMBIE, SERVER, 40_000, 0x12),
        yes,
    )
    .frame(
        "Observed: a browser",
        syn_from("203.0.113.70", 1, SERVER, 80),
        told,
    )
    .observed()
    .frame(
        "Observed: HTTPS",
        syn_from("203.0.113.70", 2, SERVER, 443),
        Reason::Walled,
    )
    .observed()
}
