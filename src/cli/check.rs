//! `lychgate check`: is this policy good, and what does it say?

mod detect;
mod garden;
mod outlets;

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use indicatif::{DecimalBytes, HumanCount, ProgressBar, ProgressStyle};
use ipnet::IpNet;
use serde::Serialize;

use self::{
    detect::DetectFacts,
    garden::{GardenFacts, NoticeFacts},
    outlets::{ComplaintFacts, EventFacts},
};
use crate::{
    detect as detection,
    policy::{
        Class, Diagnostics, Excess, Fallback, Limit, Policy, Pool, Progress, Rule, RunSettings,
        Severity, window_text,
    },
    source,
};

/// Checks a policy file and its lists, and says what they mean.
///
/// Every mistake is shown with its file, its line and its remedy. Exits with 0 if the policy is
/// good, with 1 if it is not.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// The policy file.
    file: PathBuf,
    /// Prints what was understood, and what is wrong, as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs `lychgate check`.
///
/// # Errors
///
/// If the output can't be written.
pub fn run(arguments: CheckArgs) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::no_length().with_style(ProgressStyle::with_template(
        "{msg} {bar:40} {decimal_bytes}/{decimal_total_bytes}",
    )?);
    let loaded = Policy::load(&arguments.file, &mut |progress| {
        show_progress(&bar, progress)
    });
    bar.finish_and_clear();
    let (policy, diagnostics) = match loaded {
        Ok((policy, warnings)) => (Some(policy), warnings),
        Err(diagnostics) => (None, diagnostics),
    };
    let code = if policy.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    let facts = policy.as_ref().map(Facts::of);
    let mut out = io::stdout().lock();
    if arguments.json {
        let file = arguments.file.display().to_string();
        let answer = Answer {
            schema: "lychgate.check/1",
            file,
            good: facts.is_some(),
            policy: facts,
            diagnostics,
        };
        serde_json::to_writer_pretty(&mut out, &answer)?;
        writeln!(out)?;
        return Ok(code);
    }
    if !diagnostics.0.is_empty() {
        let styled = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        writeln!(io::stderr().lock(), "{}\n", diagnostics.render(styled))?;
    }
    let file = arguments.file.display();
    match facts {
        Some(facts) => {
            writeln!(
                out,
                "{file} is good{}.",
                tail(&diagnostics, Severity::Warning)
            )?;
            facts.print(&mut out)?;
        }
        None => writeln!(
            io::stderr().lock(),
            "{file} is refused{}.",
            tail(&diagnostics, Severity::Error)
        )?,
    }
    Ok(code)
}

fn show_progress(bar: &ProgressBar, progress: Progress<'_>) {
    bar.set_length(progress.octets_total);
    bar.set_position(progress.octets);
    let rows = HumanCount(progress.rows);
    bar.set_message(format!("{}: {rows} rows", progress.file.display()));
}

/// How many errors or warnings, as the end of a sentence.
fn tail(diagnostics: &Diagnostics, severity: Severity) -> String {
    let noun = match severity {
        Severity::Error => "mistake",
        Severity::Warning => "warning",
    };
    match diagnostics.count(severity) {
        0 => String::new(),
        1 => format!(": 1 {noun}"),
        many => format!(": {many} {noun}s"),
    }
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer<'a> {
    schema: &'static str,
    file: String,
    good: bool,
    policy: Option<Facts<'a>>,
    diagnostics: Diagnostics,
}

/// What a policy says.
#[derive(Serialize)]
struct Facts<'a> {
    mode: &'static str,
    ports: Option<PortFacts<'a>>,
    run: &'a RunSettings,
    classes: Vec<ClassFacts<'a>>,
    pools: Vec<PoolFacts<'a>>,
    subscribers: usize,
    relays: &'a [IpNet],
    relay_limit: Option<LimitFacts>,
    concentrators: &'a [IpNet],
    sources: SourceFacts,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    complaints: Option<ComplaintFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<EventFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<NoticeFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    garden: Option<GardenFacts<'a>>,
    address_octets: usize,
}

#[derive(Serialize)]
struct PortFacts<'a> {
    access: &'a str,
    uplink: &'a str,
}

#[derive(Serialize)]
struct ClassFacts<'a> {
    name: &'a str,
    smtp: RuleFacts,
    submission: RuleFacts,
    excess: &'static str,
    mode: &'static str,
    meaning: String,
    detect: Option<DetectFacts>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum RuleFacts {
    Allow,
    Block,
    Limit(LimitFacts),
}

#[derive(Serialize)]
struct LimitFacts {
    connections: u16,
    window_seconds: u64,
}

#[derive(Serialize)]
struct PoolFacts<'a> {
    prefix: IpNet,
    class: &'a str,
    subscriber_prefix: u8,
    /// Exact up to 2⁵³; beyond that JSON's numbers have no room.
    subscribers_max: f64,
    vlans: Option<&'a [u16]>,
}

#[derive(Serialize)]
struct SourceFacts {
    capacity: usize,
    octets: u64,
    full: &'static str,
    strangers: &'static str,
    observed: Option<ObservedFacts>,
}

#[derive(Serialize)]
struct ObservedFacts {
    subscribers: usize,
    octets: u64,
}

#[derive(Serialize)]
struct StoreFacts {
    path: String,
    socket: String,
    keep_seconds: u64,
}

impl<'a> Facts<'a> {
    fn of(policy: &'a Policy) -> Self {
        let ports = policy.ports();
        Self {
            mode: mode(policy.observe()),
            ports: ports.map(|ports| PortFacts {
                access: &ports.access,
                uplink: &ports.uplink,
            }),
            run: policy.run_settings(),
            classes: policy.classes().iter().map(ClassFacts::of).collect(),
            pools: policy
                .pools()
                .iter()
                .map(|pool| PoolFacts::of(pool, policy))
                .collect(),
            subscribers: policy.subscribers(),
            relays: policy.relays(),
            relay_limit: policy.relay_limit().map(LimitFacts::of),
            concentrators: policy.concentrators(),
            sources: SourceFacts {
                capacity: policy.capacity(),
                octets: source::octets(policy.capacity()) as u64,
                full: fallback(policy.full()),
                strangers: fallback(policy.strangers()),
                observed: policy.detects().then(|| ObservedFacts {
                    subscribers: policy.observed(),
                    octets: detection::octets(policy.observed()) as u64,
                }),
            },
            store: policy.keeping().map(|keeping| StoreFacts {
                path: keeping.path.display().to_string(),
                socket: keeping.socket.display().to_string(),
                keep_seconds: keeping.keep.as_secs(),
            }),
            complaints: policy.complaints().map(ComplaintFacts::of),
            events: policy.outlets().map(EventFacts::of),
            notice: policy.notice().map(NoticeFacts::of),
            garden: GardenFacts::of(policy),
            address_octets: policy.address_octets(),
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        if self.mode == "observe" {
            writeln!(
                out,
                "\nIt observes: everything is judged and counted, all is forwarded."
            )?;
        }
        self.print_ports(out)?;
        writeln!(out, "\nClasses")?;
        let width = self
            .classes
            .iter()
            .map(|class| class.name.len())
            .max()
            .unwrap_or(0);
        for class in &self.classes {
            writeln!(out, "  {:width$}  {}", class.name, class.meaning)?;
            for line in class.detect.iter().flat_map(DetectFacts::meaning) {
                writeln!(out, "  {:width$}  {line}", "")?;
            }
        }
        writeln!(out, "\nPools")?;
        let width = self
            .pools
            .iter()
            .map(|pool| pool.prefix.to_string().len())
            .max()
            .unwrap_or(0);
        for pool in &self.pools {
            writeln!(
                out,
                "  {:width$}  {}",
                pool.prefix.to_string(),
                pool.meaning()
            )?;
        }
        self.print_roles(out)?;
        let SourceFacts {
            capacity,
            octets,
            full,
            strangers,
            observed,
        } = &self.sources;
        let (count, octets) = (HumanCount(*capacity as u64), DecimalBytes(*octets));
        writeln!(
            out,
            "\nSources\n  {count} at once in {octets} of memory; when full: {full}"
        )?;
        writeln!(
            out,
            "  mail from strangers (addresses in no pool): {strangers}"
        )?;
        if let Some(observed) = observed {
            let count = HumanCount(observed.subscribers as u64);
            let octets = DecimalBytes(observed.octets);
            writeln!(
                out,
                "  {count} observed at once for zombies, in {octets} of memory"
            )?;
        }
        let octets = DecimalBytes(self.address_octets as u64);
        writeln!(out, "  {octets} of memory for looking up addresses")?;
        if let Some(store) = &self.store {
            let (path, days) = (&store.path, store.keep_seconds / 86_400);
            writeln!(
                out,
                "\nStore\n  cases in {path}; closed ones are kept for {days} days"
            )?;
            writeln!(out, "  staff ask at {}", store.socket)?;
        }
        if let Some(complaints) = &self.complaints {
            writeln!(out, "\nComplaints\n  {}", complaints.meaning())?;
        }
        if let Some(events) = &self.events {
            writeln!(out, "\nEvents\n  {}", events.meaning().join("\n  "))?;
        }
        if let Some(notice) = &self.notice {
            writeln!(out, "\nNotice\n  {}", notice.meaning())?;
        }
        if let Some(garden) = &self.garden {
            writeln!(out, "\nGarden\n  {}", garden.meaning())?;
        }
        Ok(())
    }

    /// The interfaces, and every setting that is not as by default.
    fn print_ports(&self, out: &mut impl Write) -> io::Result<()> {
        let changed = self.run.changed();
        if self.ports.is_none() && changed.is_empty() {
            return Ok(());
        }
        writeln!(out, "\nPorts")?;
        match &self.ports {
            Some(ports) => writeln!(out, "  access {}, uplink {}", ports.access, ports.uplink)?,
            None => writeln!(out, "  as the arguments of `lychgate run` name them")?,
        }
        for (key, value) in changed {
            writeln!(out, "  {key} = {value}")?;
        }
        Ok(())
    }

    /// Relays, concentrators and subscribers.
    fn print_roles(&self, out: &mut impl Write) -> io::Result<()> {
        if !self.relays.is_empty() {
            let limit = self.relay_limit.as_ref().map_or_else(
                || "without limit".to_owned(),
                |limit| format!("at most {} for each subscriber", limit.words("connections")),
            );
            writeln!(out, "\nRelays\n  {}: {limit}", join(self.relays))?;
        }
        if !self.concentrators.is_empty() {
            let list = join(self.concentrators);
            writeln!(out, "\nSoftwires\n  looked into, if they end at {list}")?;
        }
        if self.subscribers > 0 {
            let count = HumanCount(self.subscribers as u64);
            writeln!(out, "\nSubscribers\n  {count} with a class of their own")?;
        }
        Ok(())
    }
}

impl<'a> ClassFacts<'a> {
    fn of(class: &'a Class) -> Self {
        let (smtp, submission) = (RuleFacts::of(class.smtp), RuleFacts::of(class.submission));
        let mut meaning = format!(
            "{} {}",
            smtp.sentence("SMTP"),
            submission.sentence("Submission")
        );
        let excess = match class.excess {
            Excess::Drop => "drop",
            Excess::Reset => "reset",
        };
        if [&smtp, &submission]
            .iter()
            .any(|rule| !matches!(rule, RuleFacts::Allow))
        {
            meaning.push_str(match class.excess {
                Excess::Drop => " What is refused is dropped.",
                Excess::Reset => " What is refused is answered with a reset.",
            });
        }
        if class.observe {
            meaning.push_str(" Observed only: it is counted, but forwarded.");
        }
        Self {
            name: &class.name,
            smtp,
            submission,
            excess,
            mode: mode(class.observe),
            meaning,
            detect: class.detect.as_ref().map(DetectFacts::of),
        }
    }
}

impl RuleFacts {
    fn of(rule: Rule) -> Self {
        match rule {
            Rule::Allow => Self::Allow,
            Rule::Block => Self::Block,
            Rule::Limit(limit) => Self::Limit(LimitFacts::of(limit)),
        }
    }

    fn sentence(&self, service: &str) -> String {
        match self {
            Self::Allow => format!("{service} is not limited."),
            Self::Block => format!("{service} is blocked."),
            Self::Limit(limit) => format!("{service}: at most {}.", limit.words("connections")),
        }
    }
}

impl LimitFacts {
    fn of(limit: Limit) -> Self {
        Self {
            connections: limit.connections,
            window_seconds: limit.window.as_secs(),
        }
    }

    fn words(&self, what: &str) -> String {
        let window = window_text(std::time::Duration::from_secs(self.window_seconds));
        let what = if self.connections == 1 {
            what.trim_end_matches('s')
        } else {
            what
        };
        format!(
            "{} {what} in any {window}",
            HumanCount(self.connections.into())
        )
    }
}

impl<'a> PoolFacts<'a> {
    fn of(pool: &'a Pool, policy: &'a Policy) -> Self {
        Self {
            prefix: pool.prefix,
            class: &policy.class(pool.class).name,
            subscriber_prefix: pool.subscriber_prefix,
            subscribers_max: 2_f64.powi(pool.subscribers_log2().into()),
            vlans: pool.vlans.as_deref(),
        }
    }

    fn meaning(&self) -> String {
        let count = match self.subscriber_prefix - self.prefix.prefix_len() {
            0 => "one subscriber".to_owned(),
            bits @ 1..=40 => format!("{} subscribers", HumanCount(1 << bits)),
            bits => format!("2^{bits} subscribers"),
        };
        let vlans = match self.vlans {
            None => String::new(),
            Some([]) => ", untagged only".to_owned(),
            Some([one]) => format!(", in VLAN {one} only"),
            Some(many) => {
                let ids: Vec<_> = many.iter().map(u16::to_string).collect();
                format!(", in VLANs {} only", ids.join("."))
            }
        };
        format!(
            "{}, up to {count} (a /{} each){vlans}",
            self.class, self.subscriber_prefix
        )
    }
}

fn join(prefixes: &[IpNet]) -> String {
    let texts: Vec<_> = prefixes
        .iter()
        .map(
            |prefix| match prefix.prefix_len() == prefix.max_prefix_len() {
                true => prefix.addr().to_string(),
                false => prefix.to_string(),
            },
        )
        .collect();
    texts.join(", ")
}

fn mode(observe: bool) -> &'static str {
    if observe { "observe" } else { "enforce" }
}

fn fallback(fallback: Fallback) -> &'static str {
    match fallback {
        Fallback::Forward => "forward",
        Fallback::Drop => "drop",
    }
}
