//! The subcommand, where there are live ports.

use std::{
    fs, io,
    ops::Range,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::{BlastArgs, Profile, Way};
use crate::{
    cli::{create, give},
    io::{
        afxdp::{Flood, Interface, PacketSocket},
        capture::Reader,
    },
    load::{
        BlastSummary, Bounds, Cast, FRAME_OCTETS_MAX, Offered, Pace, Rate, STAMP_OCTETS, Sender,
        Template, fire,
    },
    report::words::{counted, thousands},
    synth::profile::{Mixed, Syn},
    wire::Link,
    worker::monotonic,
};

/// Unless the arguments say otherwise.
const TIME: Duration = Duration::from_secs(10);
/// If they say how many frames.
const TIME_COUNTED: Duration = Duration::from_secs(3600);
/// Frames that go out at once through a packet socket.
const PACED_BURST: u64 = 64;
/// Frames that the kernel makes at a time, at full rate and at a given one. At its end, a run waits some
/// milliseconds for the kernel to take its buffers down; at full rate a run lasts many times that.
const FLOOD_BURST: u64 = 1 << 19;
const FLOOD_BURST_PACED: u64 = 1024;
/// The longest frame under the usual MTU of 1500, which is the profiles' longest.
const ETHERNET_OCTETS_MAX: usize = 1514;
/// Octets of an Ethernet header with two tags, which an MTU does not count.
const LINK_HEADERS: usize = 14 + 2 * 4;

/// Sends until a bound is reached, or a signal comes.
pub fn run(args: BlastArgs) -> Result<ExitCode> {
    let interface = Interface::by_name(&args.interface)?;
    if !args.into_the_world {
        refuse_the_world(&args.interface)?;
    }
    ensure!(
        interface.is_running()?,
        "interface {}: it is down, or has no carrier\nremedy: `ip link set {0} up`, and see to \
         the other end",
        args.interface
    );
    // Before anything is sent, so that a wrong path costs nothing.
    let json = args.json.as_deref().map(create).transpose()?;
    let run = args.stamp.then(rand::random::<u32>);
    let (what, cast) = cast(&args, run)?;
    let mtu = interface.mtu()? + LINK_HEADERS;
    let longest = cast.octets_max();
    ensure!(
        longest <= mtu,
        "interface {}: a frame of {longest} octets is longer than its MTU allows ({mtu})\nremedy: \
         raise the MTU, or leave --stamp out",
        args.interface
    );
    let way = args.by.unwrap_or(match args.rate {
        Rate::Full => Way::Flood,
        Rate::Frames(_) => Way::Paced,
    });
    let bounds = bounds(&args, &cast);
    let offered = match way {
        Way::Flood => {
            let burst = match args.rate {
                Rate::Full => FLOOD_BURST,
                Rate::Frames(_) => FLOOD_BURST_PACED,
            };
            send(&args, &mut flood(&interface, &cast)?, burst, &bounds)?
        }
        Way::Paced => {
            let mut paced = Paced::new(PacketSocket::open(&interface)?, cast);
            send(&args, &mut paced, PACED_BURST, &bounds)?
        }
    };
    let summary = BlastSummary {
        interface: args.interface,
        what,
        by: match way {
            Way::Flood => "flood",
            Way::Paced => "paced",
        },
        rate_asked: match args.rate {
            Rate::Full => None,
            Rate::Frames(frames) => Some(frames),
        },
        run,
        offered: offered.into(),
        busy: offered.busy,
    };
    give(
        |out| summary.write_text(out),
        json,
        |out| summary.write_json(out),
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A flood on the interface that one works over is easily started and hard to stop.
fn refuse_the_world(interface: &str) -> Result<()> {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let ipv4 = read("/proc/net/route");
    let ipv6 = read("/proc/net/ipv6_route");
    // Interface, destination, …, mask; and destination, its length, …, interface.
    let is_default4 = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.first() == Some(&interface)
            && fields.get(1) == Some(&"00000000")
            && fields.get(7) == Some(&"00000000")
    };
    let is_default6 = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.last() == Some(&interface)
            && fields.get(1) == Some(&"00")
            && fields
                .first()
                .is_some_and(|to| to.bytes().all(|digit| digit == b'0'))
    };
    ensure!(
        !ipv4.lines().any(is_default4) && !ipv6.lines().any(is_default6),
        "interface {interface}: it has a default route, and a load would go out into the \
         world\nremedy: name an interface that leads to the box and nowhere else; if this is the \
         one all the same, say --into-the-world"
    );
    Ok(())
}

fn bounds(args: &BlastArgs, cast: &Cast) -> Bounds {
    let count = if args.once {
        Some(cast.templates().len() as u64)
    } else {
        args.count
    };
    let time = if count.is_some() { TIME_COUNTED } else { TIME };
    Bounds {
        frames: count.unwrap_or(u64::MAX),
        time: args.time.unwrap_or(time),
    }
}

/// What to send, in a word and in frames.
fn cast(args: &BlastArgs, run: Option<u32>) -> Result<(String, Cast)> {
    if let Some(file) = &args.capture {
        let templates = read(file, args.stamp)?;
        return Ok((
            file.display().to_string(),
            Cast::new(templates, [0; 2], run),
        ));
    }
    let count = args.frames as usize;
    let stamp = if args.stamp { STAMP_OCTETS } else { 0 };
    let cast = match args.profile {
        Profile::Mixed => {
            let mut profile = Mixed::outbound(args.seed, ETHERNET_OCTETS_MAX - stamp);
            Cast::of_profile(&mut profile, count, (args.sources, 7), run)
        }
        Profile::Syn => {
            let mut profile = Syn::new(args.seed, args.sources);
            Cast::of_profile(&mut profile, count, (args.sources, 2), run)
        }
    };
    let name = match args.profile {
        Profile::Mixed => "mixed",
        Profile::Syn => "syn",
    };
    Ok((name.to_owned(), cast))
}

/// The frames of a capture; those that cannot be sent are told.
fn read(file: &Path, stamp: bool) -> Result<Vec<Template>> {
    let mut reader = Reader::open(file)?;
    let mut templates = Vec::new();
    let mut left_out = 0;
    let longest = FRAME_OCTETS_MAX - if stamp { STAMP_OCTETS } else { 0 };
    while let Some(record) = reader.next()? {
        let is_whole = record.bytes.len() == record.wire_length as usize;
        let fits = (14..=longest).contains(&record.bytes.len());
        if record.link == Link::Ethernet && is_whole && fits {
            templates.push(Template::fixed(record.bytes.to_vec()));
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        eprintln!(
            "lychgate: {}: {} left out: not Ethernet, cut by the snap length, or not of 14 to \
             {longest} octets",
            file.display(),
            counted(left_out, "frame")
        );
    }
    if templates.is_empty() {
        bail!("{}: no frame in it that can be sent", file.display());
    }
    Ok(templates)
}

fn send(
    args: &BlastArgs,
    sender: &mut impl Sender,
    burst: u64,
    bounds: &Bounds,
) -> Result<Offered> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The second signal ends the process at once.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let mut before = 0;
    let offered = fire(
        sender,
        &Pace::new(args.rate, burst),
        bounds,
        &stop,
        |offered| {
            if !args.quiet {
                let new = thousands(offered.frames - before);
                let seconds = offered.span.as_secs();
                eprintln!("{seconds:>4} s  {new} frames more");
                before = offered.frames;
            }
        },
    );
    offered.with_context(|| format!("interface {}", args.interface))
}

fn flood(interface: &Interface, cast: &Cast) -> Result<Flood> {
    let slots: Vec<_> = cast.templates().iter().map(Template::slot).collect();
    let (sources, run) = (cast.sources(), cast.run());
    Ok(Flood::load(interface, &slots, sources, run)?)
}

impl Sender for Flood {
    fn send(&mut self, at_most: u64) -> io::Result<(u64, u64)> {
        Flood::send(self, u32::try_from(at_most).unwrap_or(u32::MAX))
    }
}

/// Frames made here, sent through a packet socket.
struct Paced {
    socket: PacketSocket,
    cast: Cast,
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
    /// How many of these were sent: what the interface had no room for is offered again.
    sent: usize,
}

impl Paced {
    fn new(socket: PacketSocket, cast: Cast) -> Self {
        let (bytes, places) = (Vec::new(), Vec::new());
        Self {
            socket,
            cast,
            bytes,
            places,
            sent: 0,
        }
    }
}

impl Sender for Paced {
    fn send(&mut self, at_most: u64) -> io::Result<(u64, u64)> {
        if self.sent == self.places.len() {
            self.bytes.clear();
            self.places.clear();
            self.sent = 0;
            let time = monotonic();
            for _ in 0..at_most.min(PACED_BURST) {
                let place = self.cast.write_next(time, &mut self.bytes);
                self.places.push(place);
            }
        }
        let end = self.places.len().min(self.sent + at_most as usize);
        let waiting = &self.places[self.sent..end];
        let count = self.socket.send(&self.bytes, waiting)?;
        let octets = waiting[..count]
            .iter()
            .map(|place| place.len() as u64)
            .sum();
        self.sent += count;
        Ok((count as u64, octets))
    }
}
