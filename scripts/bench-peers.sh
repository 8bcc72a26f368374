#!/usr/bin/env bash
# Measures Lychgate in the wire beside what else forwards, in network namespaces on this machine.
#
#   scripts/bench-peers.sh [--rounds N] [--seconds S] [--rows PATTERN] [--loads PATTERN] [--no-shares]
#
#   scripts/bench-peers.sh                                    everything: about five minutes
#   scripts/bench-peers.sh --rows 'mail|nftables' --loads 90 --no-shares
#
# Delivered frames a second at full load, medians of alternating rounds: a forwarder that only
# redirects in the kernel, one that only moves frames over AF_XDP, Lychgate in both steerings, a Linux
# bridge alone, with nftables and with iptables, and a limiter in BPF. Then what the core is busy with
# at 200,000 frames/s, what an idle worker takes, and how long frames are in the box.
#
# It needs root and two cores that nothing else uses: the first makes the frames, the second is the
# device under test. Everything it makes is gone when it ends.
case " $* " in *" --help "* | *" -h "*) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0" && exit ;; esac
source "$(dirname "$0")/common.sh"
[ "$(id -u)" = 0 ] || die "network namespaces and XDP need root"
[ "$(nproc)" -ge 2 ] || die "this needs two cores: one to make frames, one to forward them"
need_rust
need_xdp
install ip iproute2
install tc iproute2
install ethtool ethtool
install nft nftables
install iptables iptables
install python3 python3

say "Building"
cargo build --release --bin lychgate --example peers
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
headers=$(find target/release/build -path '*libbpf-sys*/include/bpf/bpf_helpers.h' -print -quit)
clang -O2 -g -target bpf -mcpu=v3 -I"${headers%/bpf/bpf_helpers.h}" \
    -I"/usr/include/$(uname -m)-linux-gnu" -c benches/peers/peers.bpf.c -o "$dir/peers.o"

say "Measuring"
python3 benches/peers/peers.py "$dir" "$@"
