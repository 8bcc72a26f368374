//! Where a test takes place: a namespace with one cable, both ends of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio, id},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where frames are sent, and where they arrive.
pub const OUT: &str = "lyload-out";
const IN: &str = "lyload-in";

/// A place. Everything in it is gone when it is dropped, also when a test fails.
pub struct Place {
    name: String,
    folder: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

/// A running `lychgate sink`.
pub struct Sink {
    child: Child,
    output: BufReader<ChildStdout>,
    json: PathBuf,
}

impl Place {
    /// Nothing if this machine cannot have one, and then it says so.
    pub fn new() -> Option<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: network namespaces and AF_XDP need root");
            return None;
        }
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("lyload-{}-{}", id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        fs::create_dir_all(&folder).unwrap();
        run(Command::new("ip").args(["netns", "add", &name]));
        let place = Self {
            name,
            folder,
            _alone: alone,
        };
        // Nobody may speak but the test.
        let quiet = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6";
        run(place.inside("sh").args(["-c", quiet]));
        place.ip(&["link", "add", OUT, "type", "veth", "peer", "name", IN]);
        for end in [OUT, IN] {
            place.ip(&["link", "set", end, "up"]);
        }
        Some(place)
    }

    /// A file of this place.
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// `ip` with these arguments, in the namespace.
    pub fn ip(&self, arguments: &[&str]) {
        run(self.inside("ip").args(arguments));
    }

    /// Frames that the cable had no room for.
    pub fn dropped(&self) -> u64 {
        let mut ip = self.inside("ip");
        let output = ip.args(["-s", "-j", "link", "show", OUT]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        told[0]["stats64"]["tx"]["dropped"].as_u64().unwrap()
    }

    fn inside(&self, command: &str) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.arg(format!("--net=/run/netns/{}", self.name));
        nsenter.arg(command);
        nsenter
    }

    fn lychgate(&self, subcommand: &str, interface: &str, json: &Path) -> Command {
        let mut command = self.inside(env!("CARGO_BIN_EXE_lychgate"));
        command.args([subcommand, "--interface", interface, "--json"]);
        command.arg(json);
        command
    }

    /// A sink that listens, for as long as a slow machine may take.
    pub fn sink(&self, arguments: &[&str]) -> Sink {
        let json = self.folder.join("sink.json");
        let mut child = self
            .lychgate("sink", IN, &json)
            .args(["--time", "60s"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter is installed");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Sink {
            child,
            output,
            json,
        }
    }

    /// Sends, to the end; its summary.
    pub fn blast(&self, arguments: &[&[&str]]) -> Value {
        let json = self.folder.join("blast.json");
        let mut command = self.lychgate("blast", OUT, &json);
        run(command.arg("--quiet").args(arguments.concat()));
        read(&json)
    }

    /// Tries to send in vain; what it says.
    pub fn refused_blast(&self, arguments: &[&str]) -> String {
        let json = self.folder.join("refused.json");
        let mut command = self.lychgate("blast", OUT, &json);
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Sink {
    /// Waits until it has what it waited for; its summary.
    pub fn finish(mut self) -> Value {
        let mut said = String::new();
        while self.output.read_line(&mut said).unwrap() > 0 {}
        assert!(self.child.wait().unwrap().success(), "{said}");
        read(&self.json)
    }

    /// Ends it; its summary.
    pub fn stop(self) -> Value {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.finish()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(json: &Path) -> Value {
    serde_json::from_slice(&fs::read(json).unwrap()).unwrap()
}

/// Runs a command that must succeed.
fn run(command: &mut Command) {
    let output = command.output().expect("ip and nsenter are installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
