//! `[notice]` and `[garden]`: where a quarantined subscriber is told, and what stays open.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    diagnostic::{Remark, Report, Spot},
    file::prefixes,
    reader::{Section, Shape, Value},
};

pub(super) const NOTICE: Shape = Shape {
    title: "[notice]",
    keys: &["url", "addresses", "redirect"],
};
pub(super) const GARDEN: Shape = Shape {
    title: "[garden]",
    keys: &["open", "resolvers"],
};

/// The longest URL of a notice page, in octets: what the redirect to it has room for.
pub const URL_MAX: usize = 256;

/// Who is sent to the notice page when a browser asks for a page in the clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Redirecting {
    /// Whoever is in the garden, and who is quarantined otherwise until the notice was read.
    #[default]
    Unread,
    /// Whoever is quarantined.
    Always,
    /// Whoever is in the garden.
    Garden,
}

impl Redirecting {
    /// The word for it in policies and output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Always => "always",
            Self::Garden => "garden",
        }
    }
}

/// The page that a quarantined subscriber is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its URL: `http://` or `https://`, visible ASCII, at most [`URL_MAX`] octets.
    pub url: String,
    /// Where it is served: always open.
    pub addresses: Vec<IpNet>,
    /// Who is sent there.
    pub redirect: Redirecting,
}

/// What stays open to a subscriber in the walled garden, beside the notice page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garden {
    /// Destinations that can be reached in every way; neither are they ever redirected.
    pub open: Vec<IpNet>,
    /// Where names may be asked for; `None`: anywhere.
    pub resolvers: Option<Vec<IpNet>>,
}

impl Garden {
    /// Whether a destination can be reached in every way.
    #[must_use]
    pub fn is_open(&self, destination: IpAddr) -> bool {
        holds(&self.open, destination)
    }

    /// Whether names may be asked for there.
    #[must_use]
    pub fn is_resolver(&self, destination: IpAddr) -> bool {
        let resolvers = self.resolvers.as_deref();
        resolvers.is_none_or(|resolvers| holds(resolvers, destination))
    }
}

impl Notice {
    /// Whether the page is served there.
    #[must_use]
    pub fn is_at(&self, destination: IpAddr) -> bool {
        holds(&self.addresses, destination)
    }
}

fn holds(prefixes: &[IpNet], address: IpAddr) -> bool {
    prefixes.iter().any(|prefix| prefix.contains(&address))
}

pub(super) fn notice(table: &Section<'_>, report: &mut Report) -> Option<Notice> {
    let addresses = table.require("addresses", "[\"192.0.2.80\", \"2001:db8::80\"]", report);
    let addresses = addresses.map(|value| (some_prefixes(value, report), value.spot));
    let words = [
        ("unread", Redirecting::Unread),
        ("always", Redirecting::Always),
        ("garden", Redirecting::Garden),
    ];
    let redirect = table
        .get("redirect")
        .and_then(|value| value.word(&words, report))
        .unwrap_or_default();
    let value = table.require("url", "\"http://notice.example.net/\"", report)?;
    let url = url(value, report)?;
    let (addresses, spot) = addresses?;
    let notice = Notice {
        url: url.to_owned(),
        addresses,
        redirect,
    };
    if let Some(host) = literal_host(url)
        && !notice.is_at(host)
    {
        report.error(value.spot, || {
            Remark::new(
                format!("the notice page is at {host}, which is not among its `addresses`"),
                format!("add \"{host}\" to `addresses`: else its readers are sent there for ever"),
            )
            .related(spot, "the addresses")
        });
    }
    Some(notice)
}

pub(super) fn garden(table: &Section<'_>, report: &mut Report) -> Garden {
    let open = table.get("open");
    let resolvers = table.get("resolvers");
    Garden {
        open: open
            .map(|value| some_prefixes(value, report))
            .unwrap_or_default(),
        resolvers: resolvers.map(|value| self::resolvers(value, report)),
    }
}

fn resolvers(value: Value<'_>, report: &mut Report) -> Vec<IpNet> {
    let found = some_prefixes(value, report);
    if found.is_empty() {
        report.missing(value.spot, || {
            Remark::new(
                "`resolvers` names none: without names nobody finds the notice page",
                "name the resolvers, or remove the key: then any may be asked",
            )
        });
    }
    found
}

/// Prefixes, none of which is everybody.
fn some_prefixes(value: Value<'_>, report: &mut Report) -> Vec<IpNet> {
    let found = prefixes(value, report);
    let mut is_some = |(prefix, spot): (IpNet, Spot)| {
        if prefix.prefix_len() == 0 {
            report.error(spot, || {
                Remark::new(
                    format!("{prefix} is everybody: nothing would be closed"),
                    "name the servers that must be reached",
                )
            });
        }
        prefix
    };
    found.into_iter().map(&mut is_some).collect()
}

fn url<'a>(value: Value<'a>, report: &mut Report) -> Option<&'a str> {
    let text = value.string(report)?;
    let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    let is_good = authority(text).is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text.chars().all(plain)
        && text.len() <= URL_MAX;
    if !is_good {
        report.error(value.spot, || {
            Remark::new(
                format!("`url` cannot be \"{text}\""),
                format!(
                    "write a URL of at most {URL_MAX} visible ASCII characters, like \
                     \"http://notice.example.net/\""
                ),
            )
        });
    }
    is_good.then_some(text)
}

/// Host and port of a URL.
fn authority(url: &str) -> Option<&str> {
    let schemes = ["http://", "https://"];
    let rest = schemes.iter().find_map(|scheme| url.strip_prefix(scheme))?;
    rest.split(['/', '?', '#']).next()
}

/// The host of a URL, where it is an address and no name.
fn literal_host(url: &str) -> Option<IpAddr> {
    let authority = authority(url)?;
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    host.parse().ok()
}
