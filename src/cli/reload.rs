//! `lychgate reload`: has a running box take up its policy as it stands in the file now.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueHint};

const EXAMPLES: &str = "\
Examples:
  lychgate reload -p isp.toml
  lychgate check isp.toml && lychgate reload -p isp.toml

The box is asked through its control socket ([store] socket in the policy). One that keeps no cases has
no control socket: send it SIGHUP, which does the same (`systemctl reload lychgate` with
ExecReload=kill -HUP $MAINPID).

What workers have counted goes on counting. What cannot change in a running box ([ports], [store],
[events], url of [notice], maildir of [complaints], capacity and observed of [sources]) is refused, and
named. On any mistake the policy before
stays in force.

Exit status: 0 the policy is in force; 2 it is not, and the message says why.";

/// Have the running box read its policy again, without losing a frame.
///
/// The file is read and checked whole. If it has no mistake, all workers judge by it from their next
/// batch of frames on; what is different is printed.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReloadArgs {
    /// The policy that the box was started with
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,
}

/// Runs it.
#[cfg(unix)]
pub fn run(args: ReloadArgs) -> anyhow::Result<ExitCode> {
    use anyhow::{Context, bail};

    use crate::control::{
        casebook::{Reply, Request},
        counter,
    };

    // Read here, too: its mistakes are shown to whoever made them, as they stand in the file.
    let policy = super::load_policy(&args.policy, false)?.policy;
    if policy.keeping().is_none() {
        bail!(
            "the policy names no store, and without one there is no control socket; send the box \
             SIGHUP instead"
        );
    }
    let file = std::path::absolute(&args.policy).context("where am I?")?;
    match counter::ask(&policy, &Request::Reload { policy: file })? {
        Reply::Reloaded { changes } => {
            println!("reloaded");
            changes.iter().for_each(|change| println!("  {change}"));
            Ok(ExitCode::SUCCESS)
        }
        Reply::Refused { why } => bail!(why),
        other => bail!("the box said something else than an answer: {other:?}"),
    }
}

/// Says what is missing.
#[cfg(not(unix))]
pub fn run(_args: ReloadArgs) -> anyhow::Result<ExitCode> {
    Err(super::no_live_ports())
}
