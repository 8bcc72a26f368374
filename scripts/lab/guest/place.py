"""The guest's cables, the box between them, and the programs that are run on them."""

import collections
import json
import os
import re
import subprocess
import sys
import threading
import time

import wire

# Longer than any machine takes, and never waited for when all is well.
PATIENCE = 30
# More would not fit into every ring on the way while the other end gets no processor time.
WINDOW = 64
BOX = "/usr/bin/lychgate"
SUMMARY = "/tmp/run.json"

POLICY = """
[class.limited]
smtp = { limit = { connections = 3, window = "10m" } }
[class.open]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/24"
class = "limited"
[[pool]]
prefix = "10.0.0.0/8"
class = "open"
[[pool]]
prefix = "2001:db8::/32"
class = "open"
subscriber_prefix = 56
[sources]
capacity = 65536
"""


def tell(**what):
    """A line to the host."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def run(*command, within=PATIENCE, may_fail=False):
    """Runs a program to its end; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=within)
    if done.returncode and not may_fail:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-600:]}{done.stderr[-600:]}")
    return done.stdout + done.stderr


def wait(what, condition, within=PATIENCE):
    """Until the condition holds; what it gave."""
    end = time.monotonic() + within
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {within} s: {what}")
        time.sleep(0.05)
    return found


def same(found, right, what):
    if found != right:
        raise AssertionError(f"{what}: {found!r}, not {right!r}")


def read(path):
    with open(path) as file:
        return file.read()


def carrier(interface):
    try:
        return read(f"/sys/class/net/{interface}/carrier").strip() == "1"
    except OSError:  # It is down.
        return False


class Box:
    """A running `lychgate run` on access and uplink."""

    def __init__(self, *arguments, deadline=60000):
        with open("/tmp/policy.toml", "w") as file:
            file.write(POLICY)
        command = [BOX, "run", "--access", "access", "--uplink", "uplink", "-p", "/tmp/policy.toml"]
        command += ["--deadline", str(deadline), "--json", SUMMARY, *arguments]
        self.lines = []
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        try:
            wait("`running:`", lambda: self.said("running:") or self.process.poll() is not None)
            wait("a carrier on every card", lambda: all(map(carrier, ("gen", "access", "uplink", "sink"))))
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text()}") from None
        if self.process.poll() is not None:
            raise AssertionError(f"the box ended with {self.process.returncode}:\n{self.text()}")

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def text(self):
        return "\n".join(self.lines)

    def said(self, pattern):
        return re.search(pattern, self.text())

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """Drains it; its summary."""
        self.process.terminate()
        code = self.process.wait(PATIENCE)
        self.reader.join(5)
        if code:
            raise AssertionError(f"the box ended with {code}:\n{self.text()}")
        return json.loads(read(SUMMARY))


class Ends:
    """Packet sockets at both ends."""

    def __init__(self):
        self.gen, self.sink = wire.Tap("gen"), wire.Tap("sink")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.gen.close()
        self.sink.close()

    def cross(self, frames, refused=lambda frame: False, inbound=False):
        """Sends frames through the box, a window at a time, and returns what arrived in the end.

        The next window is sent when all of the last one that may cross has crossed: so nothing is
        lost because somebody is slow. Behind the last one go frames for every queue that cross for
        certain: once these are there, what hasn't arrived never will.
        """
        source, target = (self.sink, self.gen) if inbound else (self.gen, self.sink)
        target.drain()
        fence = [wire.plain(50_000 + 7 * number, source=f"10.9.9.{number}") for number in range(64)]
        if inbound:
            fence = [turned(frame) for frame in fence]
        arrived = collections.Counter()
        for start in range(0, len(frames), WINDOW):
            part = frames[start : start + WINDOW]
            missing = collections.Counter(frame for frame in part if not refused(frame))
            self.send(source, part)
            self.collect(target, arrived, missing)
        self.send(source, fence)
        self.collect(target, arrived, collections.Counter(fence))
        return arrived - collections.Counter(fence)

    @staticmethod
    def send(source, frames):
        for frame in frames:
            source.send(frame)

    @staticmethod
    def collect(target, arrived, missing):
        """Receives until nothing is missing."""
        end = time.monotonic() + PATIENCE
        while missing:
            frame = target.receive(end)
            if frame is None:
                lost = next(iter(missing))
                raise AssertionError(f"{missing.total()} frames don't arrive, such as {shown(lost)}; {counters()}")
            arrived[frame] += 1
            missing -= collections.Counter([frame])

    def unchanged(self, frames, what):
        """All of them cross, and nothing else does, in both directions."""
        same(differences(self.cross(frames), frames), "", f"{what}, outbound")
        back = [turned(frame) for frame in frames]
        same(differences(self.cross(back, inbound=True), back), "", f"{what}, inbound")


def turned(frame):
    """The same from the internet to a subscriber."""
    at = 14
    while frame[at - 2 : at] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    addresses = frame[at + 16 : at + 20] + frame[at + 12 : at + 16]
    ports = frame[at + 22 : at + 24] + frame[at + 20 : at + 22]
    return frame[6:12] + frame[:6] + frame[12 : at + 12] + addresses + ports + frame[at + 24 :]


def differences(arrived, frames):
    right = collections.Counter(frames)
    missing, surplus = right - arrived, arrived - right
    told = [f"{name}: {count.total()}, such as {shown(next(iter(count)))}" for name, count in
            (("missing", missing), ("not sent", surplus)) if count]
    return "; ".join(told)


def shown(frame):
    return f"{frame[:64].hex()} ({len(frame)} octets)"


def counters():
    """What the cards say of themselves, for a failure's text."""
    told = {}
    for interface in ("gen", "access", "uplink", "sink"):
        folder = f"/sys/class/net/{interface}/statistics"
        values = {name: int(read(f"{folder}/{name}")) for name in os.listdir(folder)}
        told[interface] = {name: value for name, value in values.items() if value}
    return told


def settings(interface):
    """What is to be as before when the box is gone."""
    features = run("ethtool", "-k", interface)
    link = run("ip", "-d", "link", "show", "dev", interface)
    return {
        "features": [line.strip() for line in features.splitlines() if "fixed" not in line],
        "promiscuity": re.search(r"promiscuity (\d+)", link).group(1),
        "flags": re.search(r"<(.*?)>", link).group(1),
        "mtu": re.search(r"mtu (\d+)", link).group(1),
        "program": re.findall(r"prog/xdp.*", link),
        "channels": run("ethtool", "-l", interface, may_fail=True),
        "rings": run("ethtool", "-g", interface, may_fail=True),
    }
