//! What some drivers cannot do without copying, and what is asked of them instead. Found in the lab
//! (`scripts/lab.sh`), where frames got lost or were cut in two for it; docs/drivers.md has the
//! list. Pure, like `judge`.

use super::{Check, Facts, Finding, PortFacts, Severity, Wanted};
use crate::{io::afxdp::Mode, policy::Steer};

/// Drivers whose cards receive into whole KiB of a frame's place. The kernel takes 256 octets of
/// 2048, so that 1024 are left: igb makes two frames of what is longer.
const WHOLE_KIB: [&str; 3] = ["igb", "igc", "ixgbe"];
/// The frame size that leaves such a card enough for any packet of an ordinary MTU.
const FRAME_SIZE: u32 = 4096;

/// Drivers that want room in front of a frame that the kernel program sends them, where a frame that
/// was received without copying has none: they lose it.
const WANTS_HEADROOM: [&str; 1] = ["virtio_net"];

/// Changes what is asked to what these drivers can do, and says so.
#[must_use]
pub fn adapt(facts: &Facts, wanted: &mut Wanted) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(port) = one_of(facts, &WANTS_HEADROOM) {
        findings.extend(copy_instead(port, wanted));
    }
    if let Some(port) = one_of(facts, &WHOLE_KIB)
        && wanted.options.mode != Mode::Copy
        && wanted.options.frame_size < FRAME_SIZE
    {
        wanted.options.frame_size = FRAME_SIZE;
        let cause = format!("its card receives into whole KiB: frames of {FRAME_SIZE} octets");
        findings.push(finding(port, Severity::Fine, cause, None));
    }
    findings
}

fn copy_instead(port: &PortFacts, wanted: &mut Wanted) -> Option<Finding> {
    let cause = "without copying it loses what the kernel program sends it";
    let bypass = "frames that bypass a worker that hangs would be lost";
    let (severity, cause, remedy) = match (wanted.options.mode, wanted.steer) {
        (Mode::Copy, _) => return None,
        (Mode::Auto, _) => {
            wanted.options.mode = Mode::Copy;
            let remedy = format!("none is needed; with --zero-copy on --steer all, {bypass}");
            let cause = format!("{cause}: frames are copied");
            (Severity::Warning, cause, remedy)
        }
        (Mode::ZeroCopy, Steer::Mail) => {
            let cause = format!("{cause}: with --steer mail, everything but mail");
            (Severity::Refusal, cause, "leave --zero-copy on out".into())
        }
        (Mode::ZeroCopy, _) => {
            let cause = format!("{cause}: {bypass}");
            (
                Severity::Warning,
                cause,
                "leave --zero-copy on out".to_owned(),
            )
        }
    };
    Some(finding(port, severity, cause, Some(remedy)))
}

fn one_of<'a>(facts: &'a Facts, drivers: &[&str]) -> Option<&'a PortFacts> {
    let is_one = |port: &&PortFacts| {
        let driver = port.driver.as_deref();
        driver.is_some_and(|driver| drivers.contains(&driver))
            && port.xdp.is_none_or(|xdp| xdp.zero_copy)
    };
    facts.ports.iter().find(is_one)
}

fn finding(port: &PortFacts, severity: Severity, cause: String, remedy: Option<String>) -> Finding {
    let driver = port.driver.as_deref().unwrap_or("a driver");
    Finding {
        interface: Some(port.name.clone()),
        check: Check::Driver,
        severity,
        cause: format!("driver {driver}: {cause}"),
        remedy,
        repair: None,
    }
}
