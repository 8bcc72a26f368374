//! What the provider wants: a validated, immutable snapshot made from a TOML file and lists.

mod address_map;

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;

/// Index of a class in a policy, in file order from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u16);

/// At most `connections` attempts in any interval of length `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Attempts, 1 to 10,000.
    pub connections: u16,
    /// 1 second to 1 day.
    pub window: Duration,
}

/// What a class wants done with attempts to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No limit.
    Allow,
    /// No segment passes.
    Block,
    /// Attempts beyond the limit are refused.
    Limit(Limit),
}

/// How an attempt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The frame vanishes.
    Drop,
    /// The client gets a TCP RST.
    Reset,
}

/// What becomes of frames that cannot be charged to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Forward them.
    Forward,
    /// Drop them.
    Drop,
}

/// A named policy for subscribers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name in the file.
    pub name: String,
    /// Port 25.
    pub smtp: Rule,
    /// Ports 587 and 465.
    pub submission: Rule,
    /// How attempts are refused.
    pub excess: Excess,
    /// Judge and count, but forward.
    pub observe: bool,
}

/// Whose address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The accounting key: the subscriber's address or prefix, or a named subscriber's first one.
    pub key: IpNet,
    /// The class that applies.
    pub class: ClassId,
    /// VLAN identifiers the pool's frames must carry (outermost first), if the pool names any.
    pub vlans: Option<&'a [u16]>,
    /// The subscriber's name, if the policy gives one.
    pub name: Option<&'a str>,
}

/// What an address is to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Nobody's.
    Stranger,
    /// A subscriber's.
    Subscriber(Member<'a>),
    /// A mail server designed for client traffic.
    Relay,
    /// The provider's own softwire concentrator (DS-Lite AFTR, 6rd or 6in4 relay).
    Concentrator,
}

/// The snapshot. Built whole, never changed.
#[derive(Debug)]
pub struct Policy {
    // filled by policy/load.rs
}

impl Policy {
    /// What an address is, by longest prefix.
    #[must_use]
    pub fn role(&self, _address: IpAddr) -> Role<'_> {
        Role::Stranger
    }
}
