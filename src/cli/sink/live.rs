//! The subcommand, where there are live ports.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::{SinkArgs, Where};
use crate::{
    cli::{create, give},
    io::afxdp::{Counter, Hook, Interface, Listener},
    load::{Arrived, Ledger, SinkSummary},
    worker::monotonic,
};

/// How long it sleeps before it looks whether it shall end.
const PAUSE: Duration = Duration::from_millis(50);

/// Counts until a bound is reached, or a signal comes.
pub fn run(args: SinkArgs) -> Result<ExitCode> {
    let interface = Interface::by_name(&args.interface)?;
    // Before anything is attached, so that a wrong path costs nothing.
    let json = args.json.as_deref().map(create).transpose()?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The second signal ends the process at once.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    let bounds = Bounds {
        start: Instant::now(),
        time: args.time,
        count: args.count.unwrap_or(u64::MAX),
        stop,
    };
    let hook = args.count_only.map(|place| match place {
        Where::Xdp => Hook::Xdp,
        Where::Tc => Hook::Tc,
    });
    let (arrived, missed, span) = match hook {
        Some(hook) => count(&Counter::attach(&interface, hook)?, bounds)?,
        None => listen(&mut Listener::open(&interface)?, bounds)?,
    };
    let summary = SinkSummary {
        interface: args.interface,
        arrived,
        missed,
        span,
        top: args.top,
    };
    give(
        |out| summary.write_text(out),
        json,
        |out| summary.write_json(out),
    )?;
    Ok(ExitCode::SUCCESS)
}

struct Bounds {
    start: Instant,
    time: Duration,
    count: u64,
    stop: Arc<AtomicBool>,
}

impl Bounds {
    fn is_reached(&self, frames: u64) -> bool {
        frames >= self.count
            || self.start.elapsed() >= self.time
            || self.stop.load(Ordering::Relaxed)
    }
}

/// From the first frame to the last.
#[derive(Default)]
struct Span(Option<(Instant, Instant)>);

impl Span {
    fn note(&mut self) {
        let now = Instant::now();
        let first = self.0.map_or(now, |(first, _)| first);
        self.0 = Some((first, now));
    }

    fn length(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |(first, last)| last - first)
    }
}

fn say_ready(mut bounds: Bounds) -> io::Result<Bounds> {
    bounds.start = Instant::now();
    println!("ready");
    io::stdout().flush()?;
    Ok(bounds)
}

fn listen(listener: &mut Listener, bounds: Bounds) -> Result<(Arrived, u64, Duration)> {
    let bounds = say_ready(bounds)?;
    let mut ledger = Box::<Ledger>::default();
    let mut span = Span::default();
    while !bounds.is_reached(ledger.frames) {
        if listener.take(monotonic, |frame, now| ledger.note(frame, now))? == 0 {
            listener.wait(PAUSE)?;
        } else {
            span.note();
        }
    }
    // What had arrived when it was told to end belongs to it.
    while listener.take(monotonic, |frame, now| ledger.note(frame, now))? > 0
        && ledger.frames < bounds.count
    {
        span.note();
    }
    let missed = listener.missed()?;
    Ok((Arrived::Heard(ledger), missed, span.length()))
}

fn count(counter: &Counter, bounds: Bounds) -> Result<(Arrived, u64, Duration)> {
    let bounds = say_ready(bounds)?;
    let mut span = Span::default();
    let mut seen = counter.tally()?;
    loop {
        // In this order: what had arrived when it was told to end belongs to it.
        let is_last = bounds.is_reached(seen.frames);
        let now = counter.tally()?;
        if now != seen {
            span.note();
            seen = now;
        }
        if is_last {
            break;
        }
        thread::sleep(PAUSE / 5);
    }
    let arrived = Arrived::Counted {
        frames: seen.frames,
        octets: seen.octets,
        attempts: seen.attempts,
    };
    Ok((arrived, 0, span.length()))
}
