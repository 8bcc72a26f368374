//! What scripts/bench-peers.sh holds Lychgate against, as far as it needs a program: forwarders that
//! judge nothing, in the kernel and on AF_XDP, and a short limiter in BPF. Each joins two interfaces
//! until its standard input ends.
//!
//! ```text
//! peers redirect ACCESS UPLINK OBJECT                in the kernel
//! peers limit    ACCESS UPLINK OBJECT MANY FEW       in the kernel, a source's SYNs are counted
//! peers afxdp    ACCESS UPLINK CORE                  through user space, all frames
//! peers hybrid   ACCESS UPLINK CORE                  through user space, what may be mail
//! ```
//!
//! The last two use Lychgate's own ports with the options of `lychgate run`, and its kernel program,
//! without an engine: what any judge behind these ports could reach at best.

use std::{
    env, io,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use libbpf_rs::{MapCore, MapFlags, ObjectBuilder};
use lychgate::io::{
    Ports, Side,
    afxdp::{Interface, Options, PIN_ROOT, QueuePair, Settings, Steer, Steering, attach, detach},
};

/// As `lychgate run` does by default.
const BATCH: usize = 32;
const SPIN: Duration = Duration::from_micros(50);
const TICK: Duration = Duration::from_millis(4);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let interfaces = |access, uplink| -> anyhow::Result<_> {
        Ok([Interface::by_name(access)?, Interface::by_name(uplink)?])
    };
    match *arguments {
        ["redirect", access, uplink, object] => {
            in_kernel(&interfaces(access, uplink)?, object, "redirect", [0; 2])
        }
        ["limit", access, uplink, object, many, few] => {
            let limits = [many.parse()?, few.parse()?];
            in_kernel(&interfaces(access, uplink)?, object, "limit", limits)
        }
        ["afxdp", access, uplink, core] => {
            in_user_space(&interfaces(access, uplink)?, Steer::All, core.parse()?)
        }
        ["hybrid", access, uplink, core] => {
            in_user_space(&interfaces(access, uplink)?, Steer::Mail, core.parse()?)
        }
        _ => bail!("usage: see the top of benches/peers/peers.rs"),
    }
}

/// Says that frames cross, and waits for the end.
fn until_told() {
    println!("ready");
    // Whatever ends it: nobody wants us any more.
    let _ = io::stdin().lines().next();
}

fn in_kernel(
    interfaces: &[Interface; 2],
    object: &str,
    kind: &str,
    limits: [u64; 2],
) -> anyhow::Result<()> {
    let mut open = ObjectBuilder::default().open_file(object)?;
    for mut map in open.maps_mut() {
        if map.name().to_string_lossy().ends_with(".rodata")
            && let Some(data) = map.initial_value_mut()
        {
            for (place, limit) in data.chunks_exact_mut(8).zip(limits) {
                place.copy_from_slice(&limit.to_ne_bytes());
            }
        }
    }
    let object = open.load()?;
    let ports = object
        .maps()
        .find(|map| map.name() == "ports")
        .context("no map `ports`")?;
    for (side, interface) in (0_u32..).zip(interfaces) {
        let index = interface.index().to_ne_bytes();
        ports.update(&side.to_ne_bytes(), &index, MapFlags::ANY)?;
    }
    let names = [format!("{kind}_access"), "redirect_uplink".to_owned()];
    let mut links = Vec::new();
    for (interface, name) in interfaces.iter().zip(names) {
        let program = object
            .progs_mut()
            .find(|program| program.name() == name.as_str())
            .with_context(|| format!("no program {name}"))?;
        links.push(program.attach_xdp(interface.index() as i32)?);
    }
    until_told();
    Ok(())
}

fn in_user_space(interfaces: &[Interface; 2], steer: Steer, core: usize) -> anyhow::Result<()> {
    let settings = Settings {
        steer,
        ..Settings::default()
    };
    let steering = Steering::load([&interfaces[0], &interfaces[1]], &settings)?;
    let root = Path::new(PIN_ROOT);
    let attachments = Side::BOTH
        .map(|side| attach(&steering, side, &interfaces[side.index()], root))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let worker = scope.spawn(|| carry(&steering, interfaces, core, &stop));
        until_told();
        stop.store(true, Ordering::Relaxed);
        worker.join().expect("the worker does not panic")
    })?;
    drop(attachments);
    for interface in interfaces {
        detach(interface, root)?;
    }
    Ok(())
}

/// The loop of a worker, without a judge.
fn carry(
    steering: &Steering,
    interfaces: &[Interface; 2],
    core: usize,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
    let heartbeat = steering.heartbeat(0)?;
    let interfaces = [&interfaces[0], &interfaces[1]];
    let mut ports = QueuePair::open(&Options::default(), interfaces, 0, heartbeat)?;
    ports.serve(steering)?;
    let mut frames = Vec::with_capacity(2 * BATCH);
    let (mut beaten, mut spin_until) = (Instant::now(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        if now >= beaten + TICK {
            ports.beat();
            beaten = now;
        }
        let mut found = 0;
        for side in Side::BOTH {
            found += ports.receive(side, BATCH, &mut frames);
            for frame in frames.drain(..) {
                if let Err(frame) = ports.transmit(side.other(), frame) {
                    ports.release(frame);
                }
            }
        }
        ports.flush()?;
        if found > 0 {
            spin_until = spin_until.max(now + SPIN * found.min(BATCH) as u32 / BATCH as u32);
        } else if now >= spin_until {
            ports.wait(TICK.saturating_sub(now - beaten))?;
        }
    }
    Ok(())
}
