//! What the provider wants: a validated, immutable snapshot made from a TOML file and lists.
//!
//! A [`Policy`] answers what an address is ([`Policy::role`]) and what a class wants
//! ([`Policy::class`]); everything else in it is decided once, when it is loaded. It is made
//! whole or not at all: loading finds every mistake in the files in one run and says where it
//! stands and how to put it right ([`Diagnostics`]).
//!
//! What happens to frames is the engine's business; this module knows addresses, not packets.

mod address_map;
mod complaints;
mod detect;
mod diagnostic;
mod file;
mod garden;
mod keeping;
mod lists;
mod load;
mod outlets;
mod ports;
mod reader;
mod resolve;
pub mod steps;
mod subscribers;
mod succession;
mod value;

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use complaints::{COMPLAINT_AGE_DEFAULT, COMPLAINT_AGE_MAX, Complaints};
pub use detect::{
    ANSWER_WITHIN_MAX, DETECT_WINDOW_MIN, DISTINCT_MAX, Detect, OBSERVED_MAX, Outcomes, SPAN_MAX,
    Threshold, VOLUME_MAX,
};
pub use diagnostic::{Diagnostic, Diagnostics, Excerpt, ROW_MISTAKES_SHOWN, Severity};
pub use file::{CAPACITY_DEFAULT, CAPACITY_MAX, CLASSES_MAX, SHAPES, VLANS_MAX};
pub use garden::{Garden, Notice, Redirecting, URL_MAX};
pub use keeping::{KEEP_DEFAULT, KEEP_MAX, KEEP_MIN, Keeping, lasting};
pub use lists::{COLUMNS, Progress};
pub use outlets::{Outlets, SyslogAt};
pub use ports::{
    AtExit, BATCH, BUSY_POLL_BUDGET, BUSY_POLL_TIME, Bounds, CORE, DEADLINE, DEFER_IRQS,
    FLUSH_TIMEOUT, FRAME_SIZE, OnFailure, Ports, RING, RunSettings, SPIN, STAMP, Steer, WORKERS,
    Word, ZeroCopy,
};
pub use reader::{Shape, nearest};
pub use succession::Fixed;
pub use value::{CONNECTIONS_MAX, WINDOW_MAX, WINDOW_MIN, window_text};

use address_map::AddressMap;

/// Index of a class in a policy, in file order from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u16);

/// At most `connections` attempts in any interval of length `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Attempts, 1 to 10,000.
    pub connections: u16,
    /// 1 second to 1 day.
    pub window: Duration,
}

/// What a class wants done with attempts to one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// No limit.
    Allow,
    /// No segment passes.
    Block,
    /// Attempts beyond the limit are refused.
    Limit(Limit),
}

/// How an attempt is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// The frame vanishes.
    Drop,
    /// The client gets a TCP RST.
    Reset,
}

/// What becomes of frames that cannot be charged to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Forward them.
    Forward,
    /// Drop them.
    Drop,
}

/// A named policy for subscribers.
#[derive(Clone, Debug, PartialEq)]
pub struct Class {
    /// Its name in the file.
    pub name: String,
    /// Port 25.
    pub smtp: Rule,
    /// Ports 587 and 465.
    pub submission: Rule,
    /// How attempts are refused.
    pub excess: Excess,
    /// Judge and count, but forward.
    pub observe: bool,
    /// When its subscribers are suspected, and what follows.
    pub detect: Option<Detect>,
}

/// Subscriber addresses with a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The addresses.
    pub prefix: IpNet,
    /// The class of its subscribers, unless they have one of their own.
    pub class: ClassId,
    /// How many bits of an address tell one subscriber from another.
    pub subscriber_prefix: u8,
    /// VLAN identifiers its frames must carry, outermost first, if it names any.
    pub vlans: Option<Vec<u16>>,
}

impl Pool {
    /// How many subscribers it can hold: 2 to the power of this.
    #[must_use]
    pub fn subscribers_log2(&self) -> u8 {
        self.subscriber_prefix
            .saturating_sub(self.prefix.prefix_len())
    }
}

/// Whose address it is. The subscriber's name, if it has one, is [`Policy::name_of`] the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The accounting key: the subscriber's address or prefix, or a named subscriber's first one.
    pub key: IpNet,
    /// The class that applies.
    pub class: ClassId,
    /// VLAN identifiers the pool's frames must carry (outermost first), if the pool names any.
    pub vlans: Option<&'a [u16]>,
}

/// What an address is to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Nobody's.
    Stranger,
    /// A subscriber's.
    Subscriber(Member<'a>),
    /// A mail server designed for client traffic.
    Relay,
    /// The provider's own softwire concentrator (DS-Lite AFTR, 6rd or 6in4 relay).
    Concentrator,
}

/// The snapshot. Built whole, never changed.
#[derive(Debug)]
pub struct Policy {
    /// Address to index into `entries`.
    map: AddressMap,
    /// Few even for a million subscribers: those who differ only in their address share one.
    entries: Vec<Entry>,
    names: Names,
    subscribers: usize,
    pools: Vec<Pool>,
    classes: Vec<Class>,
    /// Those that only an earlier policy of the running box had.
    retired: HashSet<ClassId>,
    relays: Vec<IpNet>,
    relay_limit: Option<Limit>,
    concentrators: Vec<IpNet>,
    observe: bool,
    ports: Option<Ports>,
    run: RunSettings,
    capacity: usize,
    full: Fallback,
    strangers: Fallback,
    observed: usize,
    keeping: Option<Keeping>,
    complaints: Option<Complaints>,
    outlets: Option<Outlets>,
    notice: Option<Notice>,
    garden: Garden,
    /// Keys of subscribers for whom only staff take steps.
    opted_out: HashSet<IpNet>,
}

/// What the address map's values stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Entry {
    Stranger,
    Relay,
    Concentrator,
    Subscriber {
        class: ClassId,
        pool: u32,
        /// Whether the pool names VLANs: most don't, and then it need not be looked at.
        vlans: bool,
        key: Key,
    },
}

/// How an address becomes an accounting key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Its first `length` bits, which are those that are set in the mask. An IPv4 address is what
    /// the mask's first 32 bits are for.
    Masked { length: u8, mask: u128 },
    /// Whatever it is, this: one of several prefixes of a subscriber.
    Fixed(IpNet),
}

impl Entry {
    /// The key of a subscriber with several prefixes.
    const fn fixed_key(&self) -> Option<IpNet> {
        match self {
            Self::Subscriber {
                key: Key::Fixed(key),
                ..
            } => Some(*key),
            _ => None,
        }
    }
}

impl Policy {
    #[inline(always)]
    fn entry(&self, address: IpAddr) -> Option<&Entry> {
        self.entries.get(self.map.get(address) as usize)
    }

    /// What an address is, by longest prefix.
    #[inline(always)]
    #[must_use]
    pub fn role(&self, address: IpAddr) -> Role<'_> {
        match self.entry(address) {
            Some(&Entry::Subscriber {
                class,
                pool,
                vlans,
                key,
            }) => Role::Subscriber(Member {
                key: key.of(address),
                class,
                vlans: if vlans { self.vlans_of(pool) } else { None },
            }),
            Some(Entry::Relay) => Role::Relay,
            Some(Entry::Concentrator) => Role::Concentrator,
            Some(Entry::Stranger) | None => Role::Stranger,
        }
    }

    /// The subscriber who has an address.
    #[inline(always)]
    #[must_use]
    pub fn member(&self, address: IpAddr) -> Option<Member<'_>> {
        match self.role(address) {
            Role::Subscriber(member) => Some(member),
            _ => None,
        }
    }

    /// Calls `visit` with prefixes that lie side by side in ascending order, IPv4 first, and what
    /// every address of each is; strangers' are left out. How prefixes are cut says nothing.
    pub fn each_prefix(&self, visit: &mut dyn FnMut(IpNet, Role<'_>)) {
        self.map
            .each(&mut |prefix, _| visit(prefix, self.role(prefix.addr())));
    }

    /// Every prefix of the subscribers with these accounting keys, with what stands beside the key.
    #[must_use]
    pub fn prefixes_of<T: Copy>(&self, held: &HashMap<IpNet, T>) -> Vec<(IpNet, T)> {
        let mut prefixes: Vec<_> = held.iter().map(|(&key, &what)| (key, what)).collect();
        let has_several = |entry: &Entry| entry.fixed_key().is_some();
        if !held.is_empty() && self.entries.iter().any(has_several) {
            self.map.each(&mut |prefix, value| {
                let entry = self.entries.get(value as usize);
                let key = entry.and_then(Entry::fixed_key);
                let what = key.and_then(|key| held.get(&key));
                prefixes.extend(what.map(|&what| (prefix, what)));
            });
        }
        prefixes
    }

    /// Whether an address is a subscriber's.
    #[inline]
    #[must_use]
    pub fn is_subscriber(&self, address: IpAddr) -> bool {
        matches!(self.entry(address), Some(Entry::Subscriber { .. }))
    }

    /// Whether an address is a relay's.
    #[inline(always)]
    #[must_use]
    pub fn is_relay(&self, address: IpAddr) -> bool {
        matches!(self.entry(address), Some(Entry::Relay))
    }

    /// Whether an address is one of the provider's own softwire concentrators'.
    #[inline]
    #[must_use]
    pub fn is_concentrator(&self, address: IpAddr) -> bool {
        matches!(self.entry(address), Some(Entry::Concentrator))
    }

    #[cold]
    fn vlans_of(&self, pool: u32) -> Option<&[u16]> {
        self.pools.get(pool as usize)?.vlans.as_deref()
    }

    /// The class behind an identifier that this policy gave.
    ///
    /// # Panics
    ///
    /// If the identifier is another policy's and this one has fewer classes.
    #[inline]
    #[must_use]
    pub fn class(&self, id: ClassId) -> &Class {
        &self.classes[usize::from(id.0)]
    }

    /// Every class, in file order: the one at index `i` is `ClassId(i)`.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// Every pool, in file order.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The relays' addresses, in file order.
    #[must_use]
    pub fn relays(&self) -> &[IpNet] {
        &self.relays
    }

    /// The limit of each subscriber towards all relays together, if there is one.
    #[must_use]
    pub fn relay_limit(&self) -> Option<Limit> {
        self.relay_limit
    }

    /// The softwire concentrators' addresses, in file order.
    #[must_use]
    pub fn concentrators(&self) -> &[IpNet] {
        &self.concentrators
    }

    /// Whether any softwire is looked into.
    #[inline]
    #[must_use]
    pub fn has_concentrators(&self) -> bool {
        !self.concentrators.is_empty()
    }

    /// Whether the policy as a whole judges and counts, but forwards.
    #[inline]
    #[must_use]
    pub fn observe(&self) -> bool {
        self.observe
    }

    /// The network interfaces, if the policy names them.
    #[must_use]
    pub fn ports(&self) -> Option<&Ports> {
        self.ports.as_ref()
    }

    /// How `lychgate run` works, unless its arguments say otherwise.
    #[must_use]
    pub fn run_settings(&self) -> &RunSettings {
        &self.run
    }

    /// How many sources the table holds at once.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// What becomes of attempts that find the source table full.
    #[inline]
    #[must_use]
    pub fn full(&self) -> Fallback {
        self.full
    }

    /// What becomes of outbound mail from addresses in no pool.
    #[inline]
    #[must_use]
    pub fn strangers(&self) -> Fallback {
        self.strangers
    }

    /// Whether any class asks for zombies to be found.
    #[must_use]
    pub fn detects(&self) -> bool {
        self.classes.iter().any(|class| class.detect.is_some())
    }

    /// How many subscribers are observed at once where a class asks for it.
    #[must_use]
    pub fn observed(&self) -> usize {
        self.observed
    }

    /// Where complaints arrive, if the policy says so.
    #[must_use]
    pub fn complaints(&self) -> Option<&Complaints> {
        self.complaints.as_ref()
    }

    /// Where cases are kept, if they are.
    #[must_use]
    pub fn keeping(&self) -> Option<&Keeping> {
        self.keeping.as_ref()
    }

    /// Where events are told, if the policy says so.
    #[must_use]
    pub fn outlets(&self) -> Option<&Outlets> {
        self.outlets.as_ref()
    }

    /// The page that quarantined subscribers are sent to, if there is one.
    #[must_use]
    pub fn notice(&self) -> Option<&Notice> {
        self.notice.as_ref()
    }

    /// What stays open to a subscriber in the walled garden.
    #[must_use]
    pub fn garden(&self) -> &Garden {
        &self.garden
    }

    /// The class of the subscriber with this accounting key.
    #[must_use]
    pub fn class_of(&self, key: IpNet) -> Option<&Class> {
        let member = self.member(key.addr())?;
        Some(self.class(member.class))
    }

    /// Whether only staff take steps against the subscriber with this accounting key: one who says
    /// so (`automatic = false`), and one whose class may send mail without limit, which is what the
    /// designated mail servers do.
    #[must_use]
    pub fn is_exempt(&self, key: IpNet) -> bool {
        let class = self.class_of(key);
        self.opted_out.contains(&key) || class.is_some_and(|class| class.smtp == Rule::Allow)
    }

    /// The name of the subscriber with this accounting key, if it has one.
    #[must_use]
    pub fn name_of(&self, key: IpNet) -> Option<&str> {
        self.names.get(key)
    }

    /// The accounting key of the subscriber with this name.
    #[must_use]
    pub fn key_of(&self, name: &str) -> Option<IpNet> {
        self.names.key(name)
    }

    /// How many subscribers the policy and its lists name one by one.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.subscribers
    }

    /// Memory for looking up addresses, in octets.
    #[must_use]
    pub fn address_octets(&self) -> usize {
        self.map.octets() + size_of_val(&*self.entries) + self.names.octets()
    }
}

impl Key {
    fn masked(length: u8) -> Self {
        let rest = 128_u32.saturating_sub(length.into());
        let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
        Self::Masked { length, mask }
    }

    #[inline(always)]
    fn of(self, address: IpAddr) -> IpNet {
        match self {
            Self::Masked { length, mask } => match address {
                IpAddr::V4(address) => {
                    let bits = address.to_bits() & (mask >> 96) as u32;
                    IpNet::V4(Ipv4Net::new_assert(bits.into(), length))
                }
                IpAddr::V6(address) => {
                    let bits = address.to_bits() & mask;
                    IpNet::V6(Ipv6Net::new_assert(bits.into(), length))
                }
            },
            Self::Fixed(key) => key,
        }
    }
}

/// Names by accounting key, end to end in one text.
#[derive(Debug, Default)]
struct Names {
    text: String,
    /// Sorted by key; a name ends where the next one begins.
    begins: Vec<(IpNet, u32)>,
}

impl Names {
    fn new(mut names: Vec<(IpNet, Box<str>)>) -> Self {
        names.sort_unstable_by_key(|&(key, _)| key);
        let mut text = String::with_capacity(names.iter().map(|(_, name)| name.len()).sum());
        let mut begins = Vec::with_capacity(names.len());
        for (key, name) in names {
            begins.push((key, u32::try_from(text.len()).unwrap_or(u32::MAX)));
            text.push_str(&name);
        }
        Self { text, begins }
    }

    fn get(&self, key: IpNet) -> Option<&str> {
        let index = self
            .begins
            .binary_search_by_key(&key, |&(key, _)| key)
            .ok()?;
        let begin = self.begins[index].1 as usize;
        let end = self
            .begins
            .get(index + 1)
            .map_or(self.text.len(), |&(_, end)| end as usize);
        self.text.get(begin..end)
    }

    /// Looked for from the first to the last: staff ask, not frames.
    fn key(&self, name: &str) -> Option<IpNet> {
        let keys = self.begins.iter().map(|&(key, _)| key);
        keys.into_iter().find(|&key| self.get(key) == Some(name))
    }

    fn octets(&self) -> usize {
        self.text.capacity() + self.begins.capacity() * size_of::<(IpNet, u32)>()
    }
}

#[cfg(test)]
mod tests;
