"""The people and servers of the demo, on ordinary sockets.

    stations.py internet                     SMTP on 25 and 587 of every address, a web page on 80
    stations.py user                         one mail through the relay, one through submission
    stations.py business COUNT               so many mails to port 25 of as many servers
    stations.py zombie COUNT                 an attempt at port 25 of so many servers

`internet` prints `ready`, and what it has seen when its standard input ends. The others print what
happened to them. All of it is JSON.
"""

import http.server
import json
import smtplib
import socket
import sys
import threading
import time
from email.message import EmailMessage

USER, BUSINESS, ZOMBIE = "203.0.113.10", "203.0.113.20", "203.0.113.66"
RELAY = "198.51.100.25"
PATIENCE = 20  # seconds

# Anybody's mail servers: the internet side answers for all of these addresses.
SERVERS = [f"192.0.2.{host}" for host in range(1, 255)] + [
    f"198.18.{net}.{host}" for net in range(4) for host in range(1, 255)
]


def internet():
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult

    seen = {"relay": 0, "submission": 0, "others": 0, "by": {}}

    class Postbox:
        def __init__(self, port):
            self.port = port

        async def handle_DATA(self, server, session, envelope):
            here = server.transport.get_extra_info("sockname")[0]
            kind = "submission" if self.port == 587 else "relay" if here == RELAY else "others"
            seen[kind] += 1
            source = session.peer[0]
            seen["by"][source] = seen["by"].get(source, 0) + 1
            return "250 taken"

    def authenticate(server, session, envelope, mechanism, data):
        known = data.login == b"alice" and data.password == b"secret"
        return AuthResult(success=known, handled=True)

    for port in (25, 587):
        options = {}
        if port == 587:
            options = {"auth_required": True, "auth_require_tls": False}
        Controller(
            Postbox(port),
            hostname="0.0.0.0",
            port=port,
            authenticator=authenticate,
            ready_timeout=PATIENCE,
            **options,
        ).start()
    web = http.server.ThreadingHTTPServer(("0.0.0.0", 80), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    return seen


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<h1>The web is not mail</h1>\n" * 40_000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def letter(sender, subject):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, "bob@example.net", subject
    message.set_content("A real letter.\n")
    return message


def user():
    sent = {"relay": 0, "submission": 0}
    with smtplib.SMTP(RELAY, 25, timeout=PATIENCE, source_address=(USER, 0)) as relay:
        relay.send_message(letter("alice@example.org", "through the relay"))
        sent["relay"] = 1
    with smtplib.SMTP(SERVERS[0], 587, timeout=PATIENCE, source_address=(USER, 0)) as provider:
        provider.login("alice", "secret")
        provider.send_message(letter("alice@example.org", "through submission"))
        sent["submission"] = 1
    return sent


def business(count):
    for server in SERVERS[: int(count)]:
        with smtplib.SMTP(server, 25, timeout=PATIENCE, source_address=(BUSINESS, 0)) as other:
            other.send_message(letter("shop@acme.example", "your order"))
    return {"sent": int(count)}


def zombie(count):
    outcomes = {"connected": 0, "refused": 0, "silent": 0}
    start = time.monotonic()
    for server in SERVERS[: int(count)]:
        try:
            socket.create_connection((server, 25), PATIENCE, (ZOMBIE, 0)).close()
            outcomes["connected"] += 1
        except ConnectionRefusedError:
            outcomes["refused"] += 1
        except TimeoutError:
            outcomes["silent"] += 1
    outcomes["seconds"] = round(time.monotonic() - start, 2)
    return outcomes


if __name__ == "__main__":
    commands = {f.__name__: f for f in (internet, user, business, zombie)}
    print(json.dumps(commands[sys.argv[1]](*sys.argv[2:])), flush=True)
