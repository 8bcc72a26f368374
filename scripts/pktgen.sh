#!/usr/bin/env bash
# Searches for the highest rate that a box delivers, on hardware: UDP background from the kernel's
# pktgen on several threads, beside attempts to port 25 from `lychgate blast`.
#
#   scripts/pktgen.sh OUT IN [options]
#
# OUT and IN are two interfaces of this machine, cabled to the two ports of the box: frames leave
# by OUT and are counted at IN. Both carry nothing else while this runs.
#
#   --threads N     pktgen threads, one core each (default 2)
#   --size OCTETS   length of the UDP frames, without frame check sequence (default 60)
#   --max RATE      frames/s of UDP to begin with (default: as many as go)
#   --syn RATE      attempts/s from `lychgate blast` (default 10000; 0 for none)
#   --seconds S     length of each step (default 5)
#   --loss PERCENT  the most that may get lost (default 0.5)
#   --steps N       bisections (default 8)
#
# pktgen makes UDP only, so attempts come from `lychgate blast`, through a packet socket. Prints a
# line a step: offered, delivered, lost; then the highest rate within the loss. Counters are the
# interfaces' own. Cleans up, also when it is interrupted. Needs root and pktgen
# (CONFIG_NET_PKTGEN: the module is in Debian's and Ubuntu's kernels). On a machine without Rust, let
# LYCHGATE name a binary that was built elsewhere. scripts/lab.sh runs this script in its guests.
source "$(dirname "$0")/common.sh"

usage() { sed -n '2,/^source/{/^#/s/^# \{0,1\}//p}' "$0" >&2; die "$1"; }

threads=2 size=60 max=0 syn=10000 seconds=5 loss=0.5 steps=8
ends=()
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) sed -n '2,/^source/{/^#/s/^# \{0,1\}//p}' "$0"; exit ;;
        --threads | --size | --max | --syn | --seconds | --loss | --steps)
            [[ ${2:-} =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage "$1 wants a number"
            [[ $1 = --loss || $2 =~ ^[0-9]+$ ]] || usage "$1 wants a whole number"
            declare "${1#--}=$2"
            shift 2
            ;;
        -*) usage "there is no option $1" ;;
        *) ends+=("$1"); shift ;;
    esac
done
[ ${#ends[@]} = 2 ] || usage "name two interfaces: where frames leave, and where they arrive"
out=${ends[0]} in=${ends[1]}
[ "$out" != "$in" ] || usage "OUT and IN are the same interface"
[ "$threads" -ge 1 ] && [ "$seconds" -ge 1 ] || usage "--threads and --seconds are at least 1"
[ "$size" -ge 60 ] && [ "$size" -le 1514 ] || usage "--size is 60 to 1514"
[ "$(id -u)" = 0 ] || die "pktgen needs root"
install ip iproute2
install awk mawk
for end in "$out" "$in"; do
    ip link show dev "$end" >/dev/null 2>&1 || die "there is no interface $end"
    if ip route show default dev "$end" | grep -q . || ip -6 route show default dev "$end" | grep -q .; then
        die "$end has a default route: a load would go out into the world"
    fi
done
modprobe pktgen 2>/dev/null || true
[ -d /proc/net/pktgen ] || die "this kernel ($(uname -r)) has no pktgen: use one with CONFIG_NET_PKTGEN (Debian: linux-image-$(dpkg --print-architecture 2>/dev/null || uname -m)), or \`lychgate blast\` alone"
[ -e "/proc/net/pktgen/kpktgend_$((threads - 1))" ] || die "pktgen has fewer than $threads threads: one for each core"

jobs=()
was_promiscuous=$(ip -d link show "$in" | grep -c 'PROMISC' || true)
# shellcheck disable=SC2317 # run by the trap
clean_up() {
    set +e
    trap - EXIT INT TERM
    echo stop >/proc/net/pktgen/pgctrl
    for job in "${jobs[@]}"; do kill "$job" 2>/dev/null; wait "$job" 2>/dev/null; done
    for ((thread = 0; thread < threads; thread++)); do
        echo rem_device_all >"/proc/net/pktgen/kpktgend_$thread"
    done
    [ "$was_promiscuous" != 0 ] || ip link set "$in" promisc off
}
trap 'code=$?; clean_up; exit $code' EXIT
trap 'exit 130' INT TERM

lychgate=${LYCHGATE:-target/release/lychgate}
if [ -z "${LYCHGATE:-}" ]; then
    need_rust
    need_xdp
    say "Building Lychgate"
    cargo build --release
fi
ip link set "$in" promisc on

# tell FILE COMMAND: pktgen says in the file itself whether it understood.
tell() {
    echo "$2" >"/proc/net/pktgen/$1" || die "pktgen refuses '$2' for $1"
    grep -q '^Result: OK' "/proc/net/pktgen/$1" || die "pktgen refuses '$2' for $1: $(tail -n 1 "/proc/net/pktgen/$1")"
}

# One device entry a thread, each on a transmit queue of its own. Sources are subscribers of
# `lychgate synth --policy-out`'s policies; ports vary, so that the box's queues share the load.
prepare() {
    local thread
    for ((thread = 0; thread < threads; thread++)); do
        echo rem_device_all >"/proc/net/pktgen/kpktgend_$thread"
        tell "kpktgend_$thread" "add_device $out@$thread"
        local setting
        for setting in "count 0" "clone_skb 0" "burst 1" "pkt_size $size" \
            "src_min 10.$((64 + thread)).0.1" "src_max 10.$((64 + thread)).255.254" \
            "dst 198.18.0.1" "dst_mac 02:00:00:00:00:02" \
            "udp_src_min 1024" "udp_src_max 65000" "udp_dst_min 9" "udp_dst_max 9" \
            "flag IPSRC_RND" "flag UDPSRC_RND" "queue_map_min $thread" "queue_map_max $thread"; do
            tell "$out@$thread" "$setting"
        done
    done
}

# received IF, sent IF: frames so far.
received() { awk -v name="$1:" '$1 == name { print $3 }' /proc/net/dev; }
sent() { awk -v name="$1:" '$1 == name { print $11 }' /proc/net/dev; }

# step RATE: offers UDP at this rate (0: full), and sets offered, delivered and share (% lost).
step() {
    local thread per_thread=0
    [ "$1" = 0 ] || per_thread=$(($1 / threads > 0 ? $1 / threads : 1))
    for ((thread = 0; thread < threads; thread++)); do
        if [ "$per_thread" = 0 ]; then tell "$out@$thread" "delay 0"; else tell "$out@$thread" "ratep $per_thread"; fi
    done
    local sent_before received_before
    sent_before=$(sent "$out") received_before=$(received "$in")
    jobs=()
    if [ "$syn" != 0 ]; then
        "$lychgate" blast --interface "$out" --profile syn --rate "$syn" \
            --time "${seconds}s" --quiet >/dev/null &
        jobs+=($!)
    fi
    # Writing `start` blocks until somebody stops it.
    { echo start >/proc/net/pktgen/pgctrl; } &
    jobs+=($!)
    sleep "$seconds"
    echo stop >/proc/net/pktgen/pgctrl
    wait "${jobs[@]}"
    jobs=()
    # What is still on its way through the box has arrived when the counter stands still.
    local before=-1 now
    now=$(received "$in")
    while [ "$now" != "$before" ]; do before=$now; sleep 0.2; now=$(received "$in"); done
    offered=$((($(sent "$out") - sent_before) / seconds))
    delivered=$(((now - received_before) / seconds))
    share=$(awk "BEGIN { lost = $offered > $delivered ? $offered - $delivered : 0; printf \"%.3f\", 100 * lost / ($offered + !$offered) }")
    printf '%14s %14s %10s %%\n' "$offered" "$delivered" "$share"
}

within() { awk "BEGIN { exit !($share <= $loss) }"; }

prepare
say "Frames/s, $threads threads, UDP of $size octets beside $syn attempts/s, ${seconds} s a step"
printf '%14s %14s %12s\n' offered delivered lost
step "$max"
if within; then
    say "Highest rate within $loss % of loss: all that was offered"
    printf 'offered %s, delivered %s frames/s\n' "$offered" "$delivered"
    exit
fi
low=0 high=$((offered > syn ? offered - syn : offered)) best="none of the rates tried"
for ((number = 0; number < steps; number++)); do
    middle=$(((low + high) / 2))
    step "$middle"
    if within; then
        low=$middle best="offered $offered, delivered $delivered frames/s"
    else
        high=$middle
    fi
done
say "Highest rate within $loss % of loss"
printf '%s\n' "$best"
