//! `lychgate synth`: writes synthetic captures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::parse_duration;
use crate::{
    engine::{Direction, Nanos},
    io::capture::{CaptureError, PcapWriter, Precision, Record, Writer},
    replay::source_text,
    synth::{
        START, Sent, Settings, Traffic, Zombies,
        isp::{self, Day, Truth},
        network::{BUSINESSES_MAX, Encapsulation, SUBSCRIBERS_MAX},
        profile::{self, Mixed, Syn},
    },
    wire::Link,
};

/// Frames of a bench profile that says no number.
const PROFILE_FRAMES: u64 = 1_000_000;
/// Between the frames of a bench profile: a million a second.
const PROFILE_STEP: Nanos = 1000;
/// Frames between two looks at the progress bar.
const PROGRESS_STEP: u64 = 4096;

const EXAMPLES: &str = "\
Examples:
  A minute in the life of 200 subscribers, four of them zombies, and a policy that fits:
    lychgate synth village.pcapng --policy-out village.toml
    lychgate replay --policy village.toml village.pcapng

  An hour of slow zombies behind DS-Lite, compressed:
    lychgate synth slow.pcapng.zst --profile slow --duration 1h --encapsulation ds-lite

  The same network with another seed, one capture for each port:
    lychgate synth access.pcap --uplink uplink.pcap --seed 7

  A day of a provider with 100,000 subscribers, 1,000 of them zombies, and who they are:
    lychgate synth day.pcapng.zst --profile isp --policy-out isp.toml --truth-out truth.csv

  What the benches judge, ten million frames of it:
    lychgate synth mixed.pcap --profile mixed --frames 10000000 --policy-out mixed.toml";

/// Write a reproducible synthetic capture.
///
/// Makes up an access network (subscribers who browse and mail, businesses with mail servers,
/// zombies, the internet that answers) and writes what passes its edge. The same options and seed
/// write the same capture, octet for octet.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SynthArgs {
    /// Capture to write: .pcap or .pcapng, optionally with .gz or .zst behind; "-" is standard
    /// output (pcapng)
    #[arg(value_name = "CAPTURE")]
    output: PathBuf,

    /// Write the frames that come from the internet to a capture of their own
    #[arg(long, value_name = "CAPTURE")]
    uplink: Option<PathBuf>,

    /// Also write a policy that fits the network
    #[arg(long, value_name = "FILE")]
    policy_out: Option<PathBuf>,

    /// Also write who is a zombie of which kind since when, and who else looks like one (CSV; only
    /// with --profile isp)
    #[arg(long, value_name = "FILE")]
    truth_out: Option<PathBuf>,

    /// What the network goes through
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,

    /// What stands between Ethernet and the subscribers' packets
    #[arg(long, value_enum, default_value_t)]
    encapsulation: Encapsulation,

    /// Which of all such networks
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// How long: a number with ms, s, m, h or d `[default: 1m; with isp 24h]`
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,

    /// At most so many frames [default for mixed and syn: 1000000]
    #[arg(long, value_name = "COUNT")]
    frames: Option<u64>,

    /// Ordinary subscribers `[default: 200]`; with isp, all subscribers `[default: 100000]`; with
    /// syn, sources `[default: 1000000]`
    #[arg(long, value_name = "COUNT")]
    subscribers: Option<u32>,

    /// Businesses with a mail server of their own (class mta) `[default: 3; with isp one for 500
    /// subscribers]`
    #[arg(long, value_name = "COUNT")]
    businesses: Option<u32>,

    /// Zombies, in the village of four kinds in turn, with isp of five `[default: 4; with isp one in
    /// a hundred subscribers]`
    #[arg(long, value_name = "COUNT")]
    zombies: Option<u32>,
}

/// What a synthetic network goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// Zombies of all four kinds among users
    #[default]
    Village,
    /// Zombies that send hundreds of attempts at once
    Burst,
    /// Zombies that try one new server a minute
    Slow,
    /// Zombies that take a new IPv6 address for every attempt
    Rotate,
    /// Zombies that use addresses of strangers and neighbours
    Spoof,
    /// A day of a provider: zombies of five kinds among households, mail servers and newsletters;
    /// handshakes only
    Isp,
    /// The benches' mixture: 5 % attempts from 100,000 sources in an IMIX
    Mixed,
    /// The benches' flood: nothing but attempts
    Syn,
}

/// Runs the subcommand.
///
/// # Errors
/// An option makes no sense with the others, or a file cannot be written.
pub fn run(args: SynthArgs) -> Result<ExitCode> {
    let outputs = [
        Some(&args.output),
        args.uplink.as_ref(),
        args.policy_out.as_ref(),
        args.truth_out.as_ref(),
    ];
    let outputs: Vec<_> = outputs.into_iter().flatten().collect();
    for (index, output) in outputs.iter().enumerate() {
        let twice = outputs[..index].contains(output);
        ensure!(
            !twice,
            "{}: is given for two outputs; give each its own file",
            output.display()
        );
    }
    ensure!(
        args.truth_out.is_none() || args.profile == Profile::Isp,
        "--truth-out: only --profile isp has it to tell; leave --truth-out out"
    );
    match args.profile {
        Profile::Mixed | Profile::Syn => run_profile(&args)?,
        Profile::Isp => run_isp(&args)?,
        _ => run_network(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_network(args: &SynthArgs) -> Result<()> {
    let settings = settings(args)?;
    let traffic = Traffic::new(&settings);
    let policy = traffic.network().policy();
    write_traffic(args, traffic, &policy, (settings.start, settings.duration))
}

fn run_isp(args: &SynthArgs) -> Result<()> {
    let settings = isp_settings(args)?;
    let day = Day::new(&settings);
    if let Some(path) = &args.truth_out {
        write_truth(path, day.truth()).with_context(|| {
            let path = path.display();
            format!("{path}: cannot be written; check the directory and its rights")
        })?;
    }
    let policy = day.policy();
    write_traffic(args, day, &policy, (isp::MIDNIGHT, settings.duration))
}

/// Writes a network's frames, and the policy that fits.
fn write_traffic(
    args: &SynthArgs,
    traffic: impl Iterator<Item = Sent>,
    policy: &str,
    (start, duration): (Nanos, Duration),
) -> Result<()> {
    let mut outputs = Outputs::create(args)?;
    write_policy(args, policy)?;
    let bar = progress_bar(
        duration.as_millis() as u64,
        "{elapsed_precise} {wide_bar} {percent} %",
    );
    for (number, sent) in (0..args.frames.unwrap_or(u64::MAX)).zip(traffic) {
        if number % PROGRESS_STEP == 0 {
            bar.set_position((sent.time - start) / 1_000_000);
        }
        outputs.write(&sent)?;
    }
    bar.finish_and_clear();
    outputs.finish()
}

fn write_truth(path: &Path, truth: &[Truth]) -> Result<()> {
    let mut table = csv::Writer::from_path(path)?;
    table.write_record(["subscriber", "kind", "zombie", "began", "failing"])?;
    for truth in truth {
        let began = Timestamp::from_nanosecond(truth.began.into())?;
        table.write_record([
            source_text(truth.key),
            truth.kind.to_owned(),
            truth.is_zombie.to_string(),
            format!("{began:.3}"),
            format!("{:.2}", f64::from(truth.failing) / 100.0),
        ])?;
    }
    table.flush()?;
    Ok(())
}

fn run_profile(args: &SynthArgs) -> Result<()> {
    let name = if args.profile == Profile::Mixed {
        "mixed"
    } else {
        "syn"
    };
    ensure!(
        args.duration.is_none(),
        "--profile {name} has no duration: say --frames"
    );
    ensure!(
        args.encapsulation == Encapsulation::None,
        "--profile {name} has its own encapsulations: leave --encapsulation out"
    );
    let sources = args.subscribers.unwrap_or(1_000_000);
    let mut profile: Box<dyn profile::Profile> = match args.profile {
        Profile::Mixed => {
            let fixed = profile::MIXED_SOURCES;
            ensure!(
                args.subscribers.is_none(),
                "--profile mixed always has {fixed} sources: leave --subscribers out"
            );
            Box::new(Mixed::new(args.seed))
        }
        _ => {
            let most = profile::SOURCES_MAX;
            ensure!(
                (1..=most).contains(&sources),
                "--subscribers {sources}: 1 to {most}, please"
            );
            Box::new(Syn::new(args.seed, sources))
        }
    };
    let frames = args.frames.unwrap_or(PROFILE_FRAMES);
    let mut outputs = Outputs::create(args)?;
    write_policy(args, profile::profile_policy())?;
    let bar = progress_bar(
        frames,
        "{elapsed_precise} {wide_bar} {human_pos} of {human_len} frames",
    );
    let mut sent = Sent {
        time: START,
        direction: Direction::Outbound,
        bytes: Vec::new(),
    };
    for number in 0..frames {
        if number % PROGRESS_STEP == 0 {
            bar.set_position(number);
        }
        sent.bytes.clear();
        sent.direction = profile.write_next(&mut sent.bytes);
        outputs.write(&sent)?;
        sent.time += PROFILE_STEP;
    }
    bar.finish_and_clear();
    outputs.finish()
}

/// The options as a network.
fn settings(args: &SynthArgs) -> Result<Settings> {
    let (subscribers, businesses, count) = (
        args.subscribers.unwrap_or(200),
        args.businesses.unwrap_or(3),
        args.zombies.unwrap_or(4),
    );
    check_pools(u64::from(subscribers) + u64::from(count), businesses)?;
    let of = |kind, turn: u32| match args.profile {
        Profile::Village => count / 4 + u32::from(turn < count % 4),
        profile if profile == kind => count,
        _ => 0,
    };
    let zombies = Zombies {
        burst: of(Profile::Burst, 0),
        slow: of(Profile::Slow, 1),
        rotating: of(Profile::Rotate, 2),
        spoofing: of(Profile::Spoof, 3),
    };
    Ok(Settings {
        seed: args.seed,
        start: START,
        duration: args.duration.unwrap_or(Duration::from_secs(60)),
        subscribers,
        businesses,
        zombies,
        encapsulation: args.encapsulation,
    })
}

/// The options as a provider's day.
fn isp_settings(args: &SynthArgs) -> Result<isp::Settings> {
    let subscribers = args.subscribers.unwrap_or(100_000);
    let businesses = args
        .businesses
        .unwrap_or((subscribers / 500).min(BUSINESSES_MAX));
    let zombies = args.zombies.unwrap_or(subscribers / 100);
    check_pools(subscribers.into(), businesses)?;
    ensure!(
        zombies <= subscribers,
        "--zombies {zombies}: there are {subscribers} subscribers, zombies among them"
    );
    Ok(isp::Settings {
        seed: args.seed,
        duration: args.duration.unwrap_or(Duration::from_secs(86_400)),
        subscribers,
        businesses,
        zombies,
        encapsulation: args.encapsulation,
    })
}

fn check_pools(total: u64, businesses: u32) -> Result<()> {
    ensure!(
        total <= u64::from(SUBSCRIBERS_MAX),
        "{total} subscribers and zombies: the pools hold {SUBSCRIBERS_MAX}; ask for fewer"
    );
    ensure!(
        businesses <= BUSINESSES_MAX,
        "--businesses {businesses}: their pool holds {BUSINESSES_MAX}; ask for fewer"
    );
    Ok(())
}

fn write_policy(args: &SynthArgs, text: &str) -> Result<()> {
    let Some(path) = &args.policy_out else {
        return Ok(());
    };
    fs::write(path, text).with_context(|| {
        let path = path.display();
        format!("{path}: the policy cannot be written; check the directory and its rights")
    })
}

/// A bar on standard error, where that is a terminal.
fn progress_bar(length: u64, template: &str) -> ProgressBar {
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// One capture, or one for each port.
struct Outputs {
    all_or_access: Capture,
    uplink: Option<Capture>,
    frames: u64,
}

enum Capture {
    Pcap(PcapWriter),
    Pcapng(Writer),
}

impl Outputs {
    fn create(args: &SynthArgs) -> Result<Self> {
        Ok(Self {
            all_or_access: Capture::create(&args.output)?,
            uplink: args.uplink.as_deref().map(Capture::create).transpose()?,
            frames: 0,
        })
    }

    fn write(&mut self, sent: &Sent) -> Result<()> {
        self.frames += 1;
        match &mut self.uplink {
            Some(uplink) if sent.direction == Direction::Inbound => uplink.write(sent)?,
            _ => self.all_or_access.write(sent)?,
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.all_or_access.finish()?;
        self.uplink.map(Capture::finish).transpose()?;
        eprintln!("{} frames written", self.frames);
        Ok(())
    }
}

impl Capture {
    /// The format is what the name says.
    fn create(path: &Path) -> Result<Self> {
        let name = path.to_string_lossy();
        let plain = name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst"))
            .unwrap_or(&name);
        if plain == "-" || plain.ends_with(".pcapng") {
            return Ok(Self::Pcapng(Writer::create(path)?));
        }
        if plain.ends_with(".pcap") {
            let precision = Precision::Nanoseconds;
            return Ok(Self::Pcap(PcapWriter::create(
                path,
                Link::Ethernet,
                precision,
            )?));
        }
        bail!(
            "{name}: the name does not tell the format; end it in .pcap or .pcapng, and in .gz or \
             .zst behind that to compress it"
        )
    }

    fn write(&mut self, sent: &Sent) -> Result<(), CaptureError> {
        let record = Record {
            time: sent.time,
            link: Link::Ethernet,
            bytes: &sent.bytes,
            wire_length: sent.bytes.len() as u32,
        };
        match self {
            Self::Pcap(writer) => writer.write(&record),
            Self::Pcapng(writer) => writer.write(&record, None),
        }
    }

    fn finish(self) -> Result<(), CaptureError> {
        match self {
            Self::Pcap(writer) => writer.finish(),
            Self::Pcapng(writer) => writer.finish(),
        }
    }
}
