// SPDX-License-Identifier: MIT
//
// Sink: takes whatever arrives on an interface, so that nobody else sees it.
//
// Theory of operation
//
// 1. `listen` hands each frame to the AF_XDP socket of its queue: user space reads stamps and
//    sources. Where a queue has no socket the frame is dropped, and counted as unheard.
//
// 2. `count` and `count_skb` only count and drop. They are for floods that no socket could take:
//    `count` hangs in the driver (XDP), `count_skb` at the ingress hook of traffic control, which
//    costs less where the driver has made an skb already (veth, whose XDP copies such frames).
//
// An attempt is what src/wire calls one, in the plain shapes only: Ethernet II, at most two tags,
// IPv4 without options or IPv6 without extension headers, TCP, SYN without ACK, to a mail port.

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

#define QUEUES_MAX 128

struct tally {
	__u64 frames;
	__u64 octets;
	__u64 attempts;
	__u64 unheard;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

// By queue.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

static __always_inline __u32 octets2(const __u8 *at)
{
	return (__u32)at[0] << 8 | at[1];
}

static __always_inline bool is_tag(__u32 ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8;
}

static __always_inline bool is_attempt(const __u8 *at, const __u8 *end)
{
	__u32 ethertype, destination;

	at += 14;
	if (at > end)
		return false;
	ethertype = octets2(at - 2);
#pragma unroll
	for (int tag = 0; tag < 2 && is_tag(ethertype); tag++) {
		at += 4;
		if (at > end)
			return false;
		ethertype = octets2(at - 2);
	}
	if (ethertype == 0x0800) {
		if (at + 40 > end || at[0] != 0x45 || at[9] != 6 || (octets2(at + 6) & 0x3fff))
			return false;
		at += 20;
	} else if (ethertype == 0x86dd) {
		if (at + 60 > end || at[6] != 6)
			return false;
		at += 40;
	} else {
		return false;
	}
	if (at + 20 > end)
		return false;
	destination = octets2(at + 2);
	return (at[13] & 0x12) == 0x02 &&
	       (destination == 25 || destination == 465 || destination == 587);
}

static __always_inline struct tally *tally(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tallies, &zero);
}

static __always_inline void add(struct tally *tally, const void *data, const void *end, __u32 octets)
{
	tally->frames += 1;
	tally->octets += octets;
	tally->attempts += is_attempt(data, end);
}

SEC("xdp")
int count(struct xdp_md *context)
{
	void *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	struct tally *mine = tally();

	if (mine)
		add(mine, data, end, end - data);
	return XDP_DROP;
}

SEC("tc")
int count_skb(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct tally *mine = tally();

	if (mine)
		add(mine, data, end, skb->len);
	return TC_ACT_SHOT;
}

SEC("xdp")
int listen(struct xdp_md *context)
{
	long action = bpf_redirect_map(&sockets, context->rx_queue_index, XDP_DROP);
	struct tally *mine = tally();

	if (mine && action != XDP_REDIRECT)
		mine->unheard += 1;
	return action;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
