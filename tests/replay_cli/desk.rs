//! What the tests work with: made-up captures, and a directory to run the program in.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use assert_cmd::Command;
use lychgate::{
    io::capture::{PcapWriter, Precision, Reader, Record},
    synth::packet::Packet,
    wire::Link,
};
use serde_json::Value;
use tempfile::TempDir;

pub const SECOND: u64 = 1_000_000_000;
pub const START: u64 = 1_795_370_400 * SECOND;
pub const SYN: u16 = 0x02;

pub const POLICY: &str = r#"
[ports]
access = "eth1"
uplink = "eth2"

[relays]
addresses = ["192.0.2.25"]
limit = { connections = 60, window = "1m" }

[class.residential]
smtp = { limit = { connections = 10, window = "10s" } }
submission = "allow"
excess = "drop"

[class.resetting]
smtp = { limit = { connections = 1, window = "10s" } }
submission = "allow"
excess = "reset"

[class.closed]
smtp = "block"
submission = "allow"
mode = "observe"

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "198.51.100.0/25"
class = "resetting"

[[pool]]
prefix = "198.51.100.128/25"
class = "closed"

[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"

[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30/32"]
class = "residential"

[sources]
capacity = 4096
"#;

/// One frame of a made-up capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub time: u64,
    pub bytes: Vec<u8>,
    pub wire_length: u32,
}

pub fn made(time: u64, packet: Packet) -> Made {
    let bytes = packet.build();
    let wire_length = bytes.len() as u32;
    Made {
        time,
        bytes,
        wire_length,
    }
}

/// A SYN from an IPv4 subscriber to a mail server.
pub fn syn(time: u64, source: [u8; 4], port: u16, sequence: u32) -> Made {
    let source = Ipv4Addr::from(source);
    let packet = Packet::ethernet()
        .ipv4(source, "192.0.2.99")
        .tcp(40_000, port);
    made(time, packet.flags(SYN).sequence(sequence))
}

/// Twelve attempts and a retransmission of a zombie, an IPv6 subscriber that changes its address
/// within its prefix, a named subscriber, a class that resets, one that only observes, and what
/// isn't mail: 30 frames in 3 seconds.
pub fn evening() -> Vec<Made> {
    let mut frames = Vec::new();
    for index in 0..12u32 {
        frames.push(syn(
            START + u64::from(index) * SECOND / 10,
            [203, 0, 113, 66],
            25,
            index,
        ));
    }
    // The last of them again: refused like the first time, but no new attempt.
    frames.push(syn(START + 2 * SECOND, [203, 0, 113, 66], 25, 11));
    for host in 1..=3u16 {
        let source = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x0200, 0, 0, 0, 0, host);
        let packet = Packet::ethernet()
            .ipv6(source, "2001:db8:ffff::25")
            .tcp(40_000, 25);
        frames.push(made(START + 2 * SECOND, packet.flags(SYN)));
    }
    frames.push(syn(START + 2 * SECOND, [203, 0, 113, 30], 25, 1));
    frames.push(syn(START + 2 * SECOND, [203, 0, 113, 30], 587, 2));
    for sequence in 0..2 {
        frames.push(syn(START + 2 * SECOND + 1, [198, 51, 100, 7], 25, sequence));
    }
    frames.push(syn(START + 2 * SECOND + 2, [198, 51, 100, 200], 25, 1));
    // The first fragment ends after 8 of the TCP header's 20 octets.
    let tiny = Packet::ethernet()
        .ipv4("203.0.113.9", "192.0.2.99")
        .fragment(0, true, 7);
    frames.push(made(
        START + 2 * SECOND + 3,
        tiny.only(0..8).tcp(40_000, 25).flags(SYN),
    ));
    for index in 0..8 {
        let packet = Packet::ethernet()
            .ipv4("203.0.113.5", "192.0.2.53")
            .udp(5000, 53);
        frames.push(made(START + 3 * SECOND + index, packet.payload(40)));
    }
    frames
}

/// A directory with a policy in it, and the program to run there.
pub struct Desk(pub TempDir);

impl Desk {
    pub fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        desk.file("policy.toml", POLICY);
        desk
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    pub fn pcap(&self, name: &str, frames: &[Made]) {
        let mut writer =
            PcapWriter::create(&self.path(name), Link::Ethernet, Precision::Nanoseconds).unwrap();
        for frame in frames {
            writer.write(&record(frame)).unwrap();
        }
        writer.finish().unwrap();
    }

    pub fn lychgate(&self, arguments: &str) -> Run {
        self.lychgate_with(arguments, &[])
    }

    pub fn lychgate_with(&self, arguments: &str, stdin: &[u8]) -> Run {
        let mut command = Command::cargo_bin("lychgate").unwrap();
        command
            .current_dir(self.0.path())
            .args(arguments.split_whitespace())
            .write_stdin(stdin);
        let output = command.output().unwrap();
        Run {
            status: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Replays and returns the JSON document.
    pub fn json(&self, arguments: &str) -> Value {
        let run = self.lychgate(&format!("replay --policy policy.toml --json - {arguments}"));
        assert_eq!(run.status, 0, "{}", run.stderr);
        serde_json::from_str(&run.stdout).unwrap()
    }

    pub fn read(&self, name: &str) -> Vec<Made> {
        read(&self.path(name))
    }
}

pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Refused with one line on standard error that holds all of these.
    #[track_caller]
    pub fn is_refused_with(&self, texts: &[&str]) {
        assert_eq!(self.status, 2, "{}", self.stderr);
        assert!(self.stderr.starts_with("lychgate: "), "{}", self.stderr);
        assert_eq!(self.stderr.trim_end().lines().count(), 1, "{}", self.stderr);
        for text in texts {
            assert!(
                self.stderr.contains(text),
                "{text:?} is not in {:?}",
                self.stderr
            );
        }
    }
}

pub fn record(frame: &Made) -> Record<'_> {
    Record {
        time: frame.time,
        link: Link::Ethernet,
        bytes: &frame.bytes,
        wire_length: frame.wire_length,
    }
}

pub fn read(path: &Path) -> Vec<Made> {
    let mut reader = Reader::open(path).unwrap();
    let mut frames = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let Record {
            time, wire_length, ..
        } = record;
        frames.push(Made {
            time,
            bytes: record.bytes.to_vec(),
            wire_length,
        });
    }
    frames
}

pub fn service(attempts: [u64; 4]) -> Value {
    let [syn_frames, attempts, admitted, refused] = attempts;
    serde_json::json!({
        "syn_frames": syn_frames, "attempts": attempts, "admitted": admitted, "refused": refused
    })
}
