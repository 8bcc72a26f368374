// SPDX-License-Identifier: MIT
//
// Walls: who may not have everything that is harmless.
//
// Theory of operation
//
// 1. A quarantined subscriber's pages in the clear are answered with the notice, and from one in the
//    walled garden hardly anything crosses. A worker does both, so what steering would keep must come
//    to it: under WALL_EVERYTHING all that comes from the access port under an address in `walls`,
//    under WALL_WEB the segments to port 80. Nothing is decided here; a worker that lets such a frame
//    cross sends it on as any other.
//
// 2. `walls` knows addresses by the longest prefix. `walls_up` says whether it is worth a look, and
//    nobody pays for walls where there are none. Where user space could not put all in, WALLS_ALL
//    brings everything from the access port to the workers.
//
// 3. Without a living worker a wall is as open, or as closed, as everything else is.

#define WALLS_MAX 65536

enum wall { WALL_NONE, WALL_WEB, WALL_EVERYTHING };
enum walls { WALLS_NONE, WALLS_SOME, WALLS_ALL };

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WALLS_MAX);
	__type(key, struct prefix_key);
	__type(value, __u32);
} walls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} walls_up SEC(".maps");

// Whether a harmless packet, whose header and ports are there, is for a worker all the same.
static __always_inline bool is_walled(const struct packet *packet, const __u8 *end)
{
	const __u8 *at = packet->at;
	struct prefix_key key = {.prefix_length = 128};
	__u32 zero = 0, protocol, port, *wall, *up = bpf_map_lookup_elem(&walls_up, &zero);

	if (!up || *up == WALLS_NONE)
		return false;
	if (*up == WALLS_ALL)
		return true;
	if (packet->version == 4) {
		if (at + 24 > end)
			return true; // cannot be: it would not be harmless
		key.address[10] = key.address[11] = 0xff;
		__builtin_memcpy(key.address + 12, at + 12, 4);
		protocol = at[9];
		port = octets2(at + 22);
	} else {
		if (at + 44 > end)
			return true; // as above
		__builtin_memcpy(key.address, at + 8, 16);
		protocol = at[6];
		port = octets2(at + 42);
	}
	wall = bpf_map_lookup_elem(&walls, &key);
	if (!wall)
		return false;
	return *wall == WALL_EVERYTHING || (protocol == PROTOCOL_TCP && port == 80);
}
