//! What happened from start to end, as a page.

use crate::{
    engine::Direction,
    report::{
        run::{FateLine, Plot, RunPage},
        words::{self, counted, thousands},
    },
    worker::{DirectionCounts, Histograms},
};

use super::{Drops, KernelFate, Summary};

impl Summary {
    /// Everything that the page shows.
    #[must_use]
    pub fn page(&self) -> RunPage {
        let span = words::duration(u64::try_from(self.span.as_nanos()).unwrap_or(u64::MAX));
        let carried = self.sample.workers.directions;
        let received: u64 = carried.iter().map(|counts| counts.received.frames).sum();
        let forwarded: u64 = carried.iter().map(|counts| counts.forwarded.frames).sum();
        let drops = Drops::until(&self.sample);
        let drops = drops
            .iter()
            .map(|(cause, frames)| (cause, thousands(frames)));
        let obtained = self.obtained.to_string();
        RunPage {
            headline: format!(
                "{} received {} and let {} through.",
                counted(self.workers as u64, "worker"),
                counted(received, "frame"),
                thousands(forwarded)
            ),
            facts: vec![
                ("Duration", span),
                (
                    "Stopped by",
                    self.stopped_by
                        .clone()
                        .unwrap_or_else(|| "a failure".to_owned()),
                ),
            ],
            warnings: self.warnings(),
            fates: self.fates(),
            drops: drops.collect(),
            obtained: obtained.lines().map(str::to_owned).collect(),
            plots: self.plots(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let failed = self.failures.iter();
        let failed = failed.map(|(worker, error)| format!("Worker {worker} failed: {error:#}"));
        let lost = self.lost.iter();
        let lost = lost.map(|interface| format!("Interface {interface} was removed."));
        let breaches = self.sample.workers.breaches;
        let breached = (breaches > 0).then(|| {
            let ticks = counted(breaches, "tick");
            format!("{ticks} found a frame lost or doubled: please report this bug.")
        });
        failed.chain(lost).chain(breached).collect()
    }

    fn fates(&self) -> Vec<FateLine> {
        let carried = self.sample.workers.directions;
        let missed = self.sample.workers.missed;
        let of = |count: fn(&DirectionCounts) -> u64| {
            [Direction::Outbound, Direction::Inbound].map(|way| count(&carried[way as usize]))
        };
        let rows = [
            ("received", of(|counts| counts.received.frames), false),
            ("forwarded", of(|counts| counts.forwarded.frames), false),
            ("dropped", of(|counts| counts.dropped), false),
            ("answered with a reset", of(|counts| counts.reset), false),
            (
                "sent to the notice page",
                of(|counts| counts.redirected),
                false,
            ),
            ("refused, unanswered", of(|counts| counts.unanswered), false),
            (
                "lost: transmit ring full",
                of(|counts| counts.tx_full),
                true,
            ),
            ("lost before a worker", missed, true),
        ];
        let kernel = self.sample.kernel.iter();
        let kernel = kernel
            .filter(|row| row.fate != KernelFate::ToWorker && row.frames != [0, 0])
            .map(|row| (row.name, row.frames, row.fate == KernelFate::Bypassed));
        rows.into_iter()
            .chain(kernel)
            .map(|(fate, frames, alarming)| FateLine {
                fate,
                frames: frames.map(thousands),
                alarming,
            })
            .collect()
    }

    fn plots(&self) -> Vec<Plot> {
        let all = &self.sample.workers.histograms;
        let each = |of: fn(&Histograms) -> &hdrhistogram::Histogram<u64>| {
            let workers = self.by_worker.iter();
            workers
                .map(|worker| of(&worker.histograms))
                .collect::<Vec<_>>()
        };
        let residence = Plot::of_times(
            "Residence",
            "What the box adds to a frame's way: from the kernel program's first look at it until \
             it is handed to the kernel again. A sample of the frames that workers forward.",
            &all.residence,
            &each(|histograms| &histograms.residence),
        );
        let service = Plot::of_times(
            "Service",
            "Time that a worker spends on a frame, from its batch's reception until it is handed \
             to the kernel. One round in 16.",
            &all.service,
            &each(|histograms| &histograms.service),
        );
        let batch = Plot::of_counts(
            "Batch",
            "Frames that a round of a worker found, where it found any.",
            &all.batch,
            &each(|histograms| &histograms.batch),
        );
        [residence, service, batch].into_iter().flatten().collect()
    }
}
