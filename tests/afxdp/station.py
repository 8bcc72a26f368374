"""A station at the far end of a cable: sends the frames it is told to, and tells what arrives.

    station.py INTERFACE

Frames are lines of hexadecimal digits, on standard input and output. The first line out is
`ready`. This shares nothing with Lychgate: it is a packet socket (packet(7)).
"""

import socket
import struct
import sys
import threading

SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
# struct tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
AUXDATA = struct.Struct("=IIIHHHH")
VLAN_VALID, VLAN_TPID_VALID = 1 << 4, 1 << 6


def whole(octets, ancillary):
    """The frame as it was on the wire: the kernel takes the outer VLAN tag off for its taps."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, tpid = AUXDATA.unpack(data[: AUXDATA.size])
            if status & VLAN_VALID:
                tpid = tpid if status & VLAN_TPID_VALID else 0x8100
                return octets[:12] + struct.pack("!HH", tpid, tci) + octets[12:]
    return octets


def tell(wire):
    while True:
        octets, ancillary, _, _ = wire.recvmsg(65536, socket.CMSG_SPACE(AUXDATA.size))
        sys.stdout.write(whole(octets, ancillary).hex() + "\n")
        sys.stdout.flush()


def main():
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    wire.bind((sys.argv[1], ETH_P_ALL))
    threading.Thread(target=tell, args=(wire,), daemon=True).start()
    print("ready", flush=True)
    for line in sys.stdin:
        wire.send(bytes.fromhex(line))


main()
