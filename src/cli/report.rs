//! `lychgate report`: abuse reports, read and written.

use std::{
    fs,
    io::{self, Read, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueHint};
use ipnet::IpNet;
use jiff::Timestamp;
use serde::Serialize;

#[cfg(unix)]
use super::quarantine;
use super::{is_standard_stream, load_policy};
#[cfg(unix)]
use crate::control::{
    casebook::{Reply, Request},
    counter,
};
use crate::{
    complaint::{self, Complaint, OCTETS_MAX, Reporter, Statement, TimeOf},
    events::{Event, Events},
    policy::{Policy, Role},
    remedy::Subscriber,
};

/// How long the outlets are waited for.
const TELL_MAX: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  lychgate report complaint.eml --policy isp.toml         what it says, and whose address it is
  lychgate report /var/mail/abuse --json                  every message of a maildir
  lychgate report - --policy isp.toml --tell              from a mail server's pipe to your ticket system
  lychgate report complaint.eml --policy isp.toml --hold  and make it part of the subscriber's case
  lychgate report arf --source 192.0.2.7 --attempts 431 --from abuse@isp.example \\
      --to abuse@other.example > report.eml
  lychgate report xarf --source 192.0.2.7 --attempts 431 --destinations 420 \\
      --since 2026-11-30T09:00:00Z --until 2026-11-30T10:00:00Z --from abuse@isp.example

A file is a message with an ARF report (RFC 5965), or with XARF attached, or an XARF document. A
folder is a maildir. - is standard input.

Exit status: 0 everything was read; 1 some files are no reports; 2 nothing could be read or written.";

/// Read abuse reports (ARF, XARF), or write one about another network's address
///
/// Prints what each report says in one form: the address, the time, who complains and about what,
/// and with a policy the subscriber who has the address. What is missing in a report is named.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ReportArgs {
    #[command(subcommand)]
    form: Option<Form>,

    /// Reports to read: files, maildirs, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath, required = true)]
    files: Vec<PathBuf>,

    /// The policy that knows whose the addresses are
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: Option<PathBuf>,

    /// Tell the outlets of the policy's `[events]`, too
    #[arg(long, requires = "policy")]
    tell: bool,

    /// Hold each complaint against the subscriber who has the address: in the running box, or, where
    /// none runs, in its store (the policy's `[store]`)
    #[arg(long, requires = "policy")]
    hold: bool,

    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Form {
    /// Write an ARF report: a message that can be sent as it is
    Arf(WriteArgs),
    /// Write an XARF 4 report: a JSON document
    Xarf(WriteArgs),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct WriteArgs {
    /// The address that the report is about
    #[arg(long, value_name = "ADDRESS")]
    source: IpAddr,

    /// How many SMTP connection attempts it made
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    attempts: u64,

    /// To how many different destinations
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    destinations: Option<u64>,

    /// From when; the moment of --until if it is left out
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,

    /// Until when; now if it is left out
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,

    /// The address of who reports
    #[arg(long, value_name = "MAIL-ADDRESS")]
    from: String,

    /// The name of who reports; the domain of the address if it is left out
    #[arg(long, value_name = "NAME")]
    org: Option<String>,

    /// The address that an ARF report goes to
    #[arg(long, value_name = "MAIL-ADDRESS")]
    to: Option<String>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "write a moment with its time zone, like 2026-11-30T09:00:00Z".to_owned())
}

/// Reads reports or writes one.
pub fn run(args: ReportArgs) -> anyhow::Result<ExitCode> {
    match args.form {
        Some(Form::Arf(args)) => write(args, complaint::write_arf),
        Some(Form::Xarf(args)) => write(args, complaint::write_xarf),
        None => read(&args),
    }
}

fn write(args: WriteArgs, form: fn(&Statement) -> io::Result<Vec<u8>>) -> anyhow::Result<ExitCode> {
    let now = Timestamp::now();
    let until = args.until.unwrap_or(now);
    let since = args.since.unwrap_or(until);
    if since > until {
        anyhow::bail!("--since {since} is after --until {until}");
    }
    if args.destinations.is_some_and(|count| count > args.attempts) {
        anyhow::bail!("--destinations is more than --attempts: each takes an attempt");
    }
    let recipient = args.to.map(|to| Reporter::new(&to, None)).transpose()?;
    let statement = Statement {
        source: args.source,
        attempts: args.attempts,
        destinations: args.destinations,
        since,
        until,
        reporter: Reporter::new(&args.from, args.org.as_deref())?,
        recipient,
        now,
        id: rand::random(),
    };
    let octets = form(&statement).context("writing the report")?;
    io::stdout().lock().write_all(&octets)?;
    Ok(ExitCode::SUCCESS)
}

fn read(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let named = args
        .policy
        .as_deref()
        .map(|file| load_policy(file, true))
        .transpose()?;
    let policy = named.as_ref().map(|named| &*named.policy);
    let mut document = Document {
        schema: "lychgate.complaint/1",
        complaints: Vec::new(),
        unreadable: Vec::new(),
    };
    for file in files(&args.files)? {
        let name = file.display().to_string();
        match complaint::read(&octets(&file)?) {
            Ok(complaints) => document
                .complaints
                .extend(complaints.into_iter().map(|complaint| {
                    let subject = policy.zip(complaint.source);
                    let subject = subject.map(|(policy, source)| Subject::of(policy, source));
                    Filed {
                        file: name.clone(),
                        complaint,
                        subject,
                    }
                })),
            Err(why) => {
                let why = why.to_string();
                eprintln!("lychgate: {name}: {why}");
                document.unreadable.push(Unread { file: name, why });
            }
        }
    }
    if args.tell {
        tell(&document, policy)?;
    }
    if let Some(named) = named.as_ref().filter(|_| args.hold) {
        hold(&document, &named.policy)?;
    }
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
    } else {
        document.print(&mut out)?;
    }
    let (read, unread) = (document.complaints.len(), document.unreadable.len());
    Ok(match (read, unread) {
        (_, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(super::UNUSABLE),
        (_, _) => ExitCode::FAILURE,
    })
}

/// Holds the complaints against whom they name, and says what came of each.
#[cfg(unix)]
fn hold(document: &Document, policy: &Arc<Policy>) -> anyhow::Result<()> {
    for filed in &document.complaints {
        let complaint = Box::new(filed.complaint.clone());
        match counter::ask(policy, &Request::Complain { complaint })? {
            Reply::Done { records } if records.is_empty() => {
                eprintln!("lychgate: {}: nothing new: it was held already", filed.file);
            }
            Reply::Done { records } => {
                for record in &records {
                    eprintln!("lychgate: {}: {}", filed.file, quarantine::line(record));
                }
            }
            Reply::Refused { why } => {
                eprintln!("lychgate: {}: held against nobody: {why}", filed.file);
            }
            _ => anyhow::bail!("the box answered something else than was asked"),
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn hold(_document: &Document, _policy: &Arc<Policy>) -> anyhow::Result<()> {
    anyhow::bail!("--hold: only a box on unix keeps cases")
}

/// Tells every outlet of the policy of the complaints that name an address, and waits until it is
/// done.
fn tell(document: &Document, policy: Option<&Policy>) -> anyhow::Result<()> {
    let Some((policy, outlets)) = policy.and_then(|policy| Some((policy, policy.outlets()?)))
    else {
        anyhow::bail!("the policy has no [events], so there is nobody to tell");
    };
    let events = Events::open(outlets)?;
    for complaint in document.complaints.iter().map(|filed| &filed.complaint) {
        let Some(source) = complaint.source else {
            continue;
        };
        let member = policy.member(source);
        let subscriber = member.map(|member| Subscriber::with_key(policy, member.key));
        events.tell(Event::Complaint {
            time: complaint.time.unwrap_or_else(Timestamp::now),
            source,
            kind: complaint.kind.name().to_owned(),
            reporter: complaint.reporter.clone(),
            subscriber,
        });
    }
    for (outlet, told) in events.stop(TELL_MAX) {
        if told.failed + told.lost > 0 {
            anyhow::bail!(
                "{} complaints could not be told to {outlet}: {}",
                told.failed + told.lost,
                told.last_failure
                    .as_deref()
                    .unwrap_or("there are too many at once")
            );
        }
    }
    Ok(())
}

/// The files, and those in maildirs: new ones and those that were seen.
fn files(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in named {
        if is_standard_stream(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let folders = ["new", "cur"].map(|name| path.join(name));
        if !folders.iter().any(|folder| folder.is_dir()) {
            anyhow::bail!(
                "{} is no maildir: it has no folder `new` or `cur`",
                path.display()
            );
        }
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            let entries = fs::read_dir(folder)
                .with_context(|| format!("cannot read {}", folder.display()))?;
            let mut found = entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()?;
            found.sort();
            files.extend(found.into_iter().filter(|path| path.is_file()));
        }
    }
    Ok(files)
}

/// A file's octets; of one that is too large only as much as shows that.
fn octets(file: &Path) -> anyhow::Result<Vec<u8>> {
    let limit = OCTETS_MAX as u64 + 1;
    let mut octets = Vec::new();
    if is_standard_stream(file) {
        let input = io::stdin().lock().take(limit).read_to_end(&mut octets);
        input.context("standard input")?;
    } else {
        fs::File::open(file)
            .and_then(|opened| opened.take(limit).read_to_end(&mut octets))
            .with_context(|| format!("cannot read {}", file.display()))?;
    }
    Ok(octets)
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    complaints: Vec<Filed>,
    unreadable: Vec<Unread>,
}

/// A complaint, where it stood, and whom it is about.
#[derive(Serialize)]
struct Filed {
    file: String,
    #[serde(flatten)]
    complaint: Complaint,
    subject: Option<Subject>,
}

#[derive(Serialize)]
struct Unread {
    file: String,
    why: String,
}

/// Who has an address, by the policy.
#[derive(Serialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Subject {
    Subscriber {
        key: IpNet,
        name: Option<String>,
        class: String,
    },
    Relay,
    Concentrator,
    Stranger,
}

impl Subject {
    fn of(policy: &Policy, source: IpAddr) -> Self {
        match policy.role(source) {
            Role::Subscriber(member) => Self::Subscriber {
                key: member.key,
                name: policy.name_of(member.key).map(str::to_owned),
                class: policy.class(member.class).name.clone(),
            },
            Role::Relay => Self::Relay,
            Role::Concentrator => Self::Concentrator,
            Role::Stranger => Self::Stranger,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Subscriber { key, name, class } => {
                let name = name
                    .as_ref()
                    .map(|name| format!("{name}, "))
                    .unwrap_or_default();
                format!("{name}{key}, class {class}")
            }
            Self::Relay => "a relay of the policy".to_owned(),
            Self::Concentrator => "a softwire concentrator of the policy".to_owned(),
            Self::Stranger => "nobody: the address is in no pool".to_owned(),
        }
    }
}

impl Document {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        for (index, filed) in self.complaints.iter().enumerate() {
            if index > 0 {
                writeln!(out)?;
            }
            filed.print(out)?;
        }
        Ok(())
    }
}

impl Filed {
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let complaint = &self.complaint;
        let source = complaint.source.map(|source| source.to_string());
        writeln!(
            out,
            "{}: {} about {}",
            self.file,
            complaint.kind.name(),
            source
                .as_deref()
                .unwrap_or("an address that it doesn't name")
        )?;
        let stated = complaint.stated_kind.as_deref().unwrap_or("no kind stated");
        writeln!(out, "  form        {}, {stated}", complaint.form.name())?;
        match (complaint.time, complaint.time_of) {
            (Some(time), Some(TimeOf::Report)) => {
                writeln!(
                    out,
                    "  reported    {time} (it doesn't say when it happened)"
                )?;
            }
            (Some(time), _) => writeln!(out, "  happened    {time}")?,
            (None, _) => {}
        }
        if let Some(port) = complaint.source_port {
            writeln!(out, "  port        {port}")?;
        }
        if let Some(reporter) = &complaint.reporter {
            writeln!(out, "  reporter    {reporter}")?;
        }
        writeln!(out, "  incidents   {}", complaint.incidents)?;
        if let Some(subject) = &self.subject {
            writeln!(out, "  subscriber  {}", subject.words())?;
        }
        for missing in &complaint.missing {
            writeln!(out, "  missing     {missing}")?;
        }
        Ok(())
    }
}
