#!/usr/bin/env bash
# Keeps a box busy and troubles it, over and over, then says whether it held.
#
#   scripts/soak.sh [MINUTES]        default 10
#
# Bulk transfers, mail and a zombie cross between network namespaces without a break, while the box
# has its links cut, is stopped, killed, restarted. scripts/soak/soak.py says what is checked; it
# prints a table, and ends with status 1 if anything did not hold. LYCHGATE names another binary
# than the one that is built. Needs root; cleans up, also when it is interrupted.
source "$(dirname "$0")/common.sh"
usage='usage: scripts/soak.sh [MINUTES]'
[ $# -le 1 ] || die "$usage"
minutes=${1:-10}
[[ $minutes =~ ^[1-9][0-9]*$ ]] || die "$usage"
[ "$(id -u)" = 0 ] || die "network namespaces and AF_XDP need root"
install ip iproute2
install nsenter util-linux
install ethtool ethtool
need_aiosmtpd
if [ -z "${LYCHGATE:-}" ]; then
    need_rust
    need_xdp
    say "Building Lychgate"
    cargo build --release
    LYCHGATE=target/release/lychgate
fi
say "$minutes minutes of traffic and trouble"
exec "$PYTHON" scripts/soak/soak.py "$LYCHGATE" "$minutes"
