//! Address → value, by longest prefix: the lookup behind every frame with mail in it.
//!
//! A compressed multibit trie in the manner of Poptrie (Asai & Ohara, "Poptrie: A Compressed Trie
//! with Population Count for Fast and Scalable Software IP Routing Table Lookup", SIGCOMM 2015).
//! The bits that all prefixes share are checked once; the next few index a root table; from there
//! on each node consumes six bits. A node is 24 octets however many of its 64 slots are in use:
//! one bit vector says which slots lead to a child node, another at which slots a new value
//! begins, and a population count turns a slot into an index. Neighbouring slots with equal values
//! share one leaf, and a subtree with one value only is no subtree, so that what counts is how
//! often the value changes along the address space, not how many prefixes say so.
//!
//! The map is immutable: [`AddressMap::build`] makes it whole, [`AddressMap::get`] allocates
//! nothing and cannot panic. What the values mean is left to the caller; 0 means "no prefix".

use std::net::IpAddr;

use ipnet::IpNet;

/// Bits that one node consumes: its two vectors have a bit for each of its slots.
const STRIDE: u32 = 6;
/// Slots of a node.
const SLOTS: usize = 1 << STRIDE;
/// Marks a slot that holds a value; without it the slot holds the index of a node.
const LEAF: u32 = 1 << 31;
/// The value of addresses that no prefix covers.
pub(super) const NOTHING: u32 = 0;
/// Root tables index at most this many bits: 16 Ki slots, 64 KiB, what a core's own cache bears.
const ROOT_BITS_MAX: u32 = 14;

/// An immutable map from IPv4 and IPv6 addresses to numbers below 2³¹, by longest prefix.
#[derive(Debug)]
pub(super) struct AddressMap {
    v4: Trie<u32>,
    v6: Trie<u128>,
}

impl AddressMap {
    /// Builds the map. Of two equal prefixes the later one counts.
    pub(super) fn build(prefixes: &[(IpNet, u32)]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for &(prefix, value) in prefixes {
            debug_assert!(value & LEAF == 0, "values stay below 2^31");
            let (length, value) = (u32::from(prefix.prefix_len()), value & !LEAF);
            match prefix.trunc() {
                IpNet::V4(net) => v4.push(Rule {
                    bits: net.addr().to_bits(),
                    length,
                    value,
                }),
                IpNet::V6(net) => v6.push(Rule {
                    bits: net.addr().to_bits(),
                    length,
                    value,
                }),
            }
        }
        Self {
            v4: Trie::build(v4),
            v6: Trie::build(v6),
        }
    }

    /// The value of the longest prefix that covers the address, or [`NOTHING`].
    #[inline]
    pub(super) fn get(&self, address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => self.v4.get(address.to_bits()),
            IpAddr::V6(address) => self.v6.get(address.to_bits()),
        }
    }

    /// Memory that the map holds, in octets.
    pub(super) fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }
}

/// An address as a machine word, most significant bit first.
trait Word: Copy + Ord + Default {
    /// Bits in an address.
    const WIDTH: u32;
    /// The first `count` bits as a number; `count` is at least 1 and below 32.
    fn top(self, count: u32) -> usize;
    /// Without the first `count` bits; `count` is below `WIDTH`, or the result is zero.
    fn skip(self, count: u32) -> Self;
    /// Whether the bits under the mask are those of the other.
    fn agrees(self, other: Self, mask: Self) -> bool;
    /// How many leading bits agree.
    fn common(self, other: Self) -> u32;
    /// The mask of the first `count` bits.
    fn mask(count: u32) -> Self;
}

macro_rules! word {
    ($word:ty) => {
        impl Word for $word {
            const WIDTH: u32 = <$word>::BITS;
            #[inline(always)]
            fn top(self, count: u32) -> usize {
                (self >> (Self::WIDTH - count)) as usize
            }
            #[inline(always)]
            fn skip(self, count: u32) -> Self {
                self.checked_shl(count).unwrap_or(0)
            }
            #[inline(always)]
            fn agrees(self, other: Self, mask: Self) -> bool {
                (self ^ other) & mask == 0
            }
            fn common(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }
            fn mask(count: u32) -> Self {
                !Self::MAX.checked_shr(count).unwrap_or(0)
            }
        }
    };
}

word!(u32);
word!(u128);

/// A prefix and its value.
#[derive(Clone, Copy, Debug)]
struct Rule<W> {
    bits: W,
    length: u32,
    value: u32,
}

/// 64 slots in 24 octets.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Slots that lead to a child node. The children lie side by side from `first_child` on.
    inner: u64,
    /// Slots at which a leaf begins that isn't the one before. The leaves lie side by side from
    /// `first_leaf` on.
    begins: u64,
    first_child: u32,
    first_leaf: u32,
}

#[derive(Debug)]
struct Trie<W> {
    /// The bits that all prefixes share, and their mask.
    shared: W,
    shared_mask: W,
    shared_length: u32,
    root_bits: u32,
    root: Box<[u32]>,
    nodes: Box<[Node]>,
    leaves: Box<[u32]>,
}

impl<W: Word> Trie<W> {
    #[inline]
    fn get(&self, address: W) -> u32 {
        if !address.agrees(self.shared, self.shared_mask) {
            return NOTHING;
        }
        let rest = address.skip(self.shared_length);
        let Some(&slot) = self.root.get(rest.top(self.root_bits)) else {
            return NOTHING;
        };
        if slot & LEAF != 0 {
            return slot & !LEAF;
        }
        self.descend(rest.skip(self.root_bits), slot)
    }

    /// Follows children from a node on until a leaf; terminates because children are stored
    /// before their parents.
    #[inline]
    fn descend(&self, mut rest: W, mut index: u32) -> u32 {
        while let Some(node) = self.nodes.get(index as usize) {
            let slot = rest.top(STRIDE);
            let before = (1_u64 << slot) - 1;
            if node.inner >> slot & 1 == 0 {
                let rank = (node.begins & (before << 1 | 1)).count_ones();
                let leaf = node.first_leaf.wrapping_add(rank).wrapping_sub(1);
                return self.leaves.get(leaf as usize).copied().unwrap_or(NOTHING);
            }
            index = node.first_child + (node.inner & before).count_ones();
            rest = rest.skip(STRIDE);
        }
        NOTHING
    }

    fn octets(&self) -> usize {
        size_of_val(&*self.root) + size_of_val(&*self.nodes) + size_of_val(&*self.leaves)
    }

    fn build(mut rules: Vec<Rule<W>>) -> Self {
        // Stable, so that the later of two equal prefixes comes last and wins.
        rules.sort_by_key(|rule| (rule.bits, rule.length));
        let (shared, shared_length) = shared_bits(&rules);
        let longest = rules.iter().map(|rule| rule.length).max().unwrap_or(0);
        let root_bits = root_bits(rules.len(), longest - shared_length);
        let mut builder = Builder {
            nodes: Vec::new(),
            leaves: Vec::new(),
        };
        let mut slots = vec![Slot::Value(NOTHING); 1 << root_bits];
        builder.fill(&mut slots, &rules, shared_length, root_bits);
        let root = builder.root(&slots);
        Self {
            shared,
            shared_mask: W::mask(shared_length),
            shared_length,
            root_bits,
            root,
            nodes: builder.nodes.into(),
            leaves: builder.leaves.into(),
        }
    }
}

/// What all prefixes begin with, and its length.
fn shared_bits<W: Word>(rules: &[Rule<W>]) -> (W, u32) {
    let (Some(first), Some(last)) = (rules.first(), rules.last()) else {
        return (W::default(), 0);
    };
    let shortest = rules.iter().map(|rule| rule.length).min().unwrap_or(0);
    (first.bits, first.bits.common(last.bits).min(shortest))
}

/// How many bits the root table indexes: enough to spread the prefixes, no more than the longest
/// of them has.
fn root_bits(prefixes: usize, longest: u32) -> u32 {
    let spread = prefixes.checked_ilog2().unwrap_or(0) + STRIDE;
    spread.min(ROOT_BITS_MAX).min(longest).max(1)
}

/// What a slot holds while the trie is being built.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Value(u32),
    Node(Node),
}

/// Builds from the leaves up: a node is stored when all of its children are, side by side.
struct Builder {
    nodes: Vec<Node>,
    leaves: Vec<u32>,
}

impl Builder {
    /// Lays sorted rules over slots that index the bits from `start` to `start + bits`. Sorted
    /// means that a prefix comes after those that contain it, so overwriting finds the longest.
    fn fill<W: Word>(&mut self, slots: &mut [Slot], rules: &[Rule<W>], start: u32, bits: u32) {
        let end = start + bits;
        let slot_of = |rule: &Rule<W>| rule.bits.skip(start).top(bits);
        let mut rest = rules;
        while let Some((rule, after)) = rest.split_first() {
            let first = slot_of(rule);
            if rule.length <= end {
                let count = 1_usize << (end - rule.length).min(bits);
                slots[first..first + count].fill(Slot::Value(rule.value));
                rest = after;
            } else {
                let (inside, after) = rest.split_at(rest.partition_point(|r| slot_of(r) == first));
                let Slot::Value(inherited) = slots[first] else {
                    unreachable!("rules of one slot lie side by side")
                };
                slots[first] = self.subtree(inside, end, inherited);
                rest = after;
            }
        }
    }

    /// One slot's worth of longer rules; no node where they all say the same.
    fn subtree<W: Word>(&mut self, rules: &[Rule<W>], start: u32, inherited: u32) -> Slot {
        let mut slots = [Slot::Value(inherited); SLOTS];
        self.fill(&mut slots, rules, start, STRIDE);
        let value_of = |slot: &Slot| match slot {
            Slot::Value(value) => Some(*value),
            Slot::Node(_) => None,
        };
        match value_of(&slots[0]) {
            Some(value) if slots.iter().all(|slot| value_of(slot) == Some(value)) => slots[0],
            _ => Slot::Node(self.node(&slots)),
        }
    }

    /// Stores the children and leaves of a node.
    fn node(&mut self, slots: &[Slot; SLOTS]) -> Node {
        let mut node = Node {
            inner: 0,
            begins: 0,
            first_child: self.nodes.len() as u32,
            first_leaf: self.leaves.len() as u32,
        };
        let mut previous = None;
        for (index, slot) in slots.iter().enumerate() {
            match slot {
                Slot::Node(child) => {
                    node.inner |= 1 << index;
                    self.nodes.push(*child);
                }
                Slot::Value(value) if previous != Some(*value) => {
                    node.begins |= 1 << index;
                    self.leaves.push(*value);
                    previous = Some(*value);
                }
                Slot::Value(_) => {}
            }
        }
        node
    }

    /// Stores the root table.
    fn root(&mut self, slots: &[Slot]) -> Box<[u32]> {
        slots
            .iter()
            .map(|slot| match slot {
                Slot::Value(value) => value | LEAF,
                Slot::Node(node) => {
                    self.nodes.push(*node);
                    (self.nodes.len() - 1) as u32
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
