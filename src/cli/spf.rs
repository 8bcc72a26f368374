//! `lychgate spf`: the SPF record of a policy's mail servers.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum, ValueHint};
use ipnet::IpNet;
use serde::Serialize;

use super::load_policy;
use crate::spf::{self, Addresses, Comparison, Part, Unlisted};

const EXAMPLES: &str = "\
Examples:
  lychgate spf -p isp.toml --domain example.net          a record for the zone file
  lychgate spf -p isp.toml --domain example.net --check \"$(dig +short TXT example.net | grep spf1)\"

Nothing asks the DNS. A record that says include, a, mx, exists, ptr or redirect is compared as far
as its ip4, ip6 and all go; the others are named as not judged.

Exit status: 0 done, or the record agrees; 1 the record differs from the policy; 2 the arguments,
the policy or the record cannot be used.";

/// Print the SPF record of a policy's mail servers, or check one against it
///
/// Mail servers are the relays, and the subscribers whose class says `smtp = "allow"`. Their
/// addresses are listed with the fewest ip4 and ip6 mechanisms, in several records that the first
/// one includes if one would not fit a DNS packet.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SpfArgs {
    /// The policy whose mail servers are meant
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// The domain in whose name they send; its parts are called `_spf1`, `_spf2`, …
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,

    /// What is said of everybody else: `-all` (fail) or `~all` (softfail)
    #[arg(
        long,
        value_name = "WORD",
        default_value = "fail",
        conflicts_with = "check"
    )]
    all: All,

    /// List the provider's relays only, not the mail servers of subscribers
    #[arg(long)]
    relays_only: bool,

    /// Compare this record with the policy: what it lacks, and what it allows beyond
    #[arg(long, value_name = "RECORD")]
    check: Option<String>,

    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum All {
    Fail,
    Softfail,
}

/// Prints the record or compares one.
pub fn run(args: SpfArgs) -> anyhow::Result<ExitCode> {
    let policy = load_policy(&args.policy, true)?;
    let wanted = spf::designated(&policy.policy, args.relays_only);
    if let Some(text) = &args.check {
        return check(text, &wanted, args.json);
    }
    let unlisted = match args.all {
        All::Fail => Unlisted::Fail,
        All::Softfail => Unlisted::SoftFail,
    };
    let parts = spf::write(&wanted, args.domain.as_deref(), unlisted)?;
    let mut out = io::stdout().lock();
    if args.json {
        let records = parts.iter().map(RecordJson::of).collect();
        let prefixes = wanted.prefixes();
        let lookups = parts.len() - 1;
        let document = WrittenJson {
            schema: SCHEMA,
            prefixes,
            lookups,
            records,
        };
        serde_json::to_writer_pretty(&mut out, &document)?;
        writeln!(out)?;
        return Ok(ExitCode::SUCCESS);
    }
    if wanted.is_empty() {
        eprintln!("No relay and no class with smtp = \"allow\": nobody may send mail.");
    }
    for part in &parts {
        writeln!(out, "{}", line(part))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A record as a zone file has it, or its bare text if it has no name.
fn line(part: &Part) -> String {
    let Some(name) = &part.name else {
        return part.text.clone();
    };
    let strings = part.strings();
    let quoted: Vec<_> = strings.iter().map(|text| format!("\"{text}\"")).collect();
    match &quoted[..] {
        [one] => format!("{name}. IN TXT {one}"),
        many => format!("{name}. IN TXT ( {} )", many.join(" ")),
    }
}

fn check(text: &str, wanted: &Addresses, as_json: bool) -> anyhow::Result<ExitCode> {
    let record = spf::read(text).map_err(|mistake| {
        anyhow::anyhow!("receivers would refuse this record whole: {mistake}")
    })?;
    let comparison = spf::compare(&record, wanted);
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer_pretty(&mut out, &CheckedJson::of(&record.text, &comparison))?;
        writeln!(out)?;
    } else {
        print(&comparison, &mut out)?;
    }
    Ok(match comparison.agrees() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn print(comparison: &Comparison, out: &mut impl Write) -> io::Result<()> {
    let is_known = comparison.not_judged.is_empty();
    match (comparison.agrees(), is_known) {
        (true, true) => writeln!(out, "The record agrees with the policy.")?,
        (true, false) => writeln!(
            out,
            "The record agrees with the policy, as far as is judged."
        )?,
        (false, _) => writeln!(out, "The record differs from the policy.")?,
    }
    for lack in &comparison.lacks {
        let unsure = match is_known {
            true => "",
            false => " unless something not judged lets them pass",
        };
        writeln!(
            out,
            "\nIt lacks these mail servers: they get \"{}\"{unsure}",
            lack.outcome.name()
        )?;
        list(&lack.prefixes, out)?;
    }
    if !comparison.beyond.is_empty() {
        writeln!(
            out,
            "\nIt lets these pass, who are no mail servers of the policy"
        )?;
        list(&comparison.beyond, out)?;
    }
    for (title, texts) in [
        (
            "Not judged, since only the DNS knows",
            &comparison.not_judged,
        ),
        ("Never reached, behind `all`", &comparison.never_reached),
        ("Advice", &comparison.advice),
    ] {
        if !texts.is_empty() {
            writeln!(out, "\n{title}")?;
        }
        for text in texts {
            writeln!(out, "  {text}")?;
        }
    }
    Ok(())
}

fn list(prefixes: &[IpNet], out: &mut impl Write) -> io::Result<()> {
    for prefix in prefixes {
        writeln!(out, "  {prefix}")?;
    }
    Ok(())
}

/// Name and version of both documents. Fields may be added, never removed or redefined.
const SCHEMA: &str = "lychgate.spf/1";

#[derive(Serialize)]
struct WrittenJson<'a> {
    schema: &'static str,
    prefixes: Vec<IpNet>,
    lookups: usize,
    records: Vec<RecordJson<'a>>,
}

#[derive(Serialize)]
struct RecordJson<'a> {
    name: Option<&'a str>,
    text: &'a str,
    strings: Vec<&'a str>,
}

impl<'a> RecordJson<'a> {
    fn of(part: &'a Part) -> Self {
        Self {
            name: part.name.as_deref(),
            text: &part.text,
            strings: part.strings(),
        }
    }
}

#[derive(Serialize)]
struct CheckedJson<'a> {
    schema: &'static str,
    record: &'a str,
    agrees: bool,
    lacks: Vec<LackJson<'a>>,
    beyond: &'a [IpNet],
    not_judged: &'a [String],
    never_reached: &'a [String],
    advice: &'a [String],
}

#[derive(Serialize)]
struct LackJson<'a> {
    result: &'static str,
    prefixes: &'a [IpNet],
}

impl<'a> CheckedJson<'a> {
    fn of(record: &'a str, comparison: &'a Comparison) -> Self {
        let lacks = comparison.lacks.iter().map(|lack| LackJson {
            result: lack.outcome.name(),
            prefixes: &lack.prefixes,
        });
        Self {
            schema: SCHEMA,
            record,
            agrees: comparison.agrees(),
            lacks: lacks.collect(),
            beyond: &comparison.beyond,
            not_judged: &comparison.not_judged,
            never_reached: &comparison.never_reached,
            advice: &comparison.advice,
        }
    }
}
