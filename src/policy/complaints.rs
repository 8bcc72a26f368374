//! `[complaints]`: where complaints about subscribers arrive, and how old they may be.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    diagnostic::{Remark, Report},
    keeping::{self, lasting},
    reader::{Section, Shape},
};

pub(super) const COMPLAINTS: Shape = Shape {
    title: "[complaints]",
    keys: &["maildir", "max_age"],
};

/// How old a complaint may be unless the policy says otherwise.
pub const COMPLAINT_AGE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);
/// The longest time that a policy can ask for.
pub const COMPLAINT_AGE_MAX: Duration = Duration::from_secs(365 * 86_400);

/// Where complaints arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    /// The maildir: a folder with `new` and `cur`.
    pub maildir: PathBuf,
    /// What happened longer ago is held against nobody.
    pub max_age: Duration,
}

impl Complaints {
    /// Relative paths begin in this folder.
    pub(super) fn within(&mut self, folder: &Path) {
        self.maildir = folder.join(&self.maildir);
    }
}

pub(super) fn complaints(table: &Section<'_>, report: &mut Report) -> Option<Complaints> {
    let max_age = table.get("max_age").and_then(|value| {
        let text = value.string(report)?;
        let found = lasting(text).filter(|age| !age.is_zero() && *age <= COMPLAINT_AGE_MAX);
        if found.is_none() {
            report.error(value.spot, || {
                Remark::new(
                    format!("`max_age` cannot be \"{text}\""),
                    "write hours or days, from \"1h\" to \"365d\"",
                )
            });
        }
        found
    });
    let maildir = table
        .require("maildir", "\"/var/mail/abuse\"", report)
        .and_then(|value| keeping::path(value, "a folder, like \"/var/mail/abuse\"", report))?;
    Some(Complaints {
        maildir,
        max_age: max_age.unwrap_or(COMPLAINT_AGE_DEFAULT),
    })
}
