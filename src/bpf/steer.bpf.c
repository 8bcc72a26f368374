// SPDX-License-Identifier: MIT
//
// Steering: which frames a worker sees, and how frames cross without one.
//
// Theory of operation
//
// 1. Two ports, two programs. `steer_access` and `steer_uplink` are one function, told which port
//    it sits on. They share all maps. What became of a frame is one of `enum fate`, and each
//    fate has one counter for each port. Nothing here ever changes a frame.
//
// 2. To user space. `sockets` holds the AF_XDP socket of each queue of each port. A queue belongs
//    to one worker on both ports, so frames of one flow in one direction stay in order.
//
// 3. Bypass. A frame that finds no worker leaves by the other port, through `ports`, in the same
//    run of the program. It finds none if
//      - its queue has no socket. When a process ends, however it ends, the kernel takes its
//        sockets out of `sockets` itself: the very next frame crosses;
//      - its worker's heartbeat is older than the deadline: the process hangs or was stopped. The
//        worker stores the time into `heartbeats`, a page it shares with the kernel, without a
//        system call. Both sides read the coarse clock, which is a memory read and ticks every 1
//        to 10 ms; a worker that never lived has 0 there and is stale by itself.
//    What waits in a hung worker's receive ring is late or lost: at most a ring full.
//
// 4. Fail closed. With `fail` closed, what would bypass is dropped and counted instead.
//
// 5. Steering. With `steer` all, every frame goes to user space, and nothing here looks into it.
//    With `steer` mail, a frame that is positively harmless crosses in the kernel, whether or not
//    there is a worker and also when failing closed: no worker would have stopped it. Harmless is
//    what src/wire calls not mail and can be seen at once:
//      - Ethernet II, up to 8 VLAN tags, then IP, or PPPoE and IP, or up to 8 MPLS labels and IP;
//      - IPv4 without options and not a fragment, IPv6 without extension headers;
//      - ICMP; or UDP outside the tunnels' ports; or TCP with neither port mail's, both ports
//        within every length that the headers state.
//    Whatever is odd, short, unknown or not understood here goes to user space, where the full
//    decoder is. tests/afxdp feeds the same frames to both and compares.
//
// 6. Walls. What a quarantined subscriber sends is not harmless just because it is not mail:
//    wall.bpf.h.
//
// 7. Leases. What steering would hand to a worker is dropped if a worker has said that it would be
//    refused: lease.bpf.h.
//
// 8. Life. The programs hang on their ports by BPF links, pinned in the BPF file system: they stay
//    when the process ends. A new process puts its own programs into the pinned links in one step,
//    so that no frame ever meets an empty hook, and its own maps come with them.
//
// 9. Time. Of the frames that a worker gets, one in so many (`stamp_mask` says which) carries the
//    time in front of it, as XDP metadata: a `struct stamp`, which the kernel copies into the
//    worker's memory ahead of the frame's first octet. Only these: what crosses in the kernel never
//    carries one. A driver that has no room for metadata leaves the frame as it is, and so do we.
//    A frame that finds its receive ring full may leave its stamp to the next one in its place in
//    memory; that stamp is older than its frame by as long as the ring was full.
//
// User space sets `settings` and may change it at any time; every frame reads it anew.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>

enum side { ACCESS, UPLINK, SIDES };

enum fate {
	FATE_TO_WORKER,         // handed to the queue's socket
	FATE_HARMLESS,          // crossed in the kernel: certainly not mail
	FATE_LEASED,            // dropped: a worker said that its source is refused until later
	FATE_BYPASS_NO_SOCKET,  // crossed in the kernel: no worker on this queue
	FATE_BYPASS_STALE,      // crossed in the kernel: the worker's heartbeat is too old
	FATE_CLOSED_NO_SOCKET,  // dropped: as above, but failing closed
	FATE_CLOSED_STALE,      // dropped: as above, but failing closed
	FATE_NO_PORT,           // dropped: the other port is gone
	FATES,
};

enum steer { STEER_ALL, STEER_MAIL };
enum fail { FAIL_OPEN, FAIL_CLOSED };

struct settings {
	__u64 deadline_ns;
	__u64 stamp_mask; // a frame is stamped if its number has none of these bits
	__u32 steer;
	__u32 fail;
};

// What a stamped frame carries in front of it.
struct stamp {
	__u64 time_ns; // CLOCK_MONOTONIC
	__u64 mark;
};

#define STAMP_MARK 0x4c79636867617465 // "Lychgate"

// One cache line each, so that a worker's heartbeat disturbs no other worker.
struct heartbeat {
	__u64 time_ns;
	__u64 unused[7];
};

#define QUEUES_MAX 128

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

// By queue.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, QUEUES_MAX);
	__type(key, __u32);
	__type(value, struct heartbeat);
} heartbeats SEC(".maps");

// By queue × SIDES + side of arrival.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, QUEUES_MAX * SIDES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// By side.
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, SIDES);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

// By fate × SIDES + side of arrival.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, FATES * SIDES);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

// The number of this frame among those of its fate, on this CPU; from 1.
static __always_inline __u64 count(enum side side, enum fate fate)
{
	__u32 key = fate * SIDES + side;
	__u64 *counter = bpf_map_lookup_elem(&counters, &key);

	return counter ? *counter += 1 : 0;
}

// -- What is harmless --------------------------------------------------------------------------

#define TAGS_MAX 8

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_MPLS 0x8847
#define ETHERTYPE_MPLS_MULTICAST 0x8848
#define ETHERTYPE_PPPOE_SESSION 0x8864
#define PPP_IPV4 0x0021
#define PPP_IPV6 0x0057

#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58

// More than any length that a header states: nothing has bounded the packet yet.
#define UNBOUNDED 0x20000

static __always_inline __u32 octets2(const __u8 *at)
{
	return (__u32)at[0] << 8 | at[1];
}

static __always_inline bool is_tag(__u32 ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

static __always_inline bool is_mail(__u32 port)
{
	return port == 25 || port == 465 || port == 587;
}

// UDP ports of tunnels, which src/wire counts apart: L2TP, GTP, Teredo, GRE, VXLAN, Geneve.
static __always_inline bool is_tunnel(__u32 port)
{
	return port == 1701 || port == 2123 || port == 2152 || port == 3544 || port == 4754 ||
	       port == 4755 || port == 4789 || port == 6081;
}

// What protocol and ports say, and whether the packet, by its own length, has ports. UDP never
// carries mail, whatever its length.
static __always_inline bool is_harmless_transport(__u32 protocol, bool has_ports,
						  const __u8 *ports)
{
	__u32 source = octets2(ports);
	__u32 destination = octets2(ports + 2);

	if (protocol == PROTOCOL_TCP)
		return has_ports && !is_mail(source) && !is_mail(destination);
	return protocol == PROTOCOL_UDP && !is_tunnel(source) && !is_tunnel(destination);
}

static __always_inline bool is_harmless_ipv4(const __u8 *at, const __u8 *end, __u32 room)
{
	const __u32 look = 24; // a plain header, and two ports

	if (at + look > end || room < look || at[0] != 0x45 || (octets2(at + 6) & 0x3fff))
		return false;
	if (at[9] == PROTOCOL_ICMP)
		return true;
	return is_harmless_transport(at[9], octets2(at + 2) >= look, at + 20);
}

static __always_inline bool is_harmless_ipv6(const __u8 *at, const __u8 *end, __u32 room)
{
	const __u32 look = 44;

	if (at + look > end || room < look || at[0] >> 4 != 6)
		return false;
	if (at[6] == PROTOCOL_ICMPV6)
		return true;
	return is_harmless_transport(at[6], octets2(at + 4) + 40 >= look, at + 40);
}

// Where a frame's IP packet begins.
struct packet {
	const __u8 *at;
	__u32 version; // 0: it has none that can be seen at once
	__u32 room;    // what the layers around it leave for it
};

static __always_inline struct packet find_packet(const __u8 *frame, const __u8 *end)
{
	struct packet none = {.at = frame};
	struct packet packet = {.at = frame + 14, .room = UNBOUNDED};
	__u32 ethertype;

	if (packet.at > end)
		return none;
	ethertype = octets2(packet.at - 2);
#pragma unroll
	for (int tag = 0; tag < TAGS_MAX && is_tag(ethertype); tag++) {
		packet.at += 4;
		if (packet.at > end)
			return none;
		ethertype = octets2(packet.at - 2);
	}
	if (ethertype == ETHERTYPE_IPV4) {
		packet.version = 4;
	} else if (ethertype == ETHERTYPE_IPV6) {
		packet.version = 6;
	} else if (ethertype == ETHERTYPE_PPPOE_SESSION) {
		// RFC 2516 section 4; the length counts the PPP protocol field.
		if (packet.at + 8 > end || octets2(packet.at + 4) < 2)
			return none;
		packet.room = octets2(packet.at + 4) - 2;
		packet.version = octets2(packet.at + 6) == PPP_IPV4   ? 4
				 : octets2(packet.at + 6) == PPP_IPV6 ? 6
								      : 0;
		packet.at += 8;
	} else if (ethertype == ETHERTYPE_MPLS || ethertype == ETHERTYPE_MPLS_MULTICAST) {
		// RFC 3032: a label stack, then IP if the first half octet says so.
		bool bottom = false;

#pragma unroll
		for (int label = 0; label < TAGS_MAX && !bottom; label++) {
			if (packet.at + 5 > end)
				return none;
			bottom = packet.at[2] & 1;
			packet.at += 4;
		}
		packet.version = bottom ? packet.at[0] >> 4 : 0;
	}
	return packet;
}

static __always_inline bool is_harmless(const struct packet *packet, const __u8 *end)
{
	if (packet->version == 4)
		return is_harmless_ipv4(packet->at, end, packet->room);
	return packet->version == 6 && is_harmless_ipv6(packet->at, end, packet->room);
}

#include "lease.bpf.h"
#include "wall.bpf.h"

// -- Where it goes -----------------------------------------------------------------------------

// Out of the other port, counted as `fate`.
static __always_inline int cross(enum side side, enum fate fate)
{
	enum side other = side == ACCESS ? UPLINK : ACCESS;
	long action = bpf_redirect_map(&ports, other, XDP_DROP);

	count(side, action == XDP_REDIRECT ? fate : FATE_NO_PORT);
	return action;
}

static __always_inline bool is_alive(__u32 queue, __u64 deadline_ns)
{
	struct heartbeat *heartbeat = bpf_map_lookup_elem(&heartbeats, &queue);

	if (!heartbeat)
		return false;
	// Signed: the worker may have read the clock after us.
	return (__s64)(bpf_ktime_get_coarse_ns() - *(volatile __u64 *)&heartbeat->time_ns) <=
	       (__s64)deadline_ns;
}

// Puts the time in front of a frame, if the driver has room there.
static __always_inline void stamp(struct xdp_md *context)
{
	struct stamp *stamp;

	if (bpf_xdp_adjust_meta(context, -(int)sizeof(*stamp)))
		return;
	stamp = (void *)(long)context->data_meta;
	if ((void *)(stamp + 1) > (void *)(long)context->data)
		return; // cannot be: that much was asked for
	stamp->time_ns = bpf_ktime_get_ns();
	stamp->mark = STAMP_MARK;
}

static __always_inline int steer(struct xdp_md *context, enum side side)
{
	__u32 queue = context->rx_queue_index;
	__u32 zero = 0;
	struct settings *settings_now = bpf_map_lookup_elem(&settings, &zero);
	bool no_socket;

	if (!settings_now)
		return XDP_DROP; // cannot be: an array always has its element
	if (settings_now->steer == STEER_MAIL) {
		const __u8 *end = (void *)(long)context->data_end;
		struct packet packet = find_packet((void *)(long)context->data, end);

		if (is_harmless(&packet, end)) {
			if (side != ACCESS || !is_walled(&packet, end))
				return cross(side, FATE_HARMLESS);
		} else if (side == ACCESS && is_alive(queue, settings_now->deadline_ns) &&
			   is_leased(&packet, end)) {
			count(side, FATE_LEASED);
			return XDP_DROP;
		}
	}
	no_socket = bpf_redirect_map(&sockets, queue * SIDES + side, XDP_DROP) != XDP_REDIRECT;
	if (!no_socket && is_alive(queue, settings_now->deadline_ns)) {
		if (!(count(side, FATE_TO_WORKER) & settings_now->stamp_mask))
			stamp(context);
		return XDP_REDIRECT;
	}
	if (settings_now->fail == FAIL_CLOSED) {
		count(side, no_socket ? FATE_CLOSED_NO_SOCKET : FATE_CLOSED_STALE);
		return XDP_DROP;
	}
	return cross(side, no_socket ? FATE_BYPASS_NO_SOCKET : FATE_BYPASS_STALE);
}

SEC("xdp")
int steer_access(struct xdp_md *context)
{
	return steer(context, ACCESS);
}

SEC("xdp")
int steer_uplink(struct xdp_md *context)
{
	return steer(context, UPLINK);
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
