//! From a [`Draft`] to a [`Policy`]: what takes more than one value to judge.
//!
//! Prefixes nest or are disjoint. Sorted by address and length, each comes after all that contain
//! it, so one sweep with a stack of those still open finds every overlap and, for each subscriber,
//! its pool, in the time that sorting takes.

use std::collections::HashMap;

use ipnet::IpNet;

use super::{
    Entry, Key, Names, Policy,
    address_map::AddressMap,
    diagnostic::{Remark, Report, Spot},
    file::Draft,
    steps::{Scope, Step, StepAction},
};

/// What a prefix is claimed for. The order settles which of two equal prefixes contains the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Pool,
    Subscriber,
    Relay,
    Concentrator,
}

/// A prefix and what it is for. The order of the fields is the order of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claim {
    v6: bool,
    /// The network address, its first bit first.
    bits: u128,
    length: u8,
    kind: Kind,
    /// Index into the pools, holdings, relays or concentrators of the draft.
    index: u32,
}

impl Claim {
    fn new(prefix: IpNet, kind: Kind, index: usize) -> Self {
        let (v6, bits) = match prefix {
            IpNet::V4(net) => (false, u128::from(net.network().to_bits()) << 96),
            IpNet::V6(net) => (true, net.network().to_bits()),
        };
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Self {
            v6,
            bits,
            length: prefix.prefix_len(),
            kind,
            index,
        }
    }

    fn contains(&self, other: &Self) -> bool {
        self.v6 == other.v6
            && self.length <= other.length
            && (self.bits ^ other.bits).leading_zeros() >= u32::from(self.length)
    }

    fn is_server(&self) -> bool {
        matches!(self.kind, Kind::Relay | Kind::Concentrator)
    }
}

/// A claim that contains the one at hand.
#[derive(Clone, Copy, Debug)]
struct Open {
    claim: Claim,
    /// A subscriber outside of all pools that nothing has been said about yet.
    unreachable: bool,
}

/// Subscribers that are observed at once, at the least.
const OBSERVED_MIN: u32 = 1_024;

/// Checks the draft as a whole and makes a policy of it; the policy is only good if the report
/// has no error in it.
pub(super) fn resolve(mut draft: Draft, report: &mut Report) -> Policy {
    for (class, spot) in draft.classes.unused() {
        report.warning(spot, || {
            Remark::new(
                format!(
                    "class \"{}\" is used by no pool and no subscriber",
                    class.name
                ),
                "remove it, or name it where it should apply",
            )
        });
    }
    warn_of_silent_gardens(&draft, report);
    let claims = claims(&draft);
    let mut sweep = Sweep::new(&draft, report);
    sweep.run(&claims);
    let (entries, values) = (sweep.entries, sweep.values);
    let map = AddressMap::build(&values);
    let subscribers = draft.subscribers.list.len();
    let opted_out = std::mem::take(&mut draft.subscribers.opted_out);
    let names = Names::new(draft.subscribers.take_names().collect());
    Policy {
        map,
        entries,
        names,
        subscribers,
        pools: draft.pools.into_iter().map(|(pool, _)| pool).collect(),
        classes: draft.classes.list,
        relays: draft.relays.into_iter().map(|(relay, _)| relay).collect(),
        relay_limit: draft.relay_limit,
        concentrators: draft
            .concentrators
            .into_iter()
            .map(|(prefix, _)| prefix)
            .collect(),
        observe: draft.observe,
        ports: draft.ports,
        run: draft.run,
        capacity: draft.capacity as usize,
        full: draft.full,
        strangers: draft.strangers,
        observed: draft
            .observed
            .unwrap_or((draft.capacity / 8).max(OBSERVED_MIN)) as usize,
        keeping: draft.keeping,
        complaints: draft.complaints,
        outlets: draft.outlets,
        notice: draft.notice,
        garden: draft.garden,
        opted_out,
    }
}

/// Classes that lock subscribers up without a word.
fn warn_of_silent_gardens(draft: &Draft, report: &mut Report) {
    let is_garden = |step: &Step| {
        let StepAction::Quarantine { scope, .. } = step.action else {
            return false;
        };
        scope == Scope::Garden
    };
    for (class, spot) in draft.classes.list.iter().zip(&draft.classes.spots) {
        let mut steps = class.detect.iter().flat_map(|detect| &detect.steps);
        if draft.notice.is_none() && steps.any(is_garden) {
            report.warning(*spot, || {
                Remark::new(
                    format!(
                        "class \"{}\" puts subscribers into the garden, and no page tells them",
                        class.name
                    ),
                    "add [notice], or say scope = \"mail\"",
                )
            });
        }
    }
}

/// Everything that claims a prefix, in the order of the sweep.
fn claims(draft: &Draft) -> Vec<Claim> {
    let pools = draft
        .pools
        .iter()
        .map(|(pool, _)| (pool.prefix, Kind::Pool))
        .enumerate();
    let held = draft.subscribers.holdings.iter();
    let held = held
        .map(|holding| (holding.prefix, Kind::Subscriber))
        .enumerate();
    let relays = draft
        .relays
        .iter()
        .map(|(relay, _)| (*relay, Kind::Relay))
        .enumerate();
    let concentrators = draft
        .concentrators
        .iter()
        .map(|(prefix, _)| (*prefix, Kind::Concentrator))
        .enumerate();
    let all = pools.chain(held).chain(relays).chain(concentrators);
    let mut claims: Vec<_> = all
        .map(|(index, (prefix, kind))| Claim::new(prefix, kind, index))
        .collect();
    claims.sort_unstable();
    claims
}

struct Sweep<'a> {
    draft: &'a Draft,
    report: &'a mut Report,
    open: Vec<Open>,
    entries: Vec<Entry>,
    /// Equal entries are one.
    numbers: HashMap<Entry, u32, foldhash::fast::RandomState>,
    values: Vec<(IpNet, u32)>,
}

impl<'a> Sweep<'a> {
    fn new(draft: &'a Draft, report: &'a mut Report) -> Self {
        let (entries, values) = (vec![Entry::Stranger], Vec::new());
        Self {
            draft,
            report,
            open: Vec::new(),
            entries,
            numbers: HashMap::default(),
            values,
        }
    }

    fn run(&mut self, claims: &[Claim]) {
        if self.draft.pools.is_empty() && self.draft.pools_known {
            let remedy = "add a [[pool]]; \"0.0.0.0/0\" and \"::/0\" survey everybody";
            if !self.report.damaged {
                let message = "there is no pool: every address would be a stranger's";
                self.report.error_nowhere(Remark::new(message, remedy));
            }
        }
        for claim in claims {
            while let Some(open) = self.open.pop_if(|open| !open.claim.contains(claim)) {
                self.close(open);
            }
            let entry = match claim.kind {
                Kind::Pool => self.pool(claim),
                Kind::Subscriber => self.subscriber(claim),
                Kind::Relay | Kind::Concentrator => self.server(claim),
            };
            if let Some(entry) = entry {
                self.value(self.prefix(claim), entry);
            }
            let pooled = self.innermost(|claim| claim.kind == Kind::Pool).is_some();
            let unreachable = claim.kind == Kind::Subscriber && !pooled;
            self.open.push(Open {
                claim: *claim,
                unreachable,
            });
        }
        while let Some(open) = self.open.pop() {
            self.close(open);
        }
    }

    fn pool(&mut self, claim: &Claim) -> Option<Entry> {
        let (pool, spot) = &self.draft.pools[claim.index as usize];
        if let Some(other) = self.innermost(|other| other.kind == Kind::Pool) {
            let other_prefix = self.prefix(&other);
            let related = self.spot(&other);
            self.report.error(*spot, || {
                let message = if other_prefix == pool.prefix {
                    format!("pool {other_prefix} is there twice")
                } else {
                    format!("pool {} overlaps pool {other_prefix}", pool.prefix)
                };
                let remedy = "keep one of them, or split the wider one; \
                              subscribers of another class go into [[subscriber]] or a list";
                Remark::new(message, remedy).related(related, "the other pool")
            });
        }
        if let Some(server) = self.innermost(Claim::is_server) {
            self.server_overlap(&server, claim);
        }
        self.wider_subscribers(pool.prefix, *spot);
        let pool_index = claim.index;
        let key = Key::masked(pool.subscriber_prefix);
        Some(Entry::Subscriber {
            class: pool.class,
            pool: pool_index,
            vlans: pool.vlans.is_some(),
            key,
        })
    }

    /// Open subscribers who are in no pool but contain one.
    fn wider_subscribers(&mut self, pool: IpNet, pool_spot: Spot) {
        for index in 0..self.open.len() {
            if !std::mem::take(&mut self.open[index].unreachable) {
                continue;
            }
            let claim = self.open[index].claim;
            let (prefix, spot) = (self.prefix(&claim), self.spot(&claim));
            self.report.error(spot, || {
                Remark::new(
                    format!("subscriber's prefix {prefix} is wider than pool {pool}"),
                    format!("write {pool} or a part of it, or widen the pool"),
                )
                .related(pool_spot, "the pool")
            });
        }
    }

    fn subscriber(&mut self, claim: &Claim) -> Option<Entry> {
        let holding = self.draft.subscribers.holdings[claim.index as usize];
        let (prefix, spot) = (holding.prefix, holding.spot);
        if let Some(other) = self.innermost(|other| other.kind == Kind::Subscriber) {
            let (other_prefix, related) = (self.prefix(&other), self.spot(&other));
            let same = self.draft.subscribers.holdings[other.index as usize].subscriber
                == holding.subscriber;
            // Point at what comes later in the files.
            let (at, related) = if spot < related {
                (related, spot)
            } else {
                (spot, related)
            };
            self.report.error(at, || {
                let message = match (same, prefix == other_prefix) {
                    (_, true) => format!("{prefix} belongs to two subscribers or is there twice"),
                    (true, _) => {
                        format!("{prefix} is part of {other_prefix} of the same subscriber")
                    }
                    (false, _) => {
                        format!("{prefix} is part of another subscriber's {other_prefix}")
                    }
                };
                Remark::new(message, "give every address to one subscriber only, once")
                    .related(related, "the other one")
            });
        }
        if let Some(server) = self.innermost(Claim::is_server) {
            self.server_overlap(&server, claim);
        }
        let pool_claim = self.innermost(|other| other.kind == Kind::Pool)?;
        let (pool, pool_spot) = &self.draft.pools[pool_claim.index as usize];
        let longest = pool.subscriber_prefix;
        if prefix.prefix_len() > longest {
            self.report.error(spot, || {
                part_of_subscriber(prefix, longest).related(*pool_spot, "the pool")
            });
        }
        let subscriber = self.draft.subscribers.list[holding.subscriber as usize];
        let key = match subscriber.joint {
            true => Key::Fixed(subscriber.key),
            false => Key::masked(prefix.prefix_len()),
        };
        Some(Entry::Subscriber {
            class: subscriber.class,
            pool: pool_claim.index,
            vlans: pool.vlans.is_some(),
            key,
        })
    }

    fn server(&mut self, claim: &Claim) -> Option<Entry> {
        let (prefix, spot, kind) = (self.prefix(claim), self.spot(claim), noun(claim.kind));
        if claim.length == 0 {
            self.report.error(spot, || {
                Remark::new(
                    format!("{kind} {prefix} is everybody"),
                    "name the servers' addresses",
                )
            });
            return None;
        }
        if let Some(other) = self.innermost(Claim::is_server) {
            let (other_prefix, related) = (self.prefix(&other), self.spot(&other));
            if other.kind == claim.kind {
                self.report.warning(spot, || {
                    let message = format!("{kind} {prefix} is already covered by {other_prefix}");
                    Remark::new(message, "remove one of them").related(related, "here")
                });
            } else {
                self.server_overlap(&other, claim);
            }
        }
        // A survey's pool is everybody, servers included: there the longer prefix just counts.
        let inside = |other: &Claim| match other.kind {
            Kind::Pool => other.length > 0,
            Kind::Subscriber => true,
            Kind::Relay | Kind::Concentrator => false,
        };
        if let Some(other) = self.innermost(inside) {
            let (other_prefix, related) = (self.prefix(&other), self.spot(&other));
            self.report.error(spot, || {
                Remark::new(
                    format!(
                        "{kind} {prefix} is inside {} {other_prefix}",
                        noun(other.kind)
                    ),
                    "a server's address is no subscriber's: take it out of the pool by splitting \
                     the pool's prefix, or remove it here and give it a class in [[subscriber]]",
                )
                .related(related, format!("the {}", noun(other.kind)))
            });
        }
        Some(if claim.kind == Kind::Relay {
            Entry::Relay
        } else {
            Entry::Concentrator
        })
    }

    /// A relay or concentrator that contains something else.
    fn server_overlap(&mut self, server: &Claim, inner: &Claim) {
        let (server_prefix, prefix) = (self.prefix(server), self.prefix(inner));
        let (spot, related) = (self.spot(server), self.spot(inner));
        let (noun, inner_noun) = (noun(server.kind), noun(inner.kind));
        self.report.error(spot, || {
            Remark::new(
                format!("{noun} {server_prefix} overlaps {inner_noun} {prefix}"),
                "an address has one role: name the servers' own addresses only",
            )
            .related(related, format!("the {inner_noun}"))
        });
    }

    /// Says so if a subscriber was in no pool.
    fn close(&mut self, open: Open) {
        if !open.unreachable || !self.draft.pools_known || self.draft.pools.is_empty() {
            return;
        }
        let (prefix, spot) = (self.prefix(&open.claim), self.spot(&open.claim));
        self.report.missing(spot, || {
            Remark::new(
                format!("subscriber's prefix {prefix} is in no pool: it could never apply"),
                "add a [[pool]] that contains it, or remove it",
            )
        });
    }

    /// The innermost open claim of some kind.
    fn innermost(&self, wanted: impl Fn(&Claim) -> bool) -> Option<Claim> {
        self.open.iter().rev().map(|open| open.claim).find(wanted)
    }

    fn prefix(&self, claim: &Claim) -> IpNet {
        let index = claim.index as usize;
        match claim.kind {
            Kind::Pool => self.draft.pools[index].0.prefix,
            Kind::Subscriber => self.draft.subscribers.holdings[index].prefix,
            Kind::Relay => self.draft.relays[index].0,
            Kind::Concentrator => self.draft.concentrators[index].0,
        }
    }

    fn spot(&self, claim: &Claim) -> Spot {
        let index = claim.index as usize;
        match claim.kind {
            Kind::Pool => self.draft.pools[index].1,
            Kind::Subscriber => self.draft.subscribers.holdings[index].spot,
            Kind::Relay => self.draft.relays[index].1,
            Kind::Concentrator => self.draft.concentrators[index].1,
        }
    }

    /// Maps a prefix to an entry, shared with all that are equal.
    fn value(&mut self, prefix: IpNet, entry: Entry) {
        let entries = &mut self.entries;
        let number = *self.numbers.entry(entry).or_insert_with(|| {
            entries.push(entry);
            (entries.len() - 1) as u32
        });
        self.values.push((prefix, number));
    }
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Pool => "pool",
        Kind::Subscriber => "subscriber",
        Kind::Relay => "relay",
        Kind::Concentrator => "concentrator",
    }
}

fn part_of_subscriber(prefix: IpNet, longest: u8) -> Remark {
    let whole = IpNet::new(prefix.addr(), longest).map_or(prefix, |net| net.trunc());
    Remark::new(
        format!("{prefix} is only a part of one subscriber: the pool counts by /{longest}"),
        format!(
            "write {whole}, or say subscriber_prefix = {} in the pool",
            prefix.prefix_len()
        ),
    )
}
