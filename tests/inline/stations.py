"""Both ends of the wire: real clients and servers on ordinary sockets.

    stations.py serve ADDRESS                      SMTP on 25, HTTP on 80, UDP echo on 9, until stdin ends
    stations.py page ADDRESS                       HTTP on 80 of an IPv6 address, until stdin ends
    stations.py attempts SOURCE SERVER COUNT       TCP connections to port 25, one after the other
    stations.py knock SOURCE SERVER COUNT          TCP connections to port 25, all at once, for 5 s
    stations.py mail SOURCE SERVER COUNT           whole mails through smtplib
    stations.py bulk SOURCE SERVER MEBIBYTES       HTTP download, then upload, compared by SHA-256
    stations.py stream SOURCE SERVER COUNT         numbered datagrams, one a millisecond, echoed

Each prints JSON at its end; serve and stream print a line before that, when they are under way.
"""

import hashlib
import http.client
import http.server
import json
import random
import select
import smtplib
import socket
import socketserver
import sys
import threading
import time

PATIENCE = 20  # seconds; beyond this, what did not come will not come
PACE = 0.001
SO_RCVBUFFORCE = 33  # of Linux; not in the socket module


def widen(sock):
    """On a slow machine, datagrams wait for their reader rather than being lost at its door."""
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)


def content(mebibytes):
    return random.Random(mebibytes).randbytes(mebibytes << 20)


class Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as smtplib asks for."""

    mails = 0

    def handle(self):
        try:
            self.converse()
        except ConnectionError:
            pass  # a client that only knocked

    def converse(self):
        self.reply("220 test ESMTP")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.reply("354 go on")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                Smtp.mails += 1
                self.reply("250 taken")
            elif verb == b"QUIT":
                return self.reply("221 bye")
            else:
                self.reply("250 fine")

    def reply(self, text):
        self.wfile.write(text.encode() + b"\r\n")


class Http(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(content(int(self.path[1:])))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(hashlib.sha256(body).hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        datagram, sock = self.request
        sock.sendto(datagram, self.client_address)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def serve(address):
    servers = [
        Server((address, 25), Smtp),
        Server((address, 80), Http),
        socketserver.UDPServer((address, 9), Echo),
    ]
    widen(servers[-1].socket)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    return {"mails": Smtp.mails}


class Server6(Server):
    address_family = socket.AF_INET6


def page(address):
    server = Server6((address, 80), Http)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    return {}


def attempts(source, server, count):
    outcomes = {"connected": 0, "refused": 0, "silent": 0}
    for _ in range(int(count)):
        try:
            socket.create_connection((server, 25), PATIENCE, (source, 0)).close()
            outcomes["connected"] += 1
        except ConnectionRefusedError:
            outcomes["refused"] += 1
        except TimeoutError:
            outcomes["silent"] += 1
    return outcomes


def knock(source, server, count):
    """Long enough for a SYN to be sent again after 1 and 3 seconds, as it is without an answer."""
    ends = []
    for _ in range(int(count)):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind((source, 0))
        sock.connect_ex((server, 25))
        ends.append(sock)
    time.sleep(5)
    states = [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] for sock in ends]
    # TCP_SYN_SENT is 2; whatever else it is, it was connected.
    return {"connected": sum(state != 2 for state in states)}


def mail(source, server, count):
    for number in range(int(count)):
        with smtplib.SMTP(server, timeout=PATIENCE, source_address=(source, 0)) as client:
            client.sendmail("a@example.org", "b@example.net", f"Subject: {number}\r\n\r\nHello.\r\n")
    return {"sent": int(count)}


def bulk(source, server, mebibytes):
    body = content(int(mebibytes))
    connection = http.client.HTTPConnection(server, timeout=PATIENCE, source_address=(source, 0))
    connection.request("GET", f"/{mebibytes}")
    down = connection.getresponse().read() == body
    connection.request("POST", "/", body)
    up = connection.getresponse().read().decode() == hashlib.sha256(body).hexdigest()
    return {"down": down, "up": up}


def stream(source, server, count):
    """Sends at most one datagram a millisecond: so many are lost, so many milliseconds at least
    were bad ones, however slow this machine is."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    widen(sock)
    sock.bind((source, 0))
    sock.connect((server, 9))
    count, echoed = int(count), []
    for number in range(count):
        sock.send(number.to_bytes(4, "big"))
        if number == count // 4:
            print("under way", flush=True)
        time.sleep(PACE)
    # Whatever is not lost comes before the last one, or soon after it.
    while select.select([sock], [], [], 0.2 if count - 1 in echoed else PATIENCE)[0]:
        echoed.append(int.from_bytes(sock.recv(4), "big"))
    return {
        "lost": count - len(set(echoed)),
        "doubled": len(echoed) - len(set(echoed)),
        "last": max(echoed, default=None),
    }


if __name__ == "__main__":
    commands = {f.__name__: f for f in (serve, page, attempts, knock, mail, bulk, stream)}
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])), flush=True)
