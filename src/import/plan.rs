//! Entries → pools and subscribers that keep the rules of a policy: nothing overlaps, every
//! subscriber is in a pool and a whole customer of it.

use std::collections::{BTreeMap, HashSet};

use ipnet::IpNet;

use super::{Entry, Found, Kind, LeftOut, Placed};

/// A pool of the policy to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its addresses.
    pub prefix: IpNet,
    /// Its class.
    pub class: String,
    /// How long one subscriber's prefix is.
    pub subscriber_prefix: u8,
}

/// A subscriber of the policy to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// What it is called; no two are called the same.
    pub name: Option<String>,
    /// Its addresses, at least one.
    pub prefixes: Vec<IpNet>,
    /// Its class.
    pub class: String,
}

/// Pools and subscribers, ready to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The classes that are named, in order of appearance.
    pub classes: Vec<String>,
    /// The pools: those that were given, then those made for subscribers outside of them.
    pub pools: Vec<Pool>,
    /// The subscribers.
    pub subscribers: Vec<Subscriber>,
    /// What could not be taken, by line.
    pub left_out: Vec<LeftOut>,
    /// What was taken, though not quite as it stands.
    pub notes: Vec<LeftOut>,
}

impl Plan {
    /// Makes the plan.
    #[must_use]
    pub fn new(found: Found) -> Self {
        let mut plan = Self {
            left_out: found.left_out,
            notes: found.notes,
            ..Self::default()
        };
        let is_pool = |entry: &Entry| entry.kind == Kind::Pool;
        let (pools, subscribers): (Vec<_>, Vec<_>) = found.entries.into_iter().partition(is_pool);
        let given = plan.pools(pools);
        let loose = plan.subscribers(subscribers, &given);
        plan.pools_for(loose);
        for class in plan
            .pools
            .iter()
            .map(|pool| &pool.class)
            .chain(plan.subscribers.iter().map(|subscriber| &subscriber.class))
        {
            if !plan.classes.contains(class) {
                plan.classes.push(class.clone());
            }
        }
        plan.left_out
            .sort_by_key(|left_out| left_out.lines.first().copied());
        plan.notes.sort_by_key(|note| note.lines.first().copied());
        plan
    }

    /// Takes the pools, the wider of two that overlap.
    fn pools(&mut self, entries: Vec<Entry>) -> Taken {
        let mut wanted: Vec<(Placed, String)> = Vec::new();
        for entry in entries {
            wanted.extend(
                entry
                    .prefixes
                    .iter()
                    .map(|&placed| (placed, entry.class.clone())),
            );
        }
        wanted.sort_by_key(|(placed, _)| placed.prefix.prefix_len());
        let mut taken = Taken::default();
        for (placed, class) in wanted {
            let prefix = placed.prefix;
            if let Some(other) = taken.overlapping(prefix) {
                let same = self.pools[other.index].class == class;
                let why = match (other.prefix == prefix, same) {
                    (true, true) => format!("it is there twice, in {}", other.place()),
                    (false, true) => format!(
                        "it is in pool {} of {} already",
                        other.prefix,
                        other.place()
                    ),
                    (_, false) => format!(
                        "it is in pool {} of {}, which has another class: split that pool",
                        other.prefix,
                        other.place()
                    ),
                };
                let what = format!("pool {prefix}");
                self.left_out.push(LeftOut::new(placed.line, what, why));
                continue;
            }
            taken.insert(placed, self.pools.len());
            let usual = if prefix.addr().is_ipv4() { 32 } else { 64 };
            self.pools.push(Pool {
                prefix,
                class,
                subscriber_prefix: usual.max(prefix.prefix_len()),
            });
        }
        taken
    }

    /// Takes the subscribers, and tells which of their prefixes are in no pool, with the class.
    fn subscribers(&mut self, entries: Vec<Entry>, pools: &Taken) -> Vec<(IpNet, String)> {
        let mut taken = Taken::default();
        let mut loose = Vec::new();
        let mut names = HashSet::new();
        for entry in entries {
            let mut prefixes = Vec::new();
            for placed in entry.prefixes {
                let prefix = placed.prefix;
                let pool = pools.overlapping(prefix);
                if let Some(why) = self.objection(prefix, pool.as_ref(), &taken) {
                    let what = match &entry.name {
                        Some(name) => format!("{prefix} of {name}"),
                        None => prefix.to_string(),
                    };
                    self.left_out.push(LeftOut::new(placed.line, what, why));
                    continue;
                }
                taken.insert(placed, self.subscribers.len());
                prefixes.push(prefix);
                if pool.is_none() {
                    loose.push((prefix, entry.class.clone()));
                }
            }
            let Some(&first) = prefixes.first() else {
                continue;
            };
            // Rows of a list are one subscriber by their name, so several prefixes need one.
            let name = entry
                .name
                .or_else(|| (prefixes.len() > 1).then(|| first.to_string()))
                .map(|name| unlike(&names, name, first));
            names.extend(name.clone());
            self.subscribers.push(Subscriber {
                name,
                prefixes,
                class: entry.class,
            });
        }
        loose
    }

    /// Why a subscriber's prefix can't be taken, if it can't.
    fn objection(&self, prefix: IpNet, pool: Option<&Claim>, taken: &Taken) -> Option<String> {
        if let Some(other) = taken.overlapping(prefix) {
            return Some(match other.prefix == prefix {
                true => format!("it is there twice, in {}", other.place()),
                false => format!("it overlaps {} of {}", other.prefix, other.place()),
            });
        }
        let pool = pool?;
        let longest = self.pools[pool.index].subscriber_prefix;
        if prefix.prefix_len() < pool.prefix.prefix_len() {
            Some(format!(
                "it is wider than pool {} of {}",
                pool.prefix,
                pool.place()
            ))
        } else if prefix.prefix_len() > longest {
            Some(format!(
                "it is only a part of one subscriber: a customer of pool {} has a /{longest}",
                pool.prefix
            ))
        } else {
            None
        }
    }

    /// Makes the fewest pools that hold prefixes which are in none. Nobody else is in them.
    fn pools_for(&mut self, mut loose: Vec<(IpNet, String)>) {
        loose.sort();
        let prefixes: Vec<IpNet> = loose.iter().map(|&(prefix, _)| prefix).collect();
        let mut rest = loose.into_iter().peekable();
        let mut pools = IpNet::aggregate(&prefixes);
        pools.sort();
        for prefix in pools {
            let mut class = None;
            let mut longest = prefix.prefix_len();
            while let Some((inner, own)) = rest.next_if(|(inner, _)| prefix.contains(inner)) {
                longest = longest.max(inner.prefix_len());
                class.get_or_insert(own);
            }
            if let Some(class) = class {
                self.pools.push(Pool {
                    prefix,
                    class,
                    subscriber_prefix: longest,
                });
            }
        }
    }
}

/// A name that no other subscriber has.
fn unlike(names: &HashSet<String>, name: String, prefix: IpNet) -> String {
    let mut candidate = name.clone();
    let mut number = 1;
    while names.contains(&candidate) {
        candidate = match number {
            1 => format!("{name} ({prefix})"),
            _ => format!("{name} ({prefix}, {number})"),
        };
        number += 1;
    }
    candidate
}

/// Who has a prefix.
struct Claim {
    prefix: IpNet,
    line: u64,
    index: usize,
}

impl Claim {
    fn place(&self) -> String {
        match self.line {
            0 => "the command line".to_owned(),
            line => format!("line {line}"),
        }
    }
}

/// Prefixes that don't overlap, by their last address.
#[derive(Default)]
struct Taken(BTreeMap<std::net::IpAddr, (IpNet, u64, usize)>);

impl Taken {
    fn insert(&mut self, placed: Placed, index: usize) {
        self.0.insert(
            placed.prefix.broadcast(),
            (placed.prefix, placed.line, index),
        );
    }

    /// One that has an address in common with this prefix.
    fn overlapping(&self, prefix: IpNet) -> Option<Claim> {
        let (_, &(other, line, index)) = self.0.range(prefix.network()..).next()?;
        let same_family = other.addr().is_ipv4() == prefix.addr().is_ipv4();
        (same_family && other.network() <= prefix.broadcast()).then_some(Claim {
            prefix: other,
            line,
            index,
        })
    }
}
