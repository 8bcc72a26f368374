//! What was offered, and what arrived: for people, and for programs.

use std::{
    io::{self, Write},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Ledger, Offered};
use crate::report::words::{counted, duration, thousands};

/// Name and version of a blast's document. Fields may be added to a version, never removed.
pub const BLAST_SCHEMA: &str = "lychgate.blast/1";
/// Name and version of a sink's document.
pub const SINK_SCHEMA: &str = "lychgate.sink/1";

/// Octets around a frame on a cable: preamble, frame check sequence, gap.
const AROUND_A_FRAME: u64 = 8 + 4 + 12;
/// Percentiles that are told.
const PERCENTILES: [f64; 6] = [50.0, 90.0, 99.0, 99.9, 99.99, 100.0];

/// What a generator did.
#[derive(Clone, Debug, Serialize)]
pub struct BlastSummary {
    /// Of which interface.
    pub interface: String,
    /// Profile or capture.
    pub what: String,
    /// How frames were made: `flood` or `paced`.
    pub by: &'static str,
    /// Frames a second that were asked for; none: as many as go.
    pub rate_asked: Option<u64>,
    /// Which run the stamps are of, if there are any.
    pub run: Option<u32>,
    /// What was offered.
    #[serde(flatten)]
    pub offered: Volume,
    /// Times that the interface was busy, and frames were offered again.
    pub busy: u64,
}

/// How much it was, with its rates.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Volume {
    frames: u64,
    octets: u64,
    seconds: f64,
    frames_per_second: f64,
    /// On a cable: with preamble, frame check sequence and gap.
    bits_per_second: f64,
}

impl Volume {
    fn new(frames: u64, octets: u64, span: Duration) -> Self {
        let seconds = span.as_secs_f64();
        let per_second = |count: u64| {
            if seconds > 0.0 {
                count as f64 / seconds
            } else {
                0.0
            }
        };
        Self {
            frames,
            octets,
            seconds,
            frames_per_second: per_second(frames),
            bits_per_second: per_second(8 * (octets + frames * AROUND_A_FRAME)),
        }
    }
}

impl From<Offered> for Volume {
    fn from(offered: Offered) -> Self {
        Self::new(offered.frames, offered.octets, offered.span)
    }
}

/// A document with its schema in front.
#[derive(Serialize)]
struct Document<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    content: &'a T,
}

fn write_document(schema: &str, content: &impl Serialize, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, &Document { schema, content })?;
    out.write_all(b"\n")?;
    out.flush()
}

impl BlastSummary {
    /// Writes it for people.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_text(&self, mut out: impl Write) -> io::Result<()> {
        let Volume {
            frames,
            seconds,
            frames_per_second,
            bits_per_second,
            ..
        } = self.offered;
        writeln!(
            out,
            "offered   {} in {seconds:.2} s: {} frames/s, {}",
            counted(frames, "frame"),
            thousands(frames_per_second as u64),
            bits(bits_per_second),
        )?;
        if self.busy > 0 {
            let times = thousands(self.busy);
            writeln!(out, "busy      {times} times: offered again")?;
        }
        Ok(())
    }

    /// Writes it for programs, indented.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_json(&self, out: impl Write) -> io::Result<()> {
        write_document(BLAST_SCHEMA, self, out)
    }
}

fn bits(per_second: f64) -> String {
    match per_second {
        many if many >= 1e9 => format!("{:.2} Gbit/s", many / 1e9),
        some if some >= 1e6 => format!("{:.2} Mbit/s", some / 1e6),
        few => format!("{:.1} kbit/s", few / 1e3),
    }
}

/// What arrived at a sink.
#[derive(Debug)]
pub enum Arrived {
    /// Every frame was looked at.
    Heard(Box<Ledger>),
    /// Frames were counted in the kernel only.
    Counted {
        /// All frames.
        frames: u64,
        /// Their octets.
        octets: u64,
        /// Connection attempts to a mail port, in plain frames.
        attempts: u64,
    },
}

/// What a sink counted.
#[derive(Debug)]
pub struct SinkSummary {
    /// On which interface.
    pub interface: String,
    /// What arrived.
    pub arrived: Arrived,
    /// Frames that arrived and that the sink had no room for.
    pub missed: u64,
    /// From the first frame to the last.
    pub span: Duration,
    /// How many sources are told.
    pub top: usize,
}

#[derive(Serialize)]
struct SinkDocument<'a> {
    interface: &'a str,
    by: &'static str,
    #[serde(flatten)]
    arrived: Volume,
    attempts: u64,
    missed: u64,
    #[serde(flatten)]
    heard: Option<Heard>,
}

#[derive(Serialize)]
struct Heard {
    sources: usize,
    top_sources: Vec<Source>,
    sourceless: u64,
    crowded: u64,
    order: OrderCounts,
    latency_ns: Option<Latency>,
}

#[derive(Serialize)]
struct Source {
    source: String,
    frames: u64,
}

#[derive(Serialize)]
struct OrderCounts {
    stamped: u64,
    lost: u64,
    doubled: u64,
    reordered: u64,
    late: u64,
    strange: u64,
}

#[derive(Serialize)]
struct Latency {
    min: u64,
    mean: f64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    p99_99: u64,
    max: u64,
}

impl Latency {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let [p50, p90, p99, p99_9, p99_99, max] =
            PERCENTILES.map(|percentile| histogram.value_at_percentile(percentile));
        (!histogram.is_empty()).then(|| Self {
            min: histogram.min(),
            mean: histogram.mean(),
            p50,
            p90,
            p99,
            p99_9,
            p99_99,
            max,
        })
    }
}

impl SinkSummary {
    fn totals(&self) -> (u64, u64, u64) {
        match &self.arrived {
            Arrived::Heard(ledger) => (ledger.frames, ledger.octets, ledger.attempts),
            &Arrived::Counted {
                frames,
                octets,
                attempts,
            } => (frames, octets, attempts),
        }
    }

    /// Writes it for people.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_text(&self, mut out: impl Write) -> io::Result<()> {
        let (frames, octets, attempts) = self.totals();
        let volume = Volume::new(frames, octets, self.span);
        writeln!(
            out,
            "arrived   {} in {:.2} s: {} frames/s, {}; {} to mail ports",
            counted(frames, "frame"),
            volume.seconds,
            thousands(volume.frames_per_second as u64),
            bits(volume.bits_per_second),
            counted(attempts, "attempt"),
        )?;
        if self.missed > 0 {
            let missed = counted(self.missed, "frame");
            writeln!(
                out,
                "missed    {missed} arrived that the sink had no room for"
            )?;
        }
        let Arrived::Heard(ledger) = &self.arrived else {
            return Ok(());
        };
        writeln!(
            out,
            "sources   {}, and {} without one",
            thousands(ledger.sources() as u64),
            counted(ledger.sourceless, "frame"),
        )?;
        for (source, frames) in ledger.top(self.top) {
            writeln!(out, "          {source:<40} {:>12}", thousands(frames))?;
        }
        self.write_stamped(ledger, out)
    }

    fn write_stamped(&self, ledger: &Ledger, mut out: impl Write) -> io::Result<()> {
        let order = &ledger.order;
        if order.stamped == 0 {
            return Ok(());
        }
        writeln!(
            out,
            "stamped   {}: {} lost, {} doubled, {} out of their flow's order",
            counted(order.stamped, "frame"),
            thousands(order.lost()),
            thousands(order.doubled),
            thousands(order.reordered),
        )?;
        write!(out, "latency  ")?;
        for percentile in PERCENTILES {
            let time = duration(ledger.latency.value_at_percentile(percentile));
            let separator = if percentile < 100.0 { "," } else { "\n" };
            write!(out, " p{percentile} {time}{separator}")?;
        }
        Ok(())
    }

    /// Writes it for programs, indented.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_json(&self, out: impl Write) -> io::Result<()> {
        let (frames, octets, attempts) = self.totals();
        let (by, heard) = match &self.arrived {
            Arrived::Heard(ledger) => ("listening", Some(self.heard(ledger))),
            Arrived::Counted { .. } => ("counting", None),
        };
        let document = SinkDocument {
            interface: &self.interface,
            by,
            arrived: Volume::new(frames, octets, self.span),
            attempts,
            missed: self.missed,
            heard,
        };
        write_document(SINK_SCHEMA, &document, out)
    }

    fn heard(&self, ledger: &Ledger) -> Heard {
        let order = &ledger.order;
        let source = |(address, frames): (std::net::IpAddr, u64)| Source {
            source: address.to_string(),
            frames,
        };
        Heard {
            sources: ledger.sources(),
            top_sources: ledger.top(self.top).into_iter().map(source).collect(),
            sourceless: ledger.sourceless,
            crowded: ledger.crowded,
            order: OrderCounts {
                stamped: order.stamped,
                lost: order.lost(),
                doubled: order.doubled,
                reordered: order.reordered,
                late: order.late,
                strange: order.strange,
            },
            latency_ns: Latency::of(&ledger.latency),
        }
    }
}
