// SPDX-License-Identifier: MIT
//
// Two peers of Lychgate's kernel program, for scripts/bench-peers.sh.
//
// `redirect` judges nothing: every frame leaves by the other port. Nothing that forwards in the
// kernel can do less.
//
// `limit` does besides what a short program would do against spam: it counts each IPv4 or IPv6
// source's SYNs to port 25 in a hash and drops them beyond `LIMIT` in a minute that begins with the
// first. It knows neither tags nor retransmissions, neither classes nor relays, and twice its limit
// may pass within a minute.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define MINUTE_NS 60000000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct source {
	__u64 begun_ns;
	__u64 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 21);
	__type(key, __u64);
	__type(value, struct source);
} sources SEC(".maps");

// The limit of a source, by whether it is one of the first 512 of its family. 0: none.
const volatile __u64 limits[2];

SEC("xdp")
int redirect_access(void)
{
	return bpf_redirect_map(&ports, 1, XDP_DROP);
}

SEC("xdp")
int redirect_uplink(void)
{
	return bpf_redirect_map(&ports, 0, XDP_DROP);
}

static __always_inline int is_over(__u64 key, __u64 limit)
{
	struct source *source = bpf_map_lookup_elem(&sources, &key);
	__u64 now = bpf_ktime_get_coarse_ns();

	if (!source || now - source->begun_ns > MINUTE_NS) {
		struct source new = {.begun_ns = now, .count = 1};

		bpf_map_update_elem(&sources, &key, &new, BPF_ANY);
		return 0;
	}
	return __sync_fetch_and_add(&source->count, 1) >= limit;
}

SEC("xdp")
int limit_access(struct xdp_md *context)
{
	__u8 *frame = (void *)(long)context->data;
	__u8 *end = (void *)(long)context->data_end;
	__u8 *tcp = frame + 14 + 20;
	__u64 key, limit;

	if (frame + 14 + 20 + 20 > end)
		goto cross;
	if (frame[12] == 0x08 && frame[13] == 0x00 && frame[14] == 0x45 && frame[23] == 6) {
		__u32 address = __builtin_bswap32(*(__u32 *)(frame + 26));

		key = address;
		limit = limits[(address & 0xffffff) < 512];
	} else if (frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == 6) {
		tcp = frame + 14 + 40;
		if (tcp + 20 > end)
			goto cross;
		// The /56.
		key = __builtin_bswap64(*(__u64 *)(frame + 22)) >> 8;
		limit = limits[(key & 0xffffff) < 512];
	} else {
		goto cross;
	}
	if (tcp[2] == 0 && tcp[3] == 25 && (tcp[13] & 0x12) == 0x02 && limit && is_over(key, limit))
		return XDP_DROP;
cross:
	return bpf_redirect_map(&ports, 1, XDP_DROP);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
