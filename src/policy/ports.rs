//! `[ports]`: the network interfaces of the live box.

use super::{
    Ports,
    diagnostic::{Remark, Report},
    reader::{Section, Shape, Value},
};

pub(super) const PORTS: Shape = Shape {
    title: "[ports]",
    keys: &["access", "uplink"],
};

/// Characters of a network interface's name (IFNAMSIZ of Linux, less its final zero).
const PORT_NAME_MAX: usize = 15;

pub(super) fn ports(table: &Section<'_>, report: &mut Report) -> Option<Ports> {
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
