//! `lychgate import`: other programs' lists of customers as pools and subscribers.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use ipnet::IpNet;

use super::is_standard_stream;
use crate::import::{
    Entry, Found, Kind, LeftOut, Placed, Plan,
    libreqos::{self, Classes},
    routeros,
};

const EXAMPLES: &str = "\
Examples:
  lychgate import routeros lists.rsc --pool customers=residential --subscribers mail-servers=mta
  lychgate import libreqos ShapedDevices.csv --class residential --node Business=mta
  lychgate import libreqos ShapedDevices.csv --class residential --format csv > subscribers.csv

What can't be taken is named on standard error, with its line and why. The policy that is printed
only observes, and gives every class the same rule: put in what you want, then let it enforce.

Exit status: 0 everything was taken; 1 some lines were not; 2 nothing could be read or written.";

/// Turn another program's list of customers into pools and subscribers
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, Subcommand)]
enum From {
    Routeros(RouterosArgs),
    Libreqos(LibreqosArgs),
}

/// Read the address lists of a MikroTik export
///
/// `/ip firewall address-list export file=lists` on the router makes it; the address lists of a
/// whole `/export` are found, too. Say for each list that you want what its entries are.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct RouterosArgs {
    /// The export; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// The entries of this list are pools of this class; may be given several times
    #[arg(long, value_name = "LIST=CLASS", value_parser = pair)]
    pool: Vec<(String, String)>,

    /// Each entry of this list is a subscriber of this class; may be given several times
    ///
    /// The entry's comment is its name.
    #[arg(long, value_name = "LIST=CLASS", value_parser = pair)]
    subscribers: Vec<(String, String)>,

    #[command(flatten)]
    output: OutputArgs,
}

/// Read LibreQoS's ShapedDevices.csv
///
/// Each circuit is a subscriber, with the addresses of all its devices. Pools are made around them,
/// with nobody else in them; give the pools that you know with --pool.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct LibreqosArgs {
    /// The file; - is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,

    /// The class of circuits
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: String,

    /// Circuits under this parent node are of this class; may be given several times
    #[arg(long, value_name = "NODE=CLASS", value_parser = pair)]
    node: Vec<(String, String)>,

    /// A pool of this class, whose other addresses are subscribers too; may be given several times
    #[arg(long, value_name = "PREFIX=CLASS", value_parser = pool)]
    pool: Vec<(IpNet, String)>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
struct OutputArgs {
    /// What is printed
    #[arg(long, value_name = "FORMAT", default_value = "toml")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A whole policy
    Toml,
    /// The subscribers alone, for a policy's `[lists]`
    Csv,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((name, class)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), self::class(class)?))
        }
        _ => Err("write a name, = and a class".to_owned()),
    }
}

fn pool(text: &str) -> Result<(IpNet, String), String> {
    let (prefix, class) = pair(text)?;
    let prefix: IpNet = prefix
        .parse()
        .map_err(|_| "write a prefix, = and a class, like 203.0.113.0/24=residential".to_owned())?;
    if prefix != prefix.trunc() {
        return Err(format!("write {} for the network", prefix.trunc()));
    }
    Ok((prefix, class))
}

fn class(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || name.contains(char::is_control) {
        return Err("write the name of a class".to_owned());
    }
    Ok(name.to_owned())
}

/// Reads, and prints what it became.
pub fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    match args.from {
        From::Routeros(args) => {
            let lists = lists(&args)?;
            let octets = octets(&args.file)?;
            finish(
                routeros::read(&octets, &lists),
                &args.file,
                args.output.format,
            )
        }
        From::Libreqos(args) => {
            let classes = Classes {
                usual: args.class,
                by_node: args.node.into_iter().collect(),
            };
            let octets = octets(&args.file)?;
            let mut found = libreqos::read(&octets, &classes)
                .with_context(|| args.file.display().to_string())?;
            let pools = args.pool.into_iter().map(|(prefix, class)| Entry {
                kind: Kind::Pool,
                class,
                name: None,
                prefixes: vec![Placed { prefix, line: 0 }],
            });
            found.entries.extend(pools);
            finish(found, &args.file, args.output.format)
        }
    }
}

/// What becomes of each list, each named once.
fn lists(args: &RouterosArgs) -> anyhow::Result<routeros::ListMap> {
    let pools = args.pool.iter().map(|named| (named, Kind::Pool));
    let subscribers = args
        .subscribers
        .iter()
        .map(|named| (named, Kind::Subscriber));
    let mut lists = BTreeMap::new();
    for ((list, class), kind) in pools.chain(subscribers) {
        if lists.insert(list.clone(), (kind, class.clone())).is_some() {
            anyhow::bail!(
                "list \"{list}\" is named twice; it becomes pools or subscribers of one class"
            );
        }
    }
    if lists.is_empty() {
        anyhow::bail!(
            "no list is named: say which become pools (--pool LIST=CLASS) and which subscribers \
             (--subscribers LIST=CLASS)"
        );
    }
    Ok(lists)
}

fn octets(file: &Path) -> anyhow::Result<Vec<u8>> {
    if is_standard_stream(file) {
        let mut octets = Vec::new();
        io::stdin()
            .read_to_end(&mut octets)
            .context("standard input")?;
        return Ok(octets);
    }
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn finish(found: Found, file: &Path, format: Format) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(found);
    let mut err = io::stderr().lock();
    for note in &plan.notes {
        tell(&mut err, file, note, "note: ")?;
    }
    for left_out in &plan.left_out {
        tell(&mut err, file, left_out, "not taken: ")?;
    }
    let pools = plan.pools.len();
    match format {
        Format::Toml if pools == 0 => {
            anyhow::bail!(
                "{}: no address could be taken, so there is no policy",
                file.display()
            )
        }
        Format::Toml => io::stdout().lock().write_all(plan.toml().as_bytes())?,
        Format::Csv => io::stdout().lock().write_all(&plan.csv()?)?,
    }
    writeln!(
        err,
        "{pools} pools and {} subscribers; {} kinds of lines were not taken.",
        plan.subscribers.len(),
        plan.left_out.len()
    )?;
    Ok(match plan.left_out.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn tell(err: &mut impl Write, file: &Path, left_out: &LeftOut, kind: &str) -> io::Result<()> {
    let lines = left_out.lines_text();
    let place = match lines.is_empty() {
        true => "--pool".to_owned(),
        false => format!("{}:{lines}", file.display()),
    };
    writeln!(err, "{place}: {kind}{}: {}", left_out.what, left_out.why)
}
