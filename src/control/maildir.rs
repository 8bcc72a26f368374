//! Complaints that arrive in a maildir.
//!
//! What a mail server lays down in `new` is read, a few mails at a time, and moved to `cur` when it
//! was taken: marked as seen, and flagged too where somebody should look at it, because it is held
//! against nobody. A mail that can't be read stays where it is and is told of once. It leaves to
//! others what a complaint means: that is the casebook's business.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};

use crate::complaint::{self, Complaint, OCTETS_MAX};

/// Mails that are read at once: a flood of them never keeps the clock waiting for long.
pub const MAILS_MAX: usize = 16;
/// Mails that are looked for at once: what lies there beyond waits its turn.
const LISTED_MAX: usize = 10_000;

/// What became of a mail's complaints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Held against a subscriber.
    Held,
    /// Held against nobody: somebody should look.
    Nobody,
    /// It could not be stored: to be tried again.
    NotYet,
}

/// A maildir that is watched.
#[derive(Debug)]
pub struct Maildir {
    folder: PathBuf,
    /// Mails that can't be read, and were told of.
    left: HashSet<OsString>,
}

impl Maildir {
    /// A maildir in this folder.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        for name in ["new", "cur"] {
            let part = folder.join(name);
            ensure!(
                part.is_dir(),
                "{}: [complaints] maildir is no maildir: it has no folder `{name}`; make it with \
                 `mkdir -p {0}/new {0}/cur {0}/tmp`, writable for the mail server and for lychgate",
                folder.display()
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            left: HashSet::new(),
        })
    }

    /// Reads a few of the new mails, the oldest first. `take` is given each one's name and its
    /// complaints. Gives what could not be read, and why.
    ///
    /// # Errors
    ///
    /// The folder can't be read.
    pub fn collect(
        &mut self,
        mut take: impl FnMut(&str, Vec<Complaint>) -> Taken,
    ) -> anyhow::Result<Vec<String>> {
        let mut unread = Vec::new();
        for name in self.waiting()? {
            let file = self.folder.join("new").join(&name);
            let said = file.display().to_string();
            let complaints = octets(&file)
                .with_context(|| format!("{said}: cannot be read"))
                .and_then(|mail| complaint::read(&mail).with_context(|| said.clone()));
            let moved = match complaints {
                Ok(complaints) => match take(&said, complaints) {
                    Taken::Held => self.move_on(&name, "S"),
                    Taken::Nobody => self.move_on(&name, "FS"),
                    Taken::NotYet => Ok(()),
                },
                Err(error) => Err(error),
            };
            if let Err(error) = moved {
                self.left.insert(name);
                unread.push(format!("{error:#}; it is left there"));
            }
        }
        Ok(unread)
    }

    /// The next few mails that were not left before.
    fn waiting(&mut self) -> anyhow::Result<Vec<OsString>> {
        let folder = self.folder.join("new");
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let names: io::Result<HashSet<_>> = entries
            .take(LISTED_MAX)
            .map(|entry| Ok(entry?.file_name()))
            .collect();
        let names = names.with_context(|| format!("cannot read {}", folder.display()))?;
        self.left.retain(|name| names.contains(name));
        let mut names: Vec<_> = names
            .into_iter()
            .filter(|name| !name.as_encoded_bytes().starts_with(b".") && !self.left.contains(name))
            .collect();
        // Their names begin with the time of arrival.
        names.sort();
        names.truncate(MAILS_MAX);
        Ok(names)
    }

    fn move_on(&self, name: &OsStr, flags: &str) -> anyhow::Result<()> {
        let from = self.folder.join("new").join(name);
        let mut seen = name.to_owned();
        seen.push(format!(":2,{flags}"));
        let to = self.folder.join("cur").join(seen);
        fs::rename(&from, &to)
            .with_context(|| format!("{}: cannot be moved to `cur`", from.display()))
    }
}

/// A mail's octets; of one that is too large only as much as shows that.
fn octets(file: &Path) -> io::Result<Vec<u8>> {
    let kind = fs::symlink_metadata(file)?.file_type();
    if !kind.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut octets = Vec::new();
    let limit = OCTETS_MAX as u64 + 1;
    fs::File::open(file)?.take(limit).read_to_end(&mut octets)?;
    Ok(octets)
}

#[cfg(test)]
mod tests;
