//! Named and listed subscribers on their way into a policy: up to millions of them.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use ipnet::IpNet;

use super::{
    ClassId,
    diagnostic::{Remark, Report, Spot},
};

/// One subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subscriber {
    pub(super) class: ClassId,
    /// Its first prefix: the accounting key.
    pub(super) key: IpNet,
    /// Whether it has more prefixes than that.
    pub(super) joint: bool,
}

/// A prefix of a subscriber.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holding {
    pub(super) prefix: IpNet,
    /// Index into the subscribers.
    pub(super) subscriber: u32,
    pub(super) spot: Spot,
}

/// All subscribers that the file and its lists name.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    pub(super) list: Vec<Subscriber>,
    pub(super) holdings: Vec<Holding>,
    /// First prefixes of those for whom only staff take steps.
    pub(super) opted_out: HashSet<IpNet>,
    names: HashMap<Box<str>, (u32, Spot), foldhash::fast::RandomState>,
}

impl Subscribers {
    /// Adds a subscriber with all of its prefixes, of which there is at least one.
    pub(super) fn add(
        &mut self,
        name: Option<(&str, Spot)>,
        class: ClassId,
        prefixes: &[(IpNet, Spot)],
        report: &mut Report,
    ) {
        let Some(&(key, _)) = prefixes.first() else {
            return;
        };
        let Some(subscriber) = self.next() else {
            return;
        };
        if let Some((name, spot)) = name {
            match self.names.entry(name.into()) {
                Entry::Vacant(entry) => {
                    entry.insert((subscriber, spot));
                }
                Entry::Occupied(entry) => {
                    let (_, first) = *entry.get();
                    report.error(spot, || name_taken(name, first));
                }
            }
        }
        self.list.push(Subscriber {
            class,
            key,
            joint: prefixes.len() > 1,
        });
        let holding = |&(prefix, spot)| Holding {
            prefix,
            subscriber,
            spot,
        };
        self.holdings.extend(prefixes.iter().map(holding));
    }

    /// Adds one prefix to the subscriber of a name if this file has named it before, else to a new
    /// one.
    pub(super) fn join(
        &mut self,
        name: (&str, Spot),
        class: ClassId,
        (prefix, spot): (IpNet, Spot),
        report: &mut Report,
    ) {
        let Some(new) = self.next() else { return };
        let (subscriber, first) = *self.names.entry(name.0.into()).or_insert((new, name.1));
        if subscriber == new {
            self.list.push(Subscriber {
                class,
                key: prefix,
                joint: false,
            });
        } else if first.file != name.1.file {
            return report.error(name.1, || name_taken(name.0, first));
        } else {
            let known = &mut self.list[subscriber as usize];
            known.joint = true;
            if known.class != class {
                return report.error(name.1, || {
                    Remark::new(
                        format!("subscriber \"{}\" is in two classes", name.0),
                        "give all of its rows the same class",
                    )
                    .related(first, "another class here")
                });
            }
        }
        self.holdings.push(Holding {
            prefix,
            subscriber,
            spot,
        });
    }

    /// The names with their keys, taken out.
    pub(super) fn take_names(&mut self) -> impl Iterator<Item = (IpNet, Box<str>)> + use<'_> {
        let list = &self.list;
        let keyed = |(name, (subscriber, _)): (Box<str>, (u32, Spot))| {
            Some((list.get(subscriber as usize)?.key, name))
        };
        std::mem::take(&mut self.names)
            .into_iter()
            .filter_map(keyed)
    }

    fn next(&self) -> Option<u32> {
        u32::try_from(self.list.len()).ok()
    }
}

fn name_taken(name: &str, first: Spot) -> Remark {
    Remark::new(
        format!("there are two subscribers \"{name}\""),
        "name one of them differently, or give one of them all prefixes",
    )
    .related(first, "the other one")
}
