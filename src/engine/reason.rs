//! Why a frame fared as it did: one variant, one counter, one label, one row in docs/counters.md.

use crate::wire::{Blemish, Crossing, Fault};

/// What a reason does to a frame in a class that enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The frame crosses.
    Forward,
    /// The frame is dropped.
    Drop,
    /// An attempt is refused: dropped, or reset where the class says so.
    Refuse,
    /// The frame is dropped, and its sender's browser sent to the notice page.
    Redirect,
}

macro_rules! reasons {
    ($($variant:ident $name:literal $effect:ident $text:literal,)+) => {
        /// Why a frame fared as it did.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $(#[doc = $text] $variant,)+ }

        impl Reason {
            /// Every reason, in the order of the frame's life.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label in JSON, metrics and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it does to the frame.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect,)+ }
            }

            /// One sentence for people, with the source of the rule.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    NotMail "not_mail" Forward "IP traffic that is not TCP to or from a mail port.",
    LinkControl "link_control" Forward "Link-layer control: ARP, STP, LLDP, LACP, IS-IS, PPPoE discovery, PPP control.",
    UnknownProtocol "unknown_protocol" Forward "An ethertype or protocol that Lychgate does not judge.",
    LaterFragment "later_fragment" Forward "A fragment that is not the first: it shows no ports and is never parsed for them.",
    Tunnel "tunnel" Forward "A tunnel that is not one of the provider's own softwires.",
    Unreadable "unreadable" Forward "The capture was cut before the bytes that would tell (replay only).",
    MailSegment "mail_segment" Forward "A segment of a mail connection that is not an attempt.",
    InboundMail "inbound_mail" Forward "A mail connection towards a subscriber: not limited.",
    Allowed "allowed" Forward "An attempt to a service that the class does not limit.",
    Admitted "admitted" Forward "An attempt within the class's limit.",
    Relayed "relayed" Forward "An attempt to one of the provider's relays, within the relay limit.",
    StrangerForwarded "stranger_forwarded" Forward "A mail segment from an address in no pool, where the policy forwards those.",
    TableFullForwarded "table_full_forwarded" Forward "An attempt that found the source table full, where the policy forwards those.",
    LimitExceeded "limit_exceeded" Refuse "An SMTP attempt beyond the class's limit.",
    SubmissionLimitExceeded "submission_limit_exceeded" Refuse "A submission attempt beyond the class's limit.",
    RelayLimitExceeded "relay_limit_exceeded" Refuse "An attempt to a relay beyond the relay limit.",
    SmtpBlocked "smtp_blocked" Refuse "A segment to port 25 from a class that may not send mail directly.",
    SubmissionBlocked "submission_blocked" Refuse "A segment to port 587 or 465 from a class that may not use submission.",
    SmtpReplyBlocked "smtp_reply_blocked" Drop "A segment from port 25 to a subscriber who may not send mail directly: triangular spamming (Qian et al. 2010).",
    OrphanSynAck "orphan_syn_ack" Drop "A SYN-ACK from port 25, to a subscriber who may not send mail directly, that answers no attempt seen: the receiving end of triangular spamming (Qian et al. 2010).",
    Quarantined "quarantined" Refuse "A segment to port 25, a relay's too, from a subscriber who is quarantined (RFC 6561).",
    QuarantinedReply "quarantined_reply" Drop "A segment from port 25 to a subscriber who is quarantined (RFC 6561).",
    Walled "walled" Refuse "A packet from a subscriber in the walled garden to what is not open there (RFC 6561).",
    Redirected "redirected" Redirect "A segment to a web server in the clear (port 80) from a quarantined subscriber, who is sent to the notice page instead (RFC 6561, RFC 8952).",
    TableFull "table_full" Refuse "An attempt that found the source table full, where the policy drops those.",
    Stranger "stranger" Drop "A mail segment from an address in no pool: spoofed or misconfigured (RFC 2827).",
    WrongVlan "wrong_vlan" Drop "A mail segment from a pool's address, seen outside the pool's VLAN: a spoofed source (RFC 2827).",
    BadIpv4Checksum "bad_ipv4_checksum" Drop "An attempt with a wrong IPv4 header checksum (RFC 1812 section 4.2.2.5): charged to nobody.",
    SourceRoute "source_route" Refuse "An attempt under a strict or loose source route (RFC 7126), or an IPv6 routing header with segments left (RFC 5095).",
    SynFin "syn_fin" Refuse "An attempt with SYN and FIN (RFC 9293).",
    SynRst "syn_rst" Refuse "An attempt with SYN and RST (RFC 9293).",
    TinyFragment "tiny_fragment" Drop "An IPv4 first fragment without the whole TCP header (RFC 1858 section 3, RFC 3128).",
    FragmentAtOffsetOne "fragment_at_offset_one" Drop "A TCP fragment at offset 1, which overwrites the flags (RFC 1858 section 4, RFC 3128).",
    IncompleteHeaderChain "incomplete_header_chain" Drop "An IPv6 first fragment without the whole header chain (RFC 7112 section 5).",
    TooManyTags "too_many_tags" Drop "More VLAN tags or MPLS labels than the bound.",
    TooManyExtensions "too_many_extensions" Drop "More extension headers than the bound (RFC 8504 section 5.3).",
    VersionMismatch "version_mismatch" Drop "The ethertype and the IP version disagree (RFC 791, RFC 8200).",
    BadInternetHeaderLength "bad_internet_header_length" Drop "IHL below 5 or beyond the packet (RFC 791 section 3.1).",
    BadDataOffset "bad_data_offset" Drop "TCP data offset below 5 or beyond the packet (RFC 9293 section 3.1).",
    LengthOverrun "length_overrun" Drop "IPv4 total length or IPv6 payload length beyond the frame (RFC 791, RFC 8200).",
    PppoeLengthOverrun "pppoe_length_overrun" Drop "PPPoE length beyond the frame (RFC 2516 section 4).",
    ExtensionOverrun "extension_overrun" Drop "An extension header that ends beyond the packet (RFC 8200 section 4).",
    TruncatedTcpHeader "truncated_tcp_header" Drop "The packet ends, by its own length, before the TCP header does (RFC 9293).",
    TruncatedHeader "truncated_header" Drop "The frame ends before a header that it announces.",
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();
}

impl From<Crossing> for Reason {
    fn from(crossing: Crossing) -> Self {
        match crossing {
            Crossing::NotMail => Self::NotMail,
            Crossing::LinkControl => Self::LinkControl,
            Crossing::UnknownProtocol => Self::UnknownProtocol,
            Crossing::LaterFragment => Self::LaterFragment,
            Crossing::Tunnel => Self::Tunnel,
        }
    }
}

impl From<Blemish> for Reason {
    fn from(blemish: Blemish) -> Self {
        match blemish {
            Blemish::BadIpv4Checksum => Self::BadIpv4Checksum,
            Blemish::SourceRoute => Self::SourceRoute,
            Blemish::SynFin => Self::SynFin,
            Blemish::SynRst => Self::SynRst,
        }
    }
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TinyFragment => Self::TinyFragment,
            Fault::FragmentAtOffsetOne => Self::FragmentAtOffsetOne,
            Fault::IncompleteHeaderChain => Self::IncompleteHeaderChain,
            Fault::TooManyTags => Self::TooManyTags,
            Fault::TooManyExtensions => Self::TooManyExtensions,
            Fault::VersionMismatch => Self::VersionMismatch,
            Fault::BadInternetHeaderLength => Self::BadInternetHeaderLength,
            Fault::BadDataOffset => Self::BadDataOffset,
            Fault::LengthOverrun => Self::LengthOverrun,
            Fault::PppoeLengthOverrun => Self::PppoeLengthOverrun,
            Fault::ExtensionOverrun => Self::ExtensionOverrun,
            Fault::TruncatedTcpHeader => Self::TruncatedTcpHeader,
            Fault::TruncatedHeader => Self::TruncatedHeader,
        }
    }
}
