//! Addresses, also as text that tests can read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Something that names an address: an address, or text that tests can read.
pub trait Address<T> {
    /// The address.
    fn address(self) -> T;
}

impl<T> Address<T> for T {
    fn address(self) -> T {
        self
    }
}

impl Address<Ipv4Addr> for &str {
    fn address(self) -> Ipv4Addr {
        self.parse()
            .unwrap_or_else(|_| panic!("{self:?} is not an IPv4 address"))
    }
}

impl Address<IpAddr> for &str {
    fn address(self) -> IpAddr {
        self.parse()
            .unwrap_or_else(|_| panic!("{self:?} is not an IP address"))
    }
}

impl Address<Ipv6Addr> for &str {
    fn address(self) -> Ipv6Addr {
        self.parse()
            .unwrap_or_else(|_| panic!("{self:?} is not an IPv6 address"))
    }
}
