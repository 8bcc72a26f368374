//! Sets of addresses, as ranges: united, subtracted, and written as the fewest prefixes.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};

/// First and last address as numbers.
type Range = (u128, u128);

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Ascending, and neither overlapping nor touching; so are those of IPv6.
    v4: Vec<Range>,
    v6: Vec<Range>,
}

impl Addresses {
    /// Every address there is.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            v4: vec![(0, u32::MAX.into())],
            v6: vec![(0, u128::MAX)],
        }
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: joined(self.v4.iter().chain(&other.v4).copied().collect()),
            v6: joined(self.v6.iter().chain(&other.v6).copied().collect()),
        }
    }

    /// What is in this one and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self {
            v4: without(&self.v4, &other.v4),
            v6: without(&self.v6, &other.v6),
        }
    }

    /// What is in both.
    #[must_use]
    pub fn both(&self, other: &Self) -> Self {
        self.minus(&self.minus(other))
    }

    /// The fewest prefixes that hold these addresses and no others, IPv4 first.
    #[must_use]
    pub fn prefixes(&self) -> Vec<IpNet> {
        let v4 = self.v4.iter().flat_map(|&(first, last)| {
            let address = |bits| Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX));
            Ipv4Subnets::new(address(first), address(last), 0).map(IpNet::V4)
        });
        let v6 = self.v6.iter().flat_map(|&(first, last)| {
            let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(last));
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6)
        });
        v4.chain(v6).collect()
    }
}

impl FromIterator<IpNet> for Addresses {
    fn from_iter<T: IntoIterator<Item = IpNet>>(prefixes: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            match prefix {
                IpNet::V4(net) => v4.push((
                    net.network().to_bits().into(),
                    net.broadcast().to_bits().into(),
                )),
                IpNet::V6(net) => v6.push((net.network().to_bits(), net.broadcast().to_bits())),
            }
        }
        Self {
            v4: joined(v4),
            v6: joined(v6),
        }
    }
}

/// Sorts ranges and makes one of those that overlap or touch.
fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
            _ => joined.push((first, last)),
        }
    }
    joined
}

fn without(ranges: &[Range], others: &[Range]) -> Vec<Range> {
    let mut left = Vec::new();
    let mut others = others.iter().peekable();
    for &(mut first, last) in ranges {
        let mut whole = true;
        while let Some(&&(other_first, other_last)) = others.peek() {
            if other_first > last {
                break;
            }
            if other_last >= first {
                if other_first > first {
                    left.push((first, other_first - 1));
                }
                if other_last >= last {
                    whole = false;
                    break;
                }
                first = other_last + 1;
            }
            others.next();
        }
        if whole {
            left.push((first, last));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn prefix() -> impl Strategy<Value = IpNet> {
        let v4 = (0..1024_u32, 20..=32_u8).prop_map(|(bits, length)| {
            let address = Ipv4Addr::from_bits(0xc000_0200 | bits);
            IpNet::new_assert(address.into(), length).trunc()
        });
        let v6 = (0..64_u128, 118..=128_u8).prop_map(|(bits, length)| {
            let address = Ipv6Addr::from_bits((u128::MAX - 2048) + bits * 32);
            IpNet::new_assert(address.into(), length).trunc()
        });
        prop_oneof![v4, v6]
    }

    fn holds(prefixes: &[IpNet], address: IpAddr) -> bool {
        prefixes.iter().any(|prefix| prefix.contains(&address))
    }

    proptest! {
        #[test]
        fn sets_do_what_looking_at_each_address_does(
            one in prop::collection::vec(prefix(), 0..8),
            other in prop::collection::vec(prefix(), 0..8),
        ) {
            let (a, b): (Addresses, Addresses) =
                (one.iter().copied().collect(), other.iter().copied().collect());
            let (union, minus, both) =
                (a.union(&b).prefixes(), a.minus(&b).prefixes(), a.both(&b).prefixes());
            let edges = one.iter().chain(&other).flat_map(|prefix| {
                [prefix.network(), prefix.broadcast()]
            });
            for address in edges {
                let (in_a, in_b) = (holds(&one, address), holds(&other, address));
                prop_assert_eq!(holds(&union, address), in_a || in_b);
                prop_assert_eq!(holds(&minus, address), in_a && !in_b);
                prop_assert_eq!(holds(&both, address), in_a && in_b);
            }
            // ipnet's own aggregation is a second opinion on how few prefixes do.
            prop_assert_eq!(a.prefixes(), IpNet::aggregate(&one));
        }
    }

    #[test]
    fn everything_is_one_prefix_of_each_family() {
        let all: Vec<IpNet> = ["0.0.0.0/0", "::/0"].map(|p| p.parse().unwrap()).to_vec();
        assert_eq!(Addresses::everything().prefixes(), all);
        let nothing = Addresses::everything().minus(&all.into_iter().collect());
        assert!(nothing.is_empty());
    }
}
