//! Extension headers, by name and length.

/// Extension headers by name (RFC 8200 §4, RFC 4302, RFC 6275, RFC 7401, RFC 5533).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// Hop-by-hop options (0).
    HopByHop,
    /// Routing (43); see [`Packet::routing`](super::Packet::routing) for its type and segments left.
    Routing,
    /// Destination options (60).
    Destination,
    /// Authentication header (51): its length counts 4-octet units, less 2.
    Authentication,
    /// Mobility (135).
    Mobility,
    /// Host identity protocol (139).
    HostIdentity,
    /// Shim6 (140).
    Shim6,
}

impl Extension {
    /// All kinds, for tests that try every one.
    pub const ALL: [Self; 7] = [
        Self::HopByHop,
        Self::Routing,
        Self::Destination,
        Self::Authentication,
        Self::Mobility,
        Self::HostIdentity,
        Self::Shim6,
    ];

    /// The protocol number that announces it.
    #[must_use]
    pub const fn protocol(self) -> u8 {
        match self {
            Self::HopByHop => 0,
            Self::Routing => 43,
            Self::Destination => 60,
            Self::Authentication => 51,
            Self::Mobility => 135,
            Self::HostIdentity => 139,
            Self::Shim6 => 140,
        }
    }

    /// Whether a header of this kind can be `octets` long.
    #[must_use]
    pub const fn fits(self, octets: usize) -> bool {
        match self {
            Self::Authentication => octets >= 12 && octets <= 1028 && octets.is_multiple_of(4),
            _ => octets >= 8 && octets <= 2048 && octets.is_multiple_of(8),
        }
    }
}
