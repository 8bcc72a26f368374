//! The link types of capture files, <https://www.tcpdump.org/linktypes.html>.

use super::Fault;
use crate::wire::Link;

/// What frames of a `LINKTYPE_` number are to `wire`, if it reads them.
pub(super) const fn of_number(number: u32) -> Option<Link> {
    match number {
        0 | 108 => Some(Link::Loopback),
        1 => Some(Link::Ethernet),
        9 | 50 => Some(Link::Ppp),
        // 12 and 14 are what BSD systems call LINKTYPE_RAW in their own headers.
        12 | 14 | 101 | 228 | 229 => Some(Link::Ip),
        113 => Some(Link::LinuxSll),
        276 => Some(Link::LinuxSll2),
        _ => None,
    }
}

/// The `LINKTYPE_` number under which frames are written.
pub(super) const fn number(link: Link) -> u16 {
    match link {
        Link::Loopback => 0,
        Link::Ethernet => 1,
        Link::Ppp => 9,
        Link::Ip => 101,
        Link::LinuxSll => 113,
        Link::LinuxSll2 => 276,
    }
}

/// The refusal of a link type, for the header or packet at `offset`.
pub(super) fn unsupported(number: u32, offset: u64) -> Fault {
    let name = name(number);
    Fault::UnsupportedLinkType {
        number,
        name,
        offset,
    }
}

/// A link type as people know it: "`LINKTYPE_IEEE802_11_RADIOTAP` (127)".
pub(super) fn describe(number: u32) -> String {
    match name(number) {
        Some(name) => format!("{name} ({number})"),
        None => number.to_string(),
    }
}

/// The names of those that people meet and `wire` does not read.
const fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        3 => "LINKTYPE_AX25",
        6 => "LINKTYPE_IEEE802_5",
        7 => "LINKTYPE_ARCNET_BSD",
        8 => "LINKTYPE_SLIP",
        10 => "LINKTYPE_FDDI",
        51 => "LINKTYPE_PPP_ETHER",
        100 => "LINKTYPE_ATM_RFC1483",
        104 => "LINKTYPE_C_HDLC",
        105 => "LINKTYPE_IEEE802_11",
        107 => "LINKTYPE_FRELAY",
        114 => "LINKTYPE_LTALK",
        117 => "LINKTYPE_PFLOG",
        119 => "LINKTYPE_IEEE802_11_PRISM",
        122 => "LINKTYPE_IP_OVER_FC",
        123 => "LINKTYPE_SUNATM",
        127 => "LINKTYPE_IEEE802_11_RADIOTAP",
        130 => "LINKTYPE_JUNIPER_MLPPP",
        137 => "LINKTYPE_JUNIPER_ATM1",
        138 => "LINKTYPE_APPLE_IP_OVER_IEEE1394",
        143 => "LINKTYPE_DOCSIS",
        144 => "LINKTYPE_LINUX_IRDA",
        147..=162 => "LINKTYPE_USER",
        163 => "LINKTYPE_IEEE802_11_AVS",
        166 => "LINKTYPE_PPP_PPPD",
        178 => "LINKTYPE_JUNIPER_ETHER",
        187 => "LINKTYPE_BLUETOOTH_HCI_H4",
        189 => "LINKTYPE_USB_LINUX",
        192 => "LINKTYPE_PPI",
        195 => "LINKTYPE_IEEE802_15_4_WITHFCS",
        197 => "LINKTYPE_ERF",
        201 => "LINKTYPE_BLUETOOTH_HCI_H4_WITH_PHDR",
        204 => "LINKTYPE_PPP_WITH_DIR",
        220 => "LINKTYPE_USB_LINUX_MMAPPED",
        226 => "LINKTYPE_IPNET",
        227 => "LINKTYPE_CAN_SOCKETCAN",
        230 => "LINKTYPE_IEEE802_15_4_NOFCS",
        239 => "LINKTYPE_NFLOG",
        240 => "LINKTYPE_NETANALYZER",
        242 => "LINKTYPE_IPOIB",
        247 => "LINKTYPE_INFINIBAND",
        249 => "LINKTYPE_USBPCAP",
        251 => "LINKTYPE_BLUETOOTH_LE_LL",
        252 => "LINKTYPE_WIRESHARK_UPPER_PDU",
        253 => "LINKTYPE_NETLINK",
        254 => "LINKTYPE_BLUETOOTH_LINUX_MONITOR",
        256 => "LINKTYPE_BLUETOOTH_LE_LL_WITH_PHDR",
        258 => "LINKTYPE_PKTAP",
        259 => "LINKTYPE_EPON",
        266 => "LINKTYPE_USB_DARWIN",
        271 => "LINKTYPE_VSOCK",
        272 => "LINKTYPE_NORDIC_BLE",
        274 => "LINKTYPE_ETHERNET_MPACKET",
        _ => return None,
    })
}
