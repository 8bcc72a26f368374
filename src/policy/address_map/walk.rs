//! Every prefix of the map with its value, in ascending order: for what asks about all addresses at
//! once, such as an SPF record. Not for frames.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{AddressMap, LEAF, NOTHING, Node, PATH, Path, SLOTS, STRIDE, Trie, Word};

impl AddressMap {
    /// Calls `visit` with prefixes that lie side by side, IPv4 first, and the value that all
    /// addresses of each have. Addresses that no prefix covers are left out.
    pub(in crate::policy) fn each(&self, visit: &mut dyn FnMut(IpNet, u32)) {
        self.v4.each(&mut |bits, length, value| {
            let address = Ipv4Addr::from_bits(bits);
            visit(Ipv4Net::new_assert(address, length as u8).into(), value);
        });
        self.v6.each(&mut |bits, length, value| {
            let address = Ipv6Addr::from_bits(bits);
            visit(Ipv6Net::new_assert(address, length as u8).into(), value);
        });
    }
}

/// Receives the first bits of an address, how many they are, and the value.
type Visit<'v, W> = &'v mut dyn FnMut(W, u32, u32);

impl<W: Word> Trie<W> {
    fn each(&self, visit: Visit<'_, W>) {
        let shared = self.shared.and(self.shared_mask);
        let length = self.shared_length + self.root_bits;
        for (index, path) in self.root.iter().enumerate() {
            if let Some(bits) = W::placed(index, self.shared_length, self.root_bits) {
                self.path(path, shared.or(bits), length.min(W::WIDTH), visit);
            }
        }
    }

    /// A slot whose address bits so far are the first `length` of `bits`.
    fn slot(&self, slot: u32, bits: W, length: u32, visit: Visit<'_, W>) {
        if slot & LEAF != 0 {
            let value = slot & !LEAF;
            if value != NOTHING {
                visit(bits, length, value);
            }
        } else if slot & PATH != 0 {
            if let Some(path) = self.paths.get((slot & !PATH) as usize) {
                self.path(path, bits, length, visit);
            }
        } else if let Some(node) = self.nodes.get(slot as usize) {
            self.node(node, bits, length, visit);
        }
    }

    /// What leaves the path does so at one of its bits: before it or behind it, in order.
    fn path(&self, path: &Path<W>, bits: W, length: u32, visit: Visit<'_, W>) {
        let end = length + path.length;
        let along = |until: u32| bits.or(path.bits.and(W::mask(length, until)));
        for bit in length..end {
            if path.bits.bits(bit, 1) == 1 {
                self.slot(path.outside, along(bit), bit + 1, visit);
            }
        }
        self.slot(path.inside, along(end), end, visit);
        for bit in (length..end).rev() {
            if path.bits.bits(bit, 1) == 0
                && let Some(other) = W::placed(1, bit, 1)
            {
                self.slot(path.outside, along(bit).or(other), bit + 1, visit);
            }
        }
    }

    fn node(&self, node: &Node, bits: W, length: u32, visit: Visit<'_, W>) {
        let end = (length + STRIDE).min(W::WIDTH);
        for index in 0..SLOTS {
            // Slots beyond the end of an address are copies of the first one.
            let Some(own) = W::placed(index, length, STRIDE) else {
                continue;
            };
            let before = (1_u64 << index) - 1;
            let slot = if node.inner >> index & 1 != 0 {
                node.first_child + (node.inner & before).count_ones()
            } else {
                let begun = (node.begins & (before << 1 | 1)).count_ones();
                let leaf = (node.first_leaf + begun).wrapping_sub(1);
                self.leaves
                    .get(leaf as usize)
                    .copied()
                    .unwrap_or(NOTHING | LEAF)
            };
            self.slot(slot, bits.or(own), end, visit);
        }
    }
}
