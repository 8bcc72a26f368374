//! Threads: start, watch, stop.
//!
//! Everything that happens comes to the supervisor as an event through one channel, and it sleeps
//! until then. A worker that fails, be it that its ports are gone or that it panics, ends the whole
//! run: its queues are bypassed from that moment (its ports are dropped), the others drain and end
//! as they would at a signal, and the summary tells of the failure.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};

use super::{Rates, Sample, Site, Summary, cores};
use crate::{
    engine::{Direction, Engine, Restrictions},
    policy::Policy,
    source::SourceTable,
    worker::{Published, Settings, Snapshot, Worker, monotonic},
};

/// How many workers, and how they work.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What judges the frames.
    pub policy: Arc<Policy>,
    /// Who is quarantined.
    pub restrictions: Restrictions,
    /// How many workers.
    pub workers: usize,
    /// The core of each. Empty: none is pinned.
    pub cores: Vec<usize>,
    /// How each works.
    pub settings: Settings,
    /// Time between [`Notice::Rates`].
    pub period: Duration,
}

/// Something that somebody may want to know at once.
#[derive(Debug)]
pub enum Notice<'a> {
    /// Every worker has its ports: frames are judged from now on.
    Started,
    /// What happened within the last period.
    Rates(&'a Rates),
    /// Somebody asked to stop, and why. The workers drain.
    Stopping(&'a str),
    /// A worker ended before it was asked to. Its queues are bypassed, and the others drain.
    Failed {
        /// Which one, from 0.
        worker: usize,
        /// Why.
        error: &'a anyhow::Error,
    },
}

enum Event {
    Opened(usize, Published),
    Ended(usize, anyhow::Result<()>),
    Stop(String),
}

/// Asks a supervisor to stop; on any thread, at any time, as often as one likes.
#[derive(Clone, Debug)]
pub struct Stopper(Sender<Event>);

impl Stopper {
    /// Asks, and says why. Without effect once the run has ended.
    pub fn stop(&self, why: &str) {
        // An error means that nobody listens any more: it has stopped.
        let _ = self.0.send(Event::Stop(why.to_owned()));
    }
}

/// Runs workers.
#[derive(Debug)]
pub struct Supervisor {
    plan: Plan,
    events: Receiver<Event>,
    report: Sender<Event>,
}

impl Supervisor {
    /// Nothing runs yet.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let (report, events) = mpsc::channel();
        Self {
            plan,
            events,
            report,
        }
    }

    /// What stops it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.report.clone())
    }

    /// Runs workers over `site` until somebody stops them or one fails, and tells `tell` meanwhile.
    /// A failure is in the summary.
    ///
    /// # Errors
    ///
    /// A worker could not begin; then none runs.
    pub fn run(
        &self,
        site: &impl Site,
        tell: &mut dyn FnMut(Notice<'_>),
    ) -> anyhow::Result<Summary> {
        let policy = &self.plan.policy;
        let sources = Arc::new(SourceTable::new(policy.capacity(), None));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for index in 0..self.plan.workers {
                let engine = Engine::new(Arc::clone(policy), Arc::clone(&sources))
                    .restricted_by(self.plan.restrictions.clone());
                let report = self.report.clone();
                let (plan, stop) = (&self.plan, &stop);
                let body = move || employ(site, plan, index, engine, stop, &report);
                let spawned = thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .spawn_scoped(scope, body);
                if let Err(error) = spawned {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error).with_context(|| format!("worker {index}: no thread"));
                }
            }
            let mut crew = Crew::new(self, &stop);
            crew.open(tell)?;
            site.ready()
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            tell(Notice::Started);
            crew.watch(site, tell);
            Ok(crew.summary(site))
        })
    }
}

/// A worker's thread, from its first to its last act.
fn employ(
    site: &impl Site,
    plan: &Plan,
    index: usize,
    mut engine: Engine,
    stop: &AtomicBool,
    report: &Sender<Event>,
) {
    let work = || -> anyhow::Result<()> {
        if let Some(&core) = plan.cores.get(index) {
            cores::pin(core)?;
        }
        let ports = site.open(index)?;
        if let Some(leasing) = site.leasing() {
            engine.offer_leases(leasing);
        }
        let mut worker = Worker::new(ports, engine, monotonic, plan.settings);
        // The supervisor outlives the workers: it listens.
        let _ = report.send(Event::Opened(index, worker.published()));
        worker.run(stop).context("its ports failed")
    };
    let ended = panic::catch_unwind(AssertUnwindSafe(work));
    let ended = ended.unwrap_or_else(|payload| Err(anyhow!("panic: {}", message(&*payload))));
    let _ = report.send(Event::Ended(index, ended));
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message")
}

/// The workers that run.
struct Crew<'a> {
    plan: &'a Plan,
    events: &'a Receiver<Event>,
    stop: &'a AtomicBool,
    published: Vec<Option<Published>>,
    at_work: usize,
    begun: Instant,
    stopped_by: Option<String>,
    failures: Vec<(usize, anyhow::Error)>,
}

impl<'a> Crew<'a> {
    fn new(supervisor: &'a Supervisor, stop: &'a AtomicBool) -> Self {
        Self {
            plan: &supervisor.plan,
            events: &supervisor.events,
            stop,
            published: vec![None; supervisor.plan.workers],
            at_work: supervisor.plan.workers,
            begun: Instant::now(),
            stopped_by: None,
            failures: Vec::new(),
        }
    }

    /// Waits until every worker has its ports. If one can't have them, the others end.
    fn open(&mut self, tell: &mut dyn FnMut(Notice<'_>)) -> anyhow::Result<()> {
        while self.published.iter().any(Option::is_none) && self.at_work > 0 {
            let Ok(event) = self.events.recv() else { break };
            self.handle(event, tell);
        }
        if self.published.iter().any(Option::is_none)
            && let Some((index, error)) = self.failures.pop()
        {
            return Err(error.context(format!("worker {index} cannot begin")));
        }
        Ok(())
    }

    /// Waits until the last worker has ended.
    fn watch(&mut self, site: &impl Site, tell: &mut dyn FnMut(Notice<'_>)) {
        let mut last = self.sample(site);
        while self.at_work > 0 {
            let due = last.at + self.plan.period;
            let left = due.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => self.handle(event, tell),
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.sample(site);
                    tell(Notice::Rates(&Rates::between(
                        &last,
                        &now,
                        &self.plan.policy,
                    )));
                    last = now;
                }
                // Cannot be: the supervisor has a sender itself.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn handle(&mut self, event: Event, tell: &mut dyn FnMut(Notice<'_>)) {
        match event {
            Event::Opened(index, published) => self.published[index] = Some(published),
            Event::Stop(why) => {
                self.stop.store(true, Ordering::Relaxed);
                if self.stopped_by.is_none() {
                    tell(Notice::Stopping(&why));
                    self.stopped_by = Some(why);
                }
            }
            Event::Ended(worker, ended) => {
                self.at_work -= 1;
                if let Err(error) = ended {
                    self.stop.store(true, Ordering::Relaxed);
                    if self.published[worker].is_some() {
                        let error = &error;
                        tell(Notice::Failed { worker, error });
                    }
                    self.failures.push((worker, error));
                }
            }
        }
    }

    fn sample(&self, site: &impl Site) -> Sample {
        let mut workers = Snapshot::new(self.plan.policy.classes().len());
        for published in self.published.iter().flatten() {
            workers.merge(&published.read());
        }
        for (reason, class, frames) in site.leased() {
            let outbound = Direction::Outbound;
            workers.verdicts.add(reason, outbound, Some(class), frames);
        }
        Sample {
            at: Instant::now(),
            workers,
            kernel: site.kernel(),
        }
    }

    fn summary(self, site: &impl Site) -> Summary {
        let sample = self.sample(site);
        Summary {
            policy: Arc::clone(&self.plan.policy),
            workers: self.plan.workers,
            span: sample.at.saturating_duration_since(self.begun),
            sample,
            stopped_by: self.stopped_by,
            failures: self.failures,
        }
    }
}

#[cfg(test)]
mod tests;
