"""Boots guests under QEMU, one after the other, and gathers what their suites tell.

    boot.py --cache FOLDER --overlay FILE --results FOLDER [--only PATTERN] MODEL...

A guest has four cards on two cables, and the box that is tested between them:

    gen ──cable 1── access (lychgate run) uplink ──cable 2── sink

`access` and `uplink` are of the model that is tested, the others virtio-net. A guest's first serial
line is its console, kept in RESULTS/MODEL.log; on the second, each line is a JSON object: what
became of a case, or a wish of the suite's that only its host can fulfil (a cable pulled out).

Everything ends: a case by its own bound, a guest by one here, and QEMU with this program. A guest
that does not start is started once more; a case that fails is not repeated. Exit status: 0 all
passed, 1 not.
"""

import argparse
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from xml.etree import ElementTree

BOOT_SECONDS, GUEST_SECONDS = 200, 600
APPEND = (
    "console=ttyS0 panic=-1 quiet loglevel=4 nokaslr mitigations=off nopti random.trust_cpu=on tsc=reliable"
    " no_timer_check net.ifnames=0 ipv6.disable=1"
)
CARDS = ["gen", "access", "uplink", "sink"]
# virtio-net has zero-copy only where it translates addresses as a real card does.
DEVICES = {
    "igb": "igb",
    "virtio": "virtio-net-pci,iommu_platform=on,disable-legacy=on,mq=on",
    "vmxnet3": "vmxnet3",
    "e1000e": "e1000e",
}


class NotStarted(Exception):
    """The suite of a guest did not begin."""


class Guest:
    """A running QEMU."""

    def __init__(self, model, options):
        self.model = model
        self.scratch = tempfile.TemporaryDirectory(prefix="lychgate-lab-")
        self.monitor_path = os.path.join(self.scratch.name, "monitor")
        self.log = os.path.join(options.results, f"{model}.log")
        initrd = os.path.join(self.scratch.name, "initrd")
        with open(initrd, "wb") as joined:
            for part in (os.path.join(options.cache, "base.cpio"), options.overlay):
                with open(part, "rb") as file:
                    joined.write(file.read())
        command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem"]
        command += ["-smp", "2", "-m", "1024", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-kernel", os.path.join(options.cache, "vmlinux"), "-initrd", initrd]
        command += ["-append", f"{APPEND} lab.model={model} lab.only={options.only}"]
        command += ["-serial", f"file:{self.log}", "-serial", "stdio"]
        command += ["-qmp", f"unix:{self.monitor_path},server=on,wait=off"]
        for number, card in enumerate(CARDS, 1):
            device = DEVICES[model] if card in ("access", "uplink") else "virtio-net-pci"
            # igb does not work but behind a port of its own.
            command += ["-device", f"pcie-root-port,id=port{number},chassis={number}"]
            command += ["-netdev", f"hubport,id=net{number},hubid={(number + 1) // 2}"]
            command += ["-device", f"{device},id={card},netdev=net{number},bus=port{number},mac=52:54:00:00:00:0{number}"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=die_with_parent
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.end = time.monotonic() + BOOT_SECONDS
        self.monitor = None

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="replace").strip())
        self.lines.put(None)

    def line(self):
        """The next line of the suite; None at the end, or when time is over."""
        try:
            return self.lines.get(timeout=max(0, self.end - time.monotonic()))
        except queue.Empty:
            return None

    def ask_monitor(self, command, **arguments):
        """QEMU's own control socket (QMP): a JSON object a line, the greeting first."""
        if self.monitor is None:
            plug = socket.socket(socket.AF_UNIX)
            plug.settimeout(20)
            plug.connect(self.monitor_path)
            self.monitor = plug.makefile("rw")
            self.monitor.readline()
            self.ask_monitor("qmp_capabilities")
        self.monitor.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.monitor.flush()
        while "return" not in (answer := json.loads(self.monitor.readline())):
            if "error" in answer:
                raise RuntimeError(answer["error"])

    def close(self):
        self.process.kill()
        self.process.wait()
        self.scratch.cleanup()


def die_with_parent():
    """PR_SET_PDEATHSIG: no guest is left behind, however this program ends."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run_guest(model, options):
    """What became of each case: dictionaries with name, result, seconds, detail."""
    guest = Guest(model, options)
    cases = []
    running, whole = "the guest's start", False
    try:
        while (line := guest.line()) is not None:
            try:
                told = json.loads(line)
            except ValueError:
                print(f"    {line}", flush=True)
                continue
            if "ready" in told:
                guest.end = time.monotonic() + GUEST_SECONDS
                print(f"  {model}: Linux {told['ready']}", flush=True)
            elif "begin" in told:
                running = told["begin"]
            elif "link" in told:
                guest.ask_monitor("set_link", name=told["link"], up=told["up"])
            elif "name" in told:
                cases.append(told)
                tell(told)
            elif "end" in told:
                whole = True
                break
    finally:
        guest.close()
    if running == "the guest's start":
        raise NotStarted(f"{model}: the suite did not start within {BOOT_SECONDS} s: {guest.log}")
    if not whole:
        detail = f"the guest died or took longer than {GUEST_SECONDS} s"
        cases.append({"name": running, "result": "failed", "seconds": 0, "detail": detail})
        tell(cases[-1])
    return cases


def tell(case):
    print(f"  {case['result']:<8} {case['seconds']:6.1f} s  {case['name']}", flush=True)
    for line in case["detail"].splitlines():
        print(f"             {line}", flush=True)


def junit(suites, path):
    top = ElementTree.Element("testsuites", name="lab")
    for model, cases in suites.items():
        count = {result: sum(case["result"] == result for case in cases) for result in ("failed", "skipped")}
        suite = ElementTree.SubElement(
            top, "testsuite", name=f"lab.{model}", tests=str(len(cases)), failures=str(count["failed"]),
            skipped=str(count["skipped"]), time=f"{sum(case['seconds'] for case in cases):.1f}",
        )
        for case in cases:
            item = ElementTree.SubElement(
                suite, "testcase", name=case["name"], classname=f"lab.{model}", time=f"{case['seconds']:.1f}"
            )
            if case["result"] != "passed":
                kind = {"failed": "failure", "skipped": "skipped"}[case["result"]]
                ElementTree.SubElement(item, kind, message=case["detail"][:200]).text = case["detail"]
    ElementTree.ElementTree(top).write(path, encoding="utf-8", xml_declaration=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("--cache", "--overlay", "--results"):
        parser.add_argument(name, required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("models", nargs="+", choices=DEVICES)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    suites = {}
    for model in options.models:
        begun = time.monotonic()
        try:
            suites[model] = run_guest(model, options)
        except NotStarted as error:
            print(f"  {error}; once more", flush=True)
            suites[model] = run_guest(model, options)
        failed = sum(case["result"] == "failed" for case in suites[model])
        print(f"  {model}: {len(suites[model])} cases, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True)
        log = os.path.join(options.results, f"{model}.log")
        if failed:
            print(f"  its console: {log}", flush=True)
        else:
            os.remove(log)
    junit(suites, os.path.join(options.results, "junit.xml"))
    bad = any(case["result"] == "failed" for cases in suites.values() for case in cases)
    sys.exit(1 if bad or not all(suites.values()) else 0)


if __name__ == "__main__":
    main()
