//! The two subcommands, where there are live ports.

use std::{
    fs,
    io::{self, BufWriter},
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
    iterator::Signals,
    low_level::signal_name,
};

use super::{DetachArgs, PortArgs, RunArgs, cases};
use crate::{
    cli::{create, load_policy},
    control::{
        Notice, Plan, Stopper, Summary, Supervisor, cores,
        live::{Config, Live},
    },
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
    let interfaces = interfaces(&args.ports, &policy, &args.policy)?;
    let asked = args.over(policy.run_settings());
    // Before anything is attached, so that a wrong path costs nothing.
    let json = asked.json.as_deref().map(create).transpose()?;
    let (cases, restrictions) = cases::open(&policy)?;
    let pin_root = Path::new(PIN_ROOT);
    let live = Live::open(&Config {
        interfaces: interfaces.each_ref().map(String::as_str),
        steer: asked.steer,
        settings: afxdp::Settings {
            fail: match asked.fail {
                OnFailure::Open => Fail::Open,
                OnFailure::Closed => Fail::Closed,
            },
            deadline: deadline(&asked),
            stamp: asked.stamp,
            ..afxdp::Settings::default()
        },
        options: options(&asked),
        policy: &policy,
        pin_root,
    })?;
    let workers = workers(asked.workers, &live)?;
    let supervisor = Supervisor::new(Plan {
        policy,
        restrictions,
        workers,
        cores: cores_of(&asked.cores, workers, &interfaces)?,
        settings: settings(&asked),
        period: PERIOD,
    });
    listen(supervisor.stopper())?;
    let summary = supervisor.run(&live, &mut |notice| tell(&notice, &live, asked.stats))?;
    drop(cases);
    if asked.at_exit == AtExit::Detach {
        live.detach(pin_root)?;
    }
    finish(&summary, json)
}

/// Takes off what `run` left.
pub fn detach(args: DetachArgs) -> anyhow::Result<ExitCode> {
    for name in [&args.access, &args.uplink] {
        let found = afxdp::detach(&Interface::by_name(name)?, Path::new(PIN_ROOT))?;
        let what = if found {
            "detached"
        } else {
            "nothing was attached"
        };
        println!("{name}: {what}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The interfaces' names: what the arguments say, else what the policy says.
fn interfaces(args: &PortArgs, policy: &Policy, file: &Path) -> anyhow::Result<[String; 2]> {
    let named = policy.ports();
    let choose = |side: Side, given: &Option<String>, named: Option<&String>| {
        given.as_ref().or(named).cloned().with_context(|| {
            format!(
                "no {side} interface: give --{side} IF, or name it in {} ([ports] {side} = \"…\")",
                file.display()
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

fn cores_of(asked: &[u32], workers: usize, interfaces: &[String; 2]) -> anyhow::Result<Vec<usize>> {
    if asked.is_empty() {
        return cores::choose(workers, &interfaces.each_ref().map(String::as_str));
    }
    let asked: Vec<_> = asked.iter().map(|&core| core as usize).collect();
    cores::check(&asked, workers).context("cores")?;
    Ok(asked)
}

fn options(asked: &RunSettings) -> Options {
    let busy_poll = BusyPoll {
        time: micros(asked.busy_poll_time),
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
/// survives.
fn listen(stopper: Stopper) -> anyhow::Result<()> {
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
    Ok(())
}

/// Tells people what happens, as it happens.
fn tell(notice: &Notice<'_>, live: &Live, stats: bool) {
    match notice {
        Notice::Started => tell_obtained(live),
        Notice::Rates(rates) if stats => println!("{rates}"),
        Notice::Rates(_) => {}
        Notice::Stopping(why) => eprintln!("lychgate: {why}: draining"),
        Notice::Failed { worker, error } => eprintln!(
            "lychgate: ALARM: worker {worker} failed: {error:#}; its frames bypass it, the other workers drain"
        ),
    }
}

/// What was obtained, which may be less than was asked for.
fn tell_obtained(live: &Live) {
    let mode = |is_zero_copy| if is_zero_copy { "zero-copy" } else { "copy" };
    for side in Side::BOTH {
        let (attached, why) = live.attachment(side);
        let why = why.map_or_else(String::new, |why| format!(" (native: {why})"));
        println!("{side}: {attached}{why}");
    }
    for obtained in live.obtained() {
        let [access, uplink] = obtained.is_zero_copy.map(mode);
        println!("queue {}: access {access}, uplink {uplink}", obtained.queue);
    }
    let steered = match live.steer() {
        afxdp::Steer::All => "all frames come to the workers",
        afxdp::Steer::Mail => {
            "what may be mail comes to the workers, the rest crosses in the kernel"
        }
    };
    println!("running: {steered}");
}

fn finish(summary: &Summary, json: Option<fs::File>) -> anyhow::Result<ExitCode> {
    summary
        .write_text(io::stdout().lock())
        .context("writing the summary")?;
    if let Some(file) = json {
        summary
            .write_json(BufWriter::new(file))
            .context("writing the JSON summary")?;
    }
    Ok(if summary.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
