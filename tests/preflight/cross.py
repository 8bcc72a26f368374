"""Sends frames from one interface until one of them arrives at another: cross.py FROM TO."""

import select
import socket
import sys
import time

ETHERTYPE = 0x88B5  # for experiments
PATIENCE = 30.0

source, target = (
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE)) for _ in range(2)
)
source.bind((sys.argv[1], ETHERTYPE))
target.bind((sys.argv[2], ETHERTYPE))
mark = time.monotonic_ns().to_bytes(8, "big")
frame = bytes(6) + b"\x02" + bytes(5) + ETHERTYPE.to_bytes(2, "big") + mark
frame = frame.ljust(60, b"\0")
deadline = time.monotonic() + PATIENCE
while time.monotonic() < deadline:
    try:
        source.send(frame)
    except OSError:
        pass  # the link is down still
    if select.select([target], [], [], 0.05)[0] and mark in target.recv(2048):
        sys.exit(0)
sys.exit(1)
