#!/usr/bin/env bash
# Shows the main job: Lychgate in the wire between subscribers and the internet.
#
#   scripts/demo.sh [DIRECTORY]      where to put the report (default target/demo)
#
# Three network namespaces, real mail servers and clients, and whatever happens to them. It leaves
# nothing behind but the report, also when it is interrupted. Without root or AF_XDP it says so and
# replays a capture instead.
source "$(dirname "$0")/common.sh"
need_rust
need_xdp
out=${1:-target/demo}
mkdir -p "$out"

say "Building Lychgate"
cargo build --release
lychgate=$PWD/target/release/lychgate

# replay WHY: the same judgement, without a wire.
replay() {
    say "$1: replaying an evening in a village instead"
    "$lychgate" replay --policy pcap/village/policy.toml \
        --html "$out/report.html" --json "$out/report.json" \
        --forwarded "$out/forwarded.pcapng" --dropped "$out/dropped.pcapng" \
        pcap/village/input.pcap.gz

    say "Why one of the frames was dropped"
    "$lychgate" explain pcap/village/input.pcap.gz --policy pcap/village/policy.toml \
        --frame "$(sed -n 's/.*"first_frame": *\([0-9]*\).*/\1/p' "$out/report.json" | head -n 1)"
    printf '\nThe report for a browser: %s\nThe same for programs:    %s\n' \
        "$out/report.html" "$out/report.json"
    exit
}

[ "$(id -u)" = 0 ] || replay "Network namespaces and AF_XDP need root"
install ip iproute2
install nsenter util-linux
install ethtool ethtool
install tcpdump tcpdump
install curl curl
need_aiosmtpd

sub=lydemo-$$-sub box=lydemo-$$-box net=lydemo-$$-net
access=lydemo$$a uplink=lydemo$$u
jobs=()
inside() { local name=$1; shift; nsenter --net="/run/netns/$name" "$@"; }
# The same for the background, in place of the shell there, so that $! is the program itself.
start() { local name=$1; shift; exec nsenter --net="/run/netns/$name" "$@"; }

# shellcheck disable=SC2317 # run by the trap
clean_up() {
    trap - EXIT INT TERM
    for job in "${jobs[@]}"; do kill "$job" 2>/dev/null; wait "$job" 2>/dev/null; done
    inside "$box" "$lychgate" detach --access "$access" --uplink "$uplink" >/dev/null 2>&1
    for name in "$sub" "$box" "$net"; do ip netns delete "$name" 2>/dev/null; done
    rm -f "$out/internet.fifo"
}
trap 'code=$?; set +e; clean_up; exit $code' EXIT
trap 'exit 130' INT TERM

# cable NAMESPACE STATION PORT: a cable between a station and the box.
cable() {
    ip -n "$box" link add "$3" numrxqueues 1 numtxqueues 1 type veth \
        peer name "$2" netns "$1" numrxqueues 1 numtxqueues 1
    ip -n "$box" link set "$3" up
    ip -n "$1" link set lo up
    ip -n "$1" link set "$2" up
    # A veth leaves checksums unfinished and sends segments larger than its MTU; and it takes
    # frames from the box only with GRO.
    inside "$1" ethtool -K "$2" tx off tso off gso off gro on >/dev/null
}

# await FILE WORD SECONDS: until a program has said a word.
await() {
    for _ in $(seq $(($3 * 10))); do
        grep -q "$2" "$1" 2>/dev/null && return
        sleep 0.1
    done
    return 1
}

say "Subscribers, a box and the internet: three network namespaces"
for name in "$sub" "$box" "$net"; do ip netns add "$name" || replay "No network namespaces here"; done
cable "$sub" lydemo-s "$access"
cable "$net" lydemo-n "$uplink"
for host in 10 20 66; do ip -n "$sub" addr add "203.0.113.$host/24" dev lydemo-s; done
ip -n "$net" addr add 203.0.113.1/24 dev lydemo-n
ip -n "$sub" route add default via 203.0.113.1
# The internet side answers for every address of these networks: hundreds of mail servers.
for prefix in 192.0.2.0/24 198.51.100.0/24 198.18.0.0/15; do
    ip -n "$net" route add local "$prefix" dev lo
done

# However busy this machine is, nothing is to bypass the worker: hence the deadline.
start "$box" "$lychgate" run --access "$access" --uplink "$uplink" --deadline 10000 \
    --policy scripts/demo/policy.toml --json "$out/run.json" >"$out/run.txt" 2>&1 &
jobs+=($!); inline=$!
await "$out/run.txt" '^running' 60 || { cat "$out/run.txt"; replay "Lychgate cannot run in this wire"; }
cat "$out/run.txt"

start "$sub" tcpdump -i lydemo-s -B 65536 -w "$out/access.pcap" -U --immediate-mode >"$out/tcpdump.txt" 2>&1 &
jobs+=($!); tcpdump=$!
await "$out/tcpdump.txt" listening 60 || { cat "$out/tcpdump.txt"; die "tcpdump doesn't start"; }

mkfifo "$out/internet.fifo"
start "$net" "$PYTHON" scripts/demo/stations.py internet \
    <"$out/internet.fifo" >"$out/internet.txt" 2>"$out/internet.err" &
jobs+=($!); internet=$!
exec 3>"$out/internet.fifo"
await "$out/internet.txt" ready 60 || { cat "$out/internet.err"; die "the mail servers don't start"; }

say "A user, a business and a zombie, all at once"
station() { start "$sub" "$PYTHON" scripts/demo/stations.py "$@"; }
station zombie 300 >"$out/zombie.json" & zombie=$!
station business 40 >"$out/business.json" & business=$!
(station user >"$out/user.json")
inside "$sub" curl --silent --show-error --max-time 20 --interface 203.0.113.10 \
    --output "$out/page.html" http://198.51.100.80/
wait "$business"; wait "$zombie"

exec 3>&-
wait "$internet"
kill -TERM "$inline"; wait "$inline"
kill -TERM "$tcpdump"; wait "$tcpdump" || true
jobs=()

"$PYTHON" - "$out" <<'PYTHON'
import json, pathlib, sys

out = pathlib.Path(sys.argv[1])
read = lambda name: json.loads(out.joinpath(name).read_text().splitlines()[-1])
user, business, zombie = read("user.json"), read("business.json"), read("zombie.json")
internet, run = read("internet.txt"), json.loads(out.joinpath("run.json").read_text())
page = out.joinpath("page.html").stat().st_size
rows = [
    ("a user, 203.0.113.10", f"{user['relay']} mail through the relay, {user['submission']} through submission, a web page of {page:,} octets: all arrived"),
    ("a business, 203.0.113.20", f"{business['sent']} mails to the port 25 of as many servers: all arrived"),
    ("a zombie, 203.0.113.66", f"{sum(zombie[k] for k in ('connected', 'refused', 'silent'))} servers tried in {zombie['seconds']} s: {zombie['connected']} reached, {zombie['refused']} refused at once"),
    ("the internet", f"{internet['relay']} mail at the relay, {internet['submission']} at submission, {internet['others']} elsewhere"),
    ("Lychgate", f"{run['reasons']['admitted']} attempts within a limit, {run['reasons']['limit_exceeded']} beyond it, {run['directions']['outbound']['reset']} resets"),
]
for who, what in rows:
    print(f"  {who:<26} {what}")
wrong = []
if user != {"relay": 1, "submission": 1}: wrong.append("the user's mail")
if (internet["relay"], internet["submission"], internet["others"]) != (1, 1, 40): wrong.append("mail that arrived")
if (zombie["connected"], zombie["refused"]) != (5, 295): wrong.append("the zombie")
if run["reasons"]["limit_exceeded"] != 295: wrong.append("Lychgate's count")
if wrong:
    sys.exit("error: not as it should be: " + ", ".join(wrong))
PYTHON

say "The same wire, captured on the access side: the report"
"$lychgate" replay --policy scripts/demo/policy.toml \
    --html "$out/report.html" --json "$out/report.json" "$out/access.pcap" | sed -n 1p
printf '\nThe report for a browser: %s\nThe same for programs:    %s\nThe capture:              %s\n' \
    "$out/report.html" "$out/report.json" "$out/access.pcap"
