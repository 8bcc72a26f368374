"""An ordinary day at both ends of the wire.

    everyday.py postoffice RELAY SERVER         a real SMTP server (aiosmtpd): 25 of the relay, 587 of the
                                                other with a password, until stdin ends
    everyday.py letters SOURCE RELAY SERVER COUNT   so many letters through each
    everyday.py ping SOURCE SERVER COUNT        ICMP echo, one after the other
    everyday.py neighbour SERVER                a web page over IPv6, from a neighbour to be discovered
    everyday.py lease INTERFACE ADDRESS         a DHCP server with one address to give
    everyday.py address INTERFACE MAC           a DHCP client: discover, request

Each prints JSON at its end; servers print `ready` before.
"""

import hashlib
import http.client
import json
import logging
import os
import smtplib
import socket
import struct
import subprocess
import sys
import warnings

PATIENCE = 20  # seconds; beyond this, what did not come will not come
PASSWORD = ("alice", "secret")
SO_BINDTODEVICE = 25


def digest(text):
    return hashlib.sha256(text.strip().encode()).hexdigest()


def postoffice(relay, server):
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    # It would rather have a password go through TLS.
    warnings.simplefilter("ignore")
    logging.disable()
    taken = {"relay": [], "submission": []}

    class Box:
        def __init__(self, kind):
            self.kind = kind

        async def handle_DATA(self, _server, _session, envelope):
            body = envelope.content.decode().replace("\r\n", "\n").split("\n\n", 1)[1]
            taken[self.kind].append(digest(body))
            return "250 taken"

    def check(_server, _session, _envelope, _mechanism, data):
        right = (data.login.decode(), data.password.decode()) == PASSWORD
        return AuthResult(success=right, handled=True)

    Controller(Box("relay"), hostname=relay, port=25, ready_timeout=PATIENCE).start()
    Controller(
        Box("submission"),
        hostname=server,
        port=587,
        ready_timeout=PATIENCE,
        authenticator=check,
        auth_required=True,
        auth_require_tls=False,
    ).start()
    print("ready", flush=True)
    sys.stdin.read()
    return taken


def letters(source, relay, server, count):
    sent = {"relay": [], "submission": []}
    for number in range(int(count)):
        for kind, host, port in (("relay", relay, 25), ("submission", server, 587)):
            body = "\n".join(f"line {line} of letter {number}" for line in range(4000))
            with smtplib.SMTP(host, port, timeout=PATIENCE, source_address=(source, 0)) as client:
                if kind == "submission":
                    client.login(*PASSWORD)
                text = f"Subject: {number}\n\n{body}\n"
                client.sendmail("alice@example.org", "bob@example.net", text)
            sent[kind].append(digest(body))
    return sent


def checksum(octets):
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def ping(source, server, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.bind((source, 0))
    sock.settimeout(PATIENCE)
    answered = 0
    for number in range(int(count)):
        body = struct.pack("!HH", os.getpid() & 0xFFFF, number) + bytes(range(256)) * 4
        request = struct.pack("!BBH", 8, 0, checksum(b"\x08\0\0\0" + body)) + body
        sock.sendto(request, (server, 0))
        while True:  # until its answer; other answers may come too
            packet = sock.recv(65536)
            if packet[20] == 0 and packet[24:] == body:
                answered += 1
                break
    return {"answered": answered}


def neighbour(server):
    connection = http.client.HTTPConnection(server, 80, timeout=PATIENCE)
    connection.request("GET", "/1")
    octets = len(connection.getresponse().read())
    known = subprocess.run(["ip", "-6", "neigh", "show", server], capture_output=True, text=True)
    return {"octets": octets, "discovered": "lladdr" in known.stdout}


# -- DHCP (RFC 2131): as much as one address takes ---------------------------------------------

COOKIE = bytes((99, 130, 83, 99))
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


def dhcp_socket(interface, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, interface.encode())
    sock.bind(("", port))
    sock.settimeout(PATIENCE)
    return sock


def dhcp_message(operation, kind, mac, address="0.0.0.0"):
    fixed = struct.pack("!BBBBIHH", operation, 1, 6, 0, 0x4C796368, 0, 0x8000)
    addresses = bytes(4) + socket.inet_aton(address) + bytes(8)
    return fixed + addresses + mac + bytes(10 + 64 + 128) + COOKIE + bytes((53, 1, kind, 255))


def kind_of(message):
    return message[242] if message[236:240] == COOKIE else None


def lease(interface, address):
    sock = dhcp_socket(interface, 67)
    print("ready", flush=True)
    for asked, answer in ((DISCOVER, OFFER), (REQUEST, ACK)):
        while kind_of(message := sock.recv(2048)) != asked:
            pass
        reply = dhcp_message(2, answer, message[28:34], address)
        sock.sendto(reply, ("255.255.255.255", 68))
    return {"given": address}


def address(interface, mac):
    mac = bytes.fromhex(mac.replace(":", ""))
    answers = dhcp_socket(interface, 68)
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    for kind, wanted in ((DISCOVER, OFFER), (REQUEST, ACK)):
        message = dhcp_message(1, kind, mac)
        udp = struct.pack("!HHHH", 68, 67, 8 + len(message), 0) + message
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
        ends = bytes(4) + bytes((255,) * 4)
        head = head[:10] + struct.pack("!H", checksum(head + ends)) + ends
        wire.send(bytes((255,) * 6) + mac + b"\x08\0" + head + udp)
        while kind_of(answer := answers.recv(2048)) != wanted:
            pass
    return {"taken": socket.inet_ntoa(answer[16:20])}


if __name__ == "__main__":
    commands = {f.__name__: f for f in (postoffice, letters, ping, neighbour, lease, address)}
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])), flush=True)
