// SPDX-License-Identifier: MIT
//
// Blast: makes frames inside the kernel, as fast as an interface takes them.
//
// Theory of operation
//
// 1. User space runs `blast` by BPF_PROG_RUN with live frames (BPF_F_TEST_XDP_LIVE_FRAMES): the
//    kernel hands it buffer after buffer of its own, and sends what comes back with XDP_TX out of
//    the interface that the run names. No packet socket, no skb, no queueing discipline.
//
// 2. `slots` holds the frames to send, whole. The program takes them in turn, copies one into the
//    buffer and cuts the buffer to its length.
//
// 3. So that a few thousand slots become millions of different frames, a slot may say where one
//    32-bit word (of its source address) lies and what it counts through, and where its TCP
//    sequence number lies. Both are changed in the slot itself and the checksums adjusted as
//    routers do (RFC 1624), so that a slot is a correct frame at all times.
//
// 4. With `stamped`, each frame gets 24 octets behind its end: src/load/stamp.rs says what they
//    are. No header counts them, so nothing else changes.
//
// One run at a time uses one loaded object: nothing here is atomic. src/load/template.rs does the
// same in user space, and a test compares the two frame by frame.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

// A mask keeps the verifier content, so this is a power of 2.
#define FRAME_MAX 2048
#define STAMP 24
// Prime, and larger than any count of sources: multiples of it meet every source once a round.
#define STRIDE 2654435761U

struct slot {
	__u32 length;
	// Where the word of the source address lies, in octets; 0: nothing to vary.
	__u16 word;
	// Where checksums lie that cover it: of IPv4, of the transport. 0: there is none.
	__u16 network_checksum;
	__u16 transport_checksum;
	// Where the TCP sequence number lies; 0: there is none.
	__u16 sequence;
	// The word is base + (number of the source << shift).
	__u32 base;
	__u32 shift;
	// Which counter of sources it draws from.
	__u32 family;
	__u8 bytes[FRAME_MAX + 32];
};

struct settings {
	__u32 slots;
	__u32 stamped;
	__u32 run;
	// By family; 0: leave addresses alone.
	__u32 sources[2];
	// The length of the buffers.
	__u32 buffer;
};

struct progress {
	__u64 frames;
	__u64 octets;
	__u64 drawn[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); // set before loading
	__type(key, __u32);
	__type(value, struct slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct progress);
} progress SEC(".maps");

static __always_inline __u32 octets2(const __u8 *at)
{
	return (__u32)at[0] << 8 | at[1];
}

// RFC 1624, equation 3: `change` is the sum of what went, complemented, and of what came.
static __always_inline void adjust(__u8 *at, __u32 change)
{
	__u32 sum = (~octets2(at) & 0xffff) + change;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	at[0] = sum >> 8;
	at[1] = sum;
}

// Puts a word into the slot and says how it changed a checksum.
static __always_inline __u32 put(__u8 *at, __u32 word)
{
	__u32 change = (~octets2(at) & 0xffff) + (~octets2(at + 2) & 0xffff) + (word >> 16) +
		       (word & 0xffff);

	at[0] = word >> 24;
	at[1] = word >> 16;
	at[2] = word >> 8;
	at[3] = word;
	return change;
}

static __always_inline void renew(struct slot *slot, const struct settings *set,
				  struct progress *done)
{
	__u32 change = 0;
	__u32 sources = slot->family ? set->sources[1] : set->sources[0];

	if (slot->word && sources) {
		__u64 *drawn = slot->family ? &done->drawn[1] : &done->drawn[0];
		__u32 source = *drawn % sources * STRIDE % sources;

		*drawn += 1;
		change = put(&slot->bytes[slot->word & 0xff],
			     slot->base + (source << (slot->shift & 31)));
		if (slot->network_checksum)
			adjust(&slot->bytes[slot->network_checksum & 0xff], change);
		if (slot->sequence)
			change += put(&slot->bytes[slot->sequence & 0xff], done->frames);
		if (slot->transport_checksum) {
			__u8 *checksum = &slot->bytes[slot->transport_checksum & 0xff];

			adjust(checksum, change);
			// Of UDP, 0 means that there is no checksum.
			if (!slot->sequence && !octets2(checksum))
				checksum[0] = checksum[1] = 0xff;
		}
	}
}

static __always_inline void stamp(__u8 *at, const struct settings *set, __u64 sequence)
{
	__u32 magic = bpf_htonl(0x4c796368); // "Lych"
	__u32 run = bpf_htonl(set->run);
	__u64 now = bpf_cpu_to_be64(bpf_ktime_get_ns());

	sequence = bpf_cpu_to_be64(sequence);
	__builtin_memcpy(at, &magic, 4);
	__builtin_memcpy(at + 4, &run, 4);
	__builtin_memcpy(at + 8, &sequence, 8);
	__builtin_memcpy(at + 16, &now, 8);
}

SEC("xdp")
int blast(struct xdp_md *context)
{
	__u32 zero = 0, length, key;
	struct settings *set = bpf_map_lookup_elem(&settings, &zero);
	struct progress *done = bpf_map_lookup_elem(&progress, &zero);
	struct slot *slot;

	if (!set || !done || !set->slots)
		return XDP_ABORTED;
	key = done->frames % set->slots;
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot)
		return XDP_ABORTED;
	renew(slot, set, done);
	length = slot->length & (FRAME_MAX - 1);
	if (set->stamped) {
		stamp(&slot->bytes[length], set, done->frames);
		length += STAMP;
	}
	done->frames += 1;
	done->octets += length;
	if (length < 14 || length > FRAME_MAX + STAMP)
		return XDP_ABORTED;
	if (bpf_xdp_adjust_tail(context, (int)length - (int)set->buffer) ||
	    bpf_xdp_store_bytes(context, 0, slot->bytes, length))
		return XDP_ABORTED;
	return XDP_TX;
}

// What some drivers want on an interface before they let frames out that no socket sent.
SEC("xdp")
int pass(struct xdp_md *context)
{
	(void)context;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
