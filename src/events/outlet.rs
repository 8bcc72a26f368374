//! A queue of fixed length and a thread that empties it, patiently.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::Event;

/// Events that wait for one outlet.
pub const QUEUE_MAX: usize = 1_024;

/// Something that events can be written to.
pub trait Writer: Send + 'static {
    /// Writes one event.
    ///
    /// # Errors
    ///
    /// Why it can't, and whether trying again may help.
    fn write(&mut self, event: &Event) -> Result<(), Failure>;
}

/// Why an event could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What is wrong.
    pub why: String,
    /// Whether it may pass.
    pub again: bool,
}

/// How long and how often an outlet tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// The pause after the first failure; each further one is twice as long.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// Attempts in all.
    pub attempts: u32,
}

impl Default for Patience {
    /// About an hour: pauses of 1, 2, 4 … seconds, then of 5 minutes.
    fn default() -> Self {
        Self {
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(300),
            attempts: 20,
        }
    }
}

/// What became of the events of an outlet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Delivered.
    pub delivered: u64,
    /// Attempts that failed and were followed by another one.
    pub retried: u64,
    /// Given up.
    pub failed: u64,
    /// Lost, because the queue was full.
    pub lost: u64,
    /// Why the last attempt that failed did.
    pub last_failure: Option<String>,
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl Counts {
    fn told(&self) -> Told {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let last = self.last_failure.lock();
        Told {
            delivered: get(&self.delivered),
            retried: get(&self.retried),
            failed: get(&self.failed),
            lost: get(&self.lost),
            last_failure: last.unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    fn fails(&self, why: String) {
        let last = self.last_failure.lock();
        *last.unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

fn add_one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// A writer with its queue and its thread.
#[derive(Debug)]
pub struct Outlet {
    name: &'static str,
    queue: Sender<Arc<Event>>,
    counts: Arc<Counts>,
    /// Dropped, it ends every pause.
    abandon: Sender<()>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Outlet {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// The system has no thread for us.
    pub fn start(name: &'static str, writer: impl Writer, patience: Patience) -> io::Result<Self> {
        let (queue, events) = bounded(QUEUE_MAX);
        let (abandon, abandoned) = bounded(0);
        let (ending, ended) = bounded::<()>(0);
        let counts = Arc::new(Counts::default());
        let mut delivery = Delivery {
            writer,
            patience,
            counts: Arc::clone(&counts),
            abandoned,
        };
        let thread = thread::Builder::new()
            .name(format!("events-{name}"))
            .spawn(move || {
                delivery.run(&events);
                drop(ending);
            })?;
        Ok(Self {
            name,
            queue,
            counts,
            abandon,
            ended,
            thread,
        })
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Queues an event, or counts it as lost.
    pub fn tell(&self, event: &Arc<Event>) {
        if self.queue.try_send(Arc::clone(event)).is_err() {
            add_one(&self.counts.lost);
        }
    }

    /// What became of the events so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.counts.told()
    }

    /// Waits at most so long for the queue to be emptied, then gives up what is left in it.
    pub fn stop(self, grace: Duration) -> Told {
        drop(self.queue);
        // Nothing is ever sent: the answer is "closed" or "not yet".
        let _ = self.ended.recv_timeout(grace);
        drop(self.abandon);
        if self.thread.join().is_err() {
            self.counts.fails("its thread has panicked".to_owned());
        }
        self.counts.told()
    }
}

/// What the thread does.
struct Delivery<W> {
    writer: W,
    patience: Patience,
    counts: Arc<Counts>,
    abandoned: Receiver<()>,
}

impl<W: Writer> Delivery<W> {
    fn run(&mut self, events: &Receiver<Arc<Event>>) {
        let mut abandoned = false;
        for event in events {
            if abandoned || !self.deliver(&event) {
                abandoned = true;
                add_one(&self.counts.failed);
            }
        }
    }

    /// Delivers an event or gives it up; false if it was abandoned in between.
    fn deliver(&mut self, event: &Event) -> bool {
        let mut pause = self.patience.pause_first;
        for attempt in 1.. {
            let Err(failure) = self.writer.write(event) else {
                add_one(&self.counts.delivered);
                return true;
            };
            self.counts.fails(failure.why);
            if !failure.again || attempt >= self.patience.attempts {
                break;
            }
            add_one(&self.counts.retried);
            if self.abandoned.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return false;
            }
            pause = (pause * 2).min(self.patience.pause_max);
        }
        add_one(&self.counts.failed);
        true
    }
}
