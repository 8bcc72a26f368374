//! Address → value, by longest prefix: the lookup behind every frame with mail in it.
//!
//! A compressed multibit trie in the manner of Poptrie (Asai & Ohara, "Poptrie: A Compressed Trie
//! with Population Count for Fast and Scalable Software IP Routing Table Lookup", SIGCOMM 2015).
//! The bits that all prefixes share are checked once; the next few index a root table; from there
//! on each node consumes six bits. A node is 24 octets however many of its 64 slots are in use:
//! one bit vector says which slots lead to a child node, another at which slots a new leaf begins,
//! and a population count turns a slot into an index. Where the prefixes of a slot share their
//! next bits, a path takes the place of a chain of nodes with one child each, as in a Patricia
//! trie: it matters for the few long prefixes of a small policy, and for IPv6.
//!
//! Neighbouring slots with equal values share one leaf, and a subtree with one value only is no
//! subtree: what counts is how often the value changes along the address space, not how many
//! prefixes say so.
//!
//! The map is immutable: [`AddressMap::build`] makes it whole, [`AddressMap::get`] allocates
//! nothing and cannot panic. What the values mean is left to the caller; 0 means "no prefix".

use std::{net::IpAddr, slice};

use ipnet::IpNet;

/// Bits that one node consumes: its two vectors have a bit for each of its slots.
const STRIDE: u32 = 6;
/// A multiple of the stride beyond any prefix length.
const WHOLE: u32 = STRIDE * 32;
/// Slots of a node.
const SLOTS: usize = 1 << STRIDE;
/// Marks a slot that holds a value.
const LEAF: u32 = 1 << 31;
/// Marks a slot that holds the index of a path. Without a mark it holds the index of a node.
const PATH: u32 = 1 << 30;
/// The value of addresses that no prefix covers.
pub(super) const NOTHING: u32 = 0;
/// Root tables index at most this many bits: 4096 paths, 64 or 128 KiB, which a core's own cache
/// bears.
const ROOT_BITS_MAX: u32 = 12;
/// Root slots per prefix, as a power of two, below that maximum.
const ROOT_SPREAD: u32 = 6;

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
    #[inline(always)]
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
    /// `count` bits from the bit `start` on, as a number; `count` is at least 1 and below 32. Bits
    /// beyond the address are zero.
    fn bits(self, start: u32, count: u32) -> usize;
    /// The lowest bits without the last `count`, which is less than there are.
    fn shifted(self, count: u32) -> usize;
    /// How many leading bits agree.
    fn common(self, other: Self) -> u32;
    /// Whether the bits that are set in `mask` agree.
    fn agrees(self, other: Self, mask: Self) -> bool;
    /// Ones from the bit `start` to the bit before `end`.
    fn mask(start: u32, end: u32) -> Self;
    /// The word that has these `count` bits from the bit `start` on and zeros elsewhere; nothing
    /// if a one would stand beyond the address.
    fn placed(bits: usize, start: u32, count: u32) -> Option<Self>;
    /// The bits that are set in either.
    fn or(self, other: Self) -> Self;
    /// The bits that are set in both.
    fn and(self, other: Self) -> Self;
}

macro_rules! word {
    ($word:ty) => {
        impl Word for $word {
            const WIDTH: u32 = <$word>::BITS;
            #[inline(always)]
            fn bits(self, start: u32, count: u32) -> usize {
                (self.checked_shl(start).unwrap_or(0) >> (Self::WIDTH - count)) as usize
            }
            #[inline(always)]
            fn shifted(self, count: u32) -> usize {
                self.wrapping_shr(count) as usize
            }
            #[inline(always)]
            fn common(self, other: Self) -> u32 {
                (self ^ other).leading_zeros()
            }
            #[inline(always)]
            fn agrees(self, other: Self, mask: Self) -> bool {
                (self ^ other) & mask == 0
            }
            fn mask(start: u32, end: u32) -> Self {
                let ones_from = |bit| <$word>::MAX.checked_shr(bit).unwrap_or(0);
                ones_from(start) & !ones_from(end)
            }
            fn placed(bits: usize, start: u32, count: u32) -> Option<Self> {
                let end = start + count;
                let surplus = end.saturating_sub(Self::WIDTH);
                let kept = bits >> surplus;
                let whole = kept << surplus == bits;
                let word = (kept as $word)
                    .checked_shl(Self::WIDTH.saturating_sub(end))
                    .unwrap_or(0);
                whole.then_some(word)
            }
            fn or(self, other: Self) -> Self {
                self | other
            }
            fn and(self, other: Self) -> Self {
                self & other
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

/// Bits that all prefixes from here on share.
#[derive(Clone, Copy, Debug)]
struct Path<W> {
    /// The bits, where they stand in an address, and ones in their place.
    bits: W,
    mask: W,
    /// How many bits.
    length: u32,
    /// The slot for addresses that have them, and the leaf for all others.
    inside: u32,
    outside: u32,
}

impl<W: Word> Path<W> {
    /// Where an address leads. A conditional move, not a branch: whether an address is inside is
    /// a coin toss, and a mispredicted branch costs more than the whole lookup.
    #[inline(always)]
    fn slot(&self, address: W) -> u32 {
        let follows = address.agrees(self.bits, self.mask);
        std::hint::select_unpredictable(follows, self.inside, self.outside)
    }
}

#[derive(Debug)]
struct Trie<W> {
    /// The bits that all prefixes share.
    shared: W,
    shared_mask: W,
    shared_length: u32,
    root_bits: u32,
    /// The root table's index: so many bits to the right, and of these the ones that are set here.
    root_shift: u32,
    root_mask: usize,
    root: Box<[Path<W>]>,
    nodes: Box<[Node]>,
    /// What the slots of nodes hold that lead to no child: values and paths.
    leaves: Box<[u32]>,
    paths: Box<[Path<W>]>,
}

impl<W: Word> Trie<W> {
    #[inline(always)]
    fn get(&self, address: W) -> u32 {
        if !address.agrees(self.shared, self.shared_mask) {
            return NOTHING;
        }
        let index = address.shifted(self.root_shift) & self.root_mask;
        let Some(path) = self.root.get(index) else {
            return NOTHING;
        };
        let slot = path.slot(address);
        if slot & LEAF != 0 {
            return slot & !LEAF;
        }
        self.descend(
            address,
            self.shared_length + self.root_bits + path.length,
            slot,
        )
    }

    /// Follows slots from the bit `start` on until one holds a value. It ends because everything
    /// is built from the leaves up: a node or path leads only to older ones.
    #[inline(never)]
    fn descend(&self, address: W, mut start: u32, mut slot: u32) -> u32 {
        while slot & LEAF == 0 {
            if slot & PATH != 0 {
                let Some(path) = self.paths.get((slot & !PATH) as usize) else {
                    return NOTHING;
                };
                slot = path.slot(address);
                start += path.length;
            } else {
                let Some(node) = self.nodes.get(slot as usize) else {
                    return NOTHING;
                };
                let index = address.bits(start, STRIDE);
                let before = (1_u64 << index) - 1;
                start += STRIDE;
                if node.inner >> index & 1 != 0 {
                    slot = node.first_child + (node.inner & before).count_ones();
                } else {
                    let begun = (node.begins & (before << 1 | 1)).count_ones();
                    let leaf = (node.first_leaf + begun).wrapping_sub(1);
                    let Some(&leaf) = self.leaves.get(leaf as usize) else {
                        return NOTHING;
                    };
                    slot = leaf;
                }
            }
        }
        slot & !LEAF
    }

    fn octets(&self) -> usize {
        size_of_val(&*self.root)
            + size_of_val(&*self.nodes)
            + size_of_val(&*self.leaves)
            + size_of_val(&*self.paths)
    }

    fn build(mut rules: Vec<Rule<W>>) -> Self {
        // Stable, so that the later of two equal prefixes comes last and wins.
        rules.sort_by_key(|rule| (rule.bits, rule.length));
        let (shared, shared_length) = shared_bits(&rules);
        let root_bits = root_bits(&rules, shared_length);
        let mut builder = Builder {
            nodes: Vec::new(),
            leaves: Vec::new(),
            paths: Vec::new(),
        };
        let mut slots = vec![Slot::Leaf(NOTHING | LEAF); 1 << root_bits];
        builder.fill(&mut slots, &rules, shared_length, root_bits);
        let root = slots.into_iter().map(|slot| builder.root(slot)).collect();
        // Beyond the address, where one whole address is all that there is, bits are zero.
        let end = shared_length + root_bits;
        let root_mask = if end > W::WIDTH {
            0
        } else {
            (1 << root_bits) - 1
        };
        Self {
            shared,
            shared_mask: W::mask(0, shared_length),
            shared_length,
            root_bits,
            root_shift: W::WIDTH.saturating_sub(end),
            root_mask,
            root,
            nodes: builder.nodes.into(),
            leaves: builder.leaves.into(),
            paths: builder.paths.into(),
        }
    }
}

/// What all of the sorted rules begin with, and its length.
fn shared_bits<W: Word>(rules: &[Rule<W>]) -> (W, u32) {
    let (Some(first), Some(last)) = (rules.first(), rules.last()) else {
        return (W::default(), 0);
    };
    let shortest = rules.iter().map(|rule| rule.length).min().unwrap_or(0);
    (first.bits, first.bits.common(last.bits).min(shortest))
}

/// How many bits the root table indexes: enough to spread the prefixes and, where most of them
/// have one length, such that a node ends at that length. (A last node that consumes two bits
/// instead of six costs sixteen times the memory.)
fn root_bits<W: Word>(rules: &[Rule<W>], shared_length: u32) -> u32 {
    let mut counts = [0_usize; 129];
    for rule in rules {
        counts[rule.length as usize] += 1;
    }
    let longest = rules.iter().map(|rule| rule.length).max().unwrap_or(0) - shared_length;
    let spread = (rules.len().checked_ilog2().unwrap_or(0) + ROOT_SPREAD).min(ROOT_BITS_MAX);
    let usual = counts.iter().position(|&count| count > rules.len() / 2);
    let surplus = match usual {
        Some(length) => (spread + WHOLE - (length as u32 - shared_length)) % STRIDE,
        None => 0,
    };
    (spread - surplus).min(longest).max(1)
}

/// What a slot holds while the trie is being built.
#[derive(Clone, Copy, Debug)]
enum Slot<W> {
    /// A value, or a path that has its place: marked so.
    Leaf(u32),
    /// A path that has no place yet.
    Path(Path<W>),
    /// A node that has no place yet.
    Node(Node),
}

/// Builds from the leaves up: a node is stored when all of its children are, side by side.
struct Builder<W> {
    nodes: Vec<Node>,
    leaves: Vec<u32>,
    paths: Vec<Path<W>>,
}

impl<W: Word> Builder<W> {
    /// Lays sorted rules over slots that index the bits from `start` to `start + bits`. Sorted
    /// means that a prefix comes after those that contain it, so overwriting finds the longest.
    fn fill(&mut self, slots: &mut [Slot<W>], rules: &[Rule<W>], start: u32, bits: u32) {
        let end = start + bits;
        let slot_of = |rule: &Rule<W>| rule.bits.bits(start, bits);
        let mut rest = rules;
        while let Some(rule) = rest.first() {
            let first = slot_of(rule);
            let taken = if rule.length <= end {
                let count = 1_usize << (end - rule.length).min(bits);
                slots[first..first + count].fill(Slot::Leaf(rule.value | LEAF));
                1
            } else {
                let inside = rest.partition_point(|rule| slot_of(rule) == first);
                if let Slot::Leaf(inherited) = slots[first] {
                    slots[first] = self.subtree(&rest[..inside], end, inherited);
                }
                inside
            };
            rest = &rest[taken..];
        }
    }

    /// What covers rules that are longer than `start` and agree up to there.
    fn subtree(&mut self, rules: &[Rule<W>], start: u32, inherited: u32) -> Slot<W> {
        let (bits, length) = shared_bits(rules);
        let shared = length - start;
        match rules {
            [rule] => path(bits, start, shared, rule.value | LEAF, inherited),
            [rule, nested] if rule.length == length => {
                let inside = self.subtree(slice::from_ref(nested), length, rule.value | LEAF);
                let inside = self.store(inside);
                path(bits, start, shared, inside, inherited)
            }
            // Whole strides only, so that nodes keep ending where the root table aligned them.
            _ if shared > STRIDE => {
                let length = (shared - 1) / STRIDE * STRIDE;
                let inside = self.branch(rules, start + length, inherited);
                let inside = self.store(inside);
                path(bits, start, length, inside, inherited)
            }
            _ => self.branch(rules, start, inherited),
        }
    }

    /// A node, or no node where all of its slots say the same.
    fn branch(&mut self, rules: &[Rule<W>], start: u32, inherited: u32) -> Slot<W> {
        let mut slots = [Slot::Leaf(inherited); SLOTS];
        self.fill(&mut slots, rules, start, STRIDE);
        let is = |slot: &Slot<W>, leaf: u32| matches!(slot, Slot::Leaf(other) if *other == leaf);
        match slots[0] {
            Slot::Leaf(leaf) if slots.iter().all(|slot| is(slot, leaf)) => slots[0],
            _ => Slot::Node(self.node(&slots)),
        }
    }

    /// Stores the children and leaves of a node.
    fn node(&mut self, slots: &[Slot<W>; SLOTS]) -> Node {
        let mut node = Node {
            inner: 0,
            begins: 0,
            first_child: self.nodes.len() as u32,
            first_leaf: self.leaves.len() as u32,
        };
        let mut previous = None;
        for (index, &slot) in slots.iter().enumerate() {
            if let Slot::Node(child) = slot {
                node.inner |= 1 << index;
                self.nodes.push(child);
                continue;
            }
            let leaf = self.store(slot);
            if previous != Some(leaf) {
                node.begins |= 1 << index;
                self.leaves.push(leaf);
                previous = Some(leaf);
            }
        }
        node
    }

    /// Gives a slot its final form.
    fn store(&mut self, slot: Slot<W>) -> u32 {
        match slot {
            Slot::Leaf(leaf) => leaf,
            Slot::Path(path) => {
                self.paths.push(path);
                (self.paths.len() - 1) as u32 | PATH
            }
            Slot::Node(node) => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        }
    }

    /// Gives a slot of the root table its final form.
    fn root(&mut self, slot: Slot<W>) -> Path<W> {
        if let Slot::Path(path) = slot {
            return path;
        }
        let inside = self.store(slot);
        Path {
            bits: W::default(),
            mask: W::default(),
            length: 0,
            inside,
            outside: inside,
        }
    }
}

/// A path, or no path where it makes no difference.
fn path<W: Word>(bits: W, start: u32, length: u32, inside: u32, outside: u32) -> Slot<W> {
    if inside == outside {
        return Slot::Leaf(outside);
    }
    Slot::Path(Path {
        bits,
        mask: W::mask(start, start + length),
        length,
        inside,
        outside,
    })
}

mod walk;

#[cfg(test)]
mod tests;
