//! What is judged of facts that no test network has. The others are in tests/preflight.

use super::{card::queues, *};
use crate::io::afxdp::{Belonging, BusyPoll, Mode, Offload, OffloadState, Queues, XdpFeatures};

const XDP: XdpFeatures = XdpFeatures {
    native: true,
    takes_redirects: true,
    zero_copy: true,
};

fn port(name: &str) -> PortFacts {
    PortFacts {
        name: name.to_owned(),
        driver: Some("ice".to_owned()),
        belonging: Belonging::default(),
        xdp: Some(XDP),
        occupant: Occupant::Nobody,
        is_claimed: false,
        queues: Queues {
            receive: 2,
            transmit: 2,
            most: 8,
            are_combined: true,
        },
        mtu: 1500,
        offloads: Vec::new(),
        is_promiscuous: true,
        repaired: Vec::new(),
        is_up: true,
        is_running: true,
        node: None,
        interrupts: Vec::new(),
    }
}

fn facts() -> Facts {
    Facts {
        host: HostFacts {
            kernel: "6.12.5-amd64".to_owned(),
            missing: Vec::new(),
            memlock: None,
            cores: 8,
        },
        ports: ["eth1", "eth2"].map(port),
    }
}

fn wanted() -> Wanted {
    Wanted {
        steer: Steer::Auto,
        options: Options::default(),
        cores: vec![3, 2],
    }
}

/// What is said that is not fine, a line each.
fn told(facts: &Facts, wanted: &Wanted) -> String {
    text(&Report(judge(facts, wanted)))
}

fn text(report: &Report) -> String {
    let mut out = Vec::new();
    report
        .write_text(Severity::Repaired, &mut out)
        .expect("memory");
    String::from_utf8(out).expect("text")
}

/// The same with one port changed.
fn told_of(change: impl FnOnce(&mut PortFacts)) -> String {
    let mut facts = facts();
    change(&mut facts.ports[0]);
    told(&facts, &wanted())
}

#[test]
fn fit_cards_give_no_cause_for_complaint() {
    assert_eq!(told(&facts(), &wanted()), "");
    assert_eq!(Report(judge(&facts(), &wanted())).worst(), Severity::Fine);
}

#[test]
fn every_kernel_is_told_what_it_lacks() {
    let told = |kernel: &str| {
        let mut facts = facts();
        facts.host.kernel = kernel.to_owned();
        told(&facts, &wanted())
    };
    assert!(told("5.10.0-28").starts_with(
        "REFUSAL     host   kernel         Linux 5.10.0-28 is older than 5.15, which the kernel program needs\n\
         \x20           remedy: boot Linux 5.15 or later; 6.3 or later is better\n"
    ));
    assert!(told("6.1.0-18").starts_with("warning     host   kernel         Linux 6.1.0-18 runs"));
    assert!(told("mine").starts_with("warning     host   kernel         mine is no version"));
    assert_eq!(told("6.3"), "");
}

#[test]
fn an_offload_that_cannot_be_switched_off_is_a_warning_and_one_that_can_is_repaired() {
    let offload = |is_changeable| {
        told_of(|port| {
            port.offloads = vec![OffloadState {
                offload: Offload::Lro,
                is_on: true,
                is_changeable,
            }];
        })
    };
    assert_eq!(
        offload(true),
        "to repair   eth1   offload        rx-lro is on: it merges segments, which then are longer than any frame that can leave\n\
         \x20           remedy: ethtool -K eth1 lro off\n"
    );
    assert_eq!(
        offload(false),
        "warning     eth1   offload        rx-lro is on: it merges segments, which then are longer than any frame that can leave; the driver does not let it be switched off\n\
         \x20           remedy: see docs/drivers.md for this driver\n"
    );
}

#[test]
fn queues_must_be_the_same_everywhere() {
    let with = |receive, transmit| {
        told_of(|port| {
            port.queues.receive = receive;
            port.queues.transmit = transmit;
        })
    };
    assert!(with(4, 4).contains(
        "4 queues, and eth2 has 2: a worker needs the same queue of both\n            \
         remedy: ethtool -L eth1 combined 2, or ethtool -L eth2 combined 4\n"
    ));
    assert!(with(4, 2).contains("4 receive queues and 2 transmit queues"));
    let mut many = facts();
    for port in &mut many.ports {
        (port.queues.receive, port.queues.transmit) = (200, 200);
    }
    let told = told(&many, &wanted());
    assert!(
        told.contains(
            "200 queues, and 8 cores that this process may use: a worker needs one of its own"
        ),
        "{told}"
    );
    assert!(told.contains("200 queues: the kernel program knows 128\n            remedy: ethtool -L eth1 combined 128"), "{told}");
}

#[test]
fn zero_copy_that_the_driver_has_not_is_refused_where_it_is_asked_for() {
    let mut facts = facts();
    let mut wanted = wanted();
    facts.ports[1].xdp = Some(XdpFeatures {
        zero_copy: false,
        ..XDP
    });
    assert_eq!(told(&facts, &wanted), "");
    wanted.options.mode = Mode::ZeroCopy;
    assert_eq!(
        told(&facts, &wanted),
        "REFUSAL     eth2   driver         driver ice: native XDP, no zero-copy, which --zero-copy on asks for\n\
         \x20           remedy: leave --zero-copy out; docs/drivers.md tells which drivers have it\n"
    );
}

#[test]
fn a_driver_without_xdp_is_slow_and_a_wrapper_hides_the_real_one() {
    let slow = "every frame costs an skb before the kernel program sees it";
    let said = told_of(|port| port.xdp = None);
    assert!(
        said.contains(&format!(
            "driver ice: generic XDP only, no zero-copy: {slow}"
        )),
        "{said}"
    );
    let said = told_of(|port| port.belonging.kind = Some("vlan".to_owned()));
    assert!(
        said.contains("it is a vlan:")
            && said.contains("name the interface under the vlan instead"),
        "{said}"
    );
    // Older kernels don't tell: no complaint of the driver, then.
    let mut facts = facts();
    facts.host.kernel = "6.1".to_owned();
    facts.ports[0].xdp = None;
    assert!(!told(&facts, &wanted()).contains("driver ice"));
}

#[test]
fn a_worker_far_from_the_card_or_on_its_interrupts_core_is_told_so() {
    let node = told_of(|port| port.node = Some((1, vec![4, 5])));
    assert!(
        node.contains(
            "the card is on node 1, and core 3 is not\n            remedy: --cores, of 4, 5\n"
        ),
        "{node}"
    );
    assert_eq!(told_of(|port| port.node = Some((0, vec![2, 3]))), "");
    let interrupt = |queue, core| Interrupt {
        queue,
        cores: vec![core],
    };
    let mut facts = facts();
    facts.ports[1].interrupts = vec![interrupt(0, 2), interrupt(1, 3)];
    assert_eq!(told(&facts, &wanted()), "");
    facts.ports[1].interrupts = vec![interrupt(0, 1), interrupt(1, 2)];
    let said = told(&facts, &wanted());
    assert!(
        said.contains("queue 1's interrupt goes to core 2, where its worker is"),
        "{said}"
    );
    // Whoever polls has no interrupts to wait for.
    let mut polling = wanted();
    polling.options.busy_poll = Some(BusyPoll::default());
    assert_eq!(told(&facts, &polling), "");
}

#[test]
fn memory_that_may_not_be_locked_is_refused() {
    let mut facts = facts();
    facts.host.memlock = Some(65_536);
    let said = told(&facts, &wanted());
    let needed = 2 * Options::default().octets();
    assert!(
        said.contains(&format!(
            "the workers' {needed} octets are more than the 65536 that this process may lock"
        )),
        "{said}"
    );
    facts.host.memlock = Some(needed);
    assert_eq!(told(&facts, &wanted()), "");
}

#[test]
fn what_attaching_changed_is_told_and_nothing_else() {
    let before = facts();
    let review = |now: &Facts, why_generic, steer| {
        let wanted = Wanted { steer, ..wanted() };
        text(&Report(judge_attached(&before, now, why_generic, &wanted)))
    };
    assert_eq!(review(&before, [None, None], Steer::Auto), "");
    let mut now = facts();
    for port in &mut now.ports {
        (port.queues.receive, port.queues.transmit) = (1, 1);
    }
    let said = review(&now, [None, None], Steer::Auto);
    assert!(said.contains("REFUSAL     eth2   queues         2 queues before the kernel program was attached, 1 since"), "{said}");
    let said = review(&before, [Some("no such thing"), None], Steer::Auto);
    assert!(
        said.contains("eth1   driver         generic XDP (native: no such thing)"),
        "{said}"
    );

    let mut deaf = facts();
    deaf.ports[1].xdp = Some(XdpFeatures {
        takes_redirects: false,
        ..XDP
    });
    let said = review(&deaf, [None, None], Steer::Auto);
    assert!(
        said.starts_with("REFUSAL     eth2   driver         its driver takes no frames"),
        "{said}"
    );
    let said = review(&deaf, [None, None], Steer::All);
    assert!(
        said.starts_with("warning     eth2   driver         its driver takes no frames"),
        "{said}"
    );
    // From a generic port, frames leave as any other packet does.
    let said = review(&deaf, [Some("no"), None], Steer::Auto);
    assert!(!said.contains("takes no frames"), "{said}");
}

/// Two ports of one driver: what is told, and what is asked of them in the end.
fn adapted(driver: &str, mode: Mode, steer: Steer) -> (String, Options) {
    let mut facts = facts();
    for port in &mut facts.ports {
        port.driver = Some(driver.to_owned());
    }
    let mut wanted = wanted();
    wanted.steer = steer;
    wanted.options.mode = mode;
    let findings = adapt(&facts, &mut wanted);
    (text(&Report(findings)), wanted.options)
}

/// Found in the lab: an emulated igb made two frames of every one above 1024 octets.
#[test]
fn a_card_that_receives_into_whole_kib_gets_frames_that_hold_a_whole_packet() {
    for driver in ["igb", "igc", "ixgbe"] {
        for (mode, frame_size) in [
            (Mode::Auto, 4096),
            (Mode::ZeroCopy, 4096),
            (Mode::Copy, 2048),
        ] {
            let (told, options) = adapted(driver, mode, Steer::Auto);
            assert_eq!((told.as_str(), options.frame_size), ("", frame_size));
        }
    }
    assert_eq!(
        adapted("ice", Mode::Auto, Steer::Auto).1.frame_size,
        2048,
        "others stay as they are"
    );
}

/// Found in the lab: with a worker that hung, or with steering `mail`, an emulated virtio-net lost
/// all that crosses in the kernel.
#[test]
fn virtio_net_is_run_by_copying_because_else_the_bypass_would_lose_frames() {
    let (told, options) = adapted("virtio_net", Mode::Auto, Steer::Auto);
    assert_eq!(options.mode, Mode::Copy);
    assert!(told.starts_with("warning     eth1   driver"), "{told}");
    let (told, options) = adapted("virtio_net", Mode::ZeroCopy, Steer::All);
    assert_eq!(options.mode, Mode::ZeroCopy);
    assert!(told.starts_with("warning     eth1   driver"), "{told}");
    let (told, _) = adapted("virtio_net", Mode::ZeroCopy, Steer::Mail);
    assert!(told.starts_with("REFUSAL     eth1   driver"), "{told}");
    assert_eq!(adapted("virtio_net", Mode::Copy, Steer::Mail).0, "");
}

#[test]
fn interrupts_are_known_by_their_names() {
    let table = "\
           CPU0       CPU1
  40:          0          0 PCI-MSIX-0000:00:04.0   0-edge      virtio1-config
  41:       2550          0 PCI-MSIX-0000:00:04.0   1-edge      virtio1-input.0
  42:          0       4991 PCI-MSIX-0000:00:04.0   2-edge      virtio1-output.0
  50:          1          0 IR-PCI-MSIX-0000:01:00.0   1-edge      ice-eth1-TxRx-7
  51:          1          0 IR-PCI-MSIX-0000:01:00.0   2-edge      mlx5_comp3@pci:0000:01:00.0
  52:          1          0 IR-PCI-MSIX-0000:01:00.0   0-edge      mlx5_async0@pci:0000:01:00.0
  60:          1          0 IR-PCI-MSIX-0000:02:00.0   0-edge      eth9-TxRx-1
 NMI:          0          0   Non-maskable interrupts
";
    let ours = [40, 41, 42, 50, 51, 52];
    let found: Vec<_> = queues(table, &ours).into_iter().collect();
    assert_eq!(found, [(0, 41), (3, 51), (7, 50)]);
}

#[test]
fn checks_have_the_names_that_json_gives_them() {
    for check in Check::ALL {
        let json = serde_json::to_value(check).expect("JSON");
        assert_eq!(json, check.name());
    }
}
