//! What happened from start to end: for people, and for programs as `lychgate.run/1`.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Drops, KernelFate, Obtained, PortCounts, Sample};
use crate::{
    engine::{Direction, Reason},
    io::Side,
    policy::{Policy, RunSettings},
    report::words::{self, counted, thousands},
    worker::{self, DirectionCounts, Flow, Snapshot},
};

/// Name and version of the document. Fields may be added to a version, never removed or redefined.
pub const SCHEMA: &str = "lychgate.run/1";

/// A run that has ended.
#[derive(Debug)]
pub struct Summary {
    /// What judged the frames, at the end.
    pub policy: Arc<Policy>,
    /// How often another one took its place before.
    pub reloads: u64,
    /// What the user asked for.
    pub asked: RunSettings,
    /// What was obtained.
    pub obtained: Obtained,
    /// How many workers there were.
    pub workers: usize,
    /// From start to end.
    pub span: Duration,
    /// All that was counted. Of a worker that panicked, what it had published last.
    pub sample: Sample,
    /// The same of each worker.
    pub by_worker: Vec<Snapshot>,
    /// Why it was stopped, if somebody asked.
    pub stopped_by: Option<String>,
    /// The workers that ended before they were asked to, and why.
    pub failures: Vec<(usize, anyhow::Error)>,
    /// How often the ports changed: access, uplink.
    pub ports: [PortCounts; 2],
    /// The interfaces that were removed.
    pub lost: Vec<String>,
}

impl Summary {
    /// Whether all went as it should: no worker failed, no port was removed, no frame was lost or
    /// doubled.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.lost.is_empty() && self.sample.workers.breaches == 0
    }

    /// Writes it for people.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_text(&self, mut out: impl Write) -> io::Result<()> {
        let workers = &self.sample.workers;
        let span = words::duration(u64::try_from(self.span.as_nanos()).unwrap_or(u64::MAX));
        writeln!(out, "{}, {span}", counted(self.workers as u64, "worker"))?;
        for direction in [Direction::Outbound, Direction::Inbound] {
            let counts = workers.directions[direction as usize];
            write_direction(&mut out, direction.name(), counts)?;
        }
        for row in self.sample.kernel.iter() {
            let [there, back] = row.frames.map(thousands);
            if row.fate != KernelFate::ToWorker && row.frames != [0, 0] {
                writeln!(
                    out,
                    "kernel    {}: outbound {there}, inbound {back}",
                    row.name
                )?;
            }
        }
        for (cause, frames) in Drops::until(&self.sample).iter() {
            writeln!(out, "stopped   {cause}: {}", thousands(frames))?;
        }
        let histograms = &workers.histograms;
        write_histogram(&mut out, "batch", &histograms.batch, |frames| {
            frames.to_string()
        })?;
        write_histogram(&mut out, "service", &histograms.service, words::duration)?;
        write_histogram(
            &mut out,
            "residence",
            &histograms.residence,
            words::duration,
        )?;
        if workers.breaches > 0 {
            let ticks = counted(workers.breaches, "tick");
            writeln!(
                out,
                "BUG       {ticks} found a frame lost or doubled: please report it"
            )?;
        }
        for (side, counts) in Side::BOTH.into_iter().zip(&self.ports) {
            if *counts != PortCounts::default() {
                writeln!(
                    out,
                    "port      {side}: link down {}, up {}, other changes {}",
                    counts.downs, counts.ups, counts.others
                )?;
            }
        }
        if self.reloads > 0 {
            let times = counted(self.reloads, "time");
            writeln!(out, "policy    reloaded {times}")?;
        }
        for interface in &self.lost {
            writeln!(out, "FAILED    interface {interface} was removed")?;
        }
        for (worker, error) in &self.failures {
            writeln!(out, "FAILED    worker {worker}: {error:#}")?;
        }
        Ok(())
    }

    /// Writes it for programs, indented.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut out, &Document::from(self))?;
        out.write_all(b"\n")?;
        out.flush()
    }
}

fn write_direction(out: &mut impl Write, name: &str, counts: DirectionCounts) -> io::Result<()> {
    writeln!(
        out,
        "{name:<9} received {}, forwarded {}, dropped {}, reset {}, redirected {}, unanswered {}, tx_full {}",
        thousands(counts.received.frames),
        thousands(counts.forwarded.frames),
        thousands(counts.dropped),
        thousands(counts.reset),
        thousands(counts.redirected),
        thousands(counts.unanswered),
        thousands(counts.tx_full),
    )
}

fn write_histogram(
    out: &mut impl Write,
    name: &str,
    histogram: &Histogram<u64>,
    text: impl Fn(u64) -> String,
) -> io::Result<()> {
    if histogram.is_empty() {
        return Ok(());
    }
    let [median, high, highest] =
        [0.5, 0.99, 0.999].map(|quantile| text(histogram.value_at_quantile(quantile)));
    let most = text(histogram.max());
    writeln!(
        out,
        "{name:<9} p50 {median}, p99 {high}, p99.9 {highest}, most {most}"
    )
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    workers: usize,
    asked: &'a RunSettings,
    obtained: &'a Obtained,
    duration_ns: u64,
    stopped_by: Option<&'a str>,
    failures: Vec<Failure>,
    ports: Ports,
    lost: &'a [String],
    reloads: u64,
    directions: Directions,
    reasons: BTreeMap<&'static str, u64>,
    counters: Vec<Counter<'a>>,
    drops: BTreeMap<&'static str, u64>,
    kernel: BTreeMap<&'static str, Pair>,
    breaches: u64,
    histograms: Histograms,
    by_worker: Vec<OfWorker>,
}

/// What one worker did.
#[derive(Serialize)]
struct OfWorker {
    directions: Directions,
    rounds: u64,
    sleeps: u64,
    breaches: u64,
    histograms: Histograms,
}

#[derive(Serialize)]
struct Failure {
    worker: usize,
    error: String,
}

#[derive(Serialize)]
struct Ports {
    access: Changes,
    uplink: Changes,
}

#[derive(Serialize)]
struct Changes {
    link_down: u64,
    link_up: u64,
    other: u64,
}

impl From<PortCounts> for Changes {
    fn from(counts: PortCounts) -> Self {
        Self {
            link_down: counts.downs,
            link_up: counts.ups,
            other: counts.others,
        }
    }
}

#[derive(Serialize)]
struct Directions {
    outbound: Carried,
    inbound: Carried,
}

#[derive(Serialize)]
struct Carried {
    received: Octets,
    forwarded: Octets,
    dropped: u64,
    reset: u64,
    redirected: u64,
    unanswered: u64,
    tx_full: u64,
    rx_missed: u64,
}

#[derive(Serialize)]
struct Octets {
    frames: u64,
    octets: u64,
}

#[derive(Serialize)]
struct Counter<'a> {
    reason: &'static str,
    direction: &'static str,
    class: Option<&'a str>,
    frames: u64,
}

#[derive(Serialize)]
struct Pair {
    outbound: u64,
    inbound: u64,
}

#[derive(Serialize)]
struct Histograms {
    batch_frames: Distribution,
    service_ns: Distribution,
    residence_ns: Distribution,
}

/// A histogram, whole: `percentiles` is enough to draw it.
#[derive(Serialize)]
struct Distribution {
    count: u64,
    least: u64,
    most: u64,
    mean: f64,
    p50: u64,
    p99: u64,
    p999: u64,
    percentiles: Vec<Percentile>,
}

#[derive(Serialize)]
struct Percentile {
    percentile: f64,
    value: u64,
}

impl<'a> From<&'a Summary> for Document<'a> {
    fn from(summary: &'a Summary) -> Self {
        let workers = &summary.sample.workers;
        let class = |class| summary.policy.class(class).name.as_str();
        let counter =
            |(reason, direction, id, frames): (Reason, Direction, Option<_>, _)| Counter {
                reason: reason.name(),
                direction: direction.name(),
                class: id.map(class),
                frames,
            };
        let kernel = summary.sample.kernel.iter().map(|row| {
            let [outbound, inbound] = row.frames;
            (row.name, Pair { outbound, inbound })
        });
        let of_reason = |reason: &Reason| (reason.name(), workers.verdicts.of_reason(*reason));
        let failure = |(worker, error): &(usize, anyhow::Error)| Failure {
            worker: *worker,
            error: format!("{error:#}"),
        };
        Self {
            schema: SCHEMA,
            workers: summary.workers,
            asked: &summary.asked,
            obtained: &summary.obtained,
            duration_ns: u64::try_from(summary.span.as_nanos()).unwrap_or(u64::MAX),
            stopped_by: summary.stopped_by.as_deref(),
            failures: summary.failures.iter().map(failure).collect(),
            ports: Ports {
                access: summary.ports[0].into(),
                uplink: summary.ports[1].into(),
            },
            lost: &summary.lost,
            reloads: summary.reloads,
            directions: Directions::from(workers),
            reasons: Reason::ALL.iter().map(of_reason).collect(),
            counters: workers.verdicts.iter().map(counter).collect(),
            drops: Drops::until(&summary.sample).0.into_iter().collect(),
            kernel: kernel.collect(),
            breaches: workers.breaches,
            histograms: Histograms::from(&workers.histograms),
            by_worker: summary.by_worker.iter().map(OfWorker::from).collect(),
        }
    }
}

impl From<&Snapshot> for OfWorker {
    fn from(snapshot: &Snapshot) -> Self {
        Self {
            directions: Directions::from(snapshot),
            rounds: snapshot.rounds,
            sleeps: snapshot.sleeps,
            breaches: snapshot.breaches,
            histograms: Histograms::from(&snapshot.histograms),
        }
    }
}

impl From<&Snapshot> for Directions {
    fn from(snapshot: &Snapshot) -> Self {
        let [outbound, inbound] =
            [0, 1].map(|index| Carried::new(snapshot.directions[index], snapshot.missed[index]));
        Self { outbound, inbound }
    }
}

impl From<&worker::Histograms> for Histograms {
    fn from(histograms: &worker::Histograms) -> Self {
        Self {
            batch_frames: Distribution::from(&histograms.batch),
            service_ns: Distribution::from(&histograms.service),
            residence_ns: Distribution::from(&histograms.residence),
        }
    }
}

impl Carried {
    fn new(counts: DirectionCounts, missed: u64) -> Self {
        Self {
            received: counts.received.into(),
            forwarded: counts.forwarded.into(),
            dropped: counts.dropped,
            reset: counts.reset,
            redirected: counts.redirected,
            unanswered: counts.unanswered,
            tx_full: counts.tx_full,
            rx_missed: missed,
        }
    }
}

impl From<Flow> for Octets {
    fn from(flow: Flow) -> Self {
        Self {
            frames: flow.frames,
            octets: flow.octets,
        }
    }
}

impl From<&Histogram<u64>> for Distribution {
    fn from(histogram: &Histogram<u64>) -> Self {
        let percentile = |step: hdrhistogram::iterators::IterationValue<u64>| Percentile {
            percentile: step.percentile(),
            value: step.value_iterated_to(),
        };
        Self {
            count: histogram.len(),
            least: histogram.min(),
            most: histogram.max(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            percentiles: histogram.iter_recorded().map(percentile).collect(),
        }
    }
}
