"""Traffic and trouble for a box in the wire, and whether it held.

    soak.py LYCHGATE MINUTES

Checked, for each life of the box: it ends well when asked to, no frame was lost or doubled inside
(breaches), every frame received is accounted for, the zombie never got more than its limit in any
window in which the box was judging, and memory did not grow. Over all: no transfer was damaged, and
every mail that a server acknowledged is there.
"""

import bisect
import itertools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

LIMIT, WINDOW = 5, 10  # the zombie's, in seconds
# A connection is noticed later than it was admitted, but not by more than this.
LATE = 0.5
# A machine that is busy otherwise must not be taken for a worker that hangs: nobody would judge.
DEADLINE = 500  # milliseconds
STEADY = 12  # seconds between two troubles
RSS_GROWTH_MAX = 8 << 20
USER, BUSINESS, ZOMBIE = "203.0.113.10", "203.0.113.20", "203.0.113.66"
SERVER, RELAY = "203.0.113.200", "203.0.113.210"
POLICY = f"""
[relays]
addresses = ["{RELAY}"]
limit = {{ connections = 10000, window = "1m" }}
[class.residential]
smtp = {{ limit = {{ connections = {LIMIT}, window = "{WINDOW}s" }} }}
excess = "reset"
[class.mta]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/25"
class = "residential"
[[subscriber]]
name = "ACME Hosting"
prefixes = ["{BUSINESS}/32"]
class = "mta"
[sources]
capacity = 65536
"""
STATIONS = pathlib.Path(__file__).with_name("stations.py")


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


class Station:
    """A program in a namespace, and the lines that it prints."""

    def __init__(self, net, *arguments):
        command = ["nsenter", f"--net=/run/netns/{net}", sys.executable, str(STATIONS), *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.name, self.lines = arguments[0], []
        self.ready = threading.Event()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            self.ready.set()

    def end(self):
        """Its last word."""
        self.process.stdin.close()
        self.process.wait(90)
        time.sleep(0.2)  # its reader
        return self.lines[-1]


class Life:
    """The box from its start to its end."""

    def __init__(self, place, steer):
        self.place, self.steer, self.rss, self.ended = place, steer, [], None
        self.json = place.folder / "run.json"
        self.json.unlink(missing_ok=True)
        command = ["nsenter", f"--net=/run/netns/{place.box}", place.lychgate, "run"]
        command += ["--access", place.ports[0], "--uplink", place.ports[1], "--steer", steer]
        command += ["--deadline", str(DEADLINE)]
        command += ["--policy", str(place.folder / "policy.toml"), "--json", str(self.json)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("running"):
                break
        else:
            sys.exit("error: the box does not run")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.judging = [[time.monotonic(), None]]  # stretches of time

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.judging[-1][1] = time.monotonic()

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)
        self.judging.append([time.monotonic() + LATE, None])

    def sample(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.rss.append(int(status.split("VmRSS:")[1].split()[0]) << 10)

    def end(self, how):
        self.judging[-1][1] = time.monotonic()
        self.process.send_signal(how)
        code = self.process.wait(30)
        if how == signal.SIGKILL:
            return []
        if code != 0:
            return [f"the box ended with status {code}"]
        summary = json.loads(self.json.read_text())
        flaws = [f"{summary['breaches']} breaches"] if summary["breaches"] else []
        for name, counts in summary["directions"].items():
            known = counts["forwarded"]["frames"] + sum(
                counts[fate] for fate in ("dropped", "reset", "redirected", "unanswered", "tx_full")
            )
            if counts["received"]["frames"] != known:
                flaws.append(f"{name}: {counts['received']['frames']} received, {known} known")
        return flaws

    def growth(self):
        """From when it was warm to its end."""
        warm = self.rss[5:]
        return max(warm[-3:]) - warm[0] if len(warm) > 8 else 0


class Place:
    def __init__(self, lychgate, folder):
        self.lychgate, self.folder = os.path.abspath(lychgate), folder
        name = f"lysoak-{os.getpid()}"
        self.sub, self.box, self.net = (f"{name}-{end}" for end in ("sub", "box", "net"))
        self.ports = [f"lysoak{os.getpid()}{end}" for end in "au"]
        (folder / "policy.toml").write_text(POLICY)

    def build(self):
        for net in (self.sub, self.box, self.net):
            run("ip", "netns", "add", net)
        self.cable(self.sub, self.ports[0], (USER, BUSINESS, ZOMBIE))
        self.cable(self.net, self.ports[1], (SERVER, RELAY))

    def cable(self, net, port, addresses):
        queues = ("numrxqueues", "1", "numtxqueues", "1")
        run(
            *("ip", "-n", self.box, "link", "add", port, *queues, "type", "veth"),
            *("peer", "name", "lysoak", "netns", net, *queues),
        )
        run("ip", "-n", self.box, "link", "set", port, "up")
        run("ip", "-n", net, "link", "set", "lo", "up")
        run("ip", "-n", net, "link", "set", "lysoak", "up")
        for address in addresses:
            run("ip", "-n", net, "addr", "add", f"{address}/24", "dev", "lysoak")
        offloads = ("tx", "off", "tso", "off", "gso", "off", "gro", "on")
        run("nsenter", f"--net=/run/netns/{net}", "ethtool", "-K", "lysoak", *offloads)

    def cut(self, port, seconds):
        run("ip", "-n", self.box, "link", "set", port, "down")
        time.sleep(seconds)
        run("ip", "-n", self.box, "link", "set", port, "up")

    def remove(self):
        ends = [f"--{side}={port}" for side, port in zip(("access", "uplink"), self.ports)]
        detach = ["nsenter", f"--net=/run/netns/{self.box}", self.lychgate, "detach", *ends]
        subprocess.run(detach, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for net in (self.sub, self.box, self.net):
            subprocess.run(["ip", "netns", "delete", net], stderr=subprocess.DEVNULL)


def beyond_limit(connections, life):
    """The most connections in any window in which the box was judging, beyond the limit."""
    worst = 0
    for begin, end in life.judging:
        judged = connections[bisect.bisect_left(connections, begin) :]
        judged = judged[: bisect.bisect_right(judged, end)]
        for first, start in enumerate(judged):
            count = bisect.bisect_left(judged, start + WINDOW - LATE) - first
            worst = max(worst, count)
    return max(0, worst - LIMIT)


class Soak:
    def __init__(self, place):
        self.place, self.lives, self.flaws, self.done = place, [], [], {}
        self.steers = itertools.cycle(["all", "mail"])

    def start(self):
        self.lives.append(Life(self.place, next(self.steers)))

    def box(self):
        return self.lives[-1]

    def restart(self, how, pause):
        self.flaws += self.box().end(how)
        time.sleep(pause)
        self.start()

    def stop_and_go(self):
        self.box().pause()
        time.sleep(2)
        self.box().go_on()

    def steady(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.box().sample()
            time.sleep(1)

    def run(self, minutes):
        access, uplink = self.place.ports
        troubles = [
            ("access link cut for 1 s", lambda: self.place.cut(access, 1)),
            ("stopped for 2 s (SIGSTOP)", self.stop_and_go),
            ("killed (SIGKILL), restarted after 1 s", lambda: self.restart(signal.SIGKILL, 1)),
            ("uplink link cut for 1 s", lambda: self.place.cut(uplink, 1)),
            ("drained (SIGTERM), restarted", lambda: self.restart(signal.SIGTERM, 0)),
        ]
        end = time.monotonic() + 60 * minutes
        self.start()
        for name, trouble in itertools.cycle(troubles):
            self.steady(STEADY)
            if time.monotonic() >= end:
                break
            trouble()
            self.done[name] = self.done.get(name, 0) + 1
        self.flaws += self.box().end(signal.SIGTERM)


def report(soak, said, postoffice, connections):
    flaws = soak.flaws
    print(f"\n{'trouble':<40}{'times':>8}")
    for name, times in soak.done.items():
        print(f"{name:<40}{times:>8}")
    bulk, mail = said["bulk"], said["mail"]
    taken = set(postoffice["taken"])
    missing = [number for number in mail["acknowledged"] if number not in taken]
    over = [beyond_limit(connections, life) for life in soak.lives]
    growth = [life.growth() for life in soak.lives]
    largest = max(max(life.rss, default=0) for life in soak.lives)
    zombie = said["zombie"]
    print(f"\n{'traffic':<40}{'count':>8}")
    rows = [
        ("bulk transfers of 4 MiB, intact", bulk["intact"]),
        ("bulk transfers, damaged", bulk["damaged"]),
        ("bulk transfers, broken off", bulk["broken"]),
        ("mails acknowledged", len(mail["acknowledged"])),
        ("mails acknowledged but not there", len(missing)),
        ("mails tried in vain (and tried again)", mail["vain"]),
        ("zombie's attempts connected", zombie["connected"]),
        ("zombie's attempts refused", zombie["refused"]),
        ("zombie's attempts unanswered for 1 s", zombie["silent"]),
        ("connections beyond the limit", sum(over)),
        ("lives of the box", len(soak.lives)),
        ("largest memory (RSS), MiB", largest >> 20),
        ("largest growth within a life, KiB", max(growth) >> 10),
    ]
    for name, count in rows:
        print(f"{name:<40}{count:>8}")
    for name, count in (("damaged transfers", bulk["damaged"]), ("broken transfers", bulk["broken"])):
        if count:
            flaws.append(f"{count} {name}")
    if not bulk["intact"] or not mail["acknowledged"] or not zombie["refused"]:
        flaws.append("there was no traffic of some kind")
    if missing:
        flaws.append(f"{len(missing)} mails are missing")
    if sum(over):
        flaws.append(f"the zombie got {sum(over)} connections beyond its limit")
    if max(growth) > RSS_GROWTH_MAX:
        flaws.append(f"memory grew by {max(growth) >> 20} MiB")
    for flaw in flaws:
        print(f"error: {flaw}")
    print("\nIt did not hold." if flaws else "\nIt held.")
    return 1 if flaws else 0


def main(lychgate, minutes):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="lysoak-") as folder:
        place = Place(lychgate, pathlib.Path(folder))
        soak, stations = Soak(place), []
        try:
            place.build()
            server = Station(place.net, "serve", SERVER, RELAY)
            stations.append(server)
            if not server.ready.wait(60):
                sys.exit("error: the servers do not start")
            clients = [
                Station(place.sub, "bulk", USER, SERVER),
                Station(place.sub, "mail", BUSINESS, RELAY, SERVER),
                Station(place.sub, "zombie", ZOMBIE, SERVER),
            ]
            stations += clients
            soak.run(int(minutes))
            said = {client.name: client.end() for client in clients}
            connections = [line["at"] for line in clients[2].lines if "at" in line]
            code = report(soak, said, server.end(), connections)
        except KeyboardInterrupt:
            code = 130
        finally:
            for station in stations:
                station.process.kill()
            for life in soak.lives[-1:]:
                life.process.kill()
                life.process.wait()
            place.remove()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
