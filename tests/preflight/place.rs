//! Where a test takes place: a namespace with two cables. Two ends are the box's ports, the other
//! two the stations'.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio, id},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

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
        let errors = BufReader::new(child.stderr.take().unwrap());
        Inline {
            child,
            output,
            errors,
        }
    }

    /// Whether frames cross from the station of access to the other one; within a generous time.
    pub fn frames_cross(&self) -> bool {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preflight/cross.py");
        let [from, to] = &self.stations;
        let status = Command::new("nsenter")
            .args([&self.net(), "python3", script, from, to])
            .status();
        status.expect("python3 runs: install it").success()
    }

    /// Has a test go on in here, on a thread of its own, which never leaves.
    pub fn inside(&self, test: impl FnOnce() + Send) {
        let namespace = fs::File::open(Path::new("/run/netns").join(&self.namespace)).unwrap();
        let enter = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            test();
        };
        let ran = thread::scope(|scope| scope.spawn(enter).join());
        if let Err(panic) = ran {
            std::panic::resume_unwind(panic);
        }
    }

    /// What may be changed on the ports: flags, MTU, master, program, offloads.
    pub fn state(&self) -> Vec<String> {
        let ports = self.ports.iter();
        ports.map(|port| self.state_of(port)).collect()
    }

    /// The same of one port.
    pub fn state_of(&self, port: &str) -> String {
        let link = self.ip(&["-o", "link", "show", "dev", port]);
        let offloads = self.enter(&["ethtool", "-k", port]);
        format!("{}\n{offloads}", link.split(" qdisc ").next().unwrap())
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
    errors: BufReader<ChildStderr>,
}

impl Inline {
    /// Reads what it says on standard output until a line begins so, and gives all of it.
    #[track_caller]
    pub fn until(&mut self, beginning: &str) -> String {
        let said = read_until(&mut self.output, beginning);
        said.unwrap_or_else(|said| {
            let mut errors = String::new();
            let _ = self.errors.read_to_string(&mut errors);
            panic!("it ended without {beginning:?}: {said}{errors}")
        })
    }

    /// The same on standard error.
    #[track_caller]
    pub fn until_error(&mut self, beginning: &str) -> String {
        let said = read_until(&mut self.errors, beginning);
        said.unwrap_or_else(|said| panic!("it ended without {beginning:?}: {said}"))
    }

    /// Waits for its end: its exit code, and what else it said on standard output and error.
    pub fn finish(&mut self) -> (i32, String, String) {
        let (mut said, mut errors) = (String::new(), String::new());
        self.errors.read_to_string(&mut errors).unwrap();
        self.output.read_to_string(&mut said).unwrap();
        let code = self.child.wait().unwrap().code();
        (code.expect("it ends by itself"), said, errors)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Sends a signal and waits for its end.
    pub fn end(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.child.wait().unwrap()
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All lines until one begins so; all that there were, if none does.
fn read_until(from: &mut impl BufRead, beginning: &str) -> Result<String, String> {
    let mut said = String::new();
    loop {
        let before = said.len();
        if from.read_line(&mut said).unwrap() == 0 {
            return Err(said);
        }
        if said[before..].starts_with(beginning) {
            return Ok(said);
        }
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
