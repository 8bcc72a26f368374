//! `lychgate blast`: offers frames to an interface, to measure what is behind it.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, ValueHint};

use super::parse_duration;
use crate::load::Rate;

#[cfg(feature = "xdp")]
mod live;

#[cfg(feature = "xdp")]
pub use live::run;

const EXAMPLES: &str = "\
Examples:
  As many frames as go for ten seconds, 5 % of them attempts to port 25:
    lychgate blast --interface eth1

  100,000 frames at exactly 20,000 a second, numbered and with the time they left:
    lychgate blast --interface eth1 --rate 20k --count 100000 --stamp

  Attempts only, from a million sources, as JSON too:
    lychgate blast --interface eth1 --profile syn --sources 1000000 --json blast.json

  What a capture holds, frame by frame, once:
    lychgate blast --interface eth1 --capture evening.pcap --rate 5k --once

Let `lychgate sink` listen behind the box that is measured. The profiles' subscribers are in
10.0.0.0/8 and 2001:db8::/32; `lychgate synth --profile mixed --policy-out` writes a policy for them.

Exit status: 0 sent; 2 arguments or interface cannot be used.";

/// Offer frames to an interface: a load to measure a box with.
///
/// A flood is made inside the kernel and needs no core but one. At a given rate, frames go through
/// a packet socket, which tells when the interface is busy. It always ends: after --time, or after
/// --count frames.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BlastArgs {
    /// The interface to send from: one that leads to the box, and nowhere else
    #[arg(long, value_name = "IF")]
    interface: String,

    /// What to send
    #[arg(long, value_enum, default_value_t)]
    profile: Profile,

    /// Send a capture's frames instead, as they are, over and over
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["profile", "sources", "frames"])]
    capture: Option<PathBuf>,

    /// Send the capture once
    #[arg(long, requires = "capture", conflicts_with = "count")]
    once: bool,

    /// Frames a second: a number, with k or M behind it if you like; or full
    #[arg(long, value_name = "RATE", default_value = "full")]
    rate: Rate,

    /// End after so many frames
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// End after this time: a number with ms, s, m, h or d [default: 10s; with --count or --once 1h]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    time: Option<Duration>,

    /// Subscribers that the frames come from
    #[arg(long, value_name = "COUNT", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    sources: u32,

    /// Different frames that are prepared; what is sent differs from them in its source
    #[arg(long, value_name = "COUNT", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    frames: u32,

    /// Number the frames and write their time behind them, for `lychgate sink`; 24 octets more
    #[arg(long)]
    stamp: bool,

    /// How frames get out [default: flood at full rate, paced at any other]
    #[arg(long, value_name = "WAY")]
    by: Option<Way>,

    /// Which of all such loads
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Send although the interface has a default route, and so leads to the world
    #[arg(long)]
    into_the_world: bool,

    /// Say nothing until it ends
    #[arg(long, short)]
    quiet: bool,

    /// Write the summary as JSON when it ends
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
}

/// What frames to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Profile {
    /// 5 % attempts to port 25 in an IMIX of web and other traffic, all outbound
    #[default]
    Mixed,
    /// Attempts to port 25 only, in the shortest frames
    Syn,
}

/// How frames get out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Made inside the kernel
    Flood,
    /// Through a packet socket
    Paced,
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn run(_args: BlastArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::no_live_ports())
}
