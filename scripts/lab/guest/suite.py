"""Runs the cases of this guest's model of card, each within its time, and tells the host."""

import os
import re
import signal
import sys
import time
import traceback

import cases
from place import read, tell

CASE_SECONDS = 170


def late(*_):
    raise TimeoutError(f"longer than {CASE_SECONDS} s")


def main():
    line = read("/proc/cmdline")
    model = re.search(r"lab\.model=(\S+)", line).group(1)
    only = re.search(r"lab\.only=(\S*)", line).group(1)
    tell(ready=os.uname().release)
    signal.signal(signal.SIGALRM, late)
    lab = cases.Lab(model)
    for case in cases.CASES:
        name = case.__name__.replace("_", " ")
        if not re.search(only, name.replace(" ", "_")) or not cases.concerns(case, model):
            continue
        tell(begin=name)
        begun, result, detail = time.monotonic(), "passed", ""
        signal.alarm(CASE_SECONDS)
        try:
            detail = case(lab) or ""
        except Exception as error:
            result = "failed"
            detail = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
            detail += lab.what_the_box_said()
        finally:
            signal.alarm(0)
        if result == "failed":
            lab.clear()
        tell(name=name, result=result, seconds=round(time.monotonic() - begun, 1), detail=detail)
    lab.clear()
    tell(end=True)
    sys.stdout.flush()


main()
