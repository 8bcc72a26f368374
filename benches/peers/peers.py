"""Measures forwarders side by side on veth; scripts/bench-peers.sh runs it, and tells how to read it.

One core makes the frames, the other is the device under test: its NAPI threads, its worker if it has
one, and the sink behind it, which counts at the ingress of traffic control and drops.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

LYCHGATE = "target/release/lychgate"
PEERS = "target/release/examples/peers"
GENERATOR, DEVICE = 0, 1  # cores
SPACES = {end: f"lypeers-{end}" for end in ("gen", "box", "sink")}
ACCESS, UPLINK, SOURCE, SINK = "lypeers-a", "lypeers-u", "lypeers-g", "lypeers-s"
BRIDGE = "lypeers-br"

# The generator's sources are 10.0.0.0 and following, and /56 prefixes of 2001:db8::/32. The first
# 512 of each family are a tenth of them all, and are never limited.
SOURCES = 10_240
FREE = ("10.0.0.0/23", "2001:db8::/47")
REST = (
    "10.0.2.0/23 10.0.4.0/22 10.0.8.0/21 10.0.16.0/20 10.0.32.0/19 10.0.64.0/18 10.0.128.0/17 "
    "10.1.0.0/16 10.2.0.0/15 10.4.0.0/14 10.8.0.0/13 2001:db8:2::/47 2001:db8:4::/46 "
    "2001:db8:8::/45 2001:db8:10::/44 2001:db8:20::/43 2001:db8:40::/42 2001:db8:80::/41 "
    "2001:db8:100::/40 2001:db8:200::/39 2001:db8:400::/38 2001:db8:800::/37 2001:db8:1000::/36"
).split()
MANY, FEW = 1_000, 3  # attempts: a second, and so never reached; a minute, and so soon exceeded

# What is offered, of how many sources, and whether nine of ten sources are beyond their limit.
LOADS = {
    "mixed": ("mixed", SOURCES, False),
    "syn": ("syn", SOURCES, False),
    "syn, 90 % refused": ("syn", SOURCES, True),
    "syn, 1M sources": ("syn", 1_000_000, False),
}


def run(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"error: {' '.join(command)}: {done.stderr.strip()[:500]}")
    return done.stdout


def inside(end, *command):
    return ("nsenter", f"--net=/run/netns/{SPACES[end]}", *command)


def write(end, path, value):
    """To sysfs or /proc/sys as the namespace has it."""
    run("ip", "netns", "exec", SPACES[end], "sh", "-c", f"echo {value} > {path}")


@contextlib.contextmanager
def cables():
    with contextlib.ExitStack() as stack:
        for name in SPACES.values():
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name, check=False)
        queues = ("numrxqueues", "1", "numtxqueues", "1")
        for end, far, near in (("gen", SOURCE, ACCESS), ("sink", SINK, UPLINK)):
            run("ip", "link", "add", far, "netns", SPACES[end], *queues, "type", "veth",
                "peer", "name", near, "netns", SPACES["box"], *queues)
        for end, port in (("gen", SOURCE), ("sink", SINK), ("box", ACCESS), ("box", UPLINK)):
            run("ip", "netns", "exec", SPACES[end], "sysctl", "-qw",
                "net.ipv6.conf.all.disable_ipv6=1")
            # GRO has a veth poll, which it must to take frames from a program.
            run(*inside(end, "ethtool", "-K", port, "gro", "on", "tx", "off", "tso", "off"))
            run("ip", "-n", SPACES[end], "link", "set", port, "up", "promisc", "on")
        for port in (ACCESS, UPLINK):
            write("box", f"/sys/class/net/{port}/threaded", 1)
        yield


def pin_napi():
    """The device's NAPI threads onto its core, as nice as we are."""
    for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if comm.read_text().startswith("napi/lypeers"):
                run("taskset", "-pc", str(DEVICE), comm.parent.name, check=False)
                run("renice", "-n", str(os.nice(0)), "-p", comm.parent.name, check=False)


@contextlib.contextmanager
def awake():
    """Keeps the device's core from halting when it has nothing to do: in a virtual machine, it takes
    the host longer to wake it than a veth's ring of 256 frames lasts. What spins has the least of
    all priorities."""
    spin = ("chrt", "--idle", "0", "taskset", "-c", str(DEVICE), "sh", "-c", "while :; do :; done")
    with subprocess.Popen(spin) as child:
        try:
            yield
        finally:
            child.kill()


@contextlib.contextmanager
def process(command, is_ready, stop):
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    try:
        for line in child.stdout:
            if is_ready(line):
                break
        else:
            sys.exit(f"error: {' '.join(command)}: {child.stderr.read().strip()}")
        yield child
    finally:
        stop(child)
        child.communicate(timeout=20)


def helper(*arguments):
    """One of benches/peers/peers.rs: ends with its input."""
    command = inside("box", PEERS, arguments[0], ACCESS, UPLINK, *arguments[1:])
    return process(command, lambda line: line == "ready\n", lambda child: None)


class Bench:
    def __init__(self, folder, seconds, sink="xdp"):
        self.folder, self.seconds, self.sink = pathlib.Path(folder), seconds, sink

    # -- forwarders ----------------------------------------------------------------------------

    def redirect(self, refusing):
        return helper("redirect", f"{self.folder}/peers.o")

    def limiter(self, refusing):
        # Its window is a minute: what is never to be reached is more than that of a second.
        many = 60 * MANY * 1000
        return helper("limit", f"{self.folder}/peers.o", str(FEW if refusing else many), str(many))

    def afxdp(self, refusing):
        return helper("afxdp", str(DEVICE))

    def hybrid(self, refusing):
        return helper("hybrid", str(DEVICE))

    @contextlib.contextmanager
    def bridge(self, refusing, filters=()):
        box = ("ip", "-n", SPACES["box"])
        run(*box, "link", "add", "name", BRIDGE, "type", "bridge", "forward_delay", "0")
        try:
            for port in (ACCESS, UPLINK):
                run(*box, "link", "set", port, "master", BRIDGE)
            run(*box, "link", "set", BRIDGE, "up")
            iptables = any("tables" in command[0] for command in filters)
            for table in ("iptables", "ip6tables"):
                write("box", f"/proc/sys/net/bridge/bridge-nf-call-{table}", int(iptables))
            for command in filters:
                run(*inside("box", *command))
            yield
        finally:
            run(*inside("box", "nft", "flush", "ruleset"), check=False)
            run(*box, "link", "delete", BRIDGE)

    def nftables(self, refusing):
        few = f"{FEW}/minute burst {FEW} packets" if refusing else f"{MANY}/second"
        rules, sets = [], []
        for family, kind, key, free in (
            ("ip", "ipv4_addr", "ip saddr", FREE[0]),
            ("ip6", "ipv6_addr", "ip6 saddr and ffff:ffff:ffff:ff00::", FREE[1]),
        ):
            for name, limit, test in (("many", f"{MANY}/second", "=="), ("few", few, "!=")):
                sets.append(f"set {name}{family} {{ type {kind}; flags dynamic; timeout 60s; "
                            "size 2000000; }")
                rules.append(f"{family} saddr {test} {free} tcp dport 25 tcp flags & (syn|ack) == "
                             f"syn update @{name}{family} {{ {key} limit rate over {limit} }} drop")
        lines = ["table bridge peers {", *sets, "chain forward {",
                 "type filter hook forward priority 0;", *rules, "}", "}", ""]
        path = self.folder / "rules.nft"
        path.write_text("\n".join(lines))
        return self.bridge(refusing, [("nft", "-f", str(path))])

    def hashlimit(self, refusing):
        commands = []
        for table, free, mask in (("iptables", FREE[0], "32"), ("ip6tables", FREE[1], "56")):
            match = ("-p", "tcp", "--dport", "25", "--syn", "-m", "hashlimit",
                     "--hashlimit-mode", "srcip", "--hashlimit-srcmask", mask,
                     "--hashlimit-htable-size", "262144", "--hashlimit-htable-max", "2000000")
            for name, sources, rate in (("many", ("-s", free), f"{MANY}/sec"),
                                        ("few", ("!", "-s", free),
                                         f"{FEW}/min" if refusing else f"{MANY}/sec")):
                commands.append((table, "-A", "FORWARD", *sources, *match, "--hashlimit-name",
                                 f"{table}-{name}", "--hashlimit-above", rate, "-j", "DROP"))
        return self.bridge(refusing, commands)

    def lychgate(self, steer, refusing):
        policy = self.folder / "policy.toml"
        few = f'connections = {FEW}, window = "1m"' if refusing else f'connections = {MANY}, window = "1s"'
        text = (f'[class.many]\nsmtp = {{ limit = {{ connections = {MANY}, window = "1s" }} }}\n'
                f'[class.few]\nsmtp = {{ limit = {{ {few} }} }}\n[sources]\ncapacity = 2_000_000\n')
        for prefix in (*FREE, *REST):
            text += f'[[pool]]\nprefix = "{prefix}"\nclass = "{"many" if prefix in FREE else "few"}"\n'
            text += "subscriber_prefix = 56\n" if ":" in prefix else ""
        policy.write_text(text)
        self.report = self.folder / "run.json"
        command = inside("box", LYCHGATE, "run", "--access", ACCESS, "--uplink", UPLINK,
                         "--policy", str(policy), "--steer", steer, "--cores", str(DEVICE),
                         "--at-exit", "detach", "--json", str(self.report))
        return process(command, lambda line: line.startswith("running"),
                       lambda child: child.send_signal(signal.SIGTERM))

    def every_row(self):
        return {
            "XDP_REDIRECT, nothing judged": self.redirect,
            "XDP_REDIRECT, limiter on a BPF hash": self.limiter,
            "hybrid without a judge": self.hybrid,
            "Lychgate, steer = mail": lambda refusing: self.lychgate("mail", refusing),
            "AF_XDP, nothing judged": self.afxdp,
            "Lychgate, steer = all": lambda refusing: self.lychgate("all", refusing),
            "bridge": self.bridge,
            "bridge, nftables dynamic set": self.nftables,
            "bridge, iptables hashlimit": self.hashlimit,
        }

    # -- measuring -----------------------------------------------------------------------------

    def blast(self, load, seconds, rate="full"):
        profile, sources, _ = LOADS[load]
        command = inside("gen", "taskset", "-c", str(GENERATOR), LYCHGATE, "blast", "--quiet",
                         "--interface", SOURCE, "--profile", profile, "--sources", str(sources),
                         "--time", f"{int(seconds * 1000)}ms", "--rate", str(rate),
                         "--json", f"{self.folder}/blast.json")
        run("timeout", "30", *command)
        return json.loads((self.folder / "blast.json").read_text())

    def delivered(self, load, rate="full"):
        """Frames a second that leave, and the share of the device's core that they took."""
        command = inside("sink", LYCHGATE, "sink", "--interface", SINK, "--count-only", self.sink,
                         "--time", f"{int(self.seconds * 1000) + 700}ms",
                         "--json", f"{self.folder}/sink.json")
        sink = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        before = busy()
        offered = self.blast(load, self.seconds, rate)
        share = (busy() - before) / offered["seconds"]
        sink.wait(timeout=30)
        frames = json.loads((self.folder / "sink.json").read_text())["frames"]
        return frames / offered["seconds"], share, offered["frames_per_second"]


def busy():
    """Seconds that the device's core was busy."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{DEVICE} "):
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, line.split()[1:])
            return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    sys.exit("error: the device under test needs a second core")


def used_by(child):
    """Seconds of processor time, of a process begun by nsenter, which becomes it."""
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(bench, rows, loads, count):
    rates = {(row, load): [] for row in rows for load in loads}
    for number in range(count):
        for row, start in rows.items():
            for refusing in (False, True):
                wanted = [load for load in loads if LOADS[load][2] == refusing]
                if not wanted:
                    continue
                with start(refusing):
                    pin_napi()
                    for load in wanted:
                        # Sources come to their limits, tables to their size.
                        bench.blast(load, bench.seconds / 2)
                        rates[row, load].append(bench.delivered(load)[0])
        print(f"round {number + 1} of {count}", file=sys.stderr, flush=True)
    return {key: statistics.median(taken) for key, taken in rates.items() if taken}


def table(rates, rows, loads):
    print(f"{'million frames/s delivered':38}" + "".join(f"{load:>20}" for load in loads))
    for row in rows:
        cells = (rates.get((row, load)) for load in loads)
        print(f"{row:38}" + "".join(f"{rate / 1e6:20.3f}" if rate else f"{'':20}" for rate in cells))


AIMS = (
    ("Lychgate, steer = all", "mixed", "AF_XDP, nothing judged", "mixed", 0.95),
    ("Lychgate, steer = all", "syn", "AF_XDP, nothing judged", "syn", 0.95),
    ("Lychgate, steer = mail", "mixed", "XDP_REDIRECT, nothing judged", "mixed", 0.8),
    ("hybrid without a judge", "mixed", "XDP_REDIRECT, nothing judged", "mixed", None),
    ("Lychgate, steer = mail", "mixed", "bridge, nftables dynamic set", "mixed", 3.5),
    ("Lychgate, steer = mail", "syn", "bridge, nftables dynamic set", "syn", 1.3),
    ("Lychgate, steer = mail", "syn, 90 % refused", "bridge, nftables dynamic set",
     "syn, 90 % refused", 3.0),
    ("Lychgate, steer = mail", "syn, 1M sources", "Lychgate, steer = mail", "syn", 0.83),
)


def ratios(rates):
    for over, load, under, its_load, aim in AIMS:
        if (over, load) in rates and (under, its_load) in rates:
            ratio = rates[over, load] / rates[under, its_load]
            against = under if under != over else its_load
            wanted = f"aim {aim}" if aim else "the limit of the line above"
            print(f"{over}, {load} / {against}: {ratio:.2f} ({wanted})")


def shares(bench, rows, rate):
    """What the device's core is busy with at a modest rate, and what an idle worker uses."""
    print(f"\nshare of the device's core at {rate / 1e6} million frames/s of `mixed`")
    for row in ("Lychgate, steer = mail", "Lychgate, steer = all", "bridge, nftables dynamic set"):
        if row not in rows:
            continue
        with rows[row](False) as child:
            pin_napi()
            taken = [bench.delivered("mixed", rate) for _ in range(5)]
            share = statistics.median(share for _, share, _ in taken)
            offered = statistics.median(offered for _, _, offered in taken)
            print(f"{row:38}{share:8.1%} at {offered / 1e6:.3f} offered")
            if isinstance(child, subprocess.Popen):
                time.sleep(0.5)
                before = used_by(child)
                time.sleep(4)
                print(f"{'  idle':38}{(used_by(child) - before) / 4:8.1%}")


def residence(bench, rows, rates):
    """How long frames are in the box at half of what it can carry."""
    for row in ("Lychgate, steer = mail", "Lychgate, steer = all"):
        if (row, "mixed") not in rates:
            continue
        with rows[row](False):
            pin_napi()
            bench.blast("mixed", 3, int(rates[row, "mixed"] / 2))
        time.sleep(0.2)
        seen = json.loads(bench.report.read_text())["histograms"]["residence_ns"]
        print(f"{row}: in the box at half of that, by way of the worker: "
              f"p50 {seen['p50'] / 1000:.0f} µs, p99.9 {seen['p999'] / 1000:.0f} µs "
              f"({seen['count']} frames)")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench-peers.sh", description=__doc__)
    parser.add_argument("folder", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (default 1)")
    parser.add_argument("--rows", default=".", help="only rows that match this pattern")
    parser.add_argument("--loads", default=".", help="only loads that match this pattern")
    parser.add_argument("--sink", choices=("xdp", "tc"), default="xdp",
                        help="where arriving frames are counted and dropped (default xdp)")
    parser.add_argument("--no-shares", action="store_true", help="only rates")
    return parser.parse_args()


def main():
    options = arguments()
    bench = Bench(options.folder, options.seconds, options.sink)
    rows = {row: start for row, start in bench.every_row().items() if re.search(options.rows, row)}
    loads = [load for load in LOADS if re.search(options.loads, load)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("error: stopped"))
    with cables():
        with awake():
            rates = rounds(bench, rows, loads, options.rounds)
        table(rates, rows, loads)
        ratios(rates)
        if not options.no_shares:
            shares(bench, rows, 200_000)
            residence(bench, rows, rates)


if __name__ == "__main__":
    main()
