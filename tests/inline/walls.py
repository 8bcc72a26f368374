"""Pages, and what else is closed in a walled garden: real servers and a real client.

    walls.py serve ADDRESS...                 HTTP on 80, echoes on TCP 443 and UDP 53, until stdin ends
    walls.py probe SOURCE SERVER              a page, a TCP connection to 443, a question to UDP 53
    walls.py read SOURCE URL                  a page and wherever it leads to

Each prints JSON at its end; serve prints a line before that, when it is under way.
"""

import http.client
import http.server
import json
import socket
import socketserver
import sys
import threading
import urllib.parse

PATIENCE = 20  # seconds; beyond this, what did not come will not come


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.server.server_address[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class TcpEcho(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            self.request.sendall(self.request.recv(100))
        except ConnectionError:
            pass  # a client that only knocked


class UdpEcho(socketserver.BaseRequestHandler):
    def handle(self):
        datagram, sock = self.request
        sock.sendto(datagram, self.client_address)


def server(kind, address, port, handler):
    at = type("At", (kind,), {"address_family": family(address), "allow_reuse_address": True})
    made = at((address, port), handler)
    made.daemon_threads = True
    threading.Thread(target=made.serve_forever, daemon=True).start()


def serve(*addresses):
    for address in addresses:
        server(socketserver.ThreadingTCPServer, address, 80, Page)
        server(socketserver.ThreadingTCPServer, address, 443, TcpEcho)
        server(socketserver.UDPServer, address, 53, UdpEcho)
    print("ready", flush=True)
    sys.stdin.read()
    return {}


def fetch(source, host, path):
    """Status, location and text of a page, over a connection of its own, read to its very end."""
    page = http.client.HTTPConnection(host, 80, PATIENCE, (source, 0))
    page.request("GET", path, headers={"Host": "www.example"})
    answer = page.getresponse()
    text = answer.read().decode()
    page.close()
    return answer.status, answer.getheader("Location"), text


def connect(source, host):
    try:
        with socket.create_connection((host, 443), PATIENCE, (source, 0)) as sock:
            sock.sendall(b"hello")
            return "open" if sock.recv(5) == b"hello" else "odd"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "silent"


def ask(source, host):
    """Asked again now and then, as resolvers are."""
    with socket.socket(family(host), socket.SOCK_DGRAM) as sock:
        sock.bind((source, 0))
        sock.settimeout(PATIENCE / 5)
        for _ in range(5):
            sock.sendto(b"who?", (host, 53))
            try:
                return "answered" if sock.recv(100) == b"who?" else "odd"
            except TimeoutError:
                pass
    return "silent"


def probe(source, host):
    status, location, text = fetch(source, host, "/")
    return {
        "page": location if status == 302 else text,
        "tcp": connect(source, host),
        "name": ask(source, host),
    }


def read(source, url):
    seen = []
    for _ in range(3):
        parts = urllib.parse.urlsplit(url)
        status, location, text = fetch(source, parts.hostname, parts.path or "/")
        seen.append(status)
        if status != 302:
            return {"seen": seen, "text": text}
        url = location
    return {"seen": seen}


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    result = {"serve": serve, "probe": probe, "read": read}[command](*arguments)
    print(json.dumps(result), flush=True)
