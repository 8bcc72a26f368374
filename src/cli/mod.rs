//! One file per subcommand; arguments become validated values here and nowhere else.
//!
//! Exit codes, the same for every subcommand: 0 done; 1 done, and mistakes were found (`check`,
//! `spf --check`, `import`, `report`);
//! 2 the arguments or an input cannot be used, or an output cannot be written. An error is printed
//! once, on standard error, as `lychgate: what: why`.

mod blast;
mod check;
mod completions;
mod disclose;
mod explain;
mod import;
mod manual;
#[cfg(unix)]
mod notice;
mod preflight;
mod quarantine;
mod reload;
mod replay;
mod report;
mod run;
mod sink;
mod spf;
mod synth;

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, ColorChoice, Parser, Subcommand, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    policy::Policy,
    replay::{Captures, NamedPolicy},
};

/// The arguments or an input cannot be used, or an output cannot be written.
const UNUSABLE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  lychgate check isp.toml                                validate a policy
  lychgate replay --policy isp.toml evening.pcapng       try it on a capture
  lychgate explain evening.pcapng -n 4711 -p isp.toml    why was frame 4711 judged so?
  lychgate subject 203.0.113.66 -p isp.toml              who is that, and is there a case?
  lychgate synth village.pcapng --policy-out village.toml
                                                         a capture to try things on

Exit status: 0 done; 1 `check` found mistakes; 2 arguments or an input cannot be used, or an output
cannot be written.";

/// Stops spam zombies at the edge of an ISP's network.
///
/// Lychgate limits how many mail connections each subscriber may open, and leaves everything else
/// alone. Write a policy, check it, replay a capture of your own network to see what it would have
/// done, and look at single frames that surprise you.
#[derive(Debug, Parser)]
#[command(name = "lychgate", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Reload(reload::ReloadArgs),
    Detach(run::DetachArgs),
    Preflight(preflight::PreflightArgs),
    Blast(blast::BlastArgs),
    Sink(sink::SinkArgs),
    Check(check::CheckArgs),
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    Subject(quarantine::SubjectArgs),
    #[cfg(unix)]
    Notice(notice::NoticeArgs),
    Replay(replay::ReplayArgs),
    Explain(explain::ExplainArgs),
    Synth(synth::SynthArgs),
    Spf(spf::SpfArgs),
    Disclose(disclose::DiscloseArgs),
    Import(import::ImportArgs),
    Report(report::ReportArgs),
    Completions(completions::CompletionsArgs),
    Manual(manual::ManualArgs),
}

/// Parses the process's arguments, runs the subcommand and maps its error to an exit code.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(args),
        Command::Reload(args) => reload::run(args),
        Command::Detach(args) => run::detach(args),
        Command::Preflight(args) => preflight::run(args),
        Command::Blast(args) => blast::run(args),
        Command::Sink(args) => sink::run(args),
        Command::Check(args) => check::run(args),
        Command::Quarantine(command) => quarantine::run(command),
        Command::Subject(args) => quarantine::subject(args),
        #[cfg(unix)]
        Command::Notice(args) => notice::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Synth(args) => synth::run(args),
        Command::Spf(args) => spf::run(args),
        Command::Disclose(args) => disclose::run(args),
        Command::Import(args) => import::run(args),
        Command::Report(args) => report::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Manual(args) => manual::run(args),
    };
    done.unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            // Whoever read our output has seen enough.
            return ExitCode::SUCCESS;
        }
        eprintln!("lychgate: {error:#}");
        ExitCode::from(UNUSABLE)
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().map(io::Error::kind)
    };
    error
        .chain()
        .any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}

/// Where the frames come from.
#[derive(Args, Debug)]
struct CaptureArgs {
    /// Captures to read: pcap or pcapng, plain, .gz or .zst; several are merged by time; - is
    /// standard input
    ///
    /// The pools tell which way a frame travels: from an address in a pool is outbound.
    #[arg(value_name = "CAPTURE", value_hint = ValueHint::FilePath, required_unless_present_any = ["access", "uplink"])]
    captures: Vec<PathBuf>,

    /// Capture of what arrived on the access port: all of it is outbound
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "captures")]
    access: Vec<PathBuf>,

    /// Capture of what arrived on the uplink port: all of it is inbound
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "captures")]
    uplink: Vec<PathBuf>,
}

impl CaptureArgs {
    /// The captures, standard input at most once.
    fn validated(self) -> anyhow::Result<Captures> {
        let captures = if self.captures.is_empty() {
            Captures::by_port(self.access, self.uplink)
        } else {
            Captures::mixed(self.captures)
        };
        let from_stdin = captures
            .files
            .iter()
            .filter(|(file, _)| is_standard_stream(file))
            .count();
        if from_stdin > 1 {
            anyhow::bail!(
                "standard input (-) is given {from_stdin} times; it can be read only once"
            );
        }
        if from_stdin == 1 && io::stdin().is_terminal() {
            anyhow::bail!(
                "standard input is a terminal; pipe a capture into it, as in `tcpdump -w - | lychgate …`"
            );
        }
        Ok(captures)
    }
}

/// Standard output, with styles where they are wanted.
fn colored_stdout(color: ColorChoice) -> anstream::AutoStream<io::Stdout> {
    anstream::AutoStream::new(io::stdout(), stream_choice(color))
}

/// Standard error, with styles where they are wanted.
fn colored_stderr(color: ColorChoice) -> anstream::AutoStream<io::Stderr> {
    anstream::AutoStream::new(io::stderr(), stream_choice(color))
}

fn stream_choice(color: ColorChoice) -> anstream::ColorChoice {
    match color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
}

/// Whether a path stands for standard input or output.
fn is_standard_stream(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Loads a policy whole or not at all. Its mistakes are printed as they stand in the file, its
/// warnings too unless `quiet`.
fn load_policy(path: &Path, quiet: bool) -> anyhow::Result<NamedPolicy> {
    let bar = progress_bar(quiet);
    let loaded = Policy::load(path, &mut |progress| {
        bar.set_length(progress.octets_total);
        bar.set_position(progress.octets);
    });
    bar.finish_and_clear();
    let file = path.display();
    let (policy, diagnostics) = match loaded {
        Ok((policy, warnings)) => (Some(policy), warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    if !diagnostics.0.is_empty() && (policy.is_none() || !quiet) {
        anstream::eprintln!("{}\n", diagnostics.render(true));
    }
    match policy {
        Some(policy) => Ok(NamedPolicy {
            name: file.to_string(),
            policy: Arc::new(policy),
        }),
        None => anyhow::bail!(
            "{file}: the policy is refused; `lychgate check {file}` tells all about it"
        ),
    }
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length().with_style(bar_style(true));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn bar_style(is_length_known: bool) -> ProgressStyle {
    let template = if is_length_known {
        "{bar:40} {percent:>3} %  {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec}, {eta} to go"
    } else {
        "{spinner} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A whole number and its unit: "500ms", "90s", "10m", "1h", "1d".
fn parse_duration(text: &str) -> Result<Duration, String> {
    const WRONG: &str = "say a whole number and its unit, like 500ms, 90s, 10m, 1h or 7d";
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(WRONG)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| WRONG)?;
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(WRONG.to_owned()),
    };
    let duration = number
        .checked_mul(milliseconds)
        .filter(|&length| length <= 366 * 86_400_000);
    duration
        .map(Duration::from_millis)
        .ok_or_else(|| "a year is the most".to_owned())
}

/// Creates an output, or says why not.
#[cfg(feature = "xdp")]
fn create(path: &Path) -> anyhow::Result<std::fs::File> {
    use anyhow::Context;
    std::fs::File::create(path).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Prints a summary, and writes it as JSON, too, where that was asked for.
#[cfg(feature = "xdp")]
fn give(
    text: impl FnOnce(io::StdoutLock<'_>) -> io::Result<()>,
    file: Option<std::fs::File>,
    json: impl FnOnce(io::BufWriter<std::fs::File>) -> io::Result<()>,
) -> anyhow::Result<()> {
    use anyhow::Context;
    text(io::stdout().lock()).context("writing the summary")?;
    if let Some(file) = file {
        json(io::BufWriter::new(file)).context("writing the JSON summary")?;
    }
    Ok(())
}

#[cfg(not(all(feature = "xdp", unix)))]
fn no_live_ports() -> anyhow::Error {
    anyhow::anyhow!(
        "this program was built without live ports (feature `xdp`): build it on Linux with \
         `cargo build --release`, or try the policy on a capture with `lychgate replay`"
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_duration_is_a_number_and_its_unit() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10m"), Ok(Duration::from_secs(600)));
        for wrong in [
            "",
            "10",
            "m",
            "1.5h",
            "-1s",
            "10 m",
            "1w",
            "9999999999999999999d",
            "400d",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }
}
