"""What must hold on every model of card. One function a case; its name is what holds.

A case uses the box that an earlier one left running (`lab.box`) or starts another. Cases assert on
counts, modes and octets, never on time: a guest without KVM is slow, and on a busy machine slower.
"""

import os
import signal
import time

import place
import wire
from place import Box, Ends, carrier, run, same, settings, tell, wait

# What each model can do: XDP in the driver or behind it, zero-copy, and queues.
MODELS = {
    "igb": ("native", "zero-copy", 2),
    "virtio": ("native", "zero-copy", 1),
    "vmxnet3": ("native", "copy", 2),
    "e1000e": ("generic", "copy", 1),
}
ZOMBIE, NEIGHBOUR, BUSINESS, SERVER = "203.0.113.10", "203.0.113.11", "10.2.0.1", "198.51.100.25"
TAGS = [
    ("untagged", []),
    ("802.1Q", [(0x8100, 7)]),
    ("802.1Q with a priority", [(0x8100, 0xA007)]),
    ("QinQ", [(0x88A8, 100), (0x8100, 7)]),
    ("two 802.1Q", [(0x8100, 100), (0x8100, 7)]),
]


class Lab:
    """The guest, and what cases leave to each other."""

    def __init__(self, model):
        self.model = model
        self.xdp, self.mode, self.queues = MODELS[model]
        self.before = {interface: settings(interface) for interface in ("access", "uplink")}
        self.box = None
        # By default, virtio-net copies.
        self.mode_asked = ["--zero-copy", "on"] if self.mode == "zero-copy" else []

    def start(self, *arguments, **more):
        self.box = None
        self.box = Box(*arguments, **more)
        return self.box

    def all(self):
        """A box to which all frames come, however slow it is."""
        return self.box or self.start("--steer", "all", *self.mode_asked)

    def end(self):
        """Stops the box, if there is one."""
        if self.box:
            self.box.stop()
            self.box = None

    def what_the_box_said(self):
        return f"\nThe box said:\n{self.box.text()}" if self.box else ""

    def clear(self):
        """As it was in the beginning, after a failure too."""
        if self.box:
            self.box.kill()
            self.box = None
        run(place.BOX, "detach", "--access", "access", "--uplink", "uplink", may_fail=True)
        for interface in ("access", "uplink"):
            tell(link=interface, up=True)
            run("ip", "link", "set", interface, "up")


def only_on(*models):
    def mark(case):
        case.models = models
        return case

    return mark


def concerns(case, model):
    return model in getattr(case, "models", MODELS)


def attempts(source, count, start=0):
    """SYNs to port 25, each from a port of its own and so on any queue."""
    return [wire.tcp(source, SERVER, 2000 + number, number=start + number) for number in range(count)]


def of(arrived, source):
    """How many of what arrived are from this source."""
    address = wire.socket.inet_aton(source)
    return sum(count for frame, count in arrived.items() if frame[26:30] == address)


def the_mode_asked_for_is_the_mode_obtained(lab):
    box = lab.all()
    for port in ("access", "uplink"):
        assert box.said(rf"{port}: {port}, {lab.queues} queues?, {lab.xdp} XDP"), "XDP or queues differ"
        same(len(place.re.findall(rf"{port} {lab.mode}", box.text())), lab.queues, f"queues of {port} in {lab.mode}")
    return "\n".join(line for line in box.lines if line.startswith(("access", "uplink", "queue")))


@only_on("virtio")
def virtio_without_copying_is_refused_where_the_kernel_would_lose_frames(lab):
    arguments = ("--access", "access", "--uplink", "uplink", "--zero-copy", "on")
    told = run(place.BOX, "preflight", *arguments, "--steer", "mail", may_fail=True)
    assert "without copying it loses what the kernel program sends it: with --steer mail" in told, told
    told = run(place.BOX, "preflight", *arguments, "--steer", "all", may_fail=True)
    assert "frames that bypass a worker that hangs would be lost" in told, told


@only_on("e1000e")
def generic_xdp_is_told_as_a_warning_that_says_what_it_costs(lab):
    found = run(place.BOX, "preflight", "--access", "access", "--uplink", "uplink", may_fail=True)
    assert "generic" in found, found
    return found


def frames_cross_untouched_whatever_their_tags(lab):
    lab.all()
    with Ends() as ends:
        for what, tags in TAGS:
            # e1000e drops what is longer than 1518 octets under an MTU of 1500: docs/drivers.md.
            most = 1460 - 4 * max(0, len(tags) - 1) if lab.model == "e1000e" else 1460
            frames = [wire.plain(number, tags, size=min(most, number * 13)) for number in range(120)]
            ends.unchanged(frames, what)


def a_zombie_is_limited_exactly_and_others_are_untouched(lab):
    lab.all()
    frames = [frame for trio in zip(attempts(ZOMBIE, 60), attempts(BUSINESS, 60), plains(60)) for frame in trio]
    frames += attempts(NEIGHBOUR, 3)
    zombie = set(attempts(ZOMBIE, 60))
    with Ends() as ends:
        arrived = ends.cross(frames, refused=lambda frame: frame in zombie)
    same(of(arrived, ZOMBIE), 3, "attempts of the zombie that crossed")
    same(of(arrived, BUSINESS), 60, "attempts of a business with a mail server of its own")
    same(of(arrived, NEIGHBOUR), 3, "attempts of a neighbour within the limit")
    same(arrived.total(), 126, "frames")


# QEMU's vmxnet3 gives all frames to its first queue.
@only_on("igb")
def a_source_that_is_spread_over_the_queues_is_limited_exactly(lab):
    lab.end()
    box = lab.start("--steer", "all", *lab.mode_asked)
    zombie = attempts(ZOMBIE, 300)
    with Ends() as ends:
        until_frames_cross(ends)
        arrived = ends.cross(zombie + attempts(BUSINESS, 60), refused=lambda frame: frame in zombie)
    same(of(arrived, ZOMBIE), 3, "attempts of the zombie that crossed")
    same(of(arrived, BUSINESS), 60, "attempts of a business")
    summary = box.stop()
    lab.box = None
    same(summary["reasons"]["limit_exceeded"], 297, "attempts refused")
    by_worker = [worker["directions"]["outbound"]["received"]["frames"] for worker in summary["by_worker"]]
    refused = [frames(worker["directions"]["outbound"]["dropped"]) for worker in summary["by_worker"]]
    assert len(refused) == lab.queues and all(refused), f"refused by worker: {refused}, received {by_worker}"
    return f"refused by worker: {refused}"


def plains(count):
    return [wire.plain(number, size=number) for number in range(count)]


def a_link_that_goes_down_and_comes_back_carries_frames_again(lab):
    box = lab.all()
    with Ends() as ends:
        for port in ("access", "uplink"):
            # vmxnet3 carries nothing after the other way: docs/drivers.md.
            for how in ("cable", "ip link") if lab.model != "vmxnet3" else ("cable",):
                down, up = (lambda on: tell(link=port, up=on)), None
                if how == "ip link":
                    down = lambda on: run("ip", "link", "set", port, "up" if on else "down")
                down(False)
                wait(f"{port} has no carrier ({how})", lambda: not carrier(port))
                wait("the box says so", lambda: box.said(rf"{port}.*down"))
                down(True)
                wait(f"{port} has its carrier back ({how})", lambda: carrier(port))
                until_frames_cross(ends, f"after {port} was down ({how})")
                ends.unchanged(plains(100), f"after {port} was down ({how})")


def until_frames_cross(ends, when="at first", inbound=False):
    """A card that comes up loses what comes too early: ask until it answers."""
    source, target = (ends.sink, ends.gen) if inbound else (ends.gen, ends.sink)
    end = time.monotonic() + place.PATIENCE
    answered = False
    while not answered:
        way = "inbound" if inbound else "outbound"
        assert time.monotonic() < end, f"nothing crosses {way} {when}; {place.counters()}"
        for frame in plains(16):
            source.send(frame if not inbound else place.turned(frame))
        answered = target.receive(time.monotonic() + 0.5) is not None
    if not inbound:
        until_frames_cross(ends, when, inbound=True)
        settle(ends)


def settle(ends):
    """Until nothing has arrived for a while: what was sent before is through or lost."""
    for tap in (ends.gen, ends.sink):
        while tap.receive(time.monotonic() + 0.5) is not None:
            pass


def what_is_sent_is_what_arrives_and_what_the_box_counted(lab):
    # A fresh box, so that its counters are this case's.
    lab.all().stop()
    box = lab.start("--steer", "all", *lab.mode_asked)
    assert box.said("taken over"), "the second box does not take over"
    with Ends() as ends:
        until_frames_cross(ends)
    sent = {"mixed": 0, "syn": 0}
    for profile in sent:
        for part in range(4):
            sink = place.subprocess.Popen(
                [place.BOX, "sink", "--interface", "sink", "--count", "400", "--time", "40s", "--json", "/tmp/sink.json"],
                stdout=place.subprocess.PIPE, text=True,
            )
            while "ready" not in (line := sink.stdout.readline()):
                assert line, "the sink does not start"
            run(place.BOX, "blast", "--interface", "gen", "--profile", profile, "--sources", "100", "--seed", str(part + 1),
                "--rate", "2k", "--count", "400", "--stamp", "--quiet", "--json", "/tmp/blast.json")
            sink.wait(50)
            blast, sunk = (place.json.loads(place.read(f"/tmp/{name}.json")) for name in ("blast", "sink"))
            same((blast["frames"], sunk["frames"]), (400, 400), f"{profile}: frames sent and arrived; {place.counters()}")
            same(sunk["order"]["lost"], 0, "lost")
            same(sunk["order"]["doubled"], 0, "doubled")
            sent[profile] += 400
    summary = box.stop()
    lab.box = None
    same(summary["breaches"], 0, "frames lost or doubled inside of the box")
    for direction, told in summary["directions"].items():
        left = sum(frames(told[key]) for key in ("forwarded", "dropped", "reset", "unanswered", "tx_full"))
        same(told["received"]["frames"], left, f"{direction}: received = what became of them")
        same((frames(told["dropped"]), told["tx_full"], told["rx_missed"]), (0, 0, 0), f"{direction}: dropped, tx_full, rx_missed")
    assert frames(summary["directions"]["outbound"]["forwarded"]) >= sum(sent.values()), summary["directions"]


def frames(told):
    return told["frames"] if isinstance(told, dict) else told


def a_killed_box_is_bypassed_in_the_kernel_and_the_next_one_takes_over(lab):
    box = lab.all()
    with Ends() as ends:
        until_frames_cross(ends)
        box.kill()
        lab.box = None
        until_frames_cross(ends)
        ends.unchanged(plains(200) + tagged(50), "in bypass")
        arrived = ends.cross(attempts(ZOMBIE, 40, start=1000))
        same(arrived.total(), 40, "attempts of a zombie that nobody judges")
        box = lab.start("--steer", "all", *lab.mode_asked)
        assert box.said("taken over"), "the second box does not take over"
        until_frames_cross(ends)
        arrived = ends.cross(attempts(ZOMBIE, 40, start=2000), refused=lambda _: True)
        same(arrived.total(), 3, "attempts of a zombie under the new box")


def tagged(count):
    return [wire.plain(number, [(0x88A8, 5), (0x8100, number + 1)]) for number in range(count)]


def a_box_that_hangs_is_bypassed_until_it_goes_on(lab):
    lab.end()
    box = lab.start("--steer", "all", deadline=500)
    with Ends() as ends:
        until_frames_cross(ends)
        os.kill(box.process.pid, signal.SIGSTOP)
        until_frames_cross(ends, "while it hangs")
        ends.unchanged(plains(200), "while it hangs")
        os.kill(box.process.pid, signal.SIGCONT)
        settle(ends)
        until_frames_cross(ends, "now that it goes on")
    summary = box.stop()
    lab.box = None
    stale = summary["kernel"]
    assert any("stale" in name and sum(told.values()) >= 200 for name, told in stale.items() if isinstance(told, dict)), stale
    same(summary["breaches"], 0, "frames lost or doubled inside of the box")


def only_what_may_be_mail_comes_to_the_worker_and_a_zombie_is_limited_exactly(lab):
    lab.end()
    box = lab.start("--steer", "mail")
    with Ends() as ends:
        until_frames_cross(ends)
        zombie = set(attempts(ZOMBIE, 60))
        frames = [frame for pair in zip(attempts(ZOMBIE, 60), attempts(BUSINESS, 60)) for frame in pair]
        arrived = ends.cross(frames + plains(200) + tagged(50), refused=lambda frame: frame in zombie)
        same(of(arrived, ZOMBIE), 3, "attempts of the zombie that crossed")
        same(of(arrived, BUSINESS), 60, "attempts of a business")
        same(arrived.total(), 313, "frames")
    summary = box.stop()
    lab.box = None
    received = summary["directions"]["outbound"]["received"]["frames"]
    assert 63 <= received <= 120, f"{received} frames came to the worker"
    same(summary["directions"]["outbound"]["rx_missed"], 0, "rx_missed")


def detaching_leaves_the_card_as_it_was(lab):
    lab.end()
    run(place.BOX, "detach", "--access", "access", "--uplink", "uplink")
    wait("a carrier again", lambda: carrier("access") and carrier("uplink"))
    for interface, before in lab.before.items():
        now = settings(interface)
        for what in before:
            same(now[what], before[what], f"{interface}: {what}")


def pktgen_finds_the_highest_rate_without_loss(lab):
    lab.all()
    os.environ["LYCHGATE"] = place.BOX
    told = run("bash", "/lab/scripts/pktgen.sh", "gen", "sink", "--threads", "2", "--seconds", "1", "--steps", "3",
               "--syn", "500", within=150)
    assert "Highest rate within" in told, told
    return place.re.sub("\x1b[^m]*m", "", told)


CASES = [
    the_mode_asked_for_is_the_mode_obtained,
    virtio_without_copying_is_refused_where_the_kernel_would_lose_frames,
    generic_xdp_is_told_as_a_warning_that_says_what_it_costs,
    frames_cross_untouched_whatever_their_tags,
    a_zombie_is_limited_exactly_and_others_are_untouched,
    a_source_that_is_spread_over_the_queues_is_limited_exactly,
    a_link_that_goes_down_and_comes_back_carries_frames_again,
    what_is_sent_is_what_arrives_and_what_the_box_counted,
    a_killed_box_is_bypassed_in_the_kernel_and_the_next_one_takes_over,
    a_box_that_hangs_is_bypassed_until_it_goes_on,
    only_what_may_be_mail_comes_to_the_worker_and_a_zombie_is_limited_exactly,
    pktgen_finds_the_highest_rate_without_loss,
    detaching_leaves_the_card_as_it_was,
]
