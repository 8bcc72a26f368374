//! A reset as the client's kernel sees it: `connect` must fail at once.
//!
//! A network namespace with a TAP device plays the subscriber; the kernel's own SYN is answered
//! with what [`build_reset`] makes of it. Between the two the test is the access network: it puts
//! the frame into tags, PPPoE or MPLS, and takes the answer out of them. This needs root, `ip` and
//! Python; without root it says so and does nothing, unless `CI` is set.

use std::{
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    process::{Child, ChildStdin, Command, Stdio},
};

use lychgate::wire::{Decoded, Link, build_reset, decode};

/// A network namespace that goes when it is dropped, with all that runs in it.
struct Namespace {
    name: String,
    client: Option<Child>,
}

impl Namespace {
    fn new() -> Self {
        let name = format!("lyreset{}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name, client: None }
    }

    fn run(&mut self, script: &str) -> (ChildStdin, impl BufRead + use<>) {
        let mut client = Command::new("ip")
            .args(["netns", "exec", &self.name, "python3", script])
            .arg(ENCAPSULATIONS.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip netns exec");
        let stdin = client.stdin.take().expect("a pipe");
        let stdout = client.stdout.take().expect("a pipe");
        self.client = Some(client);
        (stdin, BufReader::new(stdout))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(client) = &mut self.client {
            // It may have ended by itself.
            let _gone = client.kill();
            let _status = client.wait();
        }
        ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip")
        .args(arguments)
        .status()
        .expect("the ip command of iproute2");
    assert!(status.success(), "ip {}: {status}", arguments.join(" "));
}

fn is_root() -> bool {
    let id = Command::new("id")
        .arg("-u")
        .output()
        .expect("the id command");
    id.stdout == b"0\n"
}

fn octets(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).expect("hexadecimal"))
        .collect()
}

/// How an access network may carry the subscriber's packets.
#[derive(Clone, Copy, Debug)]
enum Encapsulation {
    /// As they are.
    Plain,
    /// Behind these octets, which end where the ethertype was.
    Behind(&'static [u8]),
    /// In a PPPoE session.
    Pppoe,
    /// Under an MPLS label, in place of the ethertype.
    Mpls,
}

const ENCAPSULATIONS: [Encapsulation; 5] = [
    Encapsulation::Plain,
    Encapsulation::Behind(&[0x81, 0x00, 0x00, 66]),
    Encapsulation::Behind(&[0x88, 0xa8, 0x00, 100, 0x81, 0x00, 0x00, 7]),
    Encapsulation::Pppoe,
    Encapsulation::Mpls,
];

const MACS: usize = 12;
const MPLS_LABEL: [u8; 6] = [0x88, 0x47, 0x00, 0x01, 0x01, 0x40];

impl Encapsulation {
    /// What stands between the MAC addresses and an IP packet.
    fn header(self, ethertype: &[u8], packet: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => ethertype.to_vec(),
            Self::Behind(tags) => [tags, ethertype].concat(),
            Self::Pppoe => {
                let protocol: [u8; 2] = if packet[0] >> 4 == 4 {
                    [0, 0x21]
                } else {
                    [0, 0x57]
                };
                let length = (ip_length(packet) as u16 + 2).to_be_bytes();
                [&[0x88, 0x64, 0x11, 0, 0x12, 0x34][..], &length, &protocol].concat()
            }
            Self::Mpls => MPLS_LABEL.to_vec(),
        }
    }

    fn wrap(self, frame: &[u8]) -> Vec<u8> {
        let (macs, rest) = frame.split_at(MACS);
        let (ethertype, packet) = rest.split_at(2);
        [macs, &self.header(ethertype, packet), packet].concat()
    }

    /// The frame without its encapsulation, which must be the one that was put on.
    fn unwrap(self, frame: &[u8], ethertype: &[u8]) -> Vec<u8> {
        let (macs, rest) = frame.split_at(MACS);
        let length = self.header(ethertype, &[0x45, 0, 0, 0, 0, 0]).len();
        let (header, packet) = rest.split_at(length);
        assert_eq!(header, self.header(ethertype, packet), "{self:?}");
        [macs, ethertype, packet].concat()
    }
}

/// Octets of an IP packet by its own header.
fn ip_length(packet: &[u8]) -> usize {
    match packet[0] >> 4 {
        4 => u16::from_be_bytes([packet[2], packet[3]]).into(),
        _ => usize::from(u16::from_be_bytes([packet[4], packet[5]])) + 40,
    }
}

fn reset_for(syn: &[u8], encapsulation: Encapsulation) -> Vec<u8> {
    let ethertype = &syn[MACS..MACS + 2];
    let carried = encapsulation.wrap(syn);
    let nobody = |_: IpAddr| false;
    let decoded = decode(&carried, carried.len() as u32, Link::Ethernet, &nobody);
    let Decoded::Segment(segment) = decoded else {
        panic!("the kernel's SYN is no mail segment: {decoded:?} {carried:02x?}");
    };
    assert!(segment.flags.is_attempt());
    let mut reset = [0; 256];
    let length = build_reset(&carried, Link::Ethernet, &segment, &mut reset).expect("it fits");
    encapsulation.unwrap(&reset[..length], ethertype)
}

#[test]
fn a_kernels_connection_attempt_ends_at_once_when_it_is_reset() {
    if !is_root() {
        assert!(std::env::var_os("CI").is_none(), "this test needs root");
        eprintln!("not tried: a network namespace needs root");
        return;
    }
    let mut namespace = Namespace::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reset/client.py");
    let (mut stdin, stdout) = namespace.run(script);
    let mut lines = stdout.lines().map(|line| line.expect("the client goes on"));
    for family in ["IPv4", "IPv6"] {
        for encapsulation in ENCAPSULATIONS {
            let syn = octets(&lines.next().expect("a SYN"));
            let reset = reset_for(&syn, encapsulation);
            let hex: String = reset.iter().map(|octet| format!("{octet:02x}")).collect();
            writeln!(stdin, "{hex}").expect("the client listens");
            let said = lines.next();
            assert_eq!(
                said.as_deref(),
                Some("ECONNREFUSED"),
                "{family} {encapsulation:?}"
            );
        }
    }
    assert_eq!(lines.next(), None);
}
