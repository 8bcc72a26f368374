//! Where a test takes place: a namespace, two cables, two stations, and the box between them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio, id},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use lychgate::io::{
    Census, Ports, Side,
    afxdp::{
        Attachment, Fail, Fate, Fates, Interface, Mode, Options, QueuePair, Settings,
        SocketStatistics, Steer, Steering, attach, detach,
    },
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Beyond this, what did not come will not come.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for what must not come to show up.
pub const QUIET: Duration = Duration::from_millis(150);

/// Everything to user space, and a worker may be late: under load, a thread may not run for long.
pub const SETTINGS: Settings = Settings {
    steer: Steer::All,
    fail: Fail::Open,
    deadline: PATIENCE,
    stamp: 1,
};

/// For tests that wait for a worker to be found dead, and still let it be late.
pub const DEADLINE: Duration = Duration::from_millis(300);

/// The stations' ends of the cables, and the box's.
pub const STATIONS: [&str; 2] = ["lyafxdp-sub", "lyafxdp-net"];
pub const PORTS: [&str; 2] = ["lyafxdp-acc", "lyafxdp-upl"];

/// A namespace with the two cables in it. The thread that made it is in it for good.
pub struct Place {
    /// Where links are pinned.
    pub root: PathBuf,
    stations: [Station; 2],
    // Last, so that it is dropped last.
    namespace: Namespace,
}

/// Runs a test in a place of its own.
pub fn in_place(test: impl FnOnce(&mut Place) + Send) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: network namespaces and AF_XDP need root");
        return;
    }
    // A thread of its own: it never leaves the namespace.
    let ran = thread::scope(|scope| scope.spawn(|| test(&mut Place::new())).join());
    if let Err(panic) = ran {
        std::panic::resume_unwind(panic);
    }
}

/// Has the calling thread enter a namespace of its own, without anything in it.
pub struct Namespace(String);

impl Namespace {
    fn enter() -> Self {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let number = NAMES.fetch_add(1, Ordering::Relaxed);
        let name = format!("lyafxdp-{}-{number}", id());
        run("ip", &["netns", "add", &name]);
        let namespace = Self(name);
        let file = fs::File::open(Path::new("/run/netns").join(&namespace.0)).unwrap();
        let kind = LinkNameSpaceType::Network;
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(kind)).unwrap();
        // Nobody may speak but the test.
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.0])
            .status();
    }
}

impl Place {
    fn new() -> Self {
        let namespace = Namespace::enter();
        let root = Path::new("/sys/fs/bpf").join(&namespace.0);
        let pass = pass_program();
        for (station, port) in STATIONS.into_iter().zip(PORTS) {
            make_cable(station, port);
            // Frames that are redirected into a veth need a program on its peer.
            let object = pass.to_str().unwrap();
            let xdp = ["xdpdrv", "obj", object, "sec", "xdp"];
            run("ip", &[&["link", "set", "dev", station], &xdp[..]].concat());
        }
        let stations = STATIONS.map(Station::new);
        Self {
            root,
            stations,
            namespace,
        }
    }

    /// The box's interface on this side.
    pub fn port(&self, side: Side) -> Interface {
        Interface::by_name(PORTS[side.index()]).unwrap()
    }

    /// Both, access first.
    pub fn ports(&self) -> [Interface; 2] {
        Side::BOTH.map(|side| self.port(side))
    }

    /// A setting of an interface, as sysfs shows it.
    pub fn setting(&self, interface: &Interface, name: &str) -> String {
        // This mounts a sysfs that shows the namespace.
        let (namespace, path) = (&self.namespace.0, interface.name());
        let path = format!("/sys/class/net/{path}/{name}");
        let shown = run("ip", &["netns", "exec", namespace, "cat", &path]);
        shown.trim().to_owned()
    }

    /// A station of this side sends frames.
    pub fn send(&mut self, side: Side, frames: &[Vec<u8>]) {
        self.stations[side.index()].send(frames);
    }

    /// Nothing arrives at the station of this side.
    pub fn is_quiet(&self, side: Side) -> bool {
        self.stations[side.index()].next(QUIET).is_none()
    }

    /// Sends from one side and demands the same, in the same order, at the other; in portions
    /// that fit into a veth's queue of 256.
    pub fn crosses(&mut self, from: Side, frames: &[Vec<u8>]) {
        for portion in frames.chunks(128) {
            self.send(from, portion);
            self.arrive(from.other(), portion);
        }
    }

    /// Demands that these frames are what arrives next on a side.
    pub fn arrive(&self, side: Side, frames: &[Vec<u8>]) {
        for (index, sent) in frames.iter().enumerate() {
            let arrived = self.stations[side.index()].next(PATIENCE);
            assert!(
                arrived.as_ref() == Some(sent),
                "{side}: frame {index}, {sent:02x?}, became {arrived:02x?}"
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for port in PORTS {
            if let Ok(interface) = Interface::by_name(port) {
                let _ = detach(&interface, &self.root);
            }
        }
        // Where detaching failed (or a test removed the interface), the pins go like this.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// A veth pair, both ends up, nothing offloaded.
pub fn make_cable(one: &str, other: &str) {
    let queues = ["numrxqueues", "1", "numtxqueues", "1"];
    let one_end = [&["link", "add", one], &queues[..], &["type", "veth"]].concat();
    run(
        "ip",
        &[&one_end[..], &["peer", "name", other], &queues[..]].concat(),
    );
    for end in [one, other] {
        run("ip", &["link", "set", "dev", end, "up"]);
    }
    await_that("the cable has a carrier", || {
        Interface::by_name(other).unwrap().is_running().unwrap()
    });
}

/// An XDP program that lets everything pass but frames with metadata, which no station may ever
/// see; compiled once.
pub fn pass_program() -> PathBuf {
    use std::sync::OnceLock;
    static OBJECT: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (source, object) = (folder.join("pass.c"), folder.join("pass.o"));
        let text = "
            struct context { unsigned data, data_end, data_meta; };
            __attribute__((section(\"xdp\"), used)) int pass(struct context *c)
            {
                return c->data_meta == c->data ? 2 : 1;
            }
        ";
        fs::write(&source, text).unwrap();
        let (source, object_name) = (source.to_str().unwrap(), object.to_str().unwrap());
        let flags = ["-O2", "-target", "bpf", "-c", source, "-o", object_name];
        run("clang", &flags);
        object
    };
    OBJECT.get_or_init(make).clone()
}

/// Runs a command that must succeed; its output.
pub fn run(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{command} does not run ({error}): install it"));
    assert!(
        output.status.success(),
        "{command} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for a condition.
pub fn await_that(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        thread::yield_now();
    }
}

/// A process at the far end of a cable.
struct Station {
    process: Child,
    frames_out: ChildStdin,
    frames_in: Receiver<Vec<u8>>,
}

impl Station {
    fn new(interface: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/afxdp/station.py");
        let mut process = Command::new("python3")
            .args([script, interface])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs: install it");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines
            .next()
            .expect("a station says that it is ready")
            .unwrap();
        assert_eq!(first, "ready");
        let (into, frames_in) = channel();
        // Ends with the process.
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if into.send(octets(&line)).is_err() {
                    break;
                }
            }
        });
        Self {
            frames_out: process.stdin.take().unwrap(),
            frames_in,
            process,
        }
    }

    fn send(&mut self, frames: &[Vec<u8>]) {
        let mut lines = String::new();
        for frame in frames {
            lines.extend(frame.iter().map(|octet| format!("{octet:02x}")));
            lines.push('\n');
        }
        self.frames_out.write_all(lines.as_bytes()).unwrap();
        self.frames_out.flush().unwrap();
    }

    fn next(&self, patience: Duration) -> Option<Vec<u8>> {
        match self.frames_in.recv_timeout(patience) {
            Ok(frame) => Some(frame),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("a station died"),
        }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn octets(line: &str) -> Vec<u8> {
    let digits = line.as_bytes().as_chunks::<2>().0;
    let octet = |pair: &[u8; 2]| {
        let text = std::str::from_utf8(pair).unwrap();
        u8::from_str_radix(text, 16).unwrap()
    };
    digits.iter().map(octet).collect()
}

/// A box: the kernel program on both ports.
pub struct Program {
    pub steering: Steering,
    pub attachments: [Attachment; 2],
}

impl Program {
    pub fn attach(place: &Place, settings: &Settings) -> Self {
        let [access, uplink] = place.ports();
        let steering = Steering::load([&access, &uplink], settings).unwrap();
        let attachments =
            Side::BOTH.map(|side| attach(&steering, side, &place.port(side), &place.root).unwrap());
        Self {
            steering,
            attachments,
        }
    }

    pub fn fates(&self) -> Fates {
        self.steering.fates().unwrap()
    }

    /// Frames of both ports with this fate.
    pub fn count(&self, fate: Fate) -> u64 {
        let fates = self.fates();
        Side::BOTH.map(|side| fates.get(fate, side)).iter().sum()
    }

    /// Frames of both ports, whatever became of them.
    pub fn total(&self) -> u64 {
        Fate::ALL.iter().map(|&fate| self.count(fate)).sum()
    }

    pub fn open(&self, place: &Place, options: &Options) -> QueuePair {
        let [access, uplink] = place.ports();
        let heartbeat = self.steering.heartbeat(0).unwrap();
        QueuePair::open(options, [&access, &uplink], 0, heartbeat).unwrap()
    }
}

/// A worker that forwards everything, as simple as can be.
pub struct Forwarder {
    stop: Arc<AtomicBool>,
    hang: Arc<AtomicBool>,
    thread: Option<JoinHandle<QueuePair>>,
}

/// How a forwarder left things.
pub struct Left {
    pub census: Census,
    pub statistics: [SocketStatistics; 2],
}

impl Forwarder {
    /// Opens queue 0, serves it and forwards until told otherwise.
    pub fn start(place: &Place, program: &Program, options: &Options) -> Self {
        let mut pair = program.open(place, options);
        pair.serve(&program.steering).unwrap();
        let (stop, hang) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (told_to_stop, told_to_hang) = (Arc::clone(&stop), Arc::clone(&hang));
        let thread = thread::spawn(move || {
            let mut frames = Vec::with_capacity(64);
            while !told_to_stop.load(Ordering::Relaxed) {
                if told_to_hang.load(Ordering::Relaxed) {
                    thread::park();
                    continue;
                }
                forward_once(&mut pair, &mut frames);
            }
            pair
        });
        Self {
            stop,
            hang,
            thread: Some(thread),
        }
    }

    /// The worker does nothing at all from its next turn on, as if it had been stopped.
    pub fn hang(&self) {
        self.hang.store(true, Ordering::Relaxed);
    }

    /// The worker goes on.
    pub fn go_on(&self) {
        self.hang.store(false, Ordering::Relaxed);
        self.wake();
    }

    /// Ends the worker, its sockets open until the end, and says how it left things.
    pub fn end(mut self) -> Left {
        let mut pair = self.join().expect("it runs").unwrap();
        await_that("everything was sent", || {
            pair.flush().unwrap();
            pair.census().is_drained()
        });
        Left {
            census: pair.census(),
            statistics: Side::BOTH.map(|side| pair.statistics(side).unwrap()),
        }
    }

    fn join(&mut self) -> Option<thread::Result<QueuePair>> {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
        self.thread.take().map(JoinHandle::join)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        drop(self.join());
    }
}

/// Whatever the driver can do.
pub fn copying() -> Options {
    Options {
        mode: Mode::Copy,
        ..Options::default()
    }
}

/// A worker's ports that get frames, and no worker yet.
pub fn serving(place: &Place, program: &Program, options: &Options) -> QueuePair {
    let mut pair = program.open(place, options);
    pair.serve(&program.steering).unwrap();
    pair
}

/// Receives until there are `count` frames.
pub fn receive(pair: &mut QueuePair, side: Side, count: usize) -> Vec<<QueuePair as Ports>::Frame> {
    let mut frames = Vec::new();
    await_that("the frames have arrived", || {
        pair.beat();
        pair.flush().unwrap();
        pair.wait(Duration::from_millis(1)).unwrap();
        pair.receive(side, count - frames.len(), &mut frames);
        frames.len() == count
    });
    frames
}

/// One turn: everything that arrived on either side leaves by the other.
pub fn forward_once<P: Ports>(ports: &mut P, frames: &mut Vec<P::Frame>) {
    ports.beat();
    let mut idle = true;
    for side in Side::BOTH {
        idle &= ports.receive(side, 64, frames) == 0;
        for frame in frames.drain(..) {
            if let Err(frame) = ports.transmit(side.other(), frame) {
                ports.release(frame);
            }
        }
    }
    ports.flush().unwrap();
    assert!(ports.census().is_conserved(), "{:?}", ports.census());
    if idle {
        ports.wait(Duration::from_millis(5)).unwrap();
    }
}
