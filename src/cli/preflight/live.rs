//! The subcommand, where there are live ports.

use std::{io, path::Path, process::ExitCode};

use anyhow::Context;

use super::PreflightArgs;
use crate::{
    cli::{UNUSABLE, load_policy, run},
    control::preflight::{self, Severity},
    io::afxdp::PIN_ROOT,
    policy::RunSettings,
};

/// Looks, and says what was found.
pub fn run(args: PreflightArgs) -> anyhow::Result<ExitCode> {
    let policy = args.policy.as_deref();
    let policy = policy
        .map(|file| Ok::<_, anyhow::Error>((load_policy(file, true)?.policy, file)))
        .transpose()?;
    let policy = policy.as_ref().map(|(policy, file)| (&**policy, *file));
    let names = run::interfaces(&args.ports, policy)?;
    let default = RunSettings::default();
    let asked = args.over(policy.map_or(&default, |(policy, _)| policy.run_settings()));
    let wanted = run::wanted(&asked);
    let pin_root = Path::new(PIN_ROOT);
    let mut inspection =
        preflight::inspect(names.each_ref().map(String::as_str), wanted, pin_root)?;
    if args.repair {
        inspection.repair();
    }
    let out = io::stdout().lock();
    if args.json {
        inspection.report.write_json(out)
    } else {
        inspection.report.write_text(Severity::Fine, out)
    }
    .context("writing the findings")?;
    Ok(match inspection.report.worst() {
        Severity::Fine | Severity::Repaired | Severity::Repairable => ExitCode::SUCCESS,
        Severity::Warning => ExitCode::FAILURE,
        Severity::Refusal => ExitCode::from(UNUSABLE),
    })
}
