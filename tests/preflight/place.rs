//! Where a test takes place: a namespace with two cables. Two ends are the box's ports, the other
//! two the stations'.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio, id},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};

/// Where `lychgate` pins.
const PIN_ROOT: &str = "/sys/fs/bpf/lychgate";

const POLICY: &str = "\
[class.residential]
smtp = \"block\"
[[pool]]
prefix = \"203.0.113.0/24\"
class = \"residential\"
[sources]
capacity = 16
";

/// Without it on its peer, a veth takes no frames from an XDP program.
pub const WITH_GRO: [&str; 2] = ["gro", "on"];

/// A place. Everything in it is gone when it is dropped, also when a test fails.
pub struct Place {
    namespace: String,
    /// The box's interfaces: access, uplink.
    pub ports: [String; 2],
    stations: [String; 2],
    policy: PathBuf,
}

impl Place {
    /// With a queue a port, as a box needs it. Nothing if this machine cannot have a place, and then
    /// it says so.
    pub fn new() -> Option<Self> {
        Self::with(&[1, 1], &WITH_GRO)
    }

    /// With so many queues on access and uplink, and these features set on the stations' ends.
    pub fn with(queues: &[u32; 2], features: &[&str]) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: network namespaces and XDP need root");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Pins are named after interfaces, and are the same for all namespaces.
        let name = format!("{}n{number}", id());
        let policy = format!("{}/preflight-{name}.toml", env!("CARGO_TARGET_TMPDIR"));
        fs::write(&policy, POLICY).unwrap();
        let place = Self {
            namespace: format!("lyfront-{name}"),
            ports: ["a", "u"].map(|end| format!("ly{name}{end}")),
            stations: ["s", "n"].map(|end| format!("ly{name}{end}")),
            policy: policy.into(),
        };
        run("ip", &["netns", "add", &place.namespace]);
        for (index, queues) in queues.iter().enumerate() {
            place.make_cable(index, *queues, features);
        }
        Some(place)
    }

    /// Makes the cable of access (0) or uplink (1).
    pub fn make_cable(&self, index: usize, queues: u32, features: &[&str]) {
        let (port, station) = (&self.ports[index], &self.stations[index]);
        let queues = queues.to_string();
        let queues = ["numrxqueues", &queues, "numtxqueues", &queues];
        let near = [&["link", "add", port], &queues[..], &["type", "veth"]].concat();
        self.ip(&[&near[..], &["peer", "name", station], &queues].concat());
        if !features.is_empty() {
            self.enter(&[&["ethtool", "-K", station.as_str()], features].concat());
        }
        for end in [port, station] {
            self.ip(&["link", "set", end, "up"]);
        }
    }

    /// The station's end of a cable.
    pub fn station(&self, index: usize) -> &str {
        &self.stations[index]
    }

    /// Runs `ip` in here; it must succeed.
    pub fn ip(&self, arguments: &[&str]) -> String {
        self.enter(&[&["ip"], arguments].concat())
    }

    /// Runs a command in here; it must succeed.
    pub fn enter(&self, command: &[&str]) -> String {
        run("nsenter", &[&[self.net().as_str()], command].concat())
    }

    /// `ip netns exec` would mount another sysfs, and another BPF file system with it.
    fn net(&self) -> String {
        format!("--net=/run/netns/{}", self.namespace)
    }

    fn command(&self, prefix: &[String], subcommand: &str, arguments: &[&str]) -> Command {
        let [access, uplink] = &self.ports;
        let mut command = Command::new("nsenter");
        command
            .arg(self.net())
            .args(prefix)
            .arg(env!("CARGO_BIN_EXE_lychgate"))
            .args([subcommand, "--access", access, "--uplink", uplink]);
        if subcommand == "run" {
            command.arg("--policy").arg(&self.policy);
        }
        command.args(arguments);
        command
    }

    /// Runs the program to its end: its exit code, what it said on standard output and error.
    pub fn lychgate(&self, subcommand: &str, arguments: &[&str]) -> (i32, String, String) {
        self.lychgate_as(&[], subcommand, arguments)
    }

    /// The same through another command, such as `setpriv`.
    pub fn lychgate_as(
        &self,
        prefix: &[String],
        subcommand: &str,
        arguments: &[&str],
    ) -> (i32, String, String) {
        let output = self
            .command(prefix, subcommand, arguments)
            .output()
            .unwrap();
        let text = |octets| String::from_utf8(octets).unwrap();
        let code = output.status.code().expect("it ends by itself");
        (code, text(output.stdout), text(output.stderr))
    }

    /// Starts `lychgate run`, waits until it runs, and gives what it said until then.
    pub fn start(&self, arguments: &[&str]) -> (Inline, String) {
        let mut inline = self.launch(arguments);
        let said = inline.until("running:");
        (inline, said)
    }

    /// Starts `lychgate run`. It has a minute until a worker is thought dead: nothing here is about
    /// time.
    pub fn launch(&self, arguments: &[&str]) -> Inline {
        let arguments = [&["--deadline", "60000"], arguments].concat();
        let mut child = self
            .command(&[], "run", &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Inline { child, output }
    }

    /// What may be changed on the ports: flags, MTU, master, programs, offloads.
    pub fn state(&self) -> Vec<String> {
        let of_port = |port: &String| {
            let link = self.ip(&["-o", "link", "show", "dev", port]);
            // The program's id and the statistics' order are of no interest.
            let link = link.split(" qdisc ").next().unwrap().to_owned();
            [link, self.enter(&["ethtool", "-k", port])]
        };
        self.ports.iter().flat_map(of_port).collect()
    }

    /// Whether these are on, by the names that ethtool prints.
    pub fn are_on(&self, port: &str, offloads: &[&str]) -> bool {
        let printed = self.enter(&["ethtool", "-k", port]);
        let is_on = |offload: &&str| {
            let line = printed
                .lines()
                .find(|line| line.trim().starts_with(*offload));
            line.expect("ethtool knows it").contains(": on")
        };
        offloads.iter().all(is_on)
    }

    pub fn is_promiscuous(&self, port: &str) -> bool {
        self.ip(&["link", "show", "dev", port]).contains("PROMISC")
    }

    /// The id of the XDP program on an interface.
    pub fn program_id(&self, port: &str) -> Option<u64> {
        let text = self.ip(&["-j", "-d", "link", "show", "dev", port]);
        let shown: serde_json::Value = serde_json::from_str(&text).unwrap();
        shown[0]["xdp"]["prog"]["id"].as_u64()
    }

    /// Attaches a program of somebody else.
    pub fn attach_pass(&self, port: &str) {
        let object = pass_program();
        let object = object.to_str().unwrap();
        self.ip(&[
            "link", "set", "dev", port, "xdpdrv", "obj", object, "sec", "xdp",
        ]);
    }

    /// Where an interface's pins and marks are.
    pub fn pins(&self, port: &str) -> PathBuf {
        Path::new(PIN_ROOT).join(port)
    }

    /// The ports that have any.
    pub fn marks(&self) -> Vec<String> {
        let ports = self.ports.iter();
        ports
            .filter(|port| self.pins(port).exists())
            .cloned()
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command(&[], "detach", &[]).output();
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.namespace])
            .status();
        for port in &self.ports {
            let _ = fs::remove_dir_all(self.pins(port));
        }
        let _ = fs::remove_dir(PIN_ROOT);
        let _ = fs::remove_file(&self.policy);
    }
}

/// A running `lychgate run`.
pub struct Inline {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Inline {
    /// Reads what it says until a line begins so, and gives all of it.
    #[track_caller]
    pub fn until(&mut self, beginning: &str) -> String {
        let mut said = String::new();
        loop {
            let before = said.len();
            if self.output.read_line(&mut said).unwrap() == 0 {
                let mut complaint = String::new();
                let _ = std::io::Read::read_to_string(
                    self.child.stderr.as_mut().unwrap(),
                    &mut complaint,
                );
                panic!("it ended without {beginning:?}: {said}{complaint}");
            }
            if said[before..].starts_with(beginning) {
                return said;
            }
        }
    }

    /// Sends a signal and waits for its end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An XDP program that lets everything pass, compiled once.
fn pass_program() -> PathBuf {
    static OBJECT: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (source, object) = (folder.join("front-pass.c"), folder.join("front-pass.o"));
        let text = "__attribute__((section(\"xdp\"), used)) int pass(void *c) { return 2; }";
        fs::write(&source, text).unwrap();
        let (from, to) = (source.to_str().unwrap(), object.to_str().unwrap());
        run("clang", &["-O2", "-target", "bpf", "-c", from, "-o", to]);
        object
    };
    OBJECT.get_or_init(make).clone()
}

/// Runs a command that must succeed; its output.
#[track_caller]
pub fn run(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{command} does not run ({error}): install it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command} {}: {said}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}
