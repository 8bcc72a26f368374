//! Threads: start, watch, stop.
//!
//! Everything that happens comes to the supervisor as an event through one channel, and it sleeps
//! until then. A worker that fails, be it that its ports are gone or that it panics, ends the whole
//! run: its queues are bypassed from that moment (its ports are dropped), the others drain and end
//! as they would at a signal, and the summary tells of the failure.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};

use super::{
    Obtained, PortChange, PortCounts, PortEvent, Rates, Reloader, Sample, Site, StallEvent,
    Summary, TableFull,
    casebook::Cases,
    cores,
    crowding::Crowding,
    reload::{Outcome, Successor, Wanted, succeed},
    stall::Stalls,
};
use crate::{
    detect::Flag,
    engine::{Direction, Edition, Engine, InForce, Reason, Restrictions},
    policy::{Policy, RunSettings, URL_MAX},
    source::SourceTable,
    wire::{LOCATION_MAX, Redirect},
    worker::{Published, Settings, Snapshot, Worker, monotonic},
};

const _: () = assert!(
    URL_MAX <= LOCATION_MAX,
    "a redirect must have room for any policy's page"
);

/// How many workers, and how they work.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What judges the frames, until another policy takes its place.
    pub in_force: InForce,
    /// Who is quarantined.
    pub restrictions: Restrictions,
    /// Keeps those who are quarantined so under another policy, where cases are kept.
    pub cases: Option<Cases>,
    /// Where it is told what detectors find.
    pub findings: Option<Sender<Flag>>,
    /// How many workers.
    pub workers: usize,
    /// The core of each. Empty: none is pinned.
    pub cores: Vec<usize>,
    /// How each works.
    pub settings: Settings,
    /// What the user asked for, for the record.
    pub asked: RunSettings,
    /// Time between [`Notice::Rates`].
    pub period: Duration,
}

/// Something that somebody may want to know at once.
#[derive(Debug)]
pub enum Notice<'a> {
    /// Every worker has its ports: frames are judged from now on.
    Started(&'a Obtained),
    /// What happened within the last period.
    Rates(&'a Rates),
    /// Somebody asked to stop, and why. The workers drain.
    Stopping(&'a str),
    /// A port has changed. If it is gone, the workers drain.
    Port(&'a PortEvent),
    /// The kernel program could not be told who is behind walls: some of what the workers would stop
    /// may cross without them.
    Walls(&'a anyhow::Error),
    /// A queue has stopped, or goes on.
    Queue(&'a StallEvent),
    /// Attempts found the source table full.
    TableFull(&'a TableFull),
    /// Another policy is in force, or could not be.
    Policy(&'a Outcome),
    /// A worker ended before it was asked to. Its queues are bypassed, and the others drain.
    Failed {
        /// Which one, from 0.
        worker: usize,
        /// Why.
        error: &'a anyhow::Error,
    },
}

/// What comes to the supervisor.
pub(super) enum Event {
    Opened(usize, Published),
    Ended(usize, anyhow::Result<()>),
    Stop(String),
    Port(PortEvent),
    Policy(Box<Wanted>),
    Restricted,
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

/// Tells a supervisor what becomes of the ports; on any thread.
#[derive(Clone, Debug)]
pub struct PortReporter(Sender<Event>);

impl PortReporter {
    /// Without effect once the run has ended.
    pub fn tell(&self, event: PortEvent) {
        // As in `Stopper::stop`.
        let _ = self.0.send(Event::Port(event));
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

    /// What tells it of the ports.
    #[must_use]
    pub fn port_reporter(&self) -> PortReporter {
        PortReporter(self.report.clone())
    }

    /// What has it read its policy again, from this file.
    #[must_use]
    pub fn reloader(&self, file: PathBuf) -> Reloader {
        Reloader::new(file, self.report.clone())
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
        let policy = self.plan.in_force.policy();
        let sources = Arc::new(SourceTable::new(policy.capacity(), None));
        let stop = AtomicBool::new(false);
        let notice = policy.notice();
        let redirect = notice.map(|notice| Redirect::new(&notice.url));
        thread::scope(|scope| {
            for index in 0..self.plan.workers {
                let engine = Engine::following(&self.plan.in_force, Arc::clone(&sources))
                    .restricted_by(self.plan.restrictions.clone());
                let report = self.report.clone();
                let (plan, stop) = (&self.plan, &stop);
                let redirect = redirect.clone();
                let body = move || employ(site, plan, index, (engine, redirect), stop, &report);
                let spawned = thread::Builder::new()
                    .name(format!("worker-{index}"))
                    .spawn_scoped(scope, body);
                if let Err(error) = spawned {
                    stop.store(true, Ordering::Relaxed);
                    return Err(error).with_context(|| format!("worker {index}: no thread"));
                }
            }
            let mut crew = Crew::new(self, &stop, &sources);
            crew.open(site, tell)?;
            site.ready()
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            let report = self.report.clone();
            // As in `Stopper::stop`.
            let listener = move || drop(report.send(Event::Restricted));
            self.plan.restrictions.listen(listener);
            crew.wall(site, tell);
            let obtained = obtained(site, &self.plan);
            tell(Notice::Started(&obtained));
            crew.watch(site, tell);
            Ok(crew.summary(site, obtained))
        })
    }
}

/// What the site got, and which core each worker has.
fn obtained(site: &impl Site, plan: &Plan) -> Obtained {
    let mut obtained = site.obtained();
    for queue in &mut obtained.queues {
        queue.core = plan.cores.get(queue.queue as usize).copied();
    }
    obtained
}

/// A worker's thread, from its first to its last act.
fn employ(
    site: &impl Site,
    plan: &Plan,
    index: usize,
    (mut engine, redirect): (Engine, Option<Redirect>),
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
        let worker = Worker::new(ports, engine, monotonic, plan.settings);
        let mut worker = worker.redirecting(redirect);
        if let Some(findings) = &plan.findings {
            worker = worker.telling(findings.clone());
        }
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

/// Attempts that found no room since the start.
fn found_full(workers: &Snapshot) -> u64 {
    let of_reason = |reason| workers.verdicts.of_reason(reason);
    of_reason(Reason::TableFull) + of_reason(Reason::TableFullForwarded)
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
    ports: [PortCounts; 2],
    lost: Vec<String>,
    stalls: Stalls,
    reloads: u64,
    sources: &'a SourceTable,
    crowding: Crowding,
}

impl<'a> Crew<'a> {
    fn new(supervisor: &'a Supervisor, stop: &'a AtomicBool, sources: &'a SourceTable) -> Self {
        Self {
            plan: &supervisor.plan,
            events: &supervisor.events,
            stop,
            published: vec![None; supervisor.plan.workers],
            at_work: supervisor.plan.workers,
            begun: Instant::now(),
            stopped_by: None,
            failures: Vec::new(),
            ports: Default::default(),
            lost: Vec::new(),
            stalls: Stalls::new(supervisor.plan.workers),
            reloads: 0,
            sources,
            crowding: Crowding::default(),
        }
    }

    /// Waits until every worker has its ports. If one can't have them, the others end.
    fn open(&mut self, site: &impl Site, tell: &mut dyn FnMut(Notice<'_>)) -> anyhow::Result<()> {
        while self.published.iter().any(Option::is_none) && self.at_work > 0 {
            let Ok(event) = self.events.recv() else { break };
            self.handle(event, site, tell);
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
                Ok(event) => self.handle(event, site, tell),
                Err(RecvTimeoutError::Timeout) => {
                    let now = self.sample(site);
                    tell(Notice::Rates(&Rates::between(&last, &now)));
                    let attempts = found_full(&now.workers);
                    if let Some(attempts) = self.crowding.untold(now.at, attempts) {
                        self.tell_full(attempts, tell);
                    }
                    last = now;
                    self.look_at_queues(tell);
                }
                // Cannot be: the supervisor has a sender itself.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let attempts = found_full(&self.sample(site).workers);
        if let Some(attempts) = self.crowding.rest(attempts) {
            self.tell_full(attempts, tell);
        }
    }

    fn tell_full(&self, attempts: u64, tell: &mut dyn FnMut(Notice<'_>)) {
        let policy = self.plan.in_force.policy();
        tell(Notice::TableFull(&TableFull {
            capacity: policy.capacity(),
            attempts,
            sources: self.sources.turned_away(),
            fallback: policy.full(),
        }));
    }

    fn look_at_queues(&mut self, tell: &mut dyn FnMut(Notice<'_>)) {
        for (worker, published) in self.published.iter().enumerate() {
            let Some(published) = published else { continue };
            for event in self.stalls.observe(worker, &published.read()) {
                tell(Notice::Queue(&event));
            }
        }
    }

    /// Has the kernel program know who is behind walls.
    fn wall(&self, site: &impl Site, tell: &mut dyn FnMut(Notice<'_>)) {
        let walls = self.plan.restrictions.walls(&self.plan.in_force.policy());
        if let Err(error) = site.wall(&walls) {
            tell(Notice::Walls(&error));
        }
    }

    fn handle(&mut self, event: Event, site: &impl Site, tell: &mut dyn FnMut(Notice<'_>)) {
        match event {
            Event::Restricted => self.wall(site, tell),
            Event::Opened(index, published) => self.published[index] = Some(published),
            Event::Stop(why) => {
                self.stop.store(true, Ordering::Relaxed);
                if self.stopped_by.is_none() {
                    tell(Notice::Stopping(&why));
                    self.stopped_by = Some(why);
                }
            }
            Event::Port(event) => {
                self.ports[event.side.index()].count(&event.change);
                tell(Notice::Port(&event));
                if event.change == PortChange::Gone {
                    self.stop.store(true, Ordering::Relaxed);
                    self.lost.push(event.interface);
                }
            }
            Event::Policy(wanted) => {
                let Wanted { policy, reply } = *wanted;
                let outcome = policy.and_then(|policy| self.change_policy(policy, site));
                self.reloads += u64::from(outcome.is_ok());
                tell(Notice::Policy(&outcome));
                // Whoever asked may have gone.
                let _ = reply.send(outcome);
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

    /// Has every worker judge by another policy, from its next batch on.
    fn change_policy(&self, next: Policy, site: &impl Site) -> Outcome {
        let in_force = &self.plan.in_force;
        let Successor {
            policy,
            observer,
            changes,
        } = succeed(&in_force.edition(), next)?;
        let generation = site.renew(&policy);
        let edition = Edition {
            policy,
            observer,
            generation: generation.map_err(|error| vec![format!("{error:#}")])?,
        };
        match &self.plan.cases {
            Some(cases) => cases.lock().adopt(in_force, edition),
            None => in_force.replace(edition),
        }
        Ok(changes)
    }

    fn sample(&self, site: &impl Site) -> Sample {
        let classes = self.plan.in_force.policy().classes().len();
        let mut workers = Snapshot::new(classes);
        for published in self.published.iter().flatten() {
            workers.merge(&published.read());
        }
        for (reason, class, frames) in site.leased(classes) {
            let outbound = Direction::Outbound;
            workers.verdicts.add(reason, outbound, Some(class), frames);
        }
        Sample {
            at: Instant::now(),
            workers,
            kernel: site.kernel(),
        }
    }

    fn summary(self, site: &impl Site, obtained: Obtained) -> Summary {
        let sample = self.sample(site);
        let by_worker = self.published.iter().flatten().map(Published::read);
        Summary {
            policy: self.plan.in_force.policy(),
            reloads: self.reloads,
            asked: self.plan.asked.clone(),
            obtained,
            by_worker: by_worker.collect(),
            workers: self.plan.workers,
            span: sample.at.saturating_duration_since(self.begun),
            sample,
            stopped_by: self.stopped_by,
            failures: self.failures,
            ports: self.ports,
            lost: self.lost,
        }
    }
}

#[cfg(test)]
mod tests;
