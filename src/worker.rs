//! One worker: a thread that carries frames from port to port and lets the engine judge them.
//!
//! ```text
//! round:  receive (access, uplink) → one clock read → engine → transmit | release | answer → flush
//! tick:   sign of life → census → publish counts
//! ```
//!
//! Promises:
//!
//! - A frame whose verdict is to forward leaves by the other port, byte for byte, behind every frame
//!   of its direction that was received before it. A frame is sent once or not at all.
//! - One direction never waits for the other. If the ring that a frame should leave by is full, the
//!   worker flushes, which makes room wherever the kernel can take frames at all, and tries again,
//!   [`RETRIES`] times a round and port; then the frame is dropped and counted (`tx_full`). Holding
//!   it back instead would fill this direction's receive ring and be the same loss, uncounted, or
//!   would block the loop that the other direction needs as well.
//! - Nothing is allocated after [`Worker::new`], unless another policy comes into force; readers of its counts never make it wait.
//! - Every frame of the memory is accounted for at every tick (invariant 1): asserted in debug
//!   builds, counted in others.
//!
//! It leaves to others: what rings are ([`crate::io`]), what a verdict is ([`crate::engine`]),
//! threads, cores and signals ([`crate::control`]).

mod counts;
mod idle;

use std::{
    io, mem,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::Sender,
    },
    time::Duration,
};

use arrayvec::ArrayVec;

pub use counts::{DirectionCounts, Flow, Histograms, Published, Snapshot};

use self::idle::Idle;
use crate::{
    detect::Flag,
    engine::{Action, Direction, Engine, Frame, Judgements, Nanos},
    io::{Lease, Ports, Side},
    wire::{self, Link, Redirect, Service},
};

/// At most this many frames are taken from each port in a round.
pub const BATCH_MAX: usize = 64;

/// How often in a round a full transmit ring is flushed and tried again, per port.
///
/// One flush lets the kernel take what it can at once: in copy mode 32 frames or more, in zero-copy
/// mode whatever the card has sent. A second one gives the card the time of a system call. If there
/// is no room then, the port is slower than the traffic, and waiting longer only moves the loss.
pub const RETRIES: u32 = 2;

/// One round in so many is timed: a clock read is not free in a virtual machine.
const ROUNDS_PER_TIMED: u64 = 16;

/// How long a draining worker sleeps while frames are leaving, whose end no wake-up announces.
const DRAIN_NAP: Duration = Duration::from_micros(100);

/// Room for an answer in all its encapsulations: 2 Ethernet addresses, tags, PPPoE, labels, an outer
/// and an inner IP header without options, TCP, and a redirect.
const ANSWER_MAX: usize = 1024;

/// How a worker works. The defaults suit a dedicated core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Frames taken from each port in a round, 1 to [`BATCH_MAX`]. The default is what one wake-up
    /// sends in copy mode.
    pub batch: usize,
    /// How long the rings are looked at after a full batch before the worker sleeps. 0: at once.
    pub spin: Duration,
    /// Time between ticks. The heartbeat's deadline must be several of it.
    pub tick: Duration,
    /// Time between publications of the counts, rounded up to ticks.
    pub publish: Duration,
    /// How long a stopped worker goes on to send what it has.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: 32,
            spin: Duration::from_micros(50),
            tick: Duration::from_millis(4),
            publish: Duration::from_millis(100),
            drain: Duration::from_millis(200),
        }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`: the clock of the kernel program's heartbeat, leases and time
/// stamps, and so of every live worker.
#[must_use]
pub fn monotonic() -> Nanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |part| u64::try_from(part).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// The direction of frames that arrive on a port.
#[must_use]
pub const fn direction_from(side: Side) -> Direction {
    match side {
        Side::Access => Direction::Outbound,
        Side::Uplink => Direction::Inbound,
    }
}

/// A worker over its ports `P`, with a clock `C`.
#[derive(Debug)]
pub struct Worker<P: Ports, C> {
    ports: P,
    engine: Engine,
    clock: C,
    settings: Settings,
    idle: Idle,
    frames: Vec<P::Frame>,
    judgements: Judgements,
    /// Retries left in this round, by port.
    patience: [u32; 2],
    /// Time stamps of the frames that this round forwards.
    arrivals: Vec<Nanos>,
    counts: Snapshot,
    published: Published,
    findings: Option<Sender<Flag>>,
    redirect: Option<Redirect>,
    tick_at: Nanos,
    publish_at: Nanos,
}

impl<P: Ports, C: FnMut() -> Nanos> Worker<P, C> {
    /// A worker that is ready to run. `clock` never runs backwards.
    ///
    /// # Panics
    ///
    /// If the batch is 0 or more than [`BATCH_MAX`].
    pub fn new(ports: P, engine: Engine, clock: C, settings: Settings) -> Self {
        assert!(
            (1..=BATCH_MAX).contains(&settings.batch),
            "a batch is 1 to {BATCH_MAX} frames of each port"
        );
        let classes = engine.policy().classes().len();
        Self {
            ports,
            engine,
            clock,
            idle: Idle::new(settings.spin, settings.batch),
            settings,
            frames: Vec::with_capacity(2 * BATCH_MAX),
            judgements: Judgements {
                verdicts: Vec::with_capacity(2 * BATCH_MAX),
                attempts: Vec::with_capacity(2 * BATCH_MAX),
                flags: Vec::new(),
                leases: Vec::with_capacity(2 * BATCH_MAX),
            },
            patience: [0; 2],
            arrivals: Vec::with_capacity(2 * BATCH_MAX),
            counts: Snapshot::new(classes),
            published: Published::new(classes),
            findings: None,
            redirect: None,
            tick_at: 0,
            publish_at: 0,
        }
    }

    /// The same worker, that also tells what detectors find.
    #[must_use]
    pub fn telling(self, findings: Sender<Flag>) -> Self {
        let findings = Some(findings);
        Self { findings, ..self }
    }

    /// The same worker, that answers as the engine wants browsers redirected. Workers of one box
    /// share a redirect's key: give them clones.
    #[must_use]
    pub fn redirecting(self, redirect: Option<Redirect>) -> Self {
        Self { redirect, ..self }
    }

    /// Where others read what it has done.
    #[must_use]
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Works until `stop` is set, then drains. What it did is published at the end, however that
    /// came.
    ///
    /// # Errors
    ///
    /// The ports failed for good.
    pub fn run(&mut self, stop: &AtomicBool) -> io::Result<()> {
        let worked = self.work(stop);
        self.ports.retire();
        let ended = worked.and_then(|()| self.drain());
        self.check();
        self.collect();
        self.published.publish(&mut self.counts);
        ended
    }

    fn work(&mut self, stop: &AtomicBool) -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let (frames, now) = self.round()?;
            if now >= self.tick_at {
                self.tick(now);
            }
            if frames > 0 {
                continue;
            }
            if let Some(nap) = self.idle.pause(now, self.tick_at) {
                self.counts.sleeps += 1;
                self.ports.wait(nap)?;
            }
        }
        Ok(())
    }

    /// Goes on until no frame comes any more and all have left, but not for ever: the kernel may
    /// have no bypass, or the cable be out.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = (self.clock)().saturating_add(nanos(self.settings.drain));
        loop {
            let (frames, now) = self.round()?;
            let is_done = frames == 0 && self.ports.census().is_drained();
            if is_done || now >= deadline {
                return Ok(());
            }
            if frames == 0 {
                self.ports.wait(DRAIN_NAP)?;
            }
        }
    }

    /// One round. Says how many frames there were, and the time.
    ///
    /// # Errors
    ///
    /// The ports failed for good.
    fn round(&mut self) -> io::Result<(usize, Nanos)> {
        let arrived = Side::BOTH.map(|side| {
            self.ports
                .receive(side, self.settings.batch, &mut self.frames)
        });
        let now = (self.clock)();
        let count = self.frames.len();
        self.counts.rounds += 1;
        if count > 0 {
            self.judge(arrived[0], now);
            self.carry_out(arrived[0]);
            if !self.judgements.flags.is_empty() {
                self.tell_flags();
            }
            self.lease();
        }
        self.ports.flush()?;
        if count > 0 {
            self.measure(count, now);
            self.idle.worked(count.min(self.settings.batch), now);
        }
        Ok((count, now))
    }

    /// Judges the batch: first `outbound` frames from the access port, then those from the uplink.
    fn judge(&mut self, outbound: usize, now: Nanos) {
        let ports = &self.ports;
        let frames = self.frames.iter().enumerate().map(|(index, token)| Frame {
            bytes: ports.bytes(token),
            wire_length: u32::try_from(ports.wire_length(token)).unwrap_or(u32::MAX),
            link: Link::Ethernet,
            direction: Some(direction_from(side_of(index, outbound))),
            time: now,
        });
        let frames: ArrayVec<_, { 2 * BATCH_MAX }> = frames.collect();
        self.engine.process(&frames, &mut self.judgements);
    }

    /// Rare, and never waits: the channel grows with the subscribers that are found.
    #[cold]
    fn tell_flags(&mut self) {
        for flag in self.judgements.flags.drain(..) {
            if let Some(findings) = &self.findings {
                // An error means that nobody listens any more.
                let _ = findings.send(flag);
            }
        }
    }

    /// Does with every frame of the batch what its verdict says, in order.
    fn carry_out(&mut self, outbound: usize) {
        self.patience = [RETRIES; 2];
        let mut frames = mem::take(&mut self.frames);
        for (index, frame) in frames.drain(..).enumerate() {
            let side = side_of(index, outbound);
            let octets = self.ports.wire_length(&frame);
            self.counts.directions[side.index()].received.count(octets);
            match self.judgements.verdicts[index].action {
                Action::Forward => self.forward(side, frame, octets),
                Action::Drop => {
                    self.ports.release(frame);
                    self.counts.directions[side.index()].dropped += 1;
                }
                action @ (Action::Reset | Action::Redirect) => self.answer(side, frame, action),
            }
        }
        self.frames = frames;
    }

    /// Leaves to the ports what they may refuse by themselves.
    #[inline]
    fn lease(&mut self) {
        if !self.judgements.leases.is_empty() {
            let leases = self.judgements.leases.iter().map(|lease| Lease {
                source: lease.source,
                is_submission: lease.service == Service::Submission,
                until: lease.until,
                generation: lease.generation,
                counter: lease.counter(),
            });
            let leases: ArrayVec<_, { 2 * BATCH_MAX }> = leases.collect();
            self.ports.lease(&leases);
        }
    }

    #[inline]
    fn forward(&mut self, side: Side, frame: P::Frame, octets: usize) {
        let arrival = self.ports.arrival(&frame);
        let is_queued = self.queue(side.other(), frame);
        let counts = &mut self.counts.directions[side.index()];
        if is_queued {
            counts.forwarded.count(octets);
            self.arrivals.extend(arrival);
        } else {
            counts.tx_full += 1;
        }
    }

    /// Turns a frame into the answer to it, and sends that back.
    #[cold]
    fn answer(&mut self, side: Side, mut frame: P::Frame, action: Action) {
        let is_answered = if self.turn_into_answer(&mut frame, action) {
            self.queue(side, frame)
        } else {
            self.ports.release(frame);
            false
        };
        let counts = &mut self.counts.directions[side.index()];
        *match (is_answered, action) {
            (false, _) => &mut counts.unanswered,
            (true, Action::Redirect) => &mut counts.redirected,
            (true, _) => &mut counts.reset,
        } += 1;
    }

    /// Says whether there was a fit answer, and room for it.
    fn turn_into_answer(&mut self, frame: &mut P::Frame, action: Action) -> bool {
        let mut out = [0; ANSWER_MAX];
        let (bytes, link) = (self.ports.bytes(frame), Link::Ethernet);
        let wire_length = u32::try_from(self.ports.wire_length(frame)).unwrap_or(u32::MAX);
        let policy = self.engine.policy();
        let Some(segment) = wire::tcp_segment(bytes, wire_length, link, &|address| {
            policy.is_concentrator(address)
        }) else {
            return false;
        };
        let built = match (action, &self.redirect) {
            (Action::Redirect, Some(redirect)) => redirect.answer(bytes, link, &segment, &mut out),
            (Action::Redirect, None) => None,
            _ => wire::build_reset(bytes, link, &segment, &mut out),
        };
        built.is_some_and(|length| self.ports.replace(frame, &out[..length]))
    }

    /// Queues a frame to leave by `out`, or drops it if the ring stays full. Errors of a flush are
    /// for the one that ends the round, which meets them again.
    #[inline]
    fn queue(&mut self, out: Side, frame: P::Frame) -> bool {
        match self.ports.transmit(out, frame) {
            Ok(()) => true,
            Err(frame) => self.queue_again(out, frame),
        }
    }

    #[cold]
    fn queue_again(&mut self, out: Side, mut frame: P::Frame) -> bool {
        while self.patience[out.index()] > 0 && self.ports.flush().is_ok() {
            self.patience[out.index()] -= 1;
            match self.ports.transmit(out, frame) {
                Ok(()) => return true,
                Err(back) => frame = back,
            }
        }
        self.ports.release(frame);
        false
    }

    /// Records a round of `count` frames that began at `begun` and has just been flushed.
    fn measure(&mut self, count: usize, begun: Nanos) {
        let histograms = &mut self.counts.histograms;
        histograms.batch.saturating_record(count as u64);
        let is_timed = self.counts.rounds.is_multiple_of(ROUNDS_PER_TIMED);
        if !is_timed && self.arrivals.is_empty() {
            return;
        }
        let now = (self.clock)();
        if is_timed {
            let each = now.saturating_sub(begun) / count as u64;
            histograms.service.saturating_record_n(each, count as u64);
        }
        for arrival in self.arrivals.drain(..) {
            histograms
                .residence
                .saturating_record(now.saturating_sub(arrival));
        }
    }

    /// What is done now and then, whether frames come or not.
    fn tick(&mut self, now: Nanos) {
        self.ports.beat();
        self.check();
        self.tick_at = now.saturating_add(nanos(self.settings.tick));
        if now >= self.publish_at {
            self.collect();
            if self.published.try_publish(&mut self.counts) {
                self.publish_at = now.saturating_add(nanos(self.settings.publish));
            }
        }
    }

    /// Brings what others count into the counts.
    fn collect(&mut self) {
        self.counts.verdicts.copy_from(self.engine.counters());
        self.counts.missed = self.ports.missed();
    }

    /// Invariant 1: between rounds the worker holds nothing, and every frame is somewhere once.
    fn check(&mut self) {
        self.counts.census = self.ports.census();
        let census = &self.counts.census;
        let is_sound = census.is_conserved()
            && census.held == 0
            && self
                .counts
                .directions
                .iter()
                .all(DirectionCounts::is_balanced);
        debug_assert!(is_sound, "a frame is lost or doubled: {:?}", self.counts);
        self.counts.breaches += u64::from(!is_sound);
    }
}

/// Which port the frame at `index` of a batch came from, whose first `outbound` frames are from
/// the access port.
const fn side_of(index: usize, outbound: usize) -> Side {
    if index < outbound {
        Side::Access
    } else {
        Side::Uplink
    }
}

fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
