//! `lychgate preflight`: are these interfaces fit for `lychgate run`?

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[cfg(feature = "xdp")]
mod live;

#[cfg(feature = "xdp")]
pub use live::run;

use super::run::{PortArgs, SteerChoice, TuningArgs, ZeroCopyChoice};

const EXAMPLES: &str = "\
Examples:
  lychgate preflight --access eth1 --uplink eth2
  lychgate preflight --policy isp.toml --json            ports as the policy names them
  lychgate preflight --access eth1 --uplink eth2 --frame-size 4096

Each line says how bad it is, which interface, what was looked at, and what is so. `to repair` means
that `lychgate run` puts it right by itself. `lychgate run` looks at the same before it starts, and
looks again once its kernel program is attached.

What is repaired is put back when the kernel program is taken off: `lychgate detach`, or
`lychgate run --at-exit detach`.

Exit status: 0 nothing in the way; 1 there are warnings; 2 `lychgate run` would refuse to start, or
arguments, policy or interfaces cannot be used.";

/// Look whether two interfaces are fit, and say what to do where they are not.
///
/// Nothing is changed without --repair.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PreflightArgs {
    #[command(flatten)]
    ports: PortArgs,

    /// The policy that names the interfaces, where the arguments don't
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: Option<PathBuf>,

    /// Which frames are going to come to user space
    #[arg(long, value_name = "WHICH", default_value = "auto")]
    steer: SteerChoice,

    /// Whether the cards are going to write into the workers' memory themselves
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    zero_copy: ZeroCopyChoice,

    /// The core of each worker; by default cores near the cards, the last first
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    cores: Vec<usize>,

    /// Put right what can be, unless something is refused
    #[arg(long)]
    repair: bool,

    /// Print the findings as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    tuning: TuningArgs,
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn run(_args: PreflightArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::run::no_live_ports())
}
