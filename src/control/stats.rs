//! What happened within a second: the difference between two samples, in one line.

use std::{
    fmt,
    ops::Sub,
    time::{Duration, Instant},
};

use super::{KernelFate, KernelRow};
use crate::{
    engine::{Direction, Effect, Reason},
    report::words::thousands,
    worker::Snapshot,
};

/// All workers together, and the kernel, at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// What the workers have done.
    pub workers: Snapshot,
    /// What the kernel has done without them.
    pub kernel: Vec<KernelRow>,
}

/// How many frames did not cross, by cause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops(pub Vec<(&'static str, u64)>);

impl Drops {
    /// From the start until a sample. Refusals that observe mode turned into forwards are not
    /// drops; resets are.
    #[must_use]
    pub fn until(sample: &Sample) -> Self {
        let of_reason = |reason: Reason| {
            let verdicts = &sample.workers.verdicts;
            let dropped = verdicts.of_reason(reason) - verdicts.observed(reason);
            (reason.name(), dropped)
        };
        let refusals = Reason::ALL
            .iter()
            .filter(|reason| reason.effect() != Effect::Forward);
        let mut drops: Vec<_> = refusals.map(|reason| of_reason(*reason)).collect();
        let [out, back] = sample.workers.directions;
        drops.push(("tx_full", out.tx_full + back.tx_full));
        drops.push(("rx_missed", sample.workers.missed.iter().sum()));
        let dropped = sample
            .kernel
            .iter()
            .filter(|row| row.fate == KernelFate::Dropped);
        drops.extend(dropped.map(|row| (row.name, row.frames.iter().sum())));
        Self(drops)
    }

    /// Those causes that there are frames of.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().copied().filter(|(_, frames)| *frames > 0)
    }
}

impl Sub for Drops {
    type Output = Self;

    /// What came after `earlier`, a sample of the same workers.
    fn sub(mut self, earlier: Self) -> Self {
        for ((_, frames), (_, before)) in self.0.iter_mut().zip(earlier.0) {
            *frames = frames.saturating_sub(before);
        }
        self
    }
}

/// What one direction carried, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Frames received by workers.
    pub frames: f64,
    /// Bits of these frames, without preamble and check sequence.
    pub bits: f64,
    /// Frames that crossed in the kernel, being harmless.
    pub in_kernel: f64,
    /// Frames that bypassed their worker, unjudged.
    pub bypassed: f64,
}

/// What happened between two samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Rates {
    /// How long it took.
    pub span: Duration,
    /// Outbound, inbound.
    pub directions: [Pace; 2],
    /// Frames that workers let through.
    pub forwarded: u64,
    /// Frames that did not cross, by cause.
    pub drops: Drops,
    /// Resets sent.
    pub resets: u64,
}

impl Rates {
    /// What happened from one sample to a later one.
    #[must_use]
    pub fn between(earlier: &Sample, later: &Sample) -> Self {
        let span = later.at.saturating_duration_since(earlier.at);
        let seconds = span.as_secs_f64().max(f64::MIN_POSITIVE);
        let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
        let pace = |direction: Direction| {
            let index = direction as usize;
            let received = |sample: &Sample| sample.workers.directions[index].received;
            let (now, before) = (received(later), received(earlier));
            let in_kernel =
                |fate| per_second(of_fate(later, fate, index), of_fate(earlier, fate, index));
            Pace {
                frames: per_second(now.frames, before.frames),
                bits: 8.0 * per_second(now.octets, before.octets),
                in_kernel: in_kernel(KernelFate::Harmless),
                bypassed: in_kernel(KernelFate::Bypassed),
            }
        };
        let total = |sample: &Sample, of: fn(&crate::worker::DirectionCounts) -> u64| -> u64 {
            sample.workers.directions.iter().map(of).sum()
        };
        let grown = |of| total(later, of).saturating_sub(total(earlier, of));
        Self {
            span,
            directions: [Direction::Outbound, Direction::Inbound].map(pace),
            forwarded: grown(|counts| counts.forwarded.frames),
            drops: Drops::until(later) - Drops::until(earlier),
            resets: grown(|counts| counts.reset),
        }
    }
}

/// Frames of a direction that had a fate in the kernel.
fn of_fate(sample: &Sample, fate: KernelFate, index: usize) -> u64 {
    let rows = sample.kernel.iter().filter(|row| row.fate == fate);
    rows.map(|row| row.frames[index]).sum()
}

impl fmt::Display for Rates {
    /// One line, such as
    /// `out 51,200 f/s 145 Mbit/s  in 48,000 f/s 320 Mbit/s  kernel 0 f/s  bypassed 0 f/s  forwarded 99,100  dropped 100 (limit_exceeded 100)  resets sent 0`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, pace) in ["out", "in"].into_iter().zip(&self.directions) {
            let frames = thousands(pace.frames.round() as u64);
            write!(out, "{name} {frames} f/s {}  ", bit_rate(pace.bits))?;
        }
        let [there, back] = self.directions;
        let rounded = |rate: f64| thousands(rate.round() as u64);
        let in_kernel = rounded(there.in_kernel + back.in_kernel);
        let bypassed = rounded(there.bypassed + back.bypassed);
        let forwarded = thousands(self.forwarded);
        write!(
            out,
            "kernel {in_kernel} f/s  bypassed {bypassed} f/s  forwarded {forwarded}  "
        )?;
        let dropped: u64 = self.drops.iter().map(|(_, frames)| frames).sum();
        write!(out, "dropped {}", thousands(dropped))?;
        let mut separator = " (";
        for (cause, frames) in self.drops.iter() {
            write!(out, "{separator}{cause} {}", thousands(frames))?;
            separator = ", ";
        }
        if dropped > 0 {
            out.write_str(")")?;
        }
        write!(out, "  resets sent {}", thousands(self.resets))
    }
}

/// `145 Mbit/s`: three digits that count, in a decimal unit.
fn bit_rate(bits: f64) -> String {
    let units = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
    let mut value = bits;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        value if unit == 0 || value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Engine, Frame, Judgements},
        policy::Policy,
        source::SourceTable,
        synth::packet::Packet,
        wire::{Link, TcpFlags},
    };
    use std::sync::Arc;

    const POLICY: &str = r#"
[class.closed]
smtp = "block"
[class.watched]
smtp = "block"
mode = "observe"
[[pool]]
prefix = "203.0.113.0/24"
class = "closed"
[[pool]]
prefix = "198.51.100.0/24"
class = "watched"
[sources]
capacity = 16
"#;

    fn policy() -> Arc<Policy> {
        let (policy, _) = Policy::from_toml("test.toml", POLICY).expect("a valid policy");
        Arc::new(policy)
    }

    fn nothing(at: Instant) -> Sample {
        Sample {
            at,
            workers: Snapshot::new(2),
            kernel: vec![
                KernelRow {
                    name: "harmless",
                    fate: KernelFate::Harmless,
                    frames: [5, 5],
                },
                KernelRow {
                    name: "bypass_stale",
                    fate: KernelFate::Bypassed,
                    frames: [0, 0],
                },
            ],
        }
    }

    #[test]
    fn a_second_of_traffic_is_told_in_one_line() {
        let start = Instant::now();
        let earlier = nothing(start);
        let mut later = nothing(start + Duration::from_secs(2));
        let [out, back] = &mut later.workers.directions;
        out.received.frames = 2_000_000;
        out.received.octets = 250_000_000;
        out.forwarded.frames = 1_999_000;
        out.tx_full = 1000;
        back.received.frames = 10;
        back.forwarded.frames = 8;
        back.reset = 2;
        later.kernel[0].frames = [1005, 5];
        later.kernel[1].frames = [0, 40];
        let rates = Rates::between(&earlier, &later);
        assert_eq!(
            rates.to_string(),
            "out 1,000,000 f/s 1.00 Gbit/s  in 5 f/s 0 bit/s  kernel 500 f/s  \
             bypassed 20 f/s  forwarded 1,999,008  dropped 1,000 (tx_full 1,000)  resets sent 2"
        );
    }

    #[test]
    fn what_is_only_observed_is_no_drop() {
        let policy = policy();
        let sources = Arc::new(SourceTable::new(16, Some(0)));
        let mut engine = Engine::new(policy, sources);
        for from in ["203.0.113.9", "198.51.100.9", "198.51.100.10"] {
            let packet = Packet::ethernet().ipv4(from, "192.0.2.80").tcp(40_000, 25);
            let bytes = packet.flags(TcpFlags::SYN).build();
            let frame = Frame {
                bytes: &bytes,
                wire_length: bytes.len() as u32,
                link: Link::Ethernet,
                direction: Some(Direction::Outbound),
                time: 0,
            };
            engine.process(&[frame], &mut Judgements::default());
        }
        let mut sample = nothing(Instant::now());
        sample.workers.verdicts.copy_from(engine.counters());
        let drops = Drops::until(&sample);
        assert_eq!(drops.iter().collect::<Vec<_>>(), [("smtp_blocked", 1)]);
    }

    #[test]
    fn bit_rates_have_three_digits() {
        let cases = [
            (0.0, "0 bit/s"),
            (999.0, "999 bit/s"),
            (1_234.0, "1.23 kbit/s"),
            (99_960.0, "100 kbit/s"),
            (999_900.0, "1.00 Mbit/s"),
            (145_000_000.0, "145 Mbit/s"),
            (1e13, "10000 Gbit/s"),
        ];
        for (bits, text) in cases {
            assert_eq!(bit_rate(bits), text);
        }
    }
}
