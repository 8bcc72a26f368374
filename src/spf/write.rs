//! Addresses → records: one, or one that includes several.

use ipnet::IpNet;
use thiserror::Error;

use super::{Addresses, LOOKUPS_MAX, OCTETS_ADVISED, STRING_MAX};

/// What a record says of everybody whom it doesn't list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// `-all`: refuse them.
    Fail,
    /// `~all`: accept them, with suspicion.
    SoftFail,
}

impl Unlisted {
    fn term(self) -> &'static str {
        match self {
            Self::Fail => "-all",
            Self::SoftFail => "~all",
        }
    }
}

/// One TXT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The domain that it belongs to, if one was given.
    pub name: Option<String>,
    /// The whole text.
    pub text: String,
}

impl Part {
    /// The text in strings of at most 255 octets, which receivers join without a space.
    #[must_use]
    pub fn strings(&self) -> Vec<&str> {
        let mut strings = Vec::new();
        let mut rest = self.text.as_str();
        while rest.len() > STRING_MAX {
            let cut = rest
                .get(..STRING_MAX)
                .and_then(|head| head.rfind(' '))
                .map_or(STRING_MAX, |space| space + 1);
            let (head, tail) = rest.split_at(cut);
            strings.push(head);
            rest = tail;
        }
        strings.push(rest);
        strings
    }

    /// Octets of name and text together.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.name.as_deref().map_or(0, str::len) + self.text.len()
    }
}

/// Why no record can say it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SpfError {
    /// The parts need names.
    #[error(
        "{prefixes} prefixes take {parts} records, one that includes the others: give --domain, so \
         that they have names"
    )]
    NeedsDomain {
        /// How many prefixes.
        prefixes: usize,
        /// How many records, the first one included.
        parts: usize,
    },
    /// More parts than a receiver looks up.
    #[error(
        "{prefixes} prefixes take {includes} included records, but receivers look up {LOOKUPS_MAX} \
         at most (RFC 7208 §4.6.4): list relays only (--relays-only), or give mail servers \
         addresses that are neighbours"
    )]
    TooManyLookups {
        /// How many prefixes.
        prefixes: usize,
        /// How many included records.
        includes: usize,
    },
    /// A name that DNS can't have.
    #[error(
        "\"{0}\" is no domain: write one like example.net, labels of 1 to 63 letters, digits, - \
         and _, with dots between them"
    )]
    BadDomain(String),
}

/// The records that let these addresses send, and nobody else. The first one is the domain's own.
///
/// # Errors
///
/// If the domain is none, or if one record is not enough and several can't be had.
pub fn write(
    addresses: &Addresses,
    domain: Option<&str>,
    unlisted: Unlisted,
) -> Result<Vec<Part>, SpfError> {
    let domain = domain.map(checked).transpose()?;
    let prefixes = addresses.prefixes();
    let terms: Vec<String> = prefixes.iter().map(mechanism).collect();
    let name = |text: String, label: Option<usize>| Part {
        name: domain.map(|domain| match label {
            Some(number) => format!("_spf{number}.{domain}"),
            None => domain.to_owned(),
        }),
        text,
    };
    let whole = name(record(&terms, unlisted), None);
    if whole.octets() <= OCTETS_ADVISED {
        return Ok(vec![whole]);
    }
    let name_octets = domain.map_or(0, |domain| "_spf10.".len() + domain.len());
    let groups = groups(&terms, OCTETS_ADVISED.saturating_sub(name_octets));
    let Some(domain) = domain else {
        return Err(SpfError::NeedsDomain {
            prefixes: prefixes.len(),
            parts: groups.len() + 1,
        });
    };
    if groups.len() > LOOKUPS_MAX {
        return Err(SpfError::TooManyLookups {
            prefixes: prefixes.len(),
            includes: groups.len(),
        });
    }
    let includes: Vec<String> = (1..=groups.len())
        .map(|number| format!("include:_spf{number}.{domain}"))
        .collect();
    let mut parts = vec![name(record(&includes, unlisted), None)];
    for (group, number) in groups.iter().zip(1..) {
        parts.push(name(record(group, unlisted), Some(number)));
    }
    Ok(parts)
}

fn record(terms: &[String], unlisted: Unlisted) -> String {
    let mut text = "v=spf1".to_owned();
    for term in terms.iter().map(String::as_str).chain([unlisted.term()]) {
        text.push(' ');
        text.push_str(term);
    }
    text
}

/// Terms in turn, as many to a group as a record of this many octets has room for.
fn groups(terms: &[String], octets_max: usize) -> Vec<&[String]> {
    let frame = "v=spf1 -all".len();
    let mut groups = Vec::new();
    let mut start = 0;
    let mut octets = frame;
    for (index, term) in terms.iter().enumerate() {
        let more = term.len() + 1;
        if octets + more > octets_max && index > start {
            groups.push(&terms[start..index]);
            start = index;
            octets = frame;
        }
        octets += more;
    }
    groups.push(&terms[start..]);
    groups
}

fn mechanism(prefix: &IpNet) -> String {
    let family = match prefix {
        IpNet::V4(_) => "ip4",
        IpNet::V6(_) => "ip6",
    };
    if prefix.prefix_len() == prefix.max_prefix_len() {
        format!("{family}:{}", prefix.addr())
    } else {
        format!("{family}:{prefix}")
    }
}

/// The domain without its final dot, if it is one.
fn checked(domain: &str) -> Result<&str, SpfError> {
    let plain = domain.strip_suffix('.').unwrap_or(domain);
    let fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    // Room for the label of a part.
    if plain.len() > 240 || !plain.split('.').all(fine) {
        return Err(SpfError::BadDomain(domain.to_owned()));
    }
    Ok(plain)
}
