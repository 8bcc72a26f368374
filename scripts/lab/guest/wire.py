"""Frames, and packet sockets at both ends of the cables. Shares nothing with Lychgate."""

import select
import socket
import struct
import time

SOL_PACKET = 263
PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 8, 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
# struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
AUXDATA = struct.Struct("=IIIHHHH")
VLAN_VALID, VLAN_TPID_VALID = 1 << 4, 1 << 6

SYN, ACK = 2, 16


def checksum(octets):
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp(source, server, port, to=25, flags=SYN, number=0, tags=(), payload=b""):
    """A TCP segment over IPv4 in Ethernet, under any number of (ethertype, VLAN) tags."""
    addresses = socket.inet_aton(source) + socket.inet_aton(server)
    payload += b"\0" * (len(payload) % 2)
    segment = struct.pack("!HHIIBBHHH", port, to, number, 0, 5 << 4, flags, 65535, 0, 0) + payload
    pseudo = addresses + struct.pack("!HH", 6, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number & 0xFFFF, 0, 64, 6, 0) + addresses
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    ethernet = bytes.fromhex("020000000002020000000001")
    for kind, vlan in tags:
        ethernet += struct.pack("!HH", kind, vlan)
    return (ethernet + b"\x08\x00" + header + segment).ljust(60, b"\0")


def plain(number, tags=(), size=0, source="10.1.0.1"):
    """A frame that is not mail; its ports, which vary, spread it over the queues."""
    return tcp(source, "198.18.0.1", 1024 + number % 60000, 443, ACK, number, tags, b"x" * size)


class Tap:
    """A packet socket on one interface."""

    def __init__(self, interface):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.socket.bind((interface, ETH_P_ALL))

    def send(self, frame):
        # A card whose queue is full says so: then it is busy, and soon no more.
        for _ in range(1000):
            try:
                return self.socket.send(frame)
            except (BlockingIOError, OSError) as error:
                if error.errno not in (11, 105):
                    raise
                time.sleep(0.01)
        raise TimeoutError("the generator's queue stays full")

    def receive(self, until):
        """The next frame as it was on the wire, or None when it is `until`."""
        if not select.select([self.socket], [], [], max(0, until - time.monotonic()))[0]:
            return None
        octets, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(AUXDATA.size))
        for level, kind, data in ancillary:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
                if status & VLAN_VALID:
                    tpid = tpid if status & VLAN_TPID_VALID else 0x8100
                    return octets[:12] + struct.pack("!HH", tpid, tci) + octets[12:]
        return octets

    def drain(self):
        while self.receive(0) is not None:
            pass

    def close(self):
        self.socket.close()
