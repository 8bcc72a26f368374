// SPDX-License-Identifier: MIT
//
// Refusal leases: the kernel refuses what a worker would refuse.
//
// Theory of operation
//
// 1. Why it can be exact. A refused attempt counts nowhere. So once a source's window is full, every
//    new attempt of it is refused until the first of the counted ones goes out of sight, whatever
//    comes meanwhile. The worker that refuses an attempt knows that moment, `until`, and writes it
//    into `leases`. Until then the answer to a new SYN is known here.
//
// 2. A retransmission is not new. It has the verdict of its first SYN, and that one may have been
//    let through. `syns` remembers SYNs by a hash of addresses, ports and sequence number: those
//    that a worker LET_THROUGH (it notes every one), and those REFUSED here. What is found as let
//    through goes to the worker, which knows more.
//
// 3. Nothing let through is forgotten unnoticed. A SYN that was let through gives up its place in
//    its bucket only if all places hold such SYNs, all younger than LIFETIME_S, and it is the
//    oldest. A place is free of young ones only when its own has grown old, and all that was ever
//    driven out of the bucket before was older still. So if any place is free, no young SYN that was
//    let through is missing from the bucket; if none is free, the worker decides. Both sides write
//    by compare-and-swap: who finds a place changed gives it up, here to the worker.
//
// 4. What was refused here is refused again. When the lease has ended, a retransmission of a SYN
//    that was refused under it goes to the worker, finds itself in `syns`, and is refused as the
//    first one was (src/source/syns.rs, which is the other half of this file).
//
// 5. A lease never says more than the worker knew. It is for one address and one meter (port 25, or
//    587 and 465) of one policy: the address of a subscriber whose class drops what is too much, in
//    a pool without VLANs. Relays have a limit of their own: their addresses are in `relays`. A new
//    policy has a new generation, under which older leases mean nothing; between the new generation
//    and the first lease of the new policy `relays` changes. A lease holds only while
//    the worker of the queue is alive. Whatever is odd about a SYN goes to the worker.
//
// 6. Who has no lease pays next to nothing: `leases_until` says when the last lease ends, and after
//    that nothing is looked up.
//
// 7. Memory is fixed. If `leases` is full, the one that was of no use for longest goes; its source's
//    attempts go to the worker again.

#define LEASES_MAX 65536
#define RELAYS_MAX 65536 // or as many as the first policy has
#define LEASE_COUNTERS_MAX 2000 // METERS for each of as many classes as a policy may have

#define SYN_WAYS 8
#define SYN_LIFETIME_S 128
#define SYN_STATE_BITS 6
#define SYN_TIME_BITS 18
#define SYN_TAG_MASK (~((1ULL << (SYN_STATE_BITS + SYN_TIME_BITS)) - 1))

enum syn_state { SYN_NONE, SYN_LET_THROUGH, SYN_REFUSED };

enum meter { METER_SMTP, METER_SUBMISSION, METERS };

struct lease_key {
	__u32 address[4]; // IPv4: in the first, the others 0
	__u32 meter;      // and the IP version, × 16
};

struct lease {
	__u64 until_ns; // CLOCK_MONOTONIC
	__u32 generation;
	__u32 counter; // which element of `leased` counts its refusals
};

// What all leases share.
struct lease_terms {
	__u64 key[2]; // of the hash
	__u32 buckets;
	__u32 generation;
};

struct syn_bucket {
	__u64 ways[SYN_WAYS];
};

struct prefix_key {
	__u32 prefix_length; // IPv4: 96 more, the address mapped into IPv6
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LEASES_MAX);
	__type(key, struct lease_key);
	__type(value, struct lease);
} leases SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct lease_terms);
} lease_terms SEC(".maps");

// When the last lease ends, at the earliest: a worker may have written it a little later.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} leases_until SEC(".maps");

// User space says how many before it loads this.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syn_bucket);
} syns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RELAYS_MAX); // takes no memory before there are any
	__type(key, struct prefix_key);
	__type(value, __u32);
} relays SEC(".maps");

// Refusals by class and meter.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LEASE_COUNTERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} leased SEC(".maps");

static __always_inline __u32 load4(const __u8 *at)
{
	return *(const __u32 *)at;
}

static __always_inline __u64 octets8(const __u8 *at)
{
	return (__u64)__builtin_bswap32(load4(at)) << 32 | __builtin_bswap32(load4(at + 4));
}

// Both halves of the product of two words, folded into one.
static __always_inline __u64 fold(__u64 one, __u64 other)
{
	__u64 one_low = (__u32)one, one_high = one >> 32;
	__u64 other_low = (__u32)other, other_high = other >> 32;
	__u64 low = one_low * other_low;
	__u64 cross = one_low * other_high;
	__u64 across = one_high * other_low;
	__u64 middle = (low >> 32) + (__u32)cross + (__u32)across;
	__u64 high = one_high * other_high + (cross >> 32) + (across >> 32) + (middle >> 32);

	return (one * other) ^ high;
}

// One SYN: its addresses (`at` an IP header), ports and sequence number.
static __always_inline __u64 syn_hash(const struct lease_terms *terms, const __u8 *at,
				      __u32 version, const __u8 *tcp)
{
	__u64 numbers = octets8(tcp); // the ports and the sequence number stand side by side
	__u64 hash = terms->key[0];

	if (version == 4) {
		hash = fold(octets8(at + 12) ^ hash, numbers ^ terms->key[1]);
	} else {
		hash = fold(octets8(at + 8) ^ hash, octets8(at + 16) ^ terms->key[1]);
		hash = fold(octets8(at + 24) ^ hash, octets8(at + 32) ^ terms->key[1]);
		hash = fold(numbers ^ hash, version ^ terms->key[1]);
	}
	return fold(hash ^ terms->key[1], 0x9e3779b97f4a7c15);
}

// Whether a SYN under a lease is refused here; it is remembered if it was new.
static __always_inline bool refuse_syn(const struct lease_terms *terms, __u64 hash, __u64 now_s)
{
	const __u64 time_mask = (1ULL << SYN_TIME_BITS) - 1;
	__u32 index = ((__u64)(__u32)hash * terms->buckets) >> 32;
	struct syn_bucket *bucket = bpf_map_lookup_elem(&syns, &index);
	__u64 tag = hash & SYN_TAG_MASK;
	__u64 *place = 0, found = 0, oldest = 0;

	if (!bucket)
		return false;
#pragma unroll
	for (int way = 0; way < SYN_WAYS; way++) {
		__u64 entry = *(volatile __u64 *)&bucket->ways[way];
		__u64 state = entry & ((1 << SYN_STATE_BITS) - 1);
		__u64 age_s = (now_s - (entry >> SYN_STATE_BITS)) & time_mask;
		bool is_young = state != SYN_NONE && age_s <= SYN_LIFETIME_S;

		if (is_young && (entry & SYN_TAG_MASK) == tag)
			return state == SYN_REFUSED;
		if (is_young && state == SYN_LET_THROUGH)
			continue;
		// The best place to take: an old one's, else that of the oldest refused one.
		if (!is_young)
			age_s = time_mask;
		if (!place || age_s > oldest) {
			place = &bucket->ways[way];
			found = entry;
			oldest = age_s;
		}
	}
	if (!place)
		return false;
	return __sync_val_compare_and_swap(place, found,
					   tag | (now_s & time_mask) << SYN_STATE_BITS |
						   SYN_REFUSED) == found;
}

static __always_inline bool is_relay(const __u8 *at, __u32 version)
{
	struct prefix_key key = {.prefix_length = 128};

	if (version == 4) {
		key.address[10] = key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, at + 16, 4);
	} else {
		__builtin_memcpy(key.address, at + 24, 16);
	}
	return bpf_map_lookup_elem(&relays, &key);
}

// RFC 1071, of a header without options. Octets that are swapped sum up to a swapped sum.
static __always_inline bool has_good_checksum(const __u8 *at)
{
	__u64 sum = 0;

#pragma unroll
	for (int word = 0; word < 5; word++)
		sum += load4(at + 4 * word);
	sum = (sum >> 32) + (sum >> 16 & 0xffff) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return sum == 0xffff;
}

// Whether what begins at `at`, an IP packet with a plain header, is an attempt to a mail port that a
// lease refuses. Counts it if so.
static __always_inline bool is_refused(const __u8 *at, const __u8 *end, __u32 room, __u32 version)
{
	__u32 header = version == 4 ? 20 : 40;
	const __u8 *tcp = at + header;
	struct lease_key key = {};
	struct lease_terms *terms;
	struct lease *lease;
	__u32 zero = 0, length, offset, port;
	__u64 now, *counter, *until = bpf_map_lookup_elem(&leases_until, &zero);

	if (!until || bpf_ktime_get_coarse_ns() >= *until)
		return false;

	if (tcp + 20 > end)
		return false;
	if (room == UNBOUNDED)
		room = end - at;
	if (room > end - at)
		return false;
	if (version == 4 ? at[0] != 0x45 || (octets2(at + 6) & 0x3fff) || at[9] != PROTOCOL_TCP
			 : at[0] >> 4 != 6 || at[6] != PROTOCOL_TCP)
		return false;
	port = octets2(tcp + 2);
	// SYN, and none of ACK, RST, FIN.
	if (!is_mail(port) || (tcp[13] & 0x17) != 0x02)
		return false;
	length = version == 4 ? octets2(at + 2) : octets2(at + 4) + 40;
	offset = (tcp[12] >> 4) * 4;
	if (length > room || offset < 20 || length < header + offset)
		return false;

	key.meter = (port == 25 ? METER_SMTP : METER_SUBMISSION) | version << 4;
	if (version == 4)
		key.address[0] = load4(at + 12);
	else
		__builtin_memcpy(key.address, at + 8, 16);
	lease = bpf_map_lookup_elem(&leases, &key);
	terms = bpf_map_lookup_elem(&lease_terms, &zero);
	if (!lease || !terms || lease->generation != terms->generation)
		return false;
	now = bpf_ktime_get_ns();
	if (now >= lease->until_ns || (version == 4 && !has_good_checksum(at)) ||
	    is_relay(at, version))
		return false;
	if (!refuse_syn(terms, syn_hash(terms, at, version, tcp), now / 1000000000))
		return false;
	counter = bpf_map_lookup_elem(&leased, &lease->counter);
	if (counter)
		*counter += 1;
	return true;
}

static __always_inline bool is_leased(const struct packet *packet, const __u8 *end)
{
	if (packet->version == 4)
		return is_refused(packet->at, end, packet->room, 4);
	return packet->version == 6 && is_refused(packet->at, end, packet->room, 6);
}
