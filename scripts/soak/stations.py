"""Both ends of the soak: each goes on until its standard input ends, then prints JSON.

    stations.py serve SERVER RELAY       SMTP on 25 of both, HTTP on 80 of the first
    stations.py bulk SOURCE SERVER       transfers of 4 MiB, compared by SHA-256
    stations.py mail SOURCE HOST...      numbered mails, to the hosts in turn, until acknowledged
    stations.py zombie SOURCE SERVER     attempts at port 25; a line for each connection
"""

import hashlib
import http.client
import http.server
import json
import logging
import random
import select
import smtplib
import socket
import sys
import threading
import time

PATIENCE = 60  # seconds; a transfer may have to wait out a trouble
OCTETS = 4 << 20
LETTER = "A line of a letter.\r\n" * 200


def going_on(pause=0.0):
    return not select.select([sys.stdin], [], [], pause)[0]


def say(what):
    print(json.dumps(what), flush=True)


def content(seed):
    return random.Random(seed).randbytes(OCTETS)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = content(int(self.path[1:]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve(server, relay):
    from aiosmtpd.controller import Controller

    logging.disable()
    taken = []

    class Box:
        async def handle_DATA(self, _server, _session, envelope):
            text = envelope.content.decode()
            taken.append(int(text.split("Subject: ", 1)[1].split()[0]))
            return "250 taken"

    for host in (server, relay):
        Controller(Box(), hostname=host, port=25, ready_timeout=PATIENCE).start()
    web = http.server.ThreadingHTTPServer((server, 80), Page)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    say("ready")
    while going_on(1):
        pass
    say({"taken": taken})


def bulk(source, server):
    counts = {"intact": 0, "damaged": 0, "broken": 0}
    digests = [hashlib.sha256(content(seed)).digest() for seed in range(4)]
    number = 0
    while going_on():
        number += 1
        try:
            web = http.client.HTTPConnection(server, 80, timeout=PATIENCE, source_address=(source, 0))
            web.request("GET", f"/{number % 4}")
            body = web.getresponse().read()
            intact = hashlib.sha256(body).digest() == digests[number % 4]
            counts["intact" if intact else "damaged"] += 1
        except (OSError, http.client.HTTPException):
            counts["broken"] += 1
    say(counts)


def mail(source, *hosts):
    acknowledged, vain, number = [], 0, 0
    while going_on(0.02):
        number += 1
        host = hosts[number % len(hosts)]
        while True:
            try:
                with smtplib.SMTP(host, timeout=PATIENCE, source_address=(source, 0)) as office:
                    text = f"Subject: {number}\r\n\r\n{LETTER}\r\n"
                    office.sendmail("shop@acme.example", "bob@example.net", text)
                acknowledged.append(number)
                break
            except (OSError, smtplib.SMTPServerDisconnected):
                vain += 1
                time.sleep(0.2)
    say({"acknowledged": acknowledged, "vain": vain})


def zombie(source, server):
    counts = {"connected": 0, "refused": 0, "silent": 0}
    while going_on(0.02):
        try:
            socket.create_connection((server, 25), 1, (source, 0)).close()
            counts["connected"] += 1
            say({"at": time.monotonic()})
        except ConnectionRefusedError:
            counts["refused"] += 1
        except OSError:
            counts["silent"] += 1
    say(counts)


if __name__ == "__main__":
    commands = {f.__name__: f for f in (serve, bulk, mail, zombie)}
    commands[sys.argv[1]](*sys.argv[2:])
