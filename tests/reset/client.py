"""A real kernel's TCP client behind a TAP device: does a reset end its connection attempt?

Runs in a network namespace of its own. For each case it prints the SYN that the kernel sent (hex),
reads the answer to put on the wire (hex), and prints what connect() then said: an errno's name.
"""

import errno
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
GATEWAY_MAC = "02:00:00:00:00:fe"
# Our address and the server's, each tried once in every encapsulation that the test knows.
ADDRESSES = [("203.0.113.10/24", "203.0.113.99"), ("2001:db8:200::10/64", "2001:db8:200::99")]


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


def await_local_route(address):
    """IPv6 takes an address into use by and by; only then does it listen there."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        show = ["ip", "route", "show", "table", "local", address.split("/")[0]]
        if ":" in address:
            show.insert(1, "-6")
        if subprocess.run(show, check=True, capture_output=True).stdout:
            return
    sys.exit(f"the kernel did not take {address} into use within 5 s")


def open_tap():
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", b"lytap", IFF_TAP | IFF_NO_PI))
    ip("link", "set", "lytap", "up")
    return tap


def read_syn(tap, server):
    """The next frame that holds a TCP SYN to the server (others are the kernel's own chatter)."""
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    wanted = socket.inet_pton(family, server)
    while True:
        if not select.select([tap], [], [], 5)[0]:
            sys.exit(f"the kernel sent no SYN to {server} within 5 s")
        frame = os.read(tap, 2048)
        at = frame.find(wanted)
        header = at + len(wanted)
        if at >= 0 and frame[header + 2:header + 4] == struct.pack("!H", 25):
            return frame


def attempt(tap, server):
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    client = socket.socket(family, socket.SOCK_STREAM)
    client.setblocking(False)
    client.connect_ex((server, 25))
    print(read_syn(tap, server).hex(), flush=True)
    os.write(tap, bytes.fromhex(sys.stdin.readline()))
    poll = select.poll()
    poll.register(client, select.POLLOUT | select.POLLERR)
    # A SYN is sent again only after a second: an end before that is the reset's doing.
    ended = poll.poll(900)
    error = client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if ended else errno.ETIMEDOUT
    print(errno.errorcode.get(error, str(error)), flush=True)


def main():
    tap = open_tap()
    for address, server in ADDRESSES:
        ip("address", "add", address, "dev", "lytap", *(["nodad"] if ":" in address else []))
        ip("neigh", "add", server, "lladdr", GATEWAY_MAC, "dev", "lytap")
        await_local_route(address)
        for _ in range(int(sys.argv[1])):
            attempt(tap, server)


main()
