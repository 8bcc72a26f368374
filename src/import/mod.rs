//! Other programs' lists of customers → pools and subscribers of a policy.
//!
//! Each format has a reader ([`routeros`], [`libreqos`]) that finds [`Entry`]s; [`Plan::new`] makes
//! of them pools and subscribers that don't overlap, and [`Plan::toml`] and [`Plan::csv`] write
//! what `lychgate check` accepts as it stands. Nothing is lost silently: what can't be taken is
//! [`LeftOut`], with its lines and why.

mod address;
pub mod libreqos;
mod plan;
pub mod routeros;
mod write;

use ipnet::IpNet;

pub use plan::{Plan, Pool, Subscriber};

/// What an entry becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Addresses of many subscribers.
    Pool,
    /// One subscriber.
    Subscriber,
}

/// A prefix and the line that it stands in; line 0 is the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The prefix.
    pub prefix: IpNet,
    /// Its line, from 1.
    pub line: u64,
}

/// A pool or subscriber as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it becomes.
    pub kind: Kind,
    /// The class that it gets.
    pub class: String,
    /// What it is called, if it has a name.
    pub name: Option<String>,
    /// Its addresses.
    pub prefixes: Vec<Placed>,
}

/// Something that could not be taken, or not quite as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The lines, ascending.
    pub lines: Vec<u64>,
    /// What stands there.
    pub what: String,
    /// Why it isn't taken.
    pub why: String,
}

impl LeftOut {
    fn new(line: u64, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            lines: vec![line],
            what: what.into(),
            why: why.into(),
        }
    }

    /// The lines as text: `3`, or `3-5, 9`; nothing for what stood on the command line.
    #[must_use]
    pub fn lines_text(&self) -> String {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for &line in self.lines.iter().filter(|line| **line > 0) {
            match runs.last_mut() {
                Some((_, last)) if line <= *last + 1 => *last = line,
                _ => runs.push((line, line)),
            }
        }
        let texts: Vec<_> = runs
            .iter()
            .map(|(first, last)| match first == last {
                true => first.to_string(),
                false => format!("{first}-{last}"),
            })
            .collect();
        texts.join(", ")
    }
}

/// What a reader found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Pools and subscribers.
    pub entries: Vec<Entry>,
    /// What could not be taken.
    pub left_out: Vec<LeftOut>,
    /// What was taken, though not quite as it stands.
    pub notes: Vec<LeftOut>,
}

/// A name as policies and lists can carry it: one line, no control characters.
fn tidy(name: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let name: String = name.chars().map(plain).collect();
    name.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
