//! `[events]`: where events are told.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use super::{
    diagnostic::{Remark, Report},
    reader::{Section, Shape, Value},
};

pub(super) const EVENTS: Shape = Shape {
    title: "[events]",
    keys: &["json", "syslog", "webhook"],
};

/// Where events are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlets {
    /// A file of JSON lines.
    pub json: Option<PathBuf>,
    /// A syslog.
    pub syslog: Option<SyslogAt>,
    /// A URL that they are posted to.
    pub webhook: Option<String>,
}

/// Where a syslog listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAt {
    /// At this address and port.
    Udp(SocketAddr),
    /// At this socket, such as `/dev/log`.
    Unix(PathBuf),
}

impl fmt::Display for SyslogAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Outlets {
    /// A relative path of the file begins in this folder.
    pub(super) fn within(&mut self, folder: &Path) {
        self.json = self.json.take().map(|path| folder.join(path));
    }
}

pub(super) fn outlets(table: &Section<'_>, report: &mut Report) -> Outlets {
    Outlets {
        json: table.get("json").and_then(|value| json(value, report)),
        syslog: table.get("syslog").and_then(|value| syslog(value, report)),
        webhook: table
            .get("webhook")
            .and_then(|value| webhook(value, report)),
    }
}

fn json(value: Value<'_>, report: &mut Report) -> Option<PathBuf> {
    let text = value.string(report)?;
    if text.is_empty() || text.ends_with('/') {
        report.error(value.spot, || {
            Remark::new(
                format!("`json` cannot be \"{text}\""),
                "write the path of a file, like \"/var/log/lychgate/events.jsonl\"",
            )
        });
        return None;
    }
    Some(text.into())
}

fn syslog(value: Value<'_>, report: &mut Report) -> Option<SyslogAt> {
    let text = value.string(report)?;
    if text.starts_with('/') {
        return Some(SyslogAt::Unix(text.into()));
    }
    let address = text.parse::<SocketAddr>().ok().filter(|to| to.port() > 0);
    if address.is_none() {
        report.error(value.spot, || {
            Remark::new(
                format!("`syslog` cannot be \"{text}\""),
                "write an address and a port, like \"192.0.2.10:514\" or \"[2001:db8::10]:514\", \
                 or a socket's path, like \"/dev/log\"",
            )
        });
    }
    address.map(SyslogAt::Udp)
}

fn webhook(value: Value<'_>, report: &mut Report) -> Option<String> {
    let text = value.string(report)?;
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let plain = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    if !text.chars().all(plain) || host.is_none_or(|host| host.is_empty() || host.contains('@')) {
        report.error(value.spot, || {
            Remark::new(
                format!("`webhook` cannot be \"{text}\""),
                "write a URL without user and password, like \"https://desk.example.net/events\"",
            )
        });
        return None;
    }
    Some(text.to_owned())
}
