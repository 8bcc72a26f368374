//! What is to be said of the facts. Pure: whoever has the facts gets the same findings.

use super::{Check, Facts, Finding, HostFacts, PortFacts, Severity, Wanted};
use crate::{
    io::{
        Side,
        afxdp::{Mode, Occupant, Options, QUEUES_MAX, Repair},
    },
    policy::Steer,
};

/// The oldest kernel that the kernel program runs on.
const KERNEL_LEAST: (u32, u32) = (5, 15);
/// The first kernel whose drivers tell what they can do with XDP.
const KERNEL_TELLS: (u32, u32) = (6, 3);
/// Kinds of virtual interfaces that hide the real one.
const WRAPPERS: [&str; 7] = [
    "bond", "team", "bridge", "vlan", "macvlan", "ipvlan", "macvtap",
];

/// Everything that there is to say before the kernel program is attached.
#[must_use]
pub fn judge(facts: &Facts, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = Findings::default();
    findings.host(facts, wanted);
    for side in Side::BOTH {
        let mut port = Port::new(&mut findings, facts, side);
        port.driver(wanted, facts.host.version());
        port.program();
        port.controller();
        port.queues();
        port.mtu(&wanted.options);
        port.offloads();
        port.promiscuous();
        port.link();
        port.card(wanted);
    }
    findings.0
}

/// What there is to say once it is attached, and was not to be known before: `before` are the facts
/// that [`judge`] got, and `why_generic` says, for each port, why the program does not run natively
/// where it does not.
#[must_use]
pub fn judge_attached(
    before: &Facts,
    now: &Facts,
    why_generic: [Option<&str>; 2],
    wanted: &Wanted,
) -> Vec<Finding> {
    let mut findings = Findings::default();
    for side in Side::BOTH {
        let was = &before.ports[side.index()];
        let mut port = Port::new(&mut findings, now, side);
        port.queues();
        port.queues_changed(was);
        port.generic(why_generic[side.index()]);
        // In the generic mode the other port's frames leave by its ordinary transmit queue.
        if why_generic[side.other().index()].is_none() {
            port.redirects(wanted.steer);
        }
    }
    findings
        .0
        .retain(|finding| finding.severity != Severity::Fine);
    findings.0
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn host(&mut self, facts: &Facts, wanted: &Wanted) {
        self.kernel(&facts.host);
        self.capabilities(&facts.host);
        let queues = facts.ports[0]
            .queues
            .receive
            .max(facts.ports[1].queues.receive);
        self.memlock(&facts.host, wanted, queues.into());
        self.cores(
            &facts.host,
            facts.ports[0]
                .queues
                .receive
                .min(facts.ports[1].queues.receive),
        );
    }

    fn cores(&mut self, host: &HostFacts, queues: u32) {
        if host.cores < queues as usize {
            let cause = format!(
                "{queues} queues, and {} cores that this process may use: a worker needs one of its own",
                host.cores
            );
            let remedy = format!(
                "ethtool -L … combined {} on both ports, or let it use more cores",
                host.cores
            );
            self.host_finding(Check::Queues, Severity::Refusal, cause, Some(remedy));
        }
    }

    fn kernel(&mut self, host: &HostFacts) {
        let release = &host.kernel;
        let (least, tells) = (text(KERNEL_LEAST), text(KERNEL_TELLS));
        match host.version() {
            Some(version) if version < KERNEL_LEAST => self.add(
                Severity::Refusal,
                format!("Linux {release} is older than {least}, which the kernel program needs"),
                Some(format!("boot Linux {least} or later; {tells} or later is better")),
            ),
            Some(version) if version < KERNEL_TELLS => self.add(
                Severity::Warning,
                format!(
                    "Linux {release} runs the kernel program, but does not tell what drivers can do: that is known only once it is attached"
                ),
                Some(format!("boot Linux {tells} or later")),
            ),
            Some(_) => self.add(Severity::Fine, format!("Linux {release}"), None),
            None => self.add(
                Severity::Warning,
                format!("{release} is no version that Lychgate can read: {least} or later is needed"),
                None,
            ),
        }
    }

    fn capabilities(&mut self, host: &HostFacts) {
        let missing = host.missing.join(", ");
        let (severity, cause, remedy) = if missing.is_empty() {
            let all = "CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are there";
            (Severity::Fine, all.to_owned(), None)
        } else {
            let remedy = "run as root, or give the service AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF CAP_IPC_LOCK";
            (
                Severity::Refusal,
                format!("this process lacks {missing}"),
                Some(remedy.to_owned()),
            )
        };
        self.host_finding(Check::Capabilities, severity, cause, remedy);
    }

    fn memlock(&mut self, host: &HostFacts, wanted: &Wanted, queues: u64) {
        let needed = queues * wanted.options.octets();
        let (severity, cause, remedy) = match host.memlock {
            None => {
                let cause = format!("the workers' {needed} octets may be locked: there is no limit");
                (Severity::Fine, cause, None)
            }
            Some(limit) if limit >= needed => {
                let cause = format!("the workers' {needed} octets are within the limit of {limit}");
                (Severity::Fine, cause, None)
            }
            Some(limit) => (
                Severity::Refusal,
                format!("the workers' {needed} octets are more than the {limit} that this process may lock"),
                Some("give it CAP_IPC_LOCK, or LimitMEMLOCK=infinity in its service (ulimit -l unlimited in a shell)".to_owned()),
            ),
        };
        self.host_finding(Check::Memlock, severity, cause, remedy);
    }

    fn add(&mut self, severity: Severity, cause: String, remedy: Option<String>) {
        self.host_finding(Check::Kernel, severity, cause, remedy);
    }

    fn host_finding(
        &mut self,
        check: Check,
        severity: Severity,
        cause: String,
        remedy: Option<String>,
    ) {
        self.0.push(Finding {
            interface: None,
            check,
            severity,
            cause,
            remedy,
            repair: None,
        });
    }
}

/// One port's facts, beside the other's.
struct Port<'a> {
    findings: &'a mut Findings,
    side: Side,
    own: &'a PortFacts,
    other: &'a PortFacts,
}

impl<'a> Port<'a> {
    const fn new(findings: &'a mut Findings, facts: &'a Facts, side: Side) -> Self {
        Self {
            findings,
            side,
            own: &facts.ports[side.index()],
            other: &facts.ports[side.other().index()],
        }
    }

    fn driver(&mut self, wanted: &Wanted, kernel: Option<(u32, u32)>) {
        let driver = match &self.own.driver {
            Some(driver) => format!("driver {driver}"),
            None => "a driver that does not say its name".to_owned(),
        };
        if let Some(kind) = &self.own.belonging.kind
            && WRAPPERS.contains(&kind.as_str())
        {
            let cause = format!(
                "it is a {kind}: frames pass through the real interface's driver and an skb first"
            );
            let remedy = format!("name the interface under the {kind} instead");
            self.warn(Check::Driver, cause, Some(remedy));
        }
        match self.own.xdp {
            Some(xdp) => {
                let native = if xdp.native {
                    "native XDP"
                } else {
                    "generic XDP only"
                };
                let copy = if xdp.zero_copy {
                    "zero-copy possible"
                } else {
                    "no zero-copy"
                };
                let cause = format!("{driver}: {native}, {copy}");
                match (wanted.options.mode, xdp) {
                    (Mode::ZeroCopy, xdp) if !xdp.zero_copy => self.refuse(
                        Check::Driver,
                        format!("{cause}, which --zero-copy on asks for"),
                        "leave --zero-copy out; docs/drivers.md tells which drivers have it",
                    ),
                    (_, xdp) if !xdp.native => self.slow(cause),
                    _ => self.fine(Check::Driver, cause),
                }
            }
            None if kernel.is_some_and(|version| version >= KERNEL_TELLS) => {
                self.slow(format!("{driver}: generic XDP only, no zero-copy"));
            }
            None => self.fine(
                Check::Driver,
                format!("{driver}, which does not tell what it can do"),
            ),
        }
    }

    fn slow(&mut self, cause: String) {
        let cause = format!("{cause}: every frame costs an skb before the kernel program sees it");
        let remedy = "docs/drivers.md tells which drivers do better";
        self.warn(Check::Driver, cause, Some(remedy.to_owned()));
    }

    fn program(&mut self) {
        let name = &self.own.name;
        match &self.own.occupant {
            Occupant::Nobody => self.fine(Check::Program, "no XDP program is attached".to_owned()),
            Occupant::Ours if self.own.is_claimed => {
                let remedy = "stop that one before another is started";
                let cause = "a Lychgate is running here".to_owned();
                self.warn(Check::Program, cause, Some(remedy.to_owned()));
            }
            Occupant::Ours => {
                let cause = "Lychgate's, from an earlier run: it is taken over without a gap";
                self.fine(Check::Program, cause.to_owned());
            }
            Occupant::Other(program) => {
                let remedy = format!(
                    "detach it with `ip link set dev {name} xdp off`, or stop whoever attached it (`bpftool net show dev {name}`)"
                );
                let cause = format!("another XDP program ({program}) is attached");
                self.refuse(Check::Program, cause, &remedy);
            }
        }
    }

    fn controller(&mut self) {
        let name = &self.own.name;
        match &self.own.belonging.controller {
            None => self.fine(Check::Controller, "it is part of nothing else".to_owned()),
            Some(controller) => {
                let cause = format!(
                    "it is part of {} ({}), which would forward its frames as well",
                    controller.name, controller.kind
                );
                let remedy = format!("take it out: ip link set dev {name} nomaster");
                self.refuse(Check::Controller, cause, &remedy);
            }
        }
    }

    fn queues(&mut self) {
        let (own, other) = (self.own.queues, self.other.queues);
        let other_name = &self.other.name;
        if own.receive != own.transmit {
            let fewer = own.receive.min(own.transmit);
            let cause = format!(
                "{} receive queues and {} transmit queues: a worker needs both of the same number",
                own.receive, own.transmit
            );
            let remedy = set_queues(self.own, fewer);
            self.refuse(Check::Queues, cause, &remedy);
        } else if own.receive > other.receive {
            let cause = format!(
                "{} queues, and {other_name} has {}: a worker needs the same queue of both",
                own.receive, other.receive
            );
            let mut remedy = set_queues(self.own, other.receive);
            if other.most >= own.receive {
                remedy = format!("{remedy}, or {}", set_queues(self.other, own.receive));
            }
            self.refuse(Check::Queues, cause, &remedy);
        } else if own.receive > QUEUES_MAX {
            let cause = format!(
                "{} queues: the kernel program knows {QUEUES_MAX}",
                own.receive
            );
            let remedy = set_queues(self.own, QUEUES_MAX);
            self.refuse(Check::Queues, cause, &remedy);
        } else {
            let cause = format!("{} of at most {}", own.receive, own.most);
            self.fine(Check::Queues, cause);
        }
    }

    fn queues_changed(&mut self, was: &PortFacts) {
        let (was, now) = (was.queues.receive, self.own.queues.receive);
        if was != now {
            let cause = format!("{was} queues before the kernel program was attached, {now} since");
            let remedy = format!("{}, then start again", set_queues(self.own, now));
            self.refuse(Check::Queues, cause, &remedy);
        }
    }

    fn mtu(&mut self, options: &Options) {
        let (mtu, mtu_max) = (self.own.mtu, options.mtu_max());
        let name = &self.own.name;
        if mtu > mtu_max {
            let larger = Options {
                frame_size: 4096,
                ..*options
            };
            let cause = format!(
                "{mtu}, and frames of {} octets hold at most {mtu_max}",
                options.frame_size
            );
            let smaller = format!("ip link set dev {name} mtu {mtu_max}");
            let remedy = if options.frame_size >= larger.frame_size {
                smaller
            } else if mtu <= larger.mtu_max() {
                format!("--frame-size {}, or {smaller}", larger.frame_size)
            } else {
                format!(
                    "{smaller}; with --frame-size {}, at most {}",
                    larger.frame_size,
                    larger.mtu_max()
                )
            };
            self.refuse(Check::Mtu, cause, &remedy);
        } else if mtu > self.other.mtu {
            let other = &self.other;
            let cause = format!(
                "{mtu}, and {} has {}: longer packets would be lost on the way, and nobody told",
                other.name, other.mtu
            );
            let remedy = format!("ip link set dev {} mtu {mtu}", other.name);
            self.refuse(Check::Mtu, cause, &remedy);
        } else {
            self.fine(Check::Mtu, format!("{mtu}, of at most {mtu_max}"));
        }
    }

    fn offloads(&mut self) {
        let own = self.own;
        let harmful = own.offloads.iter().filter(|state| state.is_on);
        let mut count = 0;
        for state in harmful {
            count += 1;
            let (offload, name) = (state.offload, &own.name);
            let cause = format!("{} is on: it {}", offload.name(), offload.harm());
            if state.is_changeable {
                let remedy = format!("ethtool -K {name} {} off", offload.option());
                self.repairable(Check::Offload, cause, remedy, Repair::Offload(offload));
            } else {
                let cause = format!("{cause}; the driver does not let it be switched off");
                let remedy = "see docs/drivers.md for this driver".to_owned();
                self.warn(Check::Offload, cause, Some(remedy));
            }
        }
        if count == 0 {
            let ours = own
                .repaired
                .iter()
                .filter(|repair| matches!(repair, Repair::Offload(_)));
            let cause = match ours.count() {
                0 => "none that changes frames is on".to_owned(),
                ours => format!(
                    "none that changes frames is on ({ours} switched off by an earlier run)"
                ),
            };
            self.fine(Check::Offload, cause);
        }
    }

    fn promiscuous(&mut self) {
        if self.own.is_promiscuous {
            let by = if self.own.repaired.contains(&Repair::Promiscuous) {
                "on, switched on by an earlier run"
            } else {
                "on"
            };
            self.fine(Check::Promiscuous, by.to_owned());
            return;
        }
        let cause = "off: the card keeps frames that are not addressed to it".to_owned();
        let remedy = format!("ip link set dev {} promisc on", self.own.name);
        self.repairable(Check::Promiscuous, cause, remedy, Repair::Promiscuous);
    }

    fn link(&mut self) {
        let name = &self.own.name;
        let (cause, remedy) = match (self.own.is_up, self.own.is_running) {
            (_, true) => return self.fine(Check::Link, "up".to_owned()),
            (true, false) => (
                "it has no carrier",
                "plug in the cable, and look at the other end".to_owned(),
            ),
            (false, false) => ("it is down", format!("ip link set dev {name} up")),
        };
        let cause = format!("{cause}: `lychgate run` waits until it comes up");
        self.warn(Check::Link, cause, Some(remedy));
    }

    fn card(&mut self, wanted: &Wanted) {
        if let Some((node, cores)) = &self.own.node {
            let far: Vec<_> = wanted
                .cores
                .iter()
                .filter(|core| !cores.contains(core))
                .collect();
            if let Some(core) = far.first() {
                let cause = format!("the card is on node {node}, and core {core} is not");
                let remedy = format!("--cores, of {}", list(cores));
                self.warn(Check::Numa, cause, Some(remedy));
            } else {
                self.fine(Check::Numa, format!("node {node}, as the workers' cores"));
            }
        }
        if self.own.interrupts.is_empty() {
            return;
        }
        let shared = self.own.interrupts.iter().find_map(|interrupt| {
            let core = *wanted.cores.get(interrupt.queue as usize)?;
            (interrupt.cores == [core] && wanted.options.busy_poll.is_none())
                .then_some((interrupt.queue, core))
        });
        match shared {
            Some((queue, core)) => {
                let cause = format!(
                    "queue {queue}'s interrupt goes to core {core}, where its worker is: they take turns"
                );
                let remedy = "give the interrupt another core of the same node (/proc/irq/N/smp_affinity_list), or use --busy-poll";
                self.warn(Check::Interrupts, cause, Some(remedy.to_owned()));
            }
            None => self.fine(
                Check::Interrupts,
                "on other cores than the workers".to_owned(),
            ),
        }
    }

    fn generic(&mut self, why: Option<&str>) {
        if let Some(why) = why {
            self.slow(format!("generic XDP (native: {why})"));
        }
    }

    /// Whether frames that the kernel program lets cross towards this port get there.
    fn redirects(&mut self, steer: Steer) {
        if self.own.xdp.is_none_or(|xdp| xdp.takes_redirects) {
            return;
        }
        let cause = "its driver takes no frames from another port's XDP program: what crosses in the kernel would be lost";
        let remedy = if self.own.belonging.kind.as_deref() == Some("veth") {
            "switch GRO on at the other end (`ethtool -K … gro on`), or attach an XDP program there; and give it no more transmit queues than this end has receive queues"
        } else {
            "use another card for this port: see docs/drivers.md"
        };
        match steer {
            Steer::Mail | Steer::Auto => self.refuse(
                Check::Driver,
                cause.to_owned(),
                &format!("{remedy}; or --steer all, without a bypass"),
            ),
            Steer::All => self.warn(
                Check::Driver,
                format!("{cause}, so there is no bypass"),
                Some(remedy.to_owned()),
            ),
        }
    }

    fn fine(&mut self, check: Check, cause: String) {
        self.add(check, Severity::Fine, cause, None, None);
    }

    fn warn(&mut self, check: Check, cause: String, remedy: Option<String>) {
        self.add(check, Severity::Warning, cause, remedy, None);
    }

    fn refuse(&mut self, check: Check, cause: String, remedy: &str) {
        self.add(
            check,
            Severity::Refusal,
            cause,
            Some(remedy.to_owned()),
            None,
        );
    }

    fn repairable(&mut self, check: Check, cause: String, remedy: String, repair: Repair) {
        let repair = Some((self.side, repair));
        self.add(check, Severity::Repairable, cause, Some(remedy), repair);
    }

    fn add(
        &mut self,
        check: Check,
        severity: Severity,
        cause: String,
        remedy: Option<String>,
        repair: Option<(Side, Repair)>,
    ) {
        self.findings.0.push(Finding {
            interface: Some(self.own.name.clone()),
            check,
            severity,
            cause,
            remedy,
            repair,
        });
    }
}

/// What sets the number of queues.
fn set_queues(port: &PortFacts, queues: u32) -> String {
    let name = &port.name;
    if port.queues.are_combined {
        format!("ethtool -L {name} combined {queues}")
    } else {
        format!("ethtool -L {name} rx {queues} tx {queues}")
    }
}

fn text((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

fn list(cores: &[usize]) -> String {
    let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
    cores.join(", ")
}
