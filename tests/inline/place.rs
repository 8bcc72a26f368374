//! Where a test takes place: three namespaces, two cables, a server, and the box between them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio, id},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than any machine takes, and never waited for when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// Residential: limited. In the policy's pool.
pub const ZOMBIE: &str = "203.0.113.10";
/// Limited alike, but told nothing.
pub const DEAF: &str = "203.0.113.30";
/// A business with a mail server of its own.
pub const BUSINESS: &str = "203.0.113.20";
/// The internet.
pub const SERVER: &str = "203.0.113.200";

/// The provider's smarthost.
pub const RELAY: &str = "203.0.113.210";

const POLICY: &str = r#"
[relays]
addresses = ["203.0.113.210"]
limit = { connections = 20, window = "10m" }
[class.residential]
smtp = { limit = { connections = 3, window = "10m" } }
excess = "reset"
[class.deaf]
smtp = { limit = { connections = 3, window = "10m" } }
excess = "drop"
[class.mta]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/26"
class = "residential"
[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.20/32"]
class = "mta"
[[subscriber]]
name = "deaf"
prefixes = ["203.0.113.30/32"]
class = "deaf"
[sources]
capacity = 1024
"#;

/// The stations' ends of the cables.
pub const STATIONS: [&str; 2] = ["lyworker-s", "lyworker-n"];

/// A place. Everything in it is gone when it is dropped, also when a test fails.
pub struct Place {
    names: [String; 3],
    ports: [String; 2],
    policy: PathBuf,
    server: Option<Station>,
    /// Tests of time want the machine for themselves.
    _alone: MutexGuard<'static, ()>,
}

/// A program at a station.
pub struct Station {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

/// A running `lychgate run`.
pub struct Inline {
    child: Child,
}

impl Place {
    /// People on one side, a server on the other. Nothing if this machine cannot have them, and
    /// then it says so.
    pub fn new() -> Option<Self> {
        let mut place = Self::bare()?;
        place.build();
        Some(place)
    }

    /// Both cables, nobody at their ends, nobody speaking.
    pub fn without_people() -> Option<Self> {
        let place = Self::bare()?;
        for name in &place.names {
            let silent = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
            let net = format!("--net=/run/netns/{name}");
            run("nsenter", &[&net, "sh", "-c", silent]);
        }
        let [access, uplink] = &place.ports;
        place.cable(0, STATIONS[0], access, &[]);
        place.cable(2, STATIONS[1], uplink, &[]);
        Some(place)
    }

    fn bare() -> Option<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: network namespaces and AF_XDP need root");
            return None;
        }
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let names = ["sub", "box", "net"].map(|end| format!("lyworker-{}-{number}-{end}", id()));
        // Pins are named after interfaces, and are the same for all namespaces.
        let ports = ["a", "u"].map(|end| format!("lyworker{number}{end}"));
        let policy = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inline-{number}.toml"));
        fs::write(&policy, POLICY).unwrap();
        let place = Self {
            names,
            ports,
            policy,
            server: None,
            _alone: alone,
        };
        for name in &place.names {
            run("ip", &["netns", "add", name]);
        }
        Some(place)
    }

    fn build(&mut self) {
        let [access, uplink] = &self.ports;
        self.cable(0, "lyworker-s", access, &[ZOMBIE, DEAF, BUSINESS]);
        self.cable(2, "lyworker-n", uplink, &[SERVER]);
        let mut server = self.station(2, &["serve", SERVER]);
        assert_eq!(server.line(), "ready");
        self.server = Some(server);
    }

    fn cable(&self, end: usize, station: &str, port: &str, addresses: &[&str]) {
        let (namespace, middle) = (self.names[end].as_str(), self.names[1].as_str());
        let queues = ["numrxqueues", "1", "numtxqueues", "1"];
        let near = ["-n", middle, "link", "add", port];
        let far = ["type", "veth", "peer", "name", station, "netns", namespace];
        run("ip", &[&near[..], &queues, &far, &queues].concat());
        run("ip", &["-n", middle, "link", "set", port, "up"]);
        run("ip", &["-n", namespace, "link", "set", station, "up"]);
        for address in addresses {
            let address = format!("{address}/24");
            run(
                "ip",
                &["-n", namespace, "addr", "add", &address, "dev", station],
            );
        }
        // A veth leaves checksums unfinished, and sends segments larger than its MTU.
        let off = ["tx", "off", "tso", "off", "gso", "off", "gro", "off"];
        let ethtool = [&["ethtool", "-K", station], &off[..]].concat();
        self.enter(end, &ethtool);
        // It takes frames from an XDP program only if there is one on its peer.
        let object = pass_program();
        let object = object.to_str().unwrap();
        let attach = [
            "ip", "link", "set", "dev", station, "xdpdrv", "obj", object, "sec", "xdp",
        ];
        self.enter(end, &attach);
    }

    /// Runs a command in a namespace (0: the subscribers', 2: the internet's), to its end.
    pub fn enter(&self, end: usize, command: &[&str]) {
        run("nsenter", &[&[self.net(end).as_str()], command].concat());
    }

    /// The same; what it prints.
    pub fn output(&self, end: usize, command: &[&str]) -> String {
        let net = self.net(end);
        let output = Command::new("nsenter").arg(net).args(command).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    }

    /// `ip netns exec` would mount another sysfs, and another BPF file system with it.
    fn net(&self, end: usize) -> String {
        format!("--net=/run/netns/{}", self.names[end])
    }

    fn station(&self, end: usize, arguments: &[&str]) -> Station {
        self.program(end, "python3", "inline/stations.py", arguments)
    }

    /// Starts a Python program of the tests in a namespace.
    pub fn program(&self, end: usize, python: &str, script: &str, arguments: &[&str]) -> Station {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
        let mut child = Command::new("nsenter")
            .arg(self.net(end))
            .arg(python)
            .arg(tests.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter and python3 are installed");
        Station {
            input: child.stdin.take(),
            output: child.stdout.take().map(BufReader::new),
            child,
        }
    }

    /// A client at the subscribers' station.
    pub fn client(&self, arguments: &[&str]) -> Station {
        self.station(0, arguments)
    }

    /// Ends the server; what it has seen.
    pub fn close_server(&mut self) -> Value {
        self.server.take().unwrap().finish()
    }

    /// Starts the box and waits until it runs.
    pub fn start_box(&self, arguments: &[&str]) -> Inline {
        let [access, uplink] = &self.ports;
        let mut child = Command::new("nsenter")
            .arg(self.net(1))
            .arg(env!("CARGO_BIN_EXE_lychgate"))
            .args(["run", "--access", access, "--uplink", uplink, "--policy"])
            .arg(&self.policy)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        assert!(
            lines.any(|line| line.starts_with("running:")),
            "the box does not run"
        );
        // Whatever else it says: read, so that it never waits for us.
        std::thread::spawn(move || lines.for_each(drop));
        Inline { child }
    }

    /// The box keeps cases, and there is none yet; `more` goes into the policy.
    pub fn keep_cases(&self, more: &str) {
        let store = self.policy.with_extension("redb");
        let _ = fs::remove_file(&store);
        let name = store.file_name().unwrap().to_str().unwrap();
        let policy = format!("{POLICY}{more}[store]\npath = \"{name}\"\n");
        fs::write(&self.policy, policy).unwrap();
    }

    /// Where a box that keeps cases is asked for them.
    pub fn socket(&self) -> PathBuf {
        self.policy.with_extension("redb.sock")
    }

    /// What staff decide; it must succeed.
    pub fn staff(&self, arguments: &[&str]) {
        let policy = self.policy.to_str().unwrap();
        let command = [
            arguments,
            &["--by", "anna", "--why", "a test", "-p", policy],
        ]
        .concat();
        let command = [&["quarantine"], &command[..]].concat();
        run(env!("CARGO_BIN_EXE_lychgate"), &command);
    }

    /// Writes the policy anew, as `change` makes it of what is there.
    pub fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let text = fs::read_to_string(&self.policy).unwrap();
        fs::write(&self.policy, change(text)).unwrap();
    }

    /// Has the box read its policy again; whether it did, and what was said.
    pub fn reload(&self) -> (bool, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_lychgate"))
            .args(["reload", "-p"])
            .arg(&self.policy)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    }

    /// Waits until a file of events tells of one with this name, for the `count`th time.
    pub fn await_event(&self, file: &str, name: &str, count: usize) {
        let begun = Instant::now();
        let told = |text: &str| text.matches(&format!("\"event\":\"{name}\"")).count();
        while told(&fs::read_to_string(file).unwrap_or_default()) < count {
            assert!(begun.elapsed() < PATIENCE, "no event {name}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that is known about a subscriber.
    pub fn subject(&self, who: &str) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_lychgate"))
            .args(["subject", who, "--json", "-p"])
            .arg(&self.policy)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Waits until a subscriber's case has come so far.
    pub fn await_stage(&self, who: &str, stage: &str) {
        let begun = Instant::now();
        while self.subject(who)["case"]["stage"] != stage {
            let found = self.subject(who);
            assert!(begun.elapsed() < PATIENCE, "not {stage}: {found}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn detach(&self) {
        let [access, uplink] = &self.ports;
        let _ = Command::new("nsenter")
            .arg(self.net(1))
            .arg(env!("CARGO_BIN_EXE_lychgate"))
            .args(["detach", "--access", access, "--uplink", uplink])
            .stdout(Stdio::null())
            .status();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server = None;
        self.detach();
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
        for ending in ["toml", "redb", "redb.sock"] {
            let _ = fs::remove_file(self.policy.with_extension(ending));
        }
    }
}

impl Station {
    /// What it reads.
    pub fn input(&mut self) -> &mut ChildStdin {
        self.input.as_mut().unwrap()
    }

    /// What it says from now on, to be read elsewhere.
    pub fn take_output(&mut self) -> BufReader<ChildStdout> {
        self.output.take().unwrap()
    }

    /// The next line it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let output = self.output.as_mut().unwrap();
        output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Its last line, which is its result.
    pub fn finish(mut self) -> Value {
        drop(self.input.take());
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no result but {line:?}"))
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

impl Inline {
    /// The processor time that it has taken so far, in user space and in the kernel.
    pub fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Fields behind the name, which may hold anything: state is the first, utime the 12th.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        // proc(5): in clock ticks, of which there are 100 a second wherever Linux is compiled for
        // a machine of our kind.
        Duration::from_millis(10 * ticks)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; whether that was a good one.
    pub fn ended_well(mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Inline {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// An XDP program that lets everything pass, compiled once.
fn pass_program() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (source, object) = (folder.join("inline-pass.c"), folder.join("inline-pass.o"));
    if !object.exists() {
        let text = "__attribute__((section(\"xdp\"), used)) int pass(void *c) { return 2; }";
        fs::write(&source, text).unwrap();
        let (from, to) = (source.to_str().unwrap(), object.to_str().unwrap());
        run("clang", &["-O2", "-target", "bpf", "-c", from, "-o", to]);
    }
    object
}

/// Runs a command that must succeed.
fn run(command: &str, arguments: &[&str]) {
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
}
