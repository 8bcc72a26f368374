//! `lychgate explain`: why was this frame judged so?

use std::{io, num::NonZeroU64, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ColorChoice, ValueHint};

use super::{CaptureArgs, load_policy};
use crate::{
    io::capture::CaptureError,
    replay::{self, Sought},
    report::explanation,
};

const EXAMPLES: &str = "\
Examples:
  lychgate explain evening.pcapng --frame 4711 --policy isp.toml
  lychgate explain evening.pcapng -n 4711 -p isp.toml --json | jq .verdict

Frame numbers are those of Wireshark, and those that `replay` gives as examples. Of several
captures, frames are numbered in order of time.";

/// Tell how one frame was decoded, whose it was, and why it was judged so.
///
/// Everything before the frame is judged first, so that the subscriber's window is as full as it
/// was when the frame came.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    #[command(flatten)]
    captures: CaptureArgs,

    /// Number of the frame, from 1
    #[arg(long, short = 'n', value_name = "N")]
    frame: NonZeroU64,

    /// The policy that judges
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// Tell it as JSON
    #[arg(long)]
    json: bool,

    /// Colour the text
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

/// Finds the frame and explains it.
pub fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let captures = args.captures.validated()?;
    let policy = load_policy(&args.policy, args.json)?;
    let number = args.frame.get();
    let found = match replay::explain(&captures, &policy, number)? {
        Sought::Found(found) => found,
        Sought::Missing(frames, damage) => return Err(missing(number, frames, &damage)),
    };
    let written = if args.json {
        explanation::write_json(&found, &mut io::stdout().lock())
    } else {
        explanation::write(&found, &mut super::colored_stdout(args.color))
    };
    written.context("writing the explanation")?;
    Ok(ExitCode::SUCCESS)
}

fn missing(number: u64, frames: u64, damage: &[CaptureError]) -> anyhow::Error {
    match damage.first() {
        Some(damage) => anyhow::anyhow!(
            "frame {number} is not there: {frames} could be read before this: {damage}"
        ),
        None => anyhow::anyhow!(
            "frame {number} is not there: the captures hold {frames}; choose one of 1 to {frames}"
        ),
    }
}
