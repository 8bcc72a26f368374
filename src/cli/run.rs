//! `lychgate run`: the bump in the wire. And `lychgate detach`, which takes it out again.

use std::path::PathBuf;

use clap::{
    Args, ValueHint,
    builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser},
};

use crate::policy::{
    self, AtExit, BATCH, BUSY_POLL_BUDGET, BUSY_POLL_TIME, CORE, DEADLINE, DEFER_IRQS,
    FLUSH_TIMEOUT, FRAME_SIZE, OnFailure, RING, SPIN, STAMP, Steer, WORKERS, Word, ZeroCopy,
};

#[cfg(feature = "xdp")]
mod cases;
#[cfg(feature = "xdp")]
mod events;
#[cfg(feature = "xdp")]
mod live;

#[cfg(feature = "xdp")]
pub use live::{detach, run};
#[cfg(feature = "xdp")]
pub(super) use live::{interfaces, wanted};

const EXAMPLES: &str = "\
Examples:
  lychgate run --access eth1 --uplink eth2 --policy isp.toml
  lychgate run --policy isp.toml --stats                 ports as the policy names them
  lychgate run -p isp.toml --steer all --zero-copy on --cores 2,3 --json run.json --html run.html

Every argument but --policy is a key of the policy's [ports] table, too (with _ for -); what stands
here goes first. `lychgate check` shows what the table says.

The first SIGTERM or SIGINT drains the workers, a second one ends the process at once. Either way
frames go on crossing in the kernel, unjudged, until the next `lychgate run` takes over or
`lychgate detach` takes everything off (--at-exit detach does so at once).

Before it starts, it looks at the interfaces (as `lychgate preflight` does), puts right what can be and
waits for links that are down. What it put right stays as long as its kernel program does.

Exit status: 0 stopped when asked to; 1 a worker failed, a port was removed, or a frame was lost by a
bug; 2 arguments, policy or interfaces cannot be used.";

/// Join two interfaces, forward every frame between them, and police mail on the way.
///
/// Nothing but mail is touched: everything else crosses byte for byte. If the process dies or hangs,
/// frames cross in the kernel instead (--fail closed drops them).
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    ports: PortArgs,

    /// The policy to enforce
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    policy: PathBuf,

    /// Which frames come to user space: all; only what may be mail; or all where both ports run
    /// without copying, else only what may be mail (default: auto)
    #[arg(long, value_name = "WHICH", value_parser = word::<Steer>())]
    steer: Option<Steer>,

    /// Let the cards write into the workers' memory themselves: where both can; else fail; or never
    /// (default: auto)
    #[arg(long, value_name = "WHEN", value_parser = word::<ZeroCopy>())]
    zero_copy: Option<ZeroCopy>,

    /// What becomes of frames when there is no living worker: they cross, or are dropped (default:
    /// open)
    #[arg(long, value_name = "HOW", value_parser = word::<OnFailure>())]
    fail: Option<OnFailure>,

    /// What stays in the kernel at the end: the bypass, or nothing (default: bypass)
    #[arg(long, value_name = "WHAT", value_parser = word::<AtExit>())]
    at_exit: Option<AtExit>,

    /// Workers; there must be one for each queue of the interfaces (default: one a queue)
    #[arg(long, value_name = "N", value_parser = number(WORKERS))]
    workers: Option<u32>,

    /// The core of each worker, separated by commas (default: near the cards, the last core first)
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = number(CORE))]
    cores: Option<Vec<u32>>,

    /// Print a line every second: frames and bits per direction, verdicts, drops by cause
    /// (default: false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    stats: Option<bool>,

    /// Write the summary as JSON when it ends (default: none)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    json: Option<PathBuf>,

    /// Write the summary as a page with percentile plots when it ends (default: none)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,

    #[command(flatten)]
    tuning: TuningArgs,
}

/// Take Lychgate's kernel program off the interfaces: no frame crosses any more. What was put right on
/// them is put back.
#[derive(Args, Debug)]
pub struct DetachArgs {
    /// The interface towards the subscribers
    #[arg(long, value_name = "IF")]
    access: String,

    /// The interface towards the internet
    #[arg(long, value_name = "IF")]
    uplink: String,
}

#[derive(Args, Debug)]
pub(super) struct PortArgs {
    /// The interface towards the subscribers, if not as the policy names it
    #[arg(long, value_name = "IF")]
    access: Option<String>,

    /// The interface towards the internet, if not as the policy names it
    #[arg(long, value_name = "IF")]
    uplink: Option<String>,
}

/// Only for performance: the defaults are good.
#[derive(Args, Debug)]
#[command(next_help_heading = "Only for performance")]
struct TuningArgs {
    /// Frames that a worker takes from each port at once (default: 32)
    #[arg(long, value_name = "FRAMES", value_parser = number(BATCH))]
    batch: Option<u32>,

    /// How long a worker looks for more after a full batch before it sleeps (default: 50)
    #[arg(long, value_name = "MICROSECONDS", value_parser = number(SPIN))]
    spin: Option<u32>,

    /// Descriptors in each ring: a power of 2 (default: 2048)
    #[arg(long, value_name = "FRAMES", value_parser = number(RING))]
    ring: Option<u32>,

    /// Octets of a frame's place in memory: 2048, or 4096 for an MTU above 1770 (default: 2048)
    #[arg(long, value_name = "OCTETS", value_parser = number(FRAME_SIZE))]
    frame_size: Option<u32>,

    /// Keep frames in huge pages, set aside with sysctl vm.nr_hugepages (default: false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    huge_pages: Option<bool>,

    /// Let the kernel ask for wake-ups instead of waking it at every turn (default: true)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    need_wakeup: Option<bool>,

    /// Let workers drive the cards' queues from their own system calls (default: false)
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    busy_poll: Option<bool>,

    /// With --busy-poll: how long a system call may poll (default: 20)
    #[arg(long, value_name = "MICROSECONDS", value_parser = number(BUSY_POLL_TIME))]
    busy_poll_time: Option<u32>,

    /// With --busy-poll: how many frames a system call may process (default: 64)
    #[arg(long, value_name = "FRAMES", value_parser = number(BUSY_POLL_BUDGET))]
    busy_poll_budget: Option<u32>,

    /// With --busy-poll: how many empty polls keep a card's interrupts off (default: 2)
    #[arg(long, value_name = "POLLS", value_parser = number(DEFER_IRQS))]
    defer_irqs: Option<u32>,

    /// With --busy-poll: how long interrupts stay off at most (default: 200)
    #[arg(long, value_name = "MICROSECONDS", value_parser = number(FLUSH_TIMEOUT))]
    flush_timeout: Option<u32>,

    /// Time one frame in so many from its arrival to its departure: a power of 2, or 0 for none
    /// (default: 64)
    #[arg(long, value_name = "FRAMES", value_parser = number(STAMP))]
    stamp: Option<u32>,

    /// How old a worker's sign of life may be before its frames bypass it (default: 20)
    #[arg(long, value_name = "MILLISECONDS", value_parser = number(DEADLINE))]
    deadline: Option<u32>,
}

impl RunArgs {
    /// What the arguments say, over what the policy says.
    #[cfg_attr(not(feature = "xdp"), cfg(test))]
    fn over(&self, policy: &policy::RunSettings) -> policy::RunSettings {
        let tuning = &self.tuning;
        let or = |given: Option<u32>, named: u32| given.unwrap_or(named);
        policy::RunSettings {
            steer: self.steer.unwrap_or(policy.steer),
            fail: self.fail.unwrap_or(policy.fail),
            at_exit: self.at_exit.unwrap_or(policy.at_exit),
            zero_copy: self.zero_copy.unwrap_or(policy.zero_copy),
            workers: self.workers.or(policy.workers),
            cores: self.cores.as_ref().unwrap_or(&policy.cores).clone(),
            deadline: or(tuning.deadline, policy.deadline),
            stats: self.stats.unwrap_or(policy.stats),
            json: self.json.as_ref().or(policy.json.as_ref()).cloned(),
            html: self.html.as_ref().or(policy.html.as_ref()).cloned(),
            batch: or(tuning.batch, policy.batch),
            spin: or(tuning.spin, policy.spin),
            ring: or(tuning.ring, policy.ring),
            frame_size: or(tuning.frame_size, policy.frame_size),
            huge_pages: tuning.huge_pages.unwrap_or(policy.huge_pages),
            need_wakeup: tuning.need_wakeup.unwrap_or(policy.need_wakeup),
            busy_poll: tuning.busy_poll.unwrap_or(policy.busy_poll),
            busy_poll_time: or(tuning.busy_poll_time, policy.busy_poll_time),
            busy_poll_budget: or(tuning.busy_poll_budget, policy.busy_poll_budget),
            defer_irqs: or(tuning.defer_irqs, policy.defer_irqs),
            flush_timeout: or(tuning.flush_timeout, policy.flush_timeout),
            stamp: or(tuning.stamp, policy.stamp),
        }
    }
}

/// Takes one of a setting's words.
pub(super) fn word<T: Word>() -> impl TypedValueParser<Value = T> {
    let names = T::WORDS.iter().map(|(name, _)| *name);
    PossibleValuesParser::new(names).try_map(|given| {
        let found = T::WORDS.iter().find(|(name, _)| *name == given);
        found.map(|&(_, meaning)| meaning).ok_or("no such word")
    })
}

/// Takes a number within a setting's bounds.
pub(super) fn number(bounds: policy::Bounds) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| bounds.parse(text)
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn run(_args: RunArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::no_live_ports())
}

/// Says what is missing.
#[cfg(not(feature = "xdp"))]
pub fn detach(_args: DetachArgs) -> anyhow::Result<std::process::ExitCode> {
    Err(super::no_live_ports())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::policy::RunSettings;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        run: RunArgs,
    }

    fn over(policy: &RunSettings, arguments: &[&str]) -> RunSettings {
        let arguments = [&["lychgate", "-p", "isp.toml"], arguments].concat();
        let program = Program::try_parse_from(arguments);
        program
            .unwrap_or_else(|error| panic!("{error}"))
            .run
            .over(policy)
    }

    /// The arguments that are settings, with their help.
    fn arguments() -> BTreeMap<String, String> {
        let command = Program::command();
        let arguments = command.get_arguments().filter_map(|argument| {
            let name = argument.get_long()?.replace('-', "_");
            Some((name, argument.get_help()?.to_string()))
        });
        let others = ["access", "uplink", "policy"];
        arguments
            .filter(|(name, _)| !others.contains(&name.as_str()))
            .collect()
    }

    #[test]
    fn every_key_is_an_argument_of_the_same_name_and_default_and_the_other_way_round() {
        let mut arguments = arguments();
        for (key, default) in RunSettings::default().rows() {
            let help = arguments.remove(key);
            let help = help.unwrap_or_else(|| panic!("{key} is no argument"));
            let default = default.replace('"', "");
            assert!(
                help.contains(&format!("(default: {default}")),
                "{key}: {help}"
            );
        }
        assert!(arguments.is_empty(), "no keys: {arguments:?}");
    }

    #[test]
    fn an_argument_goes_before_the_policys_key_and_the_key_before_the_default() {
        let policy = RunSettings {
            steer: Steer::Mail,
            stats: true,
            need_wakeup: false,
            ring: 512,
            cores: vec![3],
            ..RunSettings::default()
        };
        assert_eq!(over(&policy, &[]), policy);
        let given = over(
            &policy,
            &[
                "--steer",
                "all",
                "--stats=false",
                "--need-wakeup",
                "--ring",
                "64",
                "--cores",
                "1,2",
            ],
        );
        let expected = RunSettings {
            steer: Steer::All,
            ring: 64,
            cores: vec![1, 2],
            ..RunSettings::default()
        };
        assert_eq!(given, expected);
    }

    #[test]
    fn every_setting_can_be_given() {
        let changed = over(
            &RunSettings::default(),
            &[
                "--steer",
                "mail",
                "--fail",
                "closed",
                "--at-exit",
                "detach",
                "--zero-copy",
                "off",
                "--workers",
                "2",
                "--cores",
                "0,1",
                "--deadline",
                "50",
                "--stats",
                "--json",
                "a",
                "--html",
                "b",
                "--batch",
                "64",
                "--spin",
                "0",
                "--ring",
                "512",
                "--frame-size",
                "4096",
                "--huge-pages",
                "--need-wakeup=false",
                "--busy-poll",
                "--busy-poll-time",
                "30",
                "--busy-poll-budget",
                "32",
                "--defer-irqs",
                "3",
                "--flush-timeout",
                "100",
                "--stamp",
                "0",
            ],
        );
        let all = RunSettings::default().rows();
        assert_eq!(
            changed.changed().len(),
            all.len(),
            "{:?}",
            changed.changed()
        );
    }

    #[test]
    fn a_number_out_of_bounds_is_refused_with_what_it_must_be() {
        for (argument, value, said) in [
            ("--batch", "0", "write a number from 1 to 64"),
            ("--ring", "1000", "write a power of 2 from 16 to 32768"),
            (
                "--frame-size",
                "3000",
                "write a power of 2 from 2048 to 4096",
            ),
            ("--stamp", "3", "write 0 or a power of 2 from 0 to 1048576"),
        ] {
            let arguments = ["lychgate", "-p", "isp.toml", argument, value];
            let error = Program::try_parse_from(arguments)
                .map(|_| ())
                .expect_err("refused");
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
