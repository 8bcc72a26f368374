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

use super::{
    AtExit, DetachArgs, FailChoice, PortArgs, RunArgs, SteerChoice, TuningArgs, ZeroCopyChoice,
};
use crate::{
    cli::{load_policy, quarantine},
    control::{
        Notice, Plan, Stopper, Summary, Supervisor,
        casebook::Casebook,
        cores,
        counter::Counter,
        live::{Config, Live, Steer},
    },
    engine::Restrictions,
    io::{
        Side,
        afxdp::{self, BusyPoll, Fail, Interface, Mode, Options, PIN_ROOT},
    },
    policy::Policy,
    remedy::Record,
    worker,
};

/// Time between two lines of `--stats`.
const PERIOD: Duration = Duration::from_secs(1);
/// A worker says so often within the heartbeat's deadline that it is alive.
const TICKS_PER_DEADLINE: u32 = 5;

/// Runs until a signal, or until a worker fails.
pub fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let policy = load_policy(&args.policy, false)?.policy;
    let interfaces = interfaces(&args.ports, &policy, &args.policy)?;
    // Before anything is attached, so that a wrong path costs nothing.
    let json = args.json.as_deref().map(create).transpose()?;
    let pin_root = Path::new(PIN_ROOT);
    let live = Live::open(&Config {
        interfaces: interfaces.each_ref().map(String::as_str),
        steer: args.steer.into(),
        settings: afxdp::Settings {
            fail: args.fail.into(),
            deadline: deadline(&args.tuning),
            ..afxdp::Settings::default()
        },
        options: options(&args),
        pin_root,
    })?;
    let workers = workers(args.workers, &live)?;
    let (cases, restrictions) = cases(&policy)?.unzip();
    let supervisor = Supervisor::new(Plan {
        policy,
        restrictions: restrictions.unwrap_or_default(),
        workers,
        cores: cores_of(&args.cores, workers, &interfaces)?,
        settings: settings(&args.tuning),
        period: PERIOD,
    });
    listen(supervisor.stopper())?;
    let summary = supervisor.run(&live, &mut |notice| tell(&notice, &live, args.stats))?;
    drop(cases);
    if args.at_exit == AtExit::Detach {
        live.detach(pin_root)?;
    }
    finish(&summary, json)
}

/// The cases, if the policy says where they are kept: open ones hold from the first frame on.
fn cases(policy: &Arc<Policy>) -> anyhow::Result<Option<(Counter, Restrictions)>> {
    let Some(keeping) = policy.keeping() else {
        return Ok(None);
    };
    let casebook = Casebook::open(Arc::clone(policy), keeping)?;
    let restrictions = casebook.restrictions();
    println!(
        "cases: {} open, {} quarantined ({})",
        casebook.open_cases(),
        restrictions.len(),
        keeping.path.display()
    );
    for subscriber in casebook.lost() {
        eprintln!(
            "lychgate: {subscriber} is quarantined but not in the policy: nothing is enforced"
        );
    }
    let counter = Counter::open(casebook, &keeping.socket, Arc::new(tell_case))?;
    Ok(Some((counter, restrictions)))
}

fn tell_case(said: Result<&Record, &str>) {
    match said {
        Ok(record) => println!("{}", quarantine::line(record)),
        Err(error) => eprintln!("lychgate: ALARM: cases: {error}"),
    }
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
fn workers(asked: Option<usize>, live: &Live) -> anyhow::Result<usize> {
    let queues = live.queues() as usize;
    match asked {
        Some(workers) if workers != queues => bail!(
            "--workers {workers}: the interfaces have {queues} queues, and the frames of a queue \
             without a worker would bypass the policy\nremedy: set their number with \
             `ethtool -L IF combined {workers}` on both, or leave --workers out"
        ),
        _ => Ok(queues),
    }
}

fn cores_of(
    asked: &[usize],
    workers: usize,
    interfaces: &[String; 2],
) -> anyhow::Result<Vec<usize>> {
    if asked.is_empty() {
        return cores::choose(workers, &interfaces.each_ref().map(String::as_str));
    }
    cores::check(asked, workers).context("--cores")?;
    Ok(asked.to_vec())
}

fn options(args: &RunArgs) -> Options {
    Options {
        mode: args.zero_copy.into(),
        ring_size: args.tuning.ring,
        frame_size: args.tuning.frame_size,
        huge_pages: args.tuning.huge_pages,
        busy_poll: args.tuning.busy_poll.then(BusyPoll::default),
        ..Options::default()
    }
}

fn deadline(tuning: &TuningArgs) -> Duration {
    Duration::from_millis(tuning.deadline.into())
}

fn settings(tuning: &TuningArgs) -> worker::Settings {
    let defaults = worker::Settings::default();
    worker::Settings {
        batch: tuning.batch.into(),
        spin: Duration::from_micros(tuning.spin.into()),
        tick: (deadline(tuning) / TICKS_PER_DEADLINE).min(defaults.tick),
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

fn create(path: &Path) -> anyhow::Result<fs::File> {
    fs::File::create(path).with_context(|| format!("{}: cannot be written", path.display()))
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

impl From<SteerChoice> for Steer {
    fn from(choice: SteerChoice) -> Self {
        match choice {
            SteerChoice::All => Self::All,
            SteerChoice::Mail => Self::Mail,
            SteerChoice::Auto => Self::Auto,
        }
    }
}

impl From<ZeroCopyChoice> for Mode {
    fn from(choice: ZeroCopyChoice) -> Self {
        match choice {
            ZeroCopyChoice::Auto => Self::Auto,
            ZeroCopyChoice::On => Self::ZeroCopy,
            ZeroCopyChoice::Off => Self::Copy,
        }
    }
}

impl From<FailChoice> for Fail {
    fn from(choice: FailChoice) -> Self {
        match choice {
            FailChoice::Open => Self::Open,
            FailChoice::Closed => Self::Closed,
        }
    }
}
