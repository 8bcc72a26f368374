//! `lychgate run`: the bump in the wire. And `lychgate detach`, which takes it out again.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

#[cfg(feature = "xdp")]
mod live;

#[cfg(feature = "xdp")]
pub use live::{detach, run};
#[cfg(feature = "xdp")]
pub(super) use live::{interfaces, options};

const EXAMPLES: &str = "\
Examples:
  lychgate run --access eth1 --uplink eth2 --policy isp.toml
  lychgate run --policy isp.toml --stats                 ports as the policy names them
  lychgate run -p isp.toml --steer all --zero-copy on --cores 2,3 --json run.json

The first SIGTERM or SIGINT drains the workers, a second one ends the process at once. Either way
frames go on crossing in the kernel, unjudged, until the next `lychgate run` takes over or
`lychgate detach` takes everything off (--at-exit detach does so at once).

Before it starts, it looks at the interfaces (as `lychgate preflight` does), puts right what can be and
waits for links that are down. What it put right stays as long as its kernel program does.

Exit status: 0 stopped when asked to; 1 a worker failed, a port was removed, or a frame was lost by a
bug; 2 arguments, policy or interfaces cannot be used.";

/// Join two interfaces, forward every frame between them, and police mail on the way.
///
/// Nothing but mail is touched: everything else crosses byte for byte. If the process dies or hangs,
/// frames cross in the kernel instead (--fail closed drops them).
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    ports: PortArgs,

    /// The policy to enforce
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// Which frames come to user space: all; only what may be mail; or all where both ports run
    /// without copying, else only what may be mail
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    steer: SteerChoice,

    /// Let the cards write into the workers' memory themselves: where both can; else fail; or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    zero_copy: ZeroCopyChoice,

    /// What becomes of frames when there is no living worker: they cross, or are dropped
    #[arg(long, value_name = "HOW", default_value = "open")]
    fail: FailChoice,

    /// What stays in the kernel at the end: the bypass, or nothing
    #[arg(long, value_name = "WHAT", default_value = "bypass")]
    at_exit: AtExit,

    /// Workers; there must be one for each queue of the interfaces
    #[arg(long, value_name = "N")]
    workers: Option<usize>,

    /// The core of each worker; by default cores near the cards, the last first
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cores: Vec<usize>,

    /// Print a line every second: frames and bits per direction, drops by cause
    #[arg(long)]
    stats: bool,

    /// Write the summary as JSON when it ends
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,

    #[command(flatten)]
    tuning: TuningArgs,
}

/// Take Lychgate's kernel program off the interfaces: no frame crosses any more. What was put right on
/// them is put back.
#[derive(Args, Debug)]
pub struct DetachArgs {
    /// The interface towards the subscribers
    #[arg(long, value_name = "IF")]
    access: String,

    /// The interface towards the internet
    #[arg(long, value_name = "IF")]
    uplink: String,
}

#[derive(Args, Debug)]
pub(super) struct PortArgs {
    /// The interface towards the subscribers, if not as the policy names it
    #[arg(long, value_name = "IF")]
    access: Option<String>,

    /// The interface towards the internet, if not as the policy names it
    #[arg(long, value_name = "IF")]
    uplink: Option<String>,
}

/// Only for performance: the defaults are good.
#[derive(Args, Debug)]
#[command(next_help_heading = "Only for performance")]
pub(super) struct TuningArgs {
    /// Frames that a worker takes from each port at once
    #[arg(long, value_name = "FRAMES", default_value_t = 32, value_parser = clap::value_parser!(u8).range(1..=64))]
    batch: u8,

    /// How long a worker looks for more after a full batch before it sleeps
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 50)]
    spin: u32,

    /// Descriptors in each ring: a power of 2
    #[arg(long, value_name = "FRAMES", default_value_t = 2048)]
    ring: u32,

    /// Octets of a frame's place in memory: 2048, or 4096 for an MTU above 1770
    #[arg(long, value_name = "OCTETS", default_value_t = 2048)]
    frame_size: u32,

    /// Keep frames in huge pages (set aside with sysctl vm.nr_hugepages)
    #[arg(long)]
    huge_pages: bool,

    /// Let workers drive the cards' queues from their own system calls
    #[arg(long)]
    busy_poll: bool,

    /// How old a worker's sign of life may be before its frames bypass it
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    deadline: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SteerChoice {
    All,
    Mail,
    Auto,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ZeroCopyChoice {
    Auto,
    On,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailChoice {
    Open,
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AtExit {
    Bypass,
    Detach,
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn run(_args: RunArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(no_live_ports())
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn detach(_args: DetachArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(no_live_ports())
}

#[cfg(not(feature = "xdp"))]
pub(super) fn no_live_ports() -> anyhow::Error {
    anyhow::anyhow!(
        "this program was built without live ports (feature `xdp`): build it on Linux with \
         `cargo build --release`, or try the policy on a capture with `lychgate replay`"
    )
}
