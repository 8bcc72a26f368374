//! A file of JSON, one event a line.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Event, Failure, Writer};

/// Appends to a file. Each line is one write, so that readers never see a half.
#[derive(Debug)]
pub struct JsonLines {
    path: PathBuf,
    file: File,
    /// Set when the file was moved: the next event opens it anew.
    reopen: Arc<AtomicBool>,
}

impl JsonLines {
    /// Opens the file, which is made if it isn't there.
    ///
    /// # Errors
    ///
    /// The file can't be opened for appending.
    pub fn open(path: &Path, reopen: Arc<AtomicBool>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: appending(path)?,
            reopen,
        })
    }

    fn append(&mut self, event: &Event) -> io::Result<()> {
        if self.reopen.swap(false, Ordering::AcqRel) {
            // If it can't be opened now, then the next attempt has to.
            self.file = appending(&self.path)
                .inspect_err(|_| self.reopen.store(true, Ordering::Release))?;
        }
        let mut line = event.line()?;
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }
}

impl Writer for JsonLines {
    fn write(&mut self, event: &Event) -> Result<(), Failure> {
        self.append(event).map_err(|error| Failure {
            why: format!("cannot write to {}: {error}", self.path.display()),
            again: true,
        })
    }
}

fn appending(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map_err(|error| {
        let message = format!("cannot open {} for events: {error}", path.display());
        io::Error::new(error.kind(), message)
    })
}
