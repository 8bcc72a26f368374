//! Who a subscriber is and what its class may: blocks, observation, strangers, VLANs.

use lychgate::{engine::Reason, policy::steps::Scope, synth::packet::Packet, wire::TcpFlags};

use super::{
    case::{Case, attempt, syn, syn_from},
    policies::{VILLAGE, one_class, with_class},
};

/// Of a packet that names no other.
const SEQUENCE: u32 = 1000;

const CLOSED: &str = "smtp = \"block\"\nsubmission = \"allow\"";

pub fn cases() -> Vec<Case> {
    vec![
        closed(),
        submission_block(),
        observe_class(),
        quarantined(),
        observe_all(),
        strangers(),
        strangers_forwarded(),
        vlan_bound(),
        table_full(),
        table_full_forwarded(),
    ]
}

fn segment(source: &str, port: u16, destination: &str, to: u16, flags: u16) -> Packet {
    Packet::ethernet()
        .between(source, destination)
        .tcp(port, to)
        .flags(flags)
}

fn closed() -> Case {
    let (host, server, relay) = ("203.0.113.1", "192.0.2.1", "192.0.2.25");
    let no = Reason::SmtpBlocked;
    let (reply, orphan) = (Reason::SmtpReplyBlocked, Reason::OrphanSynAck);
    Case::new(
        "closed-class",
        "`smtp = \"block\"` stops every segment to port 25, not only SYNs, and the servers' answers \
         too: triangular spamming sends and receives by different ways (Qian et al. 2010). Relays \
         stay open.",
        one_class(CLOSED),
    )
    .frame("An attempt", syn(host, server), no)
    .frame("An ACK without an attempt", segment(host, 1, server, 25, 0x10), no)
    .frame("Data", segment(host, 1, server, 25, 0x18).bytes(b"MAIL FROM:<a@example.org>\r\n"), no)
    .frame("FIN", segment(host, 1, server, 25, 0x11), no)
    .frame("RST", segment(host, 1, server, 25, 0x04), no)
    .frame("IPv6", syn("2001:db8:200::1", "2001:db8::1"), no)
    .frame("A server answers somebody's spoofed SYN", segment(server, 25, host, 1, 0x12), orphan)
    .frame(
        "A server answers the attempt above, as if it had come by another way",
        segment(server, 25, host, 40_000, 0x12).acknowledgement(SEQUENCE + 1),
        reply,
    )
    .frame("A server's data", segment(server, 25, host, 1, 0x18).bytes(b"220 ready\r\n"), reply)
    .frame("A server's RST", segment(server, 25, host, 1, 0x14), reply)
    .frame("A server's answer over IPv6", segment("2001:db8::1", 25, "2001:db8:200::1", 1, 0x12), orphan)
    .frame("The relay", syn_from(host, 2, relay, 25), Reason::Relayed)
    .frame("Data to the relay", segment(host, 2, relay, 25, 0x18).payload(10), Reason::MailSegment)
    .frame("The relay's answer", segment(relay, 25, host, 2, 0x12), Reason::MailSegment)
    .frame("Submission elsewhere", syn_from(host, 3, server, 587), Reason::Allowed)
    .frame("Submission's answer", segment(server, 587, host, 3, 0x12), Reason::MailSegment)
    .frame("The internet calls a server of the subscriber", syn(server, host), Reason::InboundMail)
    .frame("Which answers", segment(host, 25, server, 40_000, 0x12), Reason::MailSegment)
    .frame("The web", syn_from(host, 4, server, 443), Reason::NotMail)
    .counts([3, 3, 1, 2], [1, 1, 1, 0])
}

fn quarantined() -> Case {
    let (zombie, neighbour) = ("203.0.113.66", "203.0.113.67");
    let (server, relay) = ("192.0.2.1", "192.0.2.25");
    let no = Reason::Quarantined;
    Case::new(
        "quarantined",
        "203.0.113.66 and 2001:db8:200:4200::/56 are quarantined (`replay --quarantine`): nothing \
         of theirs crosses to port 25, not even to a relay, since a zombie relays, too; and no \
         answer from port 25 comes back. Submission stays open, and so does everything else. \
         Neighbours notice nothing.",
        one_class("smtp = \"allow\""),
    )
    .quarantined("203.0.113.66/32", Scope::Mail)
    .quarantined("2001:db8:200:4200::/56", Scope::Mail)
    .frame("An attempt", syn(zombie, server), no)
    .frame(
        "Data of a connection from before",
        segment(zombie, 1, server, 25, 0x18).payload(10),
        no,
    )
    .frame(
        "The server's answer",
        segment(server, 25, zombie, 1, 0x18).payload(10),
        Reason::QuarantinedReply,
    )
    .frame("The relay", syn(zombie, relay), no)
    .frame(
        "The relay's answer",
        segment(relay, 25, zombie, 1, 0x12),
        Reason::QuarantinedReply,
    )
    .frame(
        "Submission to the relay",
        syn_from(zombie, 2, relay, 587),
        Reason::Relayed,
    )
    .frame(
        "Submission elsewhere",
        syn_from(zombie, 3, server, 465),
        Reason::Allowed,
    )
    .frame(
        "Submission's answer",
        segment(server, 465, zombie, 3, 0x12),
        Reason::MailSegment,
    )
    .frame("The web", syn_from(zombie, 4, server, 443), Reason::NotMail)
    .frame(
        "The internet calls a server of the zombie's",
        syn(server, zombie),
        Reason::InboundMail,
    )
    .frame(
        "Which answers",
        segment(zombie, 25, server, 40_000, 0x12),
        Reason::MailSegment,
    )
    .frame(
        "Another address of an IPv6 subscriber",
        syn("2001:db8:200:42ff::9", "2001:db8::1"),
        no,
    )
    .frame("A neighbour", syn(neighbour, server), Reason::Allowed)
    .frame(
        "A neighbour over IPv6",
        syn("2001:db8:200:4300::1", "2001:db8::1"),
        Reason::Allowed,
    )
}

fn submission_block() -> Case {
    let (host, server) = ("203.0.113.1", "192.0.2.1");
    Case::new(
        "submission-block",
        "`submission = \"block\"` stops every segment to ports 587 and 465, except to relays.",
        one_class("smtp = \"allow\"\nsubmission = \"block\""),
    )
    .frame(
        "587",
        syn_from(host, 1, server, 587),
        Reason::SubmissionBlocked,
    )
    .frame(
        "465",
        syn_from(host, 2, server, 465),
        Reason::SubmissionBlocked,
    )
    .frame(
        "An ACK to 587",
        segment(host, 1, server, 587, TcpFlags::ACK),
        Reason::SubmissionBlocked,
    )
    .frame(
        "The relay's 587",
        syn_from(host, 3, "192.0.2.25", 587),
        Reason::Relayed,
    )
    .frame(
        "An ACK to the relay's 587",
        segment(host, 3, "192.0.2.25", 587, 0x10),
        Reason::MailSegment,
    )
    .frame(
        "25, which this class may use",
        syn_from(host, 4, server, 25),
        Reason::Allowed,
    )
    .frame("The web", syn_from(host, 5, server, 443), Reason::NotMail)
}

fn observe_class() -> Case {
    let host = "203.0.113.1";
    let policy = "\
[relays]
addresses = [\"192.0.2.25\"]
limit = { connections = 3, window = \"10s\" }

[class.watched]
smtp = { limit = { connections = 1, window = \"10s\" } }
mode = \"observe\"

[class.closed]
smtp = \"block\"
mode = \"observe\"

[class.residential]
smtp = { limit = { connections = 1, window = \"10s\" } }

[[pool]]
prefix = \"203.0.113.0/25\"
class = \"watched\"

[[pool]]
prefix = \"203.0.113.128/25\"
class = \"residential\"

[[pool]]
prefix = \"198.51.100.0/24\"
class = \"closed\"

[sources]
capacity = 1024
";
    Case::new(
        "observe-class",
        "A class that only observes is judged and counted, and forwarded all the same; its \
         neighbours are not.",
        policy,
    )
    .frame(
        "Within the limit",
        syn_from(host, 1, "192.0.2.1", 25),
        Reason::Admitted,
    )
    .frame(
        "Beyond it",
        syn_from(host, 2, "192.0.2.1", 25),
        Reason::LimitExceeded,
    )
    .observed()
    .frame(
        "Beyond it: forwarding did not fill the window further",
        syn_from(host, 3, "192.0.2.1", 25),
        Reason::LimitExceeded,
    )
    .observed()
    .frame(
        "SYN and FIN",
        syn_from(host, 4, "192.0.2.1", 25).flags(3),
        Reason::SynFin,
    )
    .observed()
    .frame(
        "A class that enforces",
        syn("203.0.113.200", "192.0.2.1"),
        Reason::Admitted,
    )
    .frame(
        "Beyond its limit",
        syn_from("203.0.113.200", 2, "192.0.2.1", 25),
        Reason::LimitExceeded,
    )
    .frame(
        "A closed class that observes",
        syn("198.51.100.1", "192.0.2.1"),
        Reason::SmtpBlocked,
    )
    .observed()
    .frame(
        "Its ACK",
        segment("198.51.100.1", 1, "192.0.2.1", 25, 0x10),
        Reason::SmtpBlocked,
    )
    .observed()
    .frame(
        "A server's answer to it",
        segment("192.0.2.1", 25, "198.51.100.1", 40_000, 0x12).acknowledgement(SEQUENCE + 1),
        Reason::SmtpReplyBlocked,
    )
    .observed()
    .frame(
        "A server's answer to what it never sent",
        segment("192.0.2.1", 25, "198.51.100.1", 40_001, 0x12).acknowledgement(SEQUENCE + 1),
        Reason::OrphanSynAck,
    )
    .observed()
    .counts([7, 7, 2, 5], [0; 4])
}

fn observe_all() -> Case {
    let host = "203.0.113.1";
    let policy = with_class(
        "mode = \"observe\"\n\n",
        "smtp = { limit = { connections = 1, window = \"10s\" } }\nexcess = \"reset\"",
    );
    Case::new(
        "observe-all",
        "The whole policy on trial: nothing is dropped, all of it is counted.",
        policy,
    )
    .frame(
        "Within the limit",
        syn_from(host, 1, "192.0.2.1", 25),
        Reason::Admitted,
    )
    .frame(
        "Beyond it, and no RST",
        syn_from(host, 2, "192.0.2.1", 25),
        Reason::LimitExceeded,
    )
    .observed()
    .frame(
        "A stranger",
        syn("192.0.2.200", "192.0.2.1"),
        Reason::Stranger,
    )
    .observed()
    .frame(
        "A tiny first fragment",
        attempt(
            Packet::ethernet()
                .ipv4(host, "192.0.2.1")
                .fragment(0, true, 1)
                .only(0..8),
            3,
            25,
        ),
        Reason::TinyFragment,
    )
    .observed()
    .frame(
        "The web",
        syn_from(host, 4, "192.0.2.1", 443),
        Reason::NotMail,
    )
}

fn stranger_frames(case: Case, reason: Reason) -> Case {
    case.frame(
        "An attempt from an address in no pool",
        syn("10.9.9.9", "192.0.2.1"),
        reason,
    )
    .frame(
        "Its data",
        segment("10.9.9.9", 40_000, "192.0.2.1", 25, 0x18).payload(5),
        reason,
    )
    .frame("IPv6", syn("2001:db8:999::1", "2001:db8::1"), reason)
    .frame(
        "Submission",
        syn_from("10.9.9.9", 1, "192.0.2.1", 587),
        reason,
    )
    .frame(
        "To a relay",
        syn_from("10.9.9.9", 2, "192.0.2.25", 25),
        reason,
    )
    .frame(
        "Its web traffic crosses",
        syn_from("10.9.9.9", 3, "192.0.2.1", 443),
        Reason::NotMail,
    )
    .frame(
        "Its other traffic too",
        Packet::ethernet()
            .ipv4("10.9.9.9", "192.0.2.1")
            .udp(4, 50_000)
            .payload(30),
        Reason::NotMail,
    )
    .frame(
        "To a subscriber it is inbound mail",
        syn("10.9.9.9", "203.0.113.1"),
        Reason::InboundMail,
    )
    .frame(
        "A subscriber among them",
        syn("203.0.113.1", "192.0.2.1"),
        Reason::Admitted,
    )
}

fn strangers() -> Case {
    let case = Case::new(
        "strangers",
        "Mail from an address in no pool is spoofed or misconfigured (RFC 2827): dropped, charged to \
         nobody.",
        VILLAGE,
    );
    stranger_frames(case, Reason::Stranger)
}

fn strangers_forwarded() -> Case {
    let case = Case::new(
        "strangers-forwarded",
        "The same, where the policy says to forward strangers' mail.",
        format!("{VILLAGE}strangers = \"forward\"\n"),
    );
    stranger_frames(case, Reason::StrangerForwarded)
}

fn vlan_bound() -> Case {
    let from = |around: Packet, port| attempt(around.ipv4("198.51.100.1", "192.0.2.1"), port, 25);
    let start = Packet::ethernet;
    let wrong = Reason::WrongVlan;
    Case::new(
        "vlan-bound-pool",
        "A pool that lives in VLAN 66: its addresses seen elsewhere are spoofed sources.",
        VILLAGE,
    )
    .frame(
        "In its VLAN",
        from(start().vlan(0x8100, 66), 1),
        Reason::Admitted,
    )
    .frame(
        "In its VLAN, with a priority",
        from(start().vlan(0x8100, 0xe000 | 66), 2),
        Reason::Admitted,
    )
    .frame(
        "In its VLAN and PPPoE",
        from(start().vlan(0x8100, 66).pppoe(1), 3),
        Reason::Admitted,
    )
    .frame(
        "QinQ inside its VLAN",
        from(start().vlan(0x88a8, 66).vlan(0x8100, 7), 10),
        Reason::Admitted,
    )
    .frame("Untagged", from(start(), 4), wrong)
    .frame("In another VLAN", from(start().vlan(0x8100, 67), 5), wrong)
    .frame(
        "Inside another VLAN",
        from(start().vlan(0x88a8, 67).vlan(0x8100, 66), 6),
        wrong,
    )
    .frame(
        "An ACK in another VLAN",
        from(start().vlan(0x8100, 67), 7).flags(0x10),
        wrong,
    )
    .frame(
        "The web in another VLAN",
        attempt(
            start().vlan(0x8100, 67).ipv4("198.51.100.1", "192.0.2.1"),
            8,
            443,
        ),
        Reason::NotMail,
    )
    .frame(
        "A server answers",
        segment("192.0.2.1", 25, "198.51.100.1", 1, 0x12),
        Reason::MailSegment,
    )
    .frame(
        "The rest of the limit is untouched",
        from(start().vlan(0x8100, 66), 9),
        Reason::Admitted,
    )
    .frame(
        "Another pool is bound to no VLAN",
        syn("203.0.113.1", "192.0.2.1"),
        Reason::Admitted,
    )
}

fn table_full_frames(mut case: Case, reason: Reason) -> Case {
    for n in 1..=16 {
        let source = format!("203.0.113.{n}");
        case = case.frame(
            format!("Source {n}"),
            syn(&source, "192.0.2.1"),
            Reason::Admitted,
        );
    }
    case.frame(
        "The table is full: source 17",
        syn("203.0.113.17", "192.0.2.1"),
        reason,
    )
    .frame(
        "The same SYN again",
        syn("203.0.113.17", "192.0.2.1"),
        reason,
    )
    .frame(
        "A source in the table goes on",
        syn_from("203.0.113.1", 2, "192.0.2.1", 25),
        Reason::Admitted,
    )
    .frame(
        "A class without limit needs no place",
        syn("203.0.113.30", "192.0.2.1"),
        Reason::Allowed,
    )
    .at_ms(20_000)
    .frame(
        "The windows have passed: source 17 finds a place",
        syn_from("203.0.113.17", 2, "192.0.2.1", 25),
        Reason::Admitted,
    )
}

fn table_full() -> Case {
    let case = Case::new(
        "table-full",
        "A source table for 16 sources, all of them taken. It drops attempts by sources that find no \
         place (`full = \"drop\"`).",
        VILLAGE.replace("capacity = 1024", "capacity = 16\nfull = \"drop\""),
    );
    table_full_frames(case, Reason::TableFull)
}

fn table_full_forwarded() -> Case {
    let case = Case::new(
        "table-full-forwarded",
        "The same, where the policy says to forward them (`full = \"forward\"`).",
        VILLAGE.replace("capacity = 1024", "capacity = 16\nfull = \"forward\""),
    );
    table_full_frames(case, Reason::TableFullForwarded)
}
