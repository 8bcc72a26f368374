#!/usr/bin/env bash
# Times `lychgate replay` on a capture in the page cache beside `tcpdump -r` and tshark.
#
#   scripts/bench-replay.sh [FRAMES [ROUNDS]]      default 3000000 frames, 7 rounds
#
# Whole processes, one core each, in alternating rounds, so that whatever else the machine does
# meets them alike; medians of CPU (user + system) and wall seconds. `start-up` is a replay of a
# capture without a frame: mostly the kernel clearing the source table's memory. `copy` is cat: the
# kernel's copy of the file into a buffer, which every reader pays. tshark, far slower, gets the
# first 200000 frames once a round, and is scaled by frames.
#
# tcpdump selects mail and writes it to /dev/null, once as one would type it, and once also with the
# submission ports and behind a VLAN tag. Neither looks into a second tag, PPPoE or MPLS, follows an
# IPv6 extension header or keeps a count per subscriber, which replay does.
source "$(dirname "$0")/common.sh"
frames=${1:-3000000}
rounds=${2:-7}
need_rust
install tcpdump tcpdump
install tshark tshark
install python3 python3

say "Building Lychgate"
cargo build --release

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
say "Writing $frames frames to $dir"
target/release/lychgate synth "$dir/mixed.pcap" --profile mixed --frames "$frames" \
    --policy-out "$dir/policy.toml"
head -c 24 "$dir/mixed.pcap" >"$dir/empty.pcap"
tcpdump -r "$dir/mixed.pcap" -c 200000 -w "$dir/first.pcap" 2>/dev/null

say "Timing, $rounds rounds"
python3 - "$dir" "$frames" "$rounds" <<'PYTHON'
import os, statistics, subprocess, sys, time

folder, frames, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
mixed, first, empty = (f"{folder}/{name}.pcap" for name in ("mixed", "first", "empty"))
replay = ["target/release/lychgate", "replay", "--quiet", "--policy", f"{folder}/policy.toml"]
mail = "tcp dst port 25 or 465 or 587"
to_nowhere = ["tcpdump", "-r", mixed, "-w", "/dev/null"]
runs = {
    "replay": (frames, [*replay, mixed]),
    "tcpdump, port 25": (frames, [*to_nowhere, "tcp dst port 25"]),
    "tcpdump, mail, vlan": (frames, [*to_nowhere, f"({mail}) or (vlan and ({mail}))"]),
    "tshark": (min(frames, 200_000), ["tshark", "-n", "-r", first, "-Y", "tcp.dstport == 25"]),
    "start-up": (None, [*replay, empty]),
    "copy": (frames, ["cat", mixed]),
}


def seconds(command):
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"error: exit status {process.returncode} of {' '.join(command)}")
    return usage.ru_utime + usage.ru_stime, time.monotonic() - start


# Pinned, and what is pinned is inherited: one core for all of them, the last one.
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
seconds(["cat", mixed])
taken = {name: [] for name in runs}
for _ in range(rounds):
    for name, (_, command) in runs.items():
        taken[name].append(seconds(command))

print(f"{'':22}{'CPU s':>8}{'wall s':>8}{'ns/frame':>10}{'M frames/s':>12}{'CPU of replay':>15}")
median = {name: [statistics.median(one) for one in zip(*times)] for name, times in taken.items()}
per_frame = {name: median[name][0] / count for name, (count, _) in runs.items() if count}
for name, (cpu, wall) in median.items():
    line = f"{name:22}{cpu:8.3f}{wall:8.3f}"
    if name in per_frame:
        each = per_frame[name]
        ratio = each / per_frame["replay"]
        line += f"{each * 1e9:10.0f}{1e-6 / each:12.2f}{ratio:14.2f}x"
    print(line)
steady = (median["replay"][0] - median["start-up"][0]) / frames
print(f"\nreplay without start-up: {steady * 1e9:.0f} ns/frame, {1e-6 / steady:.2f} M frames/s")
PYTHON
