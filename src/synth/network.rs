//! The network's plan: who has which address, behind which encapsulation, under which policy.
//!
//! | who | IPv4 | IPv6 |
//! |---|---|---|
//! | ordinary subscribers | one of 100.64.0.0/10 | a /56 of 2001:db8:8000::/33 |
//! | businesses, class mta | one of 203.0.113.0/24 | |
//! | relays | 192.0.2.25 | 2001:db8:25::25 |
//! | resolver | 192.0.2.53 | 2001:db8:25::53 |
//! | DS-Lite AFTR | | 2001:db8:aa::1 |
//! | the internet | 198.18.0.0/15 | 2001:2::/48 |
//!
//! Businesses are never encapsulated: they have a leased line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{ACCESS_MAC, Packet, UPLINK_MAC};
use crate::engine::Direction;

/// At most this many subscribers fit into the pools.
pub const SUBSCRIBERS_MAX: u32 = (1 << 22) - 16;
/// At most this many businesses do.
pub const BUSINESSES_MAX: u32 = 250;
/// A policy has room for at least this many sources, in 6 MiB: a smaller table saves nothing and
/// forgets SYNs sooner.
const CAPACITY_MIN: u32 = 65_536;

/// The relay's addresses.
pub const RELAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x25, 0, 0, 0, 0, 0x25)),
];
/// The resolver's addresses.
pub const RESOLVERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x25, 0, 0, 0, 0, 0x53)),
];
/// The provider's DS-Lite concentrator.
pub const AFTR: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xaa, 0, 0, 0, 0, 1);
/// Every DS-Lite subscriber's inner address (RFC 6333 §5.7).
pub const B4: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 2);

/// What stands between Ethernet and the subscribers' packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Encapsulation {
    /// Nothing.
    #[default]
    None,
    /// One VLAN for all (802.1Q).
    Vlan,
    /// A service tag for all and a customer tag for each (802.1ad).
    Qinq,
    /// PPPoE sessions in a VLAN.
    Pppoe,
    /// Two labels.
    Mpls,
    /// IPv4 inside IPv6 to the AFTR; IPv6 as it is.
    DsLite,
}

/// A customer of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Customer {
    /// An ordinary subscriber, by number.
    Resident(u32),
    /// A business, by number.
    Business(u32),
}

/// The network.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    encapsulation: Encapsulation,
    residents: u32,
}

impl Network {
    pub(super) const fn new(encapsulation: Encapsulation, residents: u32) -> Self {
        Self {
            encapsulation,
            residents,
        }
    }

    /// How many ordinary subscribers there are, zombies among them.
    #[must_use]
    pub const fn residents(&self) -> u32 {
        self.residents
    }

    /// A customer's address. Behind DS-Lite, an ordinary subscriber's IPv4 address is everyone's.
    #[must_use]
    pub const fn address(&self, customer: Customer, ipv6: bool) -> IpAddr {
        match customer {
            Customer::Business(n) => IpAddr::V4(Ipv4Addr::new(203, 0, 113, n as u8 + 1)),
            Customer::Resident(n) if ipv6 => self.address_in_prefix(n, 1),
            Customer::Resident(n) => match self.encapsulation {
                Encapsulation::DsLite => IpAddr::V4(B4),
                _ => IpAddr::V4(Ipv4Addr::from_bits(0x6440_0000 + 10 + n)),
            },
        }
    }

    /// An address in an ordinary subscriber's /56: the 72 bits that it chooses itself.
    #[must_use]
    pub const fn address_in_prefix(&self, resident: u32, suffix: u128) -> IpAddr {
        let pool = 0x2001_0db8_8000_u128 << 80;
        let own = suffix & ((1 << 72) - 1);
        IpAddr::V6(Ipv6Addr::from_bits(pool | (resident as u128) << 72 | own))
    }

    /// Ethernet, encapsulation and IP header of a customer's packet.
    #[must_use]
    pub fn packet(
        &self,
        customer: Customer,
        direction: Direction,
        local: IpAddr,
        remote: IpAddr,
    ) -> Packet {
        let ends = |here, there| match direction {
            Direction::Outbound => (here, there),
            Direction::Inbound => (there, here),
        };
        let (source, destination) = ends(local, remote);
        let link = self.link(customer, direction);
        let softwire = match (customer, self.encapsulation, local) {
            (Customer::Resident(n), Encapsulation::DsLite, IpAddr::V4(_)) => {
                let (from, to) = ends(self.address_in_prefix(n, 1), IpAddr::V6(AFTR));
                link.between(from, to)
            }
            _ => link,
        };
        softwire.between(source, destination)
    }

    /// Ethernet and encapsulation of a customer's packet.
    #[must_use]
    pub fn link(&self, customer: Customer, direction: Direction) -> Packet {
        let ethernet = match direction {
            Direction::Outbound => Packet::ethernet(),
            Direction::Inbound => Packet::ethernet()
                .source_mac(UPLINK_MAC)
                .destination_mac(ACCESS_MAC),
        };
        let Customer::Resident(n) = customer else {
            return ethernet;
        };
        let own = n % 4000;
        match self.encapsulation {
            Encapsulation::None | Encapsulation::DsLite => ethernet,
            Encapsulation::Vlan => ethernet.vlan(0x8100, 100),
            Encapsulation::Qinq => ethernet.vlan(0x88a8, 100).vlan(0x8100, 1 + own as u16),
            Encapsulation::Pppoe => ethernet.vlan(0x8100, 100).pppoe(1 + n as u16 % 0xfff0),
            Encapsulation::Mpls => ethernet.mpls(&[100, 1000 + own]),
        }
    }

    /// Whether subscribers share an Ethernet segment with the edge, so that they use ARP and
    /// neighbour discovery.
    #[must_use]
    pub const fn has_neighbours(&self) -> bool {
        matches!(
            self.encapsulation,
            Encapsulation::None | Encapsulation::Vlan | Encapsulation::Qinq
        )
    }

    /// Whether a customer's accounting key is an IPv6 prefix whatever it sends: in a softwire.
    #[must_use]
    pub const fn is_keyed_by_prefix(&self, customer: Customer) -> bool {
        let softwire = matches!(self.encapsulation, Encapsulation::DsLite);
        softwire && matches!(customer, Customer::Resident(_))
    }

    /// A policy that fits: ten direct attempts in ten seconds, mail servers unlimited.
    #[must_use]
    pub fn policy(&self) -> String {
        self.policy_with("", "")
    }

    /// The same with tables behind those of the classes `residential` and `mta`.
    pub(super) fn policy_with(&self, residential: &str, mta: &str) -> String {
        let softwires = match self.encapsulation {
            Encapsulation::DsLite => format!("[softwires]\nconcentrators = [\"{AFTR}\"]\n\n"),
            _ => String::new(),
        };
        let vlans = match self.encapsulation {
            Encapsulation::Vlan | Encapsulation::Qinq | Encapsulation::Pppoe => {
                "vlans = [100]                 # seen elsewhere, it is a spoofed source\n"
            }
            _ => "",
        };
        format!(
            r#"# Fits the network of lychgate synth.

[relays]
addresses = ["{relay4}", "{relay6}"]
limit = {{ connections = 60, window = "1m" }}

{softwires}[class.residential]
smtp = {{ limit = {{ connections = 10, window = "10s" }} }}
submission = "allow"
excess = "drop"
{residential}
[class.mta]
smtp = "allow"
{mta}
[[pool]]
prefix = "100.64.0.0/10"
{vlans}class = "residential"

[[pool]]
prefix = "2001:db8:8000::/33"
subscriber_prefix = 56
{vlans}class = "residential"

[[pool]]
prefix = "203.0.113.0/24"
class = "mta"

[sources]
capacity = {capacity}
"#,
            relay4 = RELAYS[0],
            relay6 = RELAYS[1],
            capacity = (4 * self.residents).next_power_of_two().max(CAPACITY_MIN),
        )
    }
}
