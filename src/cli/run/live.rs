//! The two subcommands, where there are live ports.

use std::{
    fs,
    io::{self, Write},
    path::{self, Path},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    iterator::Signals,
    low_level::signal_name,
};

use super::{
    DetachArgs, PortArgs, RunArgs,
    cases::{self, Hooks},
    events,
};
use crate::{
    cli::{create, give, load_policy},
    control::{
        Notice, Outcome, Plan, Reloader, Stopper, Summary, Supervisor, cores,
        counter::Counter,
        live::{Config, Live},
        preflight::{self, Inspection, Report, Severity, Wanted},
        watch::Watch,
    },
    events::Events,
    io::{
        Side,
        afxdp::{self, BusyPoll, Fail, Interface, Mode, Options, PIN_ROOT},
    },
    policy::{self, AtExit, OnFailure, Policy, RunSettings, ZeroCopy},
    worker,
};

/// Time between two lines of `--stats`.
const PERIOD: Duration = Duration::from_secs(1);
/// A worker says so often within the heartbeat's deadline that it is alive.
const TICKS_PER_DEADLINE: u32 = 5;

/// What a policy may ask for, and the arguments with it, is what can be had.
const _: () = assert!(
    policy::BATCH.high as usize == worker::BATCH_MAX && policy::WORKERS.high == afxdp::QUEUES_MAX
);

/// Runs until a signal, or until a worker fails.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let policy = load_policy(&args.policy, false)?.policy;
    let names = interfaces(&args.ports, Some((&policy, &args.policy)))?;
    let asked = args.over(policy.run_settings());
    // Before anything is attached, so that a wrong path costs nothing.
    let json = asked.json.as_deref().map(create).transpose()?;
    let html = asked.html.as_deref().map(create).transpose()?;
    let events = events::open(&policy)?;
    let (cases, hooks) = cases::open(&policy, events.as_ref())?;
    let names = names.each_ref().map(String::as_str);
    let mut inspection = preflight::inspect(names, wanted(&asked), Path::new(PIN_ROOT))?;
    accept(&inspection.report)?;
    inspection.repair();
    tell_findings(&inspection.report)?;
    let told = events.as_deref();
    let site = (args.policy.as_path(), cases.as_ref());
    let summary = join(&asked, site, hooks, told, &inspection).inspect_err(|_| {
        for error in inspection.undo() {
            eprintln!("lychgate: {error}");
        }
    })?;
    // Served until the end. They tell events, so they go first.
    drop(cases);
    if let Some(events) = events.and_then(Arc::into_inner) {
        events::close(events);
    }
    match summary {
        Some(summary) => finish(&summary, json, html),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Joins the interfaces that were found fit, until it is time to end. No summary, if that was before
/// the links were up.
fn join(
    asked: &RunSettings,
    (file, counter): (&Path, Option<&Counter>),
    hooks: Hooks,
    events: Option<&Events>,
    inspection: &Inspection,
) -> anyhow::Result<Option<Summary>> {
    let pin_root = Path::new(PIN_ROOT);
    let live = Live::open(&Config {
        interfaces: inspection.interfaces.clone(),
        steer: asked.steer,
        settings: afxdp::Settings {
            fail: match asked.fail {
                OnFailure::Open => Fail::Open,
                OnFailure::Closed => Fail::Closed,
            },
            deadline: deadline(asked),
            stamp: asked.stamp,
            ..afxdp::Settings::default()
        },
        options: inspection.wanted.options,
        policy: &hooks.in_force.policy(),
        pin_root,
    })?;
    let report = inspection.review(live.why_generic())?;
    accept(&report)?;
    tell_findings(&report)?;
    let workers = workers(asked.workers, &live)?;
    let supervisor = Supervisor::new(Plan {
        in_force: hooks.in_force,
        restrictions: hooks.restrictions,
        cases: hooks.cases.clone(),
        findings: Some(hooks.findings),
        workers,
        cores: cores_of(&asked.cores, workers, &inspection.interfaces)?,
        settings: settings(asked),
        asked: asked.clone(),
        period: PERIOD,
    });
    let is_stopped = listen(supervisor.stopper())?;
    let reloader = supervisor.reloader(path::absolute(file)?);
    if let Some(counter) = counter {
        counter.offer_reload(reloader.clone());
    }
    reload_on_hangup(reloader)?;
    // Not before: some cards take their link down when the kernel program is attached.
    let mut watch = Watch::begin(&inspection.interfaces, &inspection.wanted.options)?;
    let mut waiting = |down: &str| println!("waiting: the link of {down} is down");
    let summary = if watch.wait_for_links(&is_stopped, &mut waiting)? {
        watch
            .spawn(is_stopped, supervisor.port_reporter())
            .context("watching the ports")?;
        Some(supervisor.run(&live, &mut |notice| {
            tell(&notice, asked.stats, events);
            if let (Notice::Policy(Ok(_)), Some(cases)) = (&notice, &hooks.cases) {
                cases::tell_lost(&cases.lock());
            }
        })?)
    } else {
        None
    };
    if asked.at_exit == AtExit::Detach {
        live.detach(pin_root)?;
    }
    Ok(summary)
}

/// Goes no further where something was refused.
fn accept(report: &Report) -> anyhow::Result<()> {
    match report.refusal() {
        Some(refusal) => bail!("{refusal}"),
        None => Ok(()),
    }
}

/// What was put right, and what there is to know.
fn tell_findings(report: &Report) -> anyhow::Result<()> {
    report
        .write_text(Severity::Repaired, io::stdout().lock())
        .context("writing the findings")
}

/// Takes off what `run` left. What fails on one interface keeps nothing from the other.
pub fn detach(args: DetachArgs) -> anyhow::Result<ExitCode> {
    let detach = |name: &str| -> anyhow::Result<()> {
        let found = afxdp::detach(&Interface::by_name(name)?, Path::new(PIN_ROOT))?;
        let what = if found {
            "detached"
        } else {
            "nothing was attached"
        };
        println!("{name}: {what}");
        Ok(())
    };
    let access = detach(&args.access);
    let uplink = detach(&args.uplink);
    match (access, uplink) {
        (Err(access), Err(uplink)) => bail!("{access:#}\n{uplink:#}"),
        (access, uplink) => access.and(uplink).map(|()| ExitCode::SUCCESS),
    }
}

/// The interfaces' names: what the arguments say, else what the policy says.
pub fn interfaces(
    args: &PortArgs,
    policy: Option<(&Policy, &Path)>,
) -> anyhow::Result<[String; 2]> {
    let named = policy.and_then(|(policy, _)| policy.ports());
    let file = policy.map_or_else(
        || "a policy".to_owned(),
        |(_, file)| file.display().to_string(),
    );
    let choose = |side: Side, given: &Option<String>, named: Option<&String>| {
        given.as_ref().or(named).cloned().with_context(|| {
            format!(
                "no {side} interface: give --{side} IF, or name it in {file} ([ports] {side} = \"…\")"
            )
        })
    };
    Ok([
        choose(Side::Access, &args.access, named.map(|ports| &ports.access))?,
        choose(Side::Uplink, &args.uplink, named.map(|ports| &ports.uplink))?,
    ])
}

/// One worker a queue, no more and no less.
fn workers(asked: Option<u32>, live: &Live) -> anyhow::Result<usize> {
    let queues = live.queues();
    match asked {
        Some(workers) if workers != queues => bail!(
            "--workers {workers}: the interfaces have {queues} queues, and the frames of a queue \
             without a worker would bypass the policy\nremedy: set their number with \
             `ethtool -L IF combined {workers}` on both, or leave --workers out"
        ),
        _ => Ok(queues as usize),
    }
}

fn cores_of(
    asked: &[u32],
    workers: usize,
    interfaces: &[Interface; 2],
) -> anyhow::Result<Vec<usize>> {
    if asked.is_empty() {
        return cores::choose(workers, &interfaces.each_ref().map(Interface::name));
    }
    let asked: Vec<_> = asked.iter().map(|&core| core as usize).collect();
    cores::check(&asked, workers).context("cores")?;
    Ok(asked)
}

/// What the ports are looked at for.
pub fn wanted(asked: &RunSettings) -> Wanted {
    Wanted {
        steer: asked.steer,
        options: options(asked),
        cores: asked.cores.iter().map(|&core| core as usize).collect(),
    }
}

fn options(asked: &RunSettings) -> Options {
    let busy_poll = BusyPoll {
        time: micros(asked.busy_poll_time),
        defer_irqs: asked.defer_irqs,
        flush_timeout: micros(asked.flush_timeout),
        budget: u16::try_from(asked.busy_poll_budget).unwrap_or(u16::MAX),
    };
    Options {
        mode: match asked.zero_copy {
            ZeroCopy::Auto => Mode::Auto,
            ZeroCopy::On => Mode::ZeroCopy,
            ZeroCopy::Off => Mode::Copy,
        },
        ring_size: asked.ring,
        frame_size: asked.frame_size,
        huge_pages: asked.huge_pages,
        need_wakeup: asked.need_wakeup,
        busy_poll: asked.busy_poll.then_some(busy_poll),
        stamps: asked.stamp > 0,
    }
}

fn micros(count: u32) -> Duration {
    Duration::from_micros(count.into())
}

fn deadline(asked: &RunSettings) -> Duration {
    Duration::from_millis(asked.deadline.into())
}

fn settings(asked: &RunSettings) -> worker::Settings {
    let defaults = worker::Settings::default();
    worker::Settings {
        batch: asked.batch as usize,
        spin: micros(asked.spin),
        tick: (deadline(asked) / TICKS_PER_DEADLINE).min(defaults.tick),
        ..defaults
    }
}

/// The first signal stops the supervisor; the second one ends the process, which the kernel program
/// survives. What is returned is set by the first one.
fn listen(stopper: Stopper) -> anyhow::Result<Arc<AtomicBool>> {
    let cannot = "listening for signals";
    let is_second = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag clear, and sets it.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&is_second)).context(cannot)?;
        flag::register(signal, Arc::clone(&is_second)).context(cannot)?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT]).context(cannot)?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                stopper.stop(signal_name(signal).unwrap_or("a signal"));
            }
        })
        .context(cannot)?;
    Ok(is_second)
}

/// Each SIGHUP has the policy read again, on a thread of its own: a large one takes a while. What
/// comes of it is told by the supervisor.
fn reload_on_hangup(reloader: Reloader) -> anyhow::Result<()> {
    let cannot = "listening for SIGHUP";
    let mut signals = Signals::new([SIGHUP]).context(cannot)?;
    thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || {
            for _ in signals.forever() {
                let _ = reloader.reload();
            }
        })
        .context(cannot)?;
    Ok(())
}

/// Tells people what happens, as it happens.
fn tell(notice: &Notice<'_>, stats: bool, events: Option<&Events>) {
    match notice {
        Notice::Started(obtained) => print!("{obtained}"),
        Notice::Rates(rates) if stats => println!("{rates}"),
        Notice::Rates(_) => {}
        Notice::Port(event) => {
            let alarm = if event.change.is_alarming() {
                "ALARM: "
            } else {
                ""
            };
            eprintln!("lychgate: {alarm}{event}");
            if let Some((events, event)) = events.zip(events::of_port(event)) {
                events.tell(event);
            }
        }
        Notice::Walls(error) => eprintln!(
            "lychgate: ALARM: the kernel program does not know who is quarantined: {error:#}"
        ),
        Notice::Queue(event) if event.stall.is_some() => eprintln!("lychgate: ALARM: {event}"),
        Notice::Queue(event) => eprintln!("lychgate: {event}"),
        Notice::TableFull(full) => {
            eprintln!("lychgate: ALARM: {full}");
            if let Some(events) = events {
                events.tell(events::of_full(full));
            }
        }
        Notice::Policy(outcome) => tell_policy(outcome, events),
        Notice::Stopping(why) => eprintln!("lychgate: {why}: draining"),
        Notice::Failed { worker, error } => eprintln!(
            "lychgate: ALARM: worker {worker} failed: {error:#}; its frames bypass it, the other workers drain"
        ),
    }
}

fn tell_policy(outcome: &Outcome, events: Option<&Events>) {
    match outcome {
        Ok(changes) => {
            println!("policy: reloaded");
            changes.iter().for_each(|change| println!("  {change}"));
        }
        Err(mistakes) => {
            eprintln!("lychgate: ALARM: the policy is not reloaded: the one before stays in force");
            mistakes.iter().for_each(|mistake| eprintln!("{mistake}"));
        }
    }
    if let Some(events) = events {
        events.tell(events::of_policy(outcome));
    }
}

fn finish(
    summary: &Summary,
    json: Option<fs::File>,
    html: Option<fs::File>,
) -> anyhow::Result<ExitCode> {
    give(
        |out| summary.write_text(out),
        json,
        |out| summary.write_json(out),
    )?;
    if let Some(mut file) = html {
        let page = summary.page().to_string();
        file.write_all(page.as_bytes())
            .context("writing the page")?;
    }
    Ok(if summary.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
