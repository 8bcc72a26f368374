//! `lychgate quarantine` and `lychgate subject`: what staff ask and decide about subscribers.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use jiff::Timestamp;
use serde::Serialize;

use super::load_policy;
#[cfg(unix)]
use crate::control::counter;
use crate::{
    control::casebook::{Reply, Request, Subject},
    policy::{KEEP_MAX, lasting, steps::Scope},
    remedy::{Ahead, Case, Record, Stage},
};

const EXAMPLES: &str = "\
Examples:
  lychgate quarantine list -p isp.toml
  lychgate quarantine list --all --json -p isp.toml | jq .cases
  lychgate quarantine show 203.0.113.66 -p isp.toml
  lychgate quarantine add 203.0.113.66 --why \"reports from three networks\" -p isp.toml
  lychgate quarantine add 203.0.113.66 --scope garden --why \"ticket 4713\" -p isp.toml
  lychgate quarantine add 203.0.113.66 --for 7d --by anna --why \"asked for it\" -p isp.toml
  lychgate quarantine release \"ACME Hosting\" --why \"reinstalled, see ticket 4711\" -p isp.toml

The running box is asked through its control socket ([store] socket in the policy). Where none runs,
the store itself is opened; what you decide holds from the moment that a box starts.

Exit status: 0 done; 2 it cannot be done, and the message says why.";

/// List, look at, add and end cases.
///
/// A case is what is held against one subscriber, and what is done about it. Everything that you
/// decide is written down with your name and your reason, before it takes effect.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum QuarantineCommand {
    List(ListArgs),
    /// Show everything that is known about one subscriber
    Show(SubjectArgs),
    Add(AddArgs),
    Release(ReleaseArgs),
    /// Erase a closed case and its audit trail, for privacy
    Erase(SubjectArgs),
}

/// List the open cases.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Closed ones too, as long as they are kept
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    common: CommonArgs,
}

/// One subscriber: who that is to the policy, the case, its audit trail.
///
/// `show` and `lychgate subject` tell everything that is kept about the subscriber. `erase` removes it
/// from the store, if the case is closed.
#[derive(Args, Debug)]
pub struct SubjectArgs {
    /// The subscriber: an address, a prefix, or the name in the policy
    #[arg(value_name = "WHO")]
    who: String,

    #[command(flatten)]
    common: CommonArgs,
}

/// Quarantine a subscriber, or change for how long.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// The subscriber: an address, a prefix, or the name in the policy
    #[arg(value_name = "WHO")]
    who: String,

    /// Why; the audit trail keeps it
    #[arg(long, value_name = "TEXT")]
    why: String,

    /// Who you are; by default the name that you logged in with
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    /// What is taken away
    #[arg(long, value_name = "SCOPE", default_value = "mail")]
    scope: ScopeChoice,

    /// For how long, in hours or days
    #[arg(long = "for", value_name = "TIME", default_value = "30d", value_parser = parse_lasting)]
    lasting: Duration,

    #[command(flatten)]
    common: CommonArgs,
}

/// End a subscriber's case.
#[derive(Args, Debug)]
pub struct ReleaseArgs {
    /// The subscriber: an address, a prefix, or the name in the policy
    #[arg(value_name = "WHO")]
    who: String,

    /// Why; the audit trail keeps it
    #[arg(long, value_name = "TEXT")]
    why: String,

    /// Who you are; by default the name that you logged in with
    #[arg(long, value_name = "NAME")]
    by: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Args, Debug)]
struct CommonArgs {
    /// The policy of the box: it says where cases are kept, and who is who
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// Tell it as JSON (docs/remediation.md)
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ScopeChoice {
    /// Port 25, also towards the relays
    Mail,
    /// Everything but the notice page, names, and what the policy keeps open
    Garden,
}

/// Runs `lychgate quarantine`.
pub fn run(command: QuarantineCommand) -> anyhow::Result<ExitCode> {
    let (request, common) = match command {
        QuarantineCommand::List(args) => (Request::List { all: args.all }, args.common),
        QuarantineCommand::Show(args) => (Request::Subject { who: args.who }, args.common),
        QuarantineCommand::Erase(args) => (Request::Erase { who: args.who }, args.common),
        QuarantineCommand::Add(args) => {
            let request = Request::Add {
                who: args.who,
                scope: match args.scope {
                    ScopeChoice::Mail => Scope::Mail,
                    ScopeChoice::Garden => Scope::Garden,
                },
                seconds: args.lasting.as_secs(),
                by: by(args.by)?,
                why: reason(args.why)?,
            };
            (request, args.common)
        }
        QuarantineCommand::Release(args) => {
            let request = Request::Release {
                who: args.who,
                by: Some(by(args.by)?),
                why: reason(args.why)?,
            };
            (request, args.common)
        }
    };
    ask(&request, &common)
}

/// Runs `lychgate subject`.
pub fn subject(args: SubjectArgs) -> anyhow::Result<ExitCode> {
    ask(&Request::Subject { who: args.who }, &args.common)
}

/// A schema before the answer, so that programs know what they read.
#[derive(Serialize)]
struct Answer<'a> {
    schema: &'static str,
    #[serde(flatten)]
    reply: &'a Reply,
}

#[cfg(unix)]
fn ask(request: &Request, common: &CommonArgs) -> anyhow::Result<ExitCode> {
    let policy = load_policy(&common.policy, common.json)?.policy;
    let reply = counter::ask(&policy, request)?;
    if let Reply::Refused { why } = reply {
        anyhow::bail!(why);
    }
    let mut out = io::stdout().lock();
    if common.json {
        let schema = "lychgate.case/1";
        serde_json::to_writer_pretty(
            &mut out,
            &Answer {
                schema,
                reply: &reply,
            },
        )?;
        writeln!(out)?;
    } else {
        write(&reply, &mut out).context("writing the answer")?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(unix))]
fn ask(_request: &Request, _common: &CommonArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("cases are kept by the box, which runs on Linux")
}

/// Who asks: what was said, else the name of the login, also behind sudo.
fn by(said: Option<String>) -> anyhow::Result<String> {
    let login = || {
        ["SUDO_USER", "LOGNAME", "USER"]
            .iter()
            .find_map(|name| env::var(name).ok())
    };
    let name = said.or_else(login).unwrap_or_default();
    if name.trim().is_empty() {
        anyhow::bail!("the audit trail needs to know who you are: give --by NAME");
    }
    Ok(name)
}

fn reason(why: String) -> anyhow::Result<String> {
    if why.trim().is_empty() {
        anyhow::bail!("--why is empty: the audit trail keeps the reason, and others read it later");
    }
    Ok(why)
}

fn parse_lasting(text: &str) -> Result<Duration, String> {
    let found = lasting(text).filter(|lasting| !lasting.is_zero() && *lasting <= KEEP_MAX);
    found.ok_or_else(|| "write hours or days, like 12h or 30d, up to 3650d".to_owned())
}

fn write(reply: &Reply, out: &mut dyn Write) -> io::Result<()> {
    match reply {
        Reply::Cases { cases } => write_cases(cases, out),
        Reply::Subject(subject) => write_subject(subject, out),
        Reply::Done { records } => records
            .iter()
            .try_for_each(|record| writeln!(out, "{}", line(record))),
        Reply::Erased {
            subscriber,
            records,
        } => writeln!(
            out,
            "{subscriber}: the case and {records} records are erased"
        ),
        Reply::Reloaded { changes } => changes
            .iter()
            .try_for_each(|change| writeln!(out, "{change}")),
        Reply::Refused { why } => writeln!(out, "{why}"),
    }
}

fn write_cases(cases: &[Case], out: &mut dyn Write) -> io::Result<()> {
    if cases.is_empty() {
        return writeln!(out, "no cases");
    }
    let names: Vec<_> = cases
        .iter()
        .map(|case| case.subscriber.to_string())
        .collect();
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0).max("subscriber".len());
    writeln!(
        out,
        "{:width$}  {:11}  {:20}  next",
        "subscriber", "stage", "since"
    )?;
    for (case, name) in cases.iter().zip(&names) {
        let (stage, since) = (case.stage.name(), moment(case.since));
        writeln!(out, "{name:width$}  {stage:11}  {since:20}  {}", next(case))?;
    }
    Ok(())
}

/// What a quarantine has taken away, and until when.
fn closed(scope: Scope, expires: Timestamp) -> String {
    let closed = match scope {
        Scope::Mail => "mail",
        Scope::Garden => "all but the garden",
    };
    format!("{closed} closed until {}", moment(expires))
}

/// What happens to a case by itself.
fn next(case: &Case) -> String {
    match (case.stage, case.due, case.ahead.first()) {
        (Stage::Quarantined { scope, expires }, ..) => closed(scope, expires),
        (Stage::Released, ..) => "nothing".to_owned(),
        (_, Some(due), Some(Ahead::Notify { .. })) => format!("notice at {}", moment(due)),
        (_, Some(due), Some(Ahead::Quarantine { .. })) => {
            format!("quarantine at {}", moment(due))
        }
        _ => "nothing, unless more is found".to_owned(),
    }
}

fn write_subject(subject: &Subject, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "subscriber  {}", subject.subscriber)?;
    if subject.class.is_empty() {
        writeln!(
            out,
            "class       none: the policy does not know this subscriber any more"
        )?;
    } else {
        let exempt = match subject.exempt {
            true => ", exempt: only staff take steps",
            false => "",
        };
        writeln!(out, "class       {}{exempt}", subject.class)?;
    }
    let Some(case) = &subject.case else {
        return writeln!(out, "case        none");
    };
    writeln!(
        out,
        "case        {} since {}",
        case.stage.name(),
        moment(case.since)
    )?;
    writeln!(out, "next        {}", next(case))?;
    writeln!(
        out,
        "findings    {} since {}",
        case.findings,
        moment(case.opened)
    )?;
    writeln!(
        out,
        "ended by the customer {} times since staff last did",
        case.self_releases
    )?;
    writeln!(out, "\naudit trail")?;
    for entry in &subject.trail {
        writeln!(out, "{:>6}  {}", entry.number, line(&entry.record))?;
    }
    Ok(())
}

/// A record of the audit trail in one line.
#[must_use]
pub fn line(record: &Record) -> String {
    let until = match record.stage {
        Stage::Quarantined { scope, expires } if record.act.name() == "quarantined" => {
            format!(" ({})", closed(scope, expires))
        }
        _ => String::new(),
    };
    format!(
        "{}  {}: {}{until} by {}: {}",
        moment(record.time),
        record.subscriber,
        record.act.name(),
        record.who,
        record.why
    )
}

fn moment(time: Timestamp) -> String {
    format!("{time:.0}")
}
