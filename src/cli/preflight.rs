//! `lychgate preflight`: are these interfaces fit for `lychgate run`?

use std::path::PathBuf;

use clap::{Args, ValueHint};

#[cfg(feature = "xdp")]
mod live;

#[cfg(feature = "xdp")]
pub use live::run;

use super::run::{PortArgs, number, word};
#[cfg(feature = "xdp")]
use crate::policy::RunSettings;
use crate::policy::{CORE, FRAME_SIZE, RING, Steer, ZeroCopy};

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

    /// The policy that names the interfaces, and how they are to run, as far as the arguments don't
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: Option<PathBuf>,

    /// Which frames are going to come to user space (default: auto)
    #[arg(long, value_name = "WHICH", value_parser = word::<Steer>())]
    steer: Option<Steer>,

    /// Whether the cards are going to write into the workers' memory themselves (default: auto)
    #[arg(long, value_name = "WHEN", value_parser = word::<ZeroCopy>())]
    zero_copy: Option<ZeroCopy>,

    /// The core of each worker, separated by commas (default: near the cards, the last core first)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number(CORE))]
    cores: Option<Vec<u32>>,

    /// Descriptors in each ring: a power of 2 (default: 2048)
    #[arg(long, value_name = "FRAMES", value_parser = number(RING))]
    ring: Option<u32>,

    /// Octets of a frame's place in memory: 2048, or 4096 for an MTU above 1770 (default: 2048)
    #[arg(long, value_name = "OCTETS", value_parser = number(FRAME_SIZE))]
    frame_size: Option<u32>,

    /// Put right what can be, unless something is refused
    #[arg(long)]
    repair: bool,

    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

#[cfg(feature = "xdp")]
impl PreflightArgs {
    /// What the arguments say, over what the policy says.
    fn over(&self, policy: &RunSettings) -> RunSettings {
        RunSettings {
            steer: self.steer.unwrap_or(policy.steer),
            zero_copy: self.zero_copy.unwrap_or(policy.zero_copy),
            cores: self.cores.as_ref().unwrap_or(&policy.cores).clone(),
            ring: self.ring.unwrap_or(policy.ring),
            frame_size: self.frame_size.unwrap_or(policy.frame_size),
            ..policy.clone()
        }
    }
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn run(_args: PreflightArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::no_live_ports())
}
