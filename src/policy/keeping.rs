//! `[store]`: where cases are kept, for how long, and where staff ask for them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    diagnostic::{Remark, Report},
    reader::{Section, Shape, Value},
};

pub(super) const STORE: Shape = Shape {
    title: "[store]",
    keys: &["path", "keep", "socket"],
};

/// How long closed cases are kept unless the policy says otherwise.
pub const KEEP_DEFAULT: Duration = days(180);
/// The shortest time for which closed cases are kept.
pub const KEEP_MIN: Duration = days(1);
/// The longest time for which closed cases are kept.
pub const KEEP_MAX: Duration = days(3_650);

const fn days(number: u64) -> Duration {
    Duration::from_secs(number * 86_400)
}

/// Where cases are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// The file.
    pub path: PathBuf,
    /// How long closed cases are kept.
    pub keep: Duration,
    /// The control socket of a running box.
    pub socket: PathBuf,
}

impl Keeping {
    /// Relative paths begin in this folder.
    pub(super) fn within(&mut self, folder: &Path) {
        self.path = folder.join(&self.path);
        self.socket = folder.join(&self.socket);
    }
}

pub(super) fn keeping(table: &Section<'_>, report: &mut Report) -> Option<Keeping> {
    let keep = table
        .get("keep")
        .and_then(|value| keep(value, report))
        .unwrap_or(KEEP_DEFAULT);
    let file = "a file, like \"/var/lib/lychgate/cases.redb\"";
    let socket = table
        .get("socket")
        .and_then(|value| path(value, file, report));
    let path = table
        .require("path", "\"/var/lib/lychgate/cases.redb\"", report)
        .and_then(|value| path(value, file, report))?;
    let socket = socket.unwrap_or_else(|| {
        let mut beside = path.clone().into_os_string();
        beside.push(".sock");
        beside.into()
    });
    Some(Keeping { path, keep, socket })
}

pub(super) fn path(value: Value<'_>, what: &str, report: &mut Report) -> Option<PathBuf> {
    let text = value.string(report)?;
    if text.is_empty() {
        report.error(value.spot, || {
            Remark::new(
                format!("`{}` is empty", value.name),
                format!("write the path of {what}"),
            )
        });
        return None;
    }
    Some(text.into())
}

fn keep(value: Value<'_>, report: &mut Report) -> Option<Duration> {
    let text = value.string(report)?;
    let found = lasting(text).filter(|keep| (KEEP_MIN..=KEEP_MAX).contains(keep));
    if found.is_none() {
        report.error(value.spot, || {
            Remark::new(
                format!("`keep` cannot be \"{text}\""),
                "write how many days, from \"1d\" to \"3650d\"",
            )
        });
    }
    found
}

/// Reads hours or days, such as `12h` or `30d`.
#[must_use]
pub fn lasting(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.strip_suffix('d') {
        Some(number) => (number, 86_400),
        None => (text.strip_suffix('h')?, 3_600),
    };
    let is_number = number.bytes().all(|octet| octet.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}
