//! `lychgate sink`: counts what arrives on an interface.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueHint};

use super::parse_duration;

#[cfg(feature = "xdp")]
mod live;

#[cfg(feature = "xdp")]
pub use live::run;

const EXAMPLES: &str = "\
Examples:
  Behind the box, while `lychgate blast --stamp` runs before it:
    lychgate sink --interface eth2 --time 20s --json sink.json

  A flood that no socket could take, counted in the kernel:
    lychgate sink --interface eth2 --count-only xdp

It prints `ready` when it listens. Start it before the load: what came earlier counts as lost.
Latencies hold where sender and sink are ports of the same machine; a clock elsewhere shifts them.

Exit status: 0 done; 2 arguments or interface cannot be used.";

/// Count what arrives on an interface: whose it is, in which order, how long it took.
///
/// It takes all frames of the interface, so that nobody else sees them. Order and latency are told
/// of frames that `lychgate blast --stamp` sent.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SinkArgs {
    /// The interface to take frames from
    #[arg(long, value_name = "IF")]
    interface: String,

    /// End after this time: a number with ms, s, m, h or d
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    time: Duration,

    /// End as soon as so many frames have come
    #[arg(long, value_name = "FRAMES", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Only count, in the kernel, in the driver (xdp) or behind it (tc); without order and latency
    #[arg(long, value_name = "WHERE")]
    count_only: Option<Where>,

    /// How many sources are told, those of most frames first
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    top: usize,

    /// Write the summary as JSON when it ends
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,
}

/// Where frames are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Where {
    /// In the driver: the fastest for frames that a program sent or redirected
    Xdp,
    /// At the ingress of traffic control: better on a veth for frames that a socket sent
    Tc,
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn run(_args: SinkArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::no_live_ports())
}
