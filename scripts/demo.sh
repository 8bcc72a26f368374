#!/usr/bin/env bash
# Shows the main job: replays a bundled capture under a policy and writes an HTML report.
#
#   scripts/demo.sh [DIRECTORY]      where to put the report (default target/demo)
source "$(dirname "$0")/common.sh"
need_rust
need_xdp
out=${1:-target/demo}
mkdir -p "$out"

say "Building Lychgate"
cargo build --release

say "Replaying an evening in a village: users, a business mail server, zombies"
target/release/lychgate replay --policy pcap/village/policy.toml \
    --html "$out/report.html" --json "$out/report.json" \
    --forwarded "$out/forwarded.pcapng" --dropped "$out/dropped.pcapng" \
    pcap/village/input.pcap.gz

say "Why one of the frames was dropped"
target/release/lychgate explain pcap/village/input.pcap.gz \
    --policy pcap/village/policy.toml \
    --frame "$(sed -n 's/.*"first_frame": *\([0-9]*\).*/\1/p' "$out/report.json" | head -n 1)"

printf '\nThe report for a browser: %s\nThe same for programs:    %s\n' \
    "$out/report.html" "$out/report.json"
printf 'What would have crossed, and what not (for Wireshark): %s, %s\n' \
    "$out/forwarded.pcapng" "$out/dropped.pcapng"
