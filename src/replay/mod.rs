//! Judges captures with the engine, in capture time: what would have happened to this traffic?
//!
//! ```text
//! captures → Input → Batch → Judge (one or more workers) → Sink → Summary
//! ```
//!
//! Promises: the same captures, policy and seed give the same verdicts, counts and output files,
//! whatever the number of workers (design invariant 9); everything in front of damage is judged;
//! nothing is allocated per frame. How the [`Summary`] is shown is `report`'s business.

mod batch;
mod compare;
mod explain;
mod flagged;
mod input;
mod outfile;
mod series;
mod sink;
mod summary;
mod tally;
mod turns;
mod workers;

use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use thiserror::Error;

pub use compare::{Comparison, Difference, Fate, SourceDifference};
pub use explain::{Explanation, History, Owner, Sought, explain};
pub use flagged::{Detection, FlaggedRow, StepRow};
pub use input::{Captures, Input};
pub use outfile::Pending;
pub use series::{Bucket, Series};
pub use sink::Outputs;
pub use summary::{CaptureSpan, ComparisonSummary, CounterRow, SourceRow, Summary, source_text};
pub use tally::{FrameTotals, ReasonTally, ServiceTally, SourceTally, Tally};

use crate::{
    detect::Observer,
    engine::{Counters, Engine, Reason, Restrictions},
    io::capture::{CaptureError, Progress},
    policy::{Policy, steps::Scope},
    source::SourceTable,
};
use sink::Sink;
use workers::Judge;

/// A policy and the name of its file.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    /// What reports call it.
    pub name: String,
    /// The snapshot.
    pub policy: Arc<Policy>,
}

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the frames come from.
    pub captures: Captures,
    /// What judges them.
    pub policy: NamedPolicy,
    /// What else judges them, to see whose verdicts differ.
    pub compare: Option<NamedPolicy>,
    /// Accounting keys that are quarantined from the first frame on, and what is taken away.
    pub quarantined: Vec<(IpNet, Scope)>,
    /// Keys the source table's hash, so that every run is the same.
    pub seed: u64,
    /// Threads that judge.
    pub workers: NonZeroUsize,
    /// Captures to write.
    pub outputs: Outputs,
}

/// Why a replay cannot begin or go on.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A capture cannot be opened, or an output capture cannot be written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// An output file cannot be put in its place.
    #[error("{}: cannot be written: {cause}; check that the directory exists, is writable and has room", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

impl ReplayError {
    /// An output that cannot be written.
    #[must_use]
    pub fn output(path: &Path, cause: io::Error) -> Self {
        Self::Output {
            path: path.to_owned(),
            cause,
        }
    }
}

/// Replays captures. What was found goes with the damage that ended any of the files early; every
/// output capture is in its place then.
///
/// # Errors
/// A capture cannot be opened, or an output cannot be written.
pub fn replay(
    plan: &Plan,
    watch: &mut dyn FnMut(Progress),
) -> Result<(Summary, Vec<CaptureError>), ReplayError> {
    let mut input = Input::open(&plan.captures)?;
    let other = plan.compare.as_ref().map(|other| Arc::clone(&other.policy));
    let mut sink = Sink::new(Arc::clone(&plan.policy.policy), other, &plan.outputs)?;
    let policy = &plan.policy.policy;
    let observer = policy
        .detects()
        .then(|| Arc::new(Observer::new(policy.observed())));
    let mut judges = judges(plan, observer.as_ref());
    match &mut judges[..] {
        [judge] => workers::alone(&mut input, judge, &mut sink, watch)?,
        judges => workers::together(&mut input, judges, &mut sink, watch)?,
    }
    let mut counters = Counters::new(plan.policy.policy.classes().len());
    for judge in &judges {
        counters.merge(judge.engine.counters());
    }
    let (span, damage) = input.finish();
    let (mut tally, comparison) = sink.finish()?;
    // What is overdue by the last frame is certain; what is not can't be known.
    if let Some((judge, last)) = judges.first().zip(span.last) {
        judge.engine.settle(last, |flag| tally.flags.push(flag));
    }
    let flags = std::mem::take(&mut tally.flags);
    let detection = observer.map(|observer| Detection::new(policy, &observer, flags));
    let comparison = plan.compare.as_ref().zip(comparison);
    let comparison =
        comparison.map(|(other, found)| ComparisonSummary::new(other.name.clone(), found));
    let mut summary = summary(&plan.policy, span, tally, &counters, comparison);
    summary.detection = detection;
    Ok((summary, damage))
}

/// One judge per worker, all over the same source tables.
fn judges(plan: &Plan, observer: Option<&Arc<Observer>>) -> Vec<Judge> {
    let table = |policy: &Policy| Arc::new(SourceTable::new(policy.capacity(), Some(plan.seed)));
    let ours = table(&plan.policy.policy);
    let theirs = plan
        .compare
        .as_ref()
        .map(|other| (Arc::clone(&other.policy), table(&other.policy)));
    let restrictions = Restrictions::default();
    restrictions.set(plan.quarantined.iter().copied());
    let engine = || {
        let engine = Engine::new(Arc::clone(&plan.policy.policy), Arc::clone(&ours))
            .restricted_by(restrictions.clone());
        match observer {
            Some(observer) => engine.observing(Arc::clone(observer)),
            None => engine,
        }
    };
    let judge = |_| Judge {
        engine: engine(),
        other: theirs
            .as_ref()
            .map(|(policy, table)| Engine::new(Arc::clone(policy), Arc::clone(table))),
    };
    (0..plan.workers.get()).map(judge).collect()
}

fn summary(
    named: &NamedPolicy,
    capture: CaptureSpan,
    tally: Tally,
    counters: &Counters,
    comparison: Option<ComparisonSummary>,
) -> Summary {
    let policy = &*named.policy;
    let class_name = |class| policy.class(class).name.clone();
    let frames = tally.frames();
    let mut sources: Vec<_> = tally.sources.into_iter().collect();
    sources.sort_unstable_by_key(|(key, _)| *key);
    let row = |(key, tally): (IpNet, SourceTally)| SourceRow {
        key,
        class: class_name(tally.class),
        name: policy.name_of(key).map(str::to_owned),
        tally,
    };
    let counter = |(reason, direction, class, frames): (_, _, Option<_>, _)| CounterRow {
        reason,
        direction,
        class: class.map(class_name),
        frames,
    };
    Summary {
        policy: named.name.clone(),
        capture,
        frames,
        reasons: Reason::ALL
            .iter()
            .map(|reason| (*reason, tally.reasons[*reason as usize]))
            .collect(),
        counters: counters.iter().map(counter).collect(),
        sources: sources.into_iter().map(row).collect(),
        series: tally.series,
        first_refusal: tally.first_refusal,
        detection: None,
        comparison,
    }
}
