//! What a run says of itself at its end, over ports in memory: needs no root.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use lychgate::{
    control::{
        KernelFate, KernelRow, Notice, Obtained, ObtainedPort, ObtainedQueue, ObtainedSocket, Plan,
        Site, Summary, Supervisor,
    },
    engine::{Edition, InForce, Restrictions},
    io::{
        Side,
        memory::{FarEnd, MemoryPorts, Shape, pair},
    },
    policy::{Policy, RunSettings},
    synth::packet::Packet,
    worker,
};
use serde_json::Value;

#[path = "replay_cli/schema.rs"]
mod schema;

const POLICY: &str = r#"
[class.closed]
smtp = "block"
[[pool]]
prefix = "203.0.113.0/24"
class = "closed"
[sources]
capacity = 16
"#;

/// Ports in memory, and a kernel that says what a real one would.
struct Bench(Mutex<Option<MemoryPorts>>);

impl Site for Bench {
    type Ports = MemoryPorts;

    fn open(&self, _index: usize) -> anyhow::Result<MemoryPorts> {
        Ok(self.0.lock().unwrap().take().expect("one worker"))
    }

    fn obtained(&self) -> Obtained {
        let socket = ObtainedSocket {
            mode: "copy",
            busy_poll: Some(20),
        };
        let port = |port: &'static str, why_generic| ObtainedPort {
            port,
            interface: "eth1".to_owned(),
            queues: 1,
            xdp: "native",
            why_generic,
            taken_over: true,
            defer_irqs: Some(2),
            flush_timeout: None,
        };
        Obtained {
            ports: vec![
                port("access", None),
                port("uplink", Some("not supported".to_owned())),
            ],
            steer: Some("mail"),
            queues: vec![ObtainedQueue {
                queue: 0,
                core: None,
                frames: 256,
                frame_size: 2048,
                huge_pages: true,
                ring: 64,
                access: socket,
                uplink: socket,
            }],
        }
    }

    fn kernel(&self) -> Vec<KernelRow> {
        vec![KernelRow {
            name: "harmless",
            fate: KernelFate::Harmless,
            frames: [7, 8],
        }]
    }
}

fn frames() -> impl Iterator<Item = Vec<u8>> {
    let packet = || Packet::ethernet().ipv4("203.0.113.9", "192.0.2.80");
    let crossing = (0..200).map(move |port| packet().udp(port, 2).build());
    crossing.chain([packet().tcp(40_000, 25).build()])
}

/// A run that carried 200 frames out and dropped one.
fn run() -> Summary {
    let (ports, far) = pair(Shape::default());
    let (policy, _) = Policy::from_toml("test.toml", POLICY).expect("a valid policy");
    let supervisor = Supervisor::new(Plan {
        in_force: InForce::new(Edition {
            policy: Arc::new(policy),
            observer: None,
            generation: 0,
        }),
        cases: None,
        workers: 1,
        cores: vec![],
        // A frame a round: one round in 16 is timed, and of 201 some are, on any machine.
        settings: worker::Settings {
            batch: 1,
            ..worker::Settings::default()
        },
        asked: RunSettings::default(),
        restrictions: Restrictions::default(),
        findings: None,
        period: Duration::from_secs(1),
    });
    let stopper = supervisor.stopper();
    let network = thread::spawn(move || {
        carry(&far);
        stopper.stop("the test is over");
    });
    let site = Bench(Mutex::new(Some(ports)));
    let summary = supervisor.run(&site, &mut |_: Notice<'_>| {});
    network.join().expect("every frame crosses");
    summary.expect("ports are there")
}

fn carry(far: &FarEnd) {
    for frame in frames() {
        assert!(far.send(Side::Access, &frame));
    }
    for _ in 0..200 {
        let crossed = far.await_frame(Side::Uplink, Duration::from_secs(60));
        assert!(crossed.is_some());
    }
}

fn json(summary: &Summary) -> Value {
    let mut text = Vec::new();
    summary.write_json(&mut text).expect("memory does not fail");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn json_keeps_to_its_published_schema() {
    let published = include_str!("../docs/run.schema.json");
    let published: Value = serde_json::from_str(published).expect("JSON");
    let summary = json(&run());
    schema::check(&published, &summary);
    assert_eq!(
        summary["directions"]["outbound"]["forwarded"]["frames"],
        200
    );
    assert_eq!(summary["drops"]["smtp_blocked"], 1);
    assert_eq!(summary["kernel"]["harmless"]["inbound"], 8);
    assert_eq!(summary["obtained"]["queues"][0]["access"]["mode"], "copy");
}

#[test]
fn every_setting_is_in_the_json_as_it_was_asked_for() {
    let summary = json(&run());
    for (key, _) in RunSettings::default().rows() {
        assert!(summary["asked"].get(key).is_some(), "{key}");
    }
}

#[test]
fn each_workers_histograms_are_there_and_add_up_to_those_of_all() {
    let summary = json(&run());
    let workers = summary["by_worker"].as_array().expect("workers");
    assert_eq!(workers.len(), 1);
    for name in ["batch_frames", "service_ns", "residence_ns"] {
        assert_eq!(workers[0]["histograms"][name], summary["histograms"][name]);
    }
    let batches = &summary["histograms"]["batch_frames"];
    assert!(
        batches["count"].as_u64() >= Some(4),
        "201 frames by 64: {batches}"
    );
    let percentiles = batches["percentiles"].as_array().expect("percentiles");
    assert_eq!(percentiles.last().expect("some")["percentile"], 100.0);
}

#[test]
fn the_page_has_a_plot_for_each_distribution_and_needs_nothing_from_elsewhere() {
    let summary = run();
    let page = summary.page().to_string();
    assert!(page.contains("<polyline class=\"curve\""));
    let histograms = &json(&summary)["histograms"];
    assert_eq!(histograms["residence_ns"]["count"], 0, "memory stamps none");
    // A round in 16 is timed: there may be none among so few.
    for (title, name) in [
        ("<h2>Batch</h2>", "batch_frames"),
        ("<h2>Service</h2>", "service_ns"),
        ("<h2>Residence</h2>", "residence_ns"),
    ] {
        assert_eq!(
            page.contains(title),
            histograms[name]["count"] != 0,
            "{name}"
        );
    }
    for foreign in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for text in [
        "smtp_blocked",
        "rings of 64",
        "1 worker received 201 frames and let 200 through.",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn the_documentation_has_a_row_for_every_field() {
    let docs = include_str!("../docs/run.md");
    let schema: Value = serde_json::from_str(include_str!("../docs/run.schema.json")).unwrap();
    let mut names = Vec::new();
    collect(&schema, &mut names);
    for name in names {
        assert!(
            docs.contains(&format!("`{name}`")) || docs.contains(&format!("`.{name}`")),
            "`{name}` is not in docs/run.md"
        );
    }
}

/// The names of all fields that a schema describes, but for the settings: docs/policy.md has those.
fn collect(schema: &Value, names: &mut Vec<String>) {
    let Some(object) = schema.as_object() else {
        return;
    };
    for (key, inner) in object {
        if key == "asked" {
            names.push(key.clone());
            continue;
        }
        if let ("properties", Some(fields)) = (key.as_str(), inner.as_object()) {
            names.extend(fields.keys().cloned());
        }
        collect(inner, names);
    }
}
