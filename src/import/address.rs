//! Addresses as people and routers write them: alone, as a prefix, as a range.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Net, Ipv6Subnets};

/// The prefixes of a text, and what they were taken as if the text said it otherwise.
pub(super) struct Read {
    pub(super) prefixes: Vec<IpNet>,
    pub(super) taken_as: Option<String>,
}

impl Read {
    fn plainly(prefix: IpNet) -> Self {
        Self {
            prefixes: vec![prefix],
            taken_as: None,
        }
    }
}

/// Reads an address, a prefix or a range such as `192.0.2.1-192.0.2.9`, or says why not.
pub(super) fn read(text: &str) -> Result<Read, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return plain(address.into()).map(Read::plainly);
    }
    if let Ok(prefix) = text.parse::<IpNet>() {
        let network = plain(prefix.trunc())?;
        return Ok(Read {
            prefixes: vec![network],
            taken_as: (network != prefix).then(|| network.to_string()),
        });
    }
    if let Some((first, last)) = text.split_once('-')
        && let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse())
    {
        return range(first, last);
    }
    let is_name = text.contains(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    Err(match is_name {
        true => "it is a name, and only the DNS knows its addresses".to_owned(),
        false => "it is no address, prefix or range".to_owned(),
    })
}

fn range(first: IpAddr, last: IpAddr) -> Result<Read, String> {
    let prefixes: Vec<IpNet> = match (first, last) {
        _ if first > last && first.is_ipv4() == last.is_ipv4() => {
            return Err("the range runs backwards".to_owned());
        }
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
        }
        _ => return Err("the range begins in one family and ends in another".to_owned()),
    };
    for prefix in &prefixes {
        plain(*prefix)?;
    }
    Ok(Read {
        prefixes,
        taken_as: None,
    })
}

/// Refuses IPv4 written as IPv6, as policies do.
fn plain(prefix: IpNet) -> Result<IpNet, String> {
    let mapped = Ipv6Net::new_assert(std::net::Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96);
    match prefix {
        IpNet::V6(v6) if mapped.contains(&v6) => {
            Err("it is an IPv4 address written as IPv6".to_owned())
        }
        _ => Ok(prefix),
    }
}
