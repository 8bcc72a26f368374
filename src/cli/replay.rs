//! `lychgate replay`: what would this policy have done to this traffic?

use std::{
    fs,
    io::{self, Write},
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, ColorChoice, ValueHint};
use indicatif::ProgressBar;
use ipnet::IpNet;

use super::{
    CaptureArgs, UNUSABLE, bar_style, colored_stderr, colored_stdout, is_standard_stream,
    load_policy, progress_bar,
};
use crate::{
    io::capture::Progress,
    policy::{Policy, steps::Scope},
    remedy::Subscriber,
    replay::{self, Captures, Outputs, Pending, Plan, ReplayError, Summary},
    report,
};

const EXAMPLES: &str = "\
Examples:
  lychgate replay --policy isp.toml evening.pcapng.zst
  lychgate replay -p isp.toml --html report.html --json report.json monday.pcap tuesday.pcap
  lychgate replay -p isp.toml --access eth1.pcap --uplink eth2.pcap --dropped dropped.pcapng
  lychgate replay -p isp.toml --compare stricter.toml evening.pcapng
  tcpdump -i eth1 -w - tcp | lychgate replay -p isp.toml --json - - | jq .mail

Exit status: 0 done; 2 arguments or an input cannot be used, or an output cannot be written. Of a
damaged capture everything up to the damage is judged and all outputs are written before status 2.";

/// Judge captures, and report what would have been forwarded, dropped and why.
///
/// Every frame goes through the engine that will sit in the wire, in capture time. The report on
/// the terminal is for people; --html makes a page with charts, --json is for programs (documented
/// in docs/replay.md), --forwarded and --dropped split the traffic into two captures.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArgs {
    #[command(flatten)]
    captures: CaptureArgs,

    /// The policy to try
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// Another policy: tell whose verdicts differ under it
    #[arg(long, value_name = "OTHER", value_hint = ValueHint::FilePath)]
    compare: Option<PathBuf>,

    /// Write the findings as JSON; - is standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,

    /// Write the findings as one self-contained page with charts
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,

    /// Write the frames that cross, as pcapng (compressed if the name ends in .gz or .zst)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    forwarded: Option<PathBuf>,

    /// Write the frames that don't, as pcapng, each with its verdict as a packet comment
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    dropped: Option<PathBuf>,

    /// Judge as if this subscriber (name, address or prefix) were quarantined; may be given again
    #[arg(long, value_name = "WHO")]
    quarantine: Vec<String>,

    /// As `--quarantine`, but with the scope garden
    #[arg(long, value_name = "WHO")]
    garden: Vec<String>,

    /// Threads that judge; the verdicts are the same for any number
    #[arg(long, value_name = "N", default_value = "1")]
    workers: NonZeroUsize,

    /// Key of the source table's hash; it matters only where the table's memory is too small
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,

    /// List this many subscribers
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// No report on the terminal and no progress bar
    #[arg(long, short)]
    quiet: bool,

    /// Colour the report
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColorChoice,
}

/// The accounting keys of whom somebody named, with what is taken away.
fn held(policy: &Policy, who: &[String], scope: Scope) -> anyhow::Result<Vec<(IpNet, Scope)>> {
    let held = who
        .iter()
        .map(|who| Ok((Subscriber::find(policy, who)?.prefix, scope)));
    held.collect()
}

/// Replays, writes every output, then tells of damage.
pub fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let captures = args.captures.validated()?;
    let outputs = [&args.json, &args.html, &args.forwarded, &args.dropped];
    let outputs: Vec<_> = outputs
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let policies = std::iter::once(&args.policy)
        .chain(&args.compare)
        .map(PathBuf::as_path);
    refuse_clashes(&captures, policies, &outputs)?;
    let to_stdout = outputs.iter().any(|path| is_standard_stream(path));

    let load = |path: &Path| load_policy(path, args.quiet);
    let policy = load(&args.policy)?;
    let mail = held(&policy.policy, &args.quarantine, Scope::Mail).context("--quarantine")?;
    let garden = held(&policy.policy, &args.garden, Scope::Garden).context("--garden")?;
    let plan = Plan {
        captures,
        policy,
        compare: args.compare.as_deref().map(load).transpose()?,
        quarantined: mail.into_iter().chain(garden).collect(),
        seed: args.seed,
        workers: args.workers,
        outputs: Outputs {
            forwarded: args.forwarded,
            dropped: args.dropped,
        },
    };
    // Begun before the replay, so that a wrong path costs no time.
    let json = args.json.as_deref().map(Document::create).transpose()?;
    let html = args.html.as_deref().map(Document::create).transpose()?;
    let bar = progress_bar(args.quiet);
    let (summary, damage) = replay::replay(&plan, &mut |progress| advance(&bar, progress))?;
    bar.finish_and_clear();

    if let Some(document) = json {
        document.write(|out| report::json::write(&summary, out))?;
    }
    if let Some(document) = html {
        let page = report::html::render(&summary, args.top).context("rendering the page")?;
        document.write(|out| out.write_all(page.as_bytes()))?;
    }
    if !args.quiet {
        print(&summary, args.top, args.color, to_stdout).context("writing the report")?;
    }
    for damage in &damage {
        bar.suspend(|| eprintln!("lychgate: {damage}"));
    }
    Ok(if damage.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNUSABLE)
    })
}

/// An output is neither an input nor another output.
fn refuse_clashes<'a>(
    captures: &'a Captures,
    policies: impl Iterator<Item = &'a Path>,
    outputs: &[&Path],
) -> anyhow::Result<()> {
    let captures = captures.files.iter().map(|(file, _)| file.as_path());
    let inputs: Vec<_> = captures
        .filter(|file| !is_standard_stream(file))
        .chain(policies)
        .collect();
    for (index, output) in outputs.iter().enumerate() {
        if inputs.iter().any(|input| is_same_file(input, output)) {
            anyhow::bail!(
                "{}: is an input; write the output to another file",
                output.display()
            );
        }
        if outputs[..index]
            .iter()
            .any(|other| is_same_file(other, output))
        {
            anyhow::bail!(
                "{}: is given for two outputs; give each its own file",
                output.display()
            );
        }
    }
    Ok(())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    if one == other {
        return one != Path::new("/dev/null");
    }
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other && one.is_file(),
        _ => false,
    }
}

/// A document that appears when it is whole.
struct Document {
    path: PathBuf,
    out: Box<dyn Write + Send>,
    pending: Pending,
}

impl Document {
    fn create(path: &Path) -> Result<Self, ReplayError> {
        let (out, pending) =
            Pending::create(path).map_err(|cause| ReplayError::output(path, cause))?;
        Ok(Self {
            path: path.to_owned(),
            out,
            pending,
        })
    }

    fn write(self, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        let Self { path, out, pending } = self;
        let mut out = io::BufWriter::new(out);
        let written = content(&mut out)
            .and_then(|()| out.flush())
            .and_then(|()| pending.commit());
        written.with_context(|| format!("{}: cannot be written", path.display()))
    }
}

/// Prints the report; on standard error if standard output carries something for programs.
fn print(summary: &Summary, top: usize, color: ColorChoice, to_stdout: bool) -> io::Result<()> {
    if to_stdout {
        report::terminal::write(summary, top, &mut colored_stderr(color))
    } else {
        report::terminal::write(summary, top, &mut colored_stdout(color))
    }
}

/// Moves the bar on; turns it into a spinner where the end is not known.
fn advance(bar: &ProgressBar, progress: Progress) {
    if bar.is_hidden() {
        return;
    }
    match progress.total {
        Some(total) => bar.set_length(total),
        None if bar.position() == 0 => bar.set_style(bar_style(false)),
        None => {}
    }
    bar.set_position(progress.read);
}
