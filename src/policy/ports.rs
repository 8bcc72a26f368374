//! `[ports]`: the two interfaces, and how `lychgate run` works between them.
//!
//! Plain data. Every argument of `lychgate run` that is not about the policy itself is a key here,
//! under the same name and within the same [`Bounds`]; the argument goes before the key. What a
//! setting does to sockets, threads and the kernel is the business of those who have them.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::{
    diagnostic::{Remark, Report},
    reader::{Section, Shape, Value},
};

pub(super) const PORTS: Shape = Shape {
    title: "[ports]",
    keys: &[
        "access",
        "uplink",
        "steer",
        "fail",
        "at_exit",
        "zero_copy",
        "workers",
        "cores",
        "deadline",
        "stats",
        "json",
        "html",
        "batch",
        "spin",
        "ring",
        "frame_size",
        "huge_pages",
        "need_wakeup",
        "busy_poll",
        "busy_poll_time",
        "busy_poll_budget",
        "defer_irqs",
        "flush_timeout",
        "stamp",
    ],
};

/// Characters of a network interface's name (IFNAMSIZ of Linux, less its final zero).
const PORT_NAME_MAX: usize = 15;

/// The network interfaces that the box sits between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Towards subscribers.
    pub access: String,
    /// Towards the internet.
    pub uplink: String,
}

/// A choice that is written as one of a few words.
pub trait Word: Copy + Send + Sync + 'static {
    /// Every word, and what it means.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for it.
    fn word(self) -> &'static str;
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($word:literal $variant:ident $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $(#[doc = $text] $variant,)+ }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant),)+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }
        }
    };
}

words! {
    /// Which frames come to user space.
    Steer {
        "auto" Auto "All where both ports run without copying, else those that may be mail.",
        "all" All "All.",
        "mail" Mail "Those that may be mail; the rest crosses in the kernel.",
    }
}

words! {
    /// What becomes of frames that find no living worker.
    OnFailure {
        "open" Open "They cross.",
        "closed" Closed "They are dropped.",
    }
}

words! {
    /// What stays in the kernel when the box is stopped.
    AtExit {
        "bypass" Bypass "The program: frames go on crossing, unjudged.",
        "detach" Detach "Nothing: no frame crosses any more.",
    }
}

words! {
    /// Whether the cards write into the workers' memory themselves.
    ZeroCopy {
        "auto" Auto "Where both can.",
        "on" On "Yes, or the box does not start.",
        "off" Off "Never: the kernel copies each frame.",
    }
}

/// The numbers that a setting may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub low: u32,
    /// The greatest.
    pub high: u32,
    /// Whether it must be a power of 2 (or 0, where that is allowed).
    pub power_of_two: bool,
}

impl Bounds {
    const fn new(low: u32, high: u32) -> Self {
        Self {
            low,
            high,
            power_of_two: false,
        }
    }

    const fn power_of_two(low: u32, high: u32) -> Self {
        Self {
            low,
            high,
            power_of_two: true,
        }
    }

    const fn is_power(self, number: u32) -> bool {
        !self.power_of_two || number == 0 || number.is_power_of_two()
    }

    /// Reads a number as an argument has it.
    ///
    /// # Errors
    ///
    /// What it must be, if it is not.
    pub fn parse(self, text: &str) -> Result<u32, String> {
        let number = text.parse().ok();
        number
            .filter(|number| (self.low..=self.high).contains(number) && self.is_power(*number))
            .ok_or_else(|| format!("write {self}"))
    }
}

impl std::fmt::Display for Bounds {
    /// `a power of 2 from 16 to 32768`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match (self.power_of_two, self.low) {
            (true, 0) => "0 or a power of 2",
            (true, _) => "a power of 2",
            (false, _) => "a number",
        };
        write!(out, "{what} from {} to {}", self.low, self.high)
    }
}

/// Of `workers`: as many as the kernel program knows queues.
pub const WORKERS: Bounds = Bounds::new(1, 128);
/// Of each of `cores`.
pub const CORE: Bounds = Bounds::new(0, 8191);
/// Of `deadline`, in milliseconds.
pub const DEADLINE: Bounds = Bounds::new(1, 600_000);
/// Of `batch`, in frames.
pub const BATCH: Bounds = Bounds::new(1, 64);
/// Of `spin`, in microseconds.
pub const SPIN: Bounds = Bounds::new(0, 1_000_000);
/// Of `ring`, in frames.
pub const RING: Bounds = Bounds::power_of_two(16, 32_768);
/// Of `frame_size`, in octets.
pub const FRAME_SIZE: Bounds = Bounds::power_of_two(2048, 4096);
/// Of `busy_poll_time`, in microseconds.
pub const BUSY_POLL_TIME: Bounds = Bounds::new(1, 1_000_000);
/// Of `busy_poll_budget`, in frames.
pub const BUSY_POLL_BUDGET: Bounds = Bounds::new(1, 65_535);
/// Of `defer_irqs`.
pub const DEFER_IRQS: Bounds = Bounds::new(0, 1_000);
/// Of `flush_timeout`, in microseconds.
pub const FLUSH_TIMEOUT: Bounds = Bounds::new(0, 1_000_000);
/// Of `stamp`, in frames.
pub const STAMP: Bounds = Bounds::power_of_two(0, 1 << 20);

/// How `lychgate run` works. The defaults are good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSettings {
    /// Which frames come to user space.
    pub steer: Steer,
    /// What becomes of frames that find no living worker.
    pub fail: OnFailure,
    /// What stays in the kernel at the end.
    pub at_exit: AtExit,
    /// Whether the cards write into the workers' memory themselves.
    pub zero_copy: ZeroCopy,
    /// How many workers there must be; `None`: one for each queue.
    pub workers: Option<u32>,
    /// The core of each worker; none: cores near the cards.
    pub cores: Vec<u32>,
    /// How old a worker's sign of life may be, in milliseconds.
    pub deadline: u32,
    /// Whether a line is printed every second.
    pub stats: bool,
    /// Where the summary goes as JSON.
    pub json: Option<PathBuf>,
    /// Where the summary goes as a page.
    pub html: Option<PathBuf>,
    /// Frames that a worker takes from each port at once.
    pub batch: u32,
    /// How long a worker looks for more after a full batch, in microseconds.
    pub spin: u32,
    /// Descriptors in a receive or transmit ring.
    pub ring: u32,
    /// Octets of a frame's place in memory.
    pub frame_size: u32,
    /// Whether frames lie in huge pages.
    pub huge_pages: bool,
    /// Whether the kernel may ask for wake-ups instead of being woken at every turn.
    pub need_wakeup: bool,
    /// Whether workers drive the cards' queues from their own system calls.
    pub busy_poll: bool,
    /// How long such a call may poll, in microseconds.
    pub busy_poll_time: u32,
    /// How many frames such a call may process.
    pub busy_poll_budget: u32,
    /// With busy polling: how many times an empty poll keeps a card's interrupts off.
    pub defer_irqs: u32,
    /// With busy polling: how long they stay off at most, in microseconds.
    pub flush_timeout: u32,
    /// Of the frames that come to a worker, one in so many carries the time; 0: none.
    pub stamp: u32,
}

impl Default for RunSettings {
    fn default() -> Self {
        Self {
            steer: Steer::Auto,
            fail: OnFailure::Open,
            at_exit: AtExit::Bypass,
            zero_copy: ZeroCopy::Auto,
            workers: None,
            cores: Vec::new(),
            deadline: 20,
            stats: false,
            json: None,
            html: None,
            batch: 32,
            spin: 50,
            ring: 2048,
            frame_size: 2048,
            huge_pages: false,
            need_wakeup: true,
            busy_poll: false,
            busy_poll_time: 20,
            busy_poll_budget: 64,
            defer_irqs: 2,
            flush_timeout: 200,
            stamp: 64,
        }
    }
}

impl RunSettings {
    /// Every setting: its key, and its value as the file would have it.
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let word = |word: &'static str| format!("\"{word}\"");
        let path = |path: &Option<PathBuf>| {
            path.as_ref()
                .map_or_else(|| "none".to_owned(), |path| format!("{path:?}"))
        };
        let workers = self.workers.map(|workers| workers.to_string());
        let cores = match self.cores.as_slice() {
            [] => "near the cards".to_owned(),
            cores => format!("{cores:?}"),
        };
        vec![
            ("steer", word(self.steer.word())),
            ("fail", word(self.fail.word())),
            ("at_exit", word(self.at_exit.word())),
            ("zero_copy", word(self.zero_copy.word())),
            ("workers", workers.unwrap_or_else(|| "one a queue".into())),
            ("cores", cores),
            ("deadline", self.deadline.to_string()),
            ("stats", self.stats.to_string()),
            ("json", path(&self.json)),
            ("html", path(&self.html)),
            ("batch", self.batch.to_string()),
            ("spin", self.spin.to_string()),
            ("ring", self.ring.to_string()),
            ("frame_size", self.frame_size.to_string()),
            ("huge_pages", self.huge_pages.to_string()),
            ("need_wakeup", self.need_wakeup.to_string()),
            ("busy_poll", self.busy_poll.to_string()),
            ("busy_poll_time", self.busy_poll_time.to_string()),
            ("busy_poll_budget", self.busy_poll_budget.to_string()),
            ("defer_irqs", self.defer_irqs.to_string()),
            ("flush_timeout", self.flush_timeout.to_string()),
            ("stamp", self.stamp.to_string()),
        ]
    }

    /// Those that are not as by default.
    #[must_use]
    pub fn changed(&self) -> Vec<(&'static str, String)> {
        let both = self.rows().into_iter().zip(Self::default().rows());
        both.filter(|(ours, default)| ours != default)
            .map(|(ours, _)| ours)
            .collect()
    }
}

/// Reads the table's interfaces, if it names any.
pub(super) fn ports(table: &Section<'_>, report: &mut Report) -> Option<Ports> {
    if table.get("access").is_none() && table.get("uplink").is_none() && !table.is_empty() {
        return None; // only settings: the interfaces are the arguments'
    }
    let access = table
        .require("access", "\"eth1\"", report)
        .map(|value| port(value, report));
    let uplink = table
        .require("uplink", "\"eth2\"", report)
        .map(|value| port(value, report));
    let ports = Ports {
        access: access??,
        uplink: uplink??,
    };
    if ports.access == ports.uplink {
        report.error(table.spot, || {
            Remark::new(
                format!(
                    "access and uplink are the same interface, \"{}\"",
                    ports.access
                ),
                "name the interface towards subscribers and the one towards the internet",
            )
        });
    }
    Some(ports)
}

/// The name of a network interface as the kernel would take it.
fn port(value: Value<'_>, report: &mut Report) -> Option<String> {
    let name = value.string(report)?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == ':';
    if name.is_empty() || name.len() > PORT_NAME_MAX || name.contains(odd) {
        report.error(value.spot, || {
            Remark::new(
                format!("\"{name}\" cannot be the name of a network interface"),
                format!(
                    "write a name of at most {PORT_NAME_MAX} characters, as `ip link` shows it"
                ),
            )
        });
        return None;
    }
    Some(name.to_owned())
}

/// Reads the table's settings over the defaults.
pub(super) fn settings(table: &Section<'_>, report: &mut Report) -> RunSettings {
    let mut all = RunSettings::default();
    let mut keys = Keys { table, report };
    keys.word("steer", &mut all.steer);
    keys.word("fail", &mut all.fail);
    keys.word("at_exit", &mut all.at_exit);
    keys.word("zero_copy", &mut all.zero_copy);
    let mut workers = 0;
    keys.number("workers", WORKERS, &mut workers);
    all.workers = (workers > 0).then_some(workers);
    keys.cores(&mut all);
    keys.number("deadline", DEADLINE, &mut all.deadline);
    keys.flag("stats", &mut all.stats);
    keys.path("json", &mut all.json);
    keys.path("html", &mut all.html);
    keys.number("batch", BATCH, &mut all.batch);
    keys.number("spin", SPIN, &mut all.spin);
    keys.number("ring", RING, &mut all.ring);
    keys.number("frame_size", FRAME_SIZE, &mut all.frame_size);
    keys.flag("huge_pages", &mut all.huge_pages);
    keys.flag("need_wakeup", &mut all.need_wakeup);
    keys.flag("busy_poll", &mut all.busy_poll);
    keys.number("busy_poll_time", BUSY_POLL_TIME, &mut all.busy_poll_time);
    keys.number(
        "busy_poll_budget",
        BUSY_POLL_BUDGET,
        &mut all.busy_poll_budget,
    );
    keys.number("defer_irqs", DEFER_IRQS, &mut all.defer_irqs);
    keys.number("flush_timeout", FLUSH_TIMEOUT, &mut all.flush_timeout);
    keys.number("stamp", STAMP, &mut all.stamp);
    if !all.busy_poll {
        keys.warn_of_idle_busy_poll();
    }
    all
}

/// The table's keys; a value that is wrong is reported, and the setting stays as it was.
struct Keys<'a, 'r> {
    table: &'a Section<'a>,
    report: &'r mut Report,
}

impl Keys<'_, '_> {
    fn word<T: Word>(&mut self, key: &'static str, into: &mut T) {
        let value = self.table.get(key);
        if let Some(found) = value.and_then(|value| value.word(T::WORDS, self.report)) {
            *into = found;
        }
    }

    fn flag(&mut self, key: &'static str, into: &mut bool) {
        let value = self.table.get(key);
        if let Some(found) = value.and_then(|value| value.boolean(self.report)) {
            *into = found;
        }
    }

    fn path(&mut self, key: &'static str, into: &mut Option<PathBuf>) {
        let value = self.table.get(key);
        *into = value.and_then(|value| value.string(self.report).map(PathBuf::from));
    }

    fn number(&mut self, key: &'static str, bounds: Bounds, into: &mut u32) {
        if let Some(value) = self.table.get(key)
            && let Some(found) = number(value, bounds, self.report)
        {
            *into = found;
        }
    }

    fn cores(&mut self, all: &mut RunSettings) {
        let Some(value) = self.table.get("cores") else {
            return;
        };
        let elements = value.array("core numbers", self.report);
        for element in elements {
            let Some(core) = number(element, CORE, self.report) else {
                continue;
            };
            if all.cores.contains(&core) {
                self.report.error(element.spot, || {
                    Remark::new(
                        format!("core {core} is given twice"),
                        "give each worker a core of its own",
                    )
                });
            }
            all.cores.push(core);
        }
        let given = all.cores.len();
        if let Some(workers) = all.workers.filter(|workers| given < *workers as usize) {
            self.report.error(value.spot, || {
                Remark::new(
                    format!("`cores` has {given} for {workers} workers"),
                    "name a core for each worker, or leave `cores` out",
                )
            });
        }
    }

    fn warn_of_idle_busy_poll(&mut self) {
        for key in [
            "busy_poll_time",
            "busy_poll_budget",
            "defer_irqs",
            "flush_timeout",
        ] {
            if let Some(value) = self.table.get(key) {
                self.report.warning(value.spot, || {
                    Remark::new(
                        format!("`{key}` has no effect: there is no busy polling"),
                        "add busy_poll = true, or take this out",
                    )
                });
            }
        }
    }
}

fn number(value: Value<'_>, bounds: Bounds, report: &mut Report) -> Option<u32> {
    let remedy = if bounds.power_of_two {
        ": a power of 2"
    } else {
        ""
    };
    let number = value.integer(bounds.low..=bounds.high, remedy, report)?;
    if !bounds.is_power(number) {
        report.error(value.spot, || {
            let below = 1 << number.ilog2();
            Remark::new(
                format!("`{}` is {number}, which is no power of 2", value.name),
                format!("choose {below} or {}", 2 * below),
            )
        });
        return None;
    }
    Some(number)
}
