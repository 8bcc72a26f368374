//! Files that appear whole or not at all.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::TempPath;

/// A file being written under a temporary name beside its own. Dropped before
/// [`Pending::commit`], it leaves nothing behind, and a file that stood there stays as it was.
#[derive(Debug)]
#[must_use = "commit it, or nothing will stand there"]
pub struct Pending {
    target: PathBuf,
    /// Nothing where the target is standard output, a device or a pipe: those are written
    /// directly.
    temporary: Option<TempPath>,
}

impl Pending {
    /// Begins a file; "-" is standard output.
    ///
    /// # Errors
    /// Its directory does not exist or cannot be written.
    pub fn create(target: &Path) -> io::Result<(Box<dyn Write + Send>, Self)> {
        let direct = |sink: Box<dyn Write + Send>| {
            Ok((
                sink,
                Self {
                    target: target.to_owned(),
                    temporary: None,
                },
            ))
        };
        if target.as_os_str() == "-" {
            return direct(Box::new(io::stdout()));
        }
        if fs::metadata(target).is_ok_and(|metadata| !metadata.is_file()) {
            return direct(Box::new(OpenOptions::new().write(true).open(target)?));
        }
        // A link keeps pointing at the file that is replaced.
        let target = fs::canonicalize(target).unwrap_or_else(|_| target.to_owned());
        let directory = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".lychgate-").suffix(".part");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (file, temporary) = builder.tempfile_in(directory)?.into_parts();
        Ok((
            Box::new(file),
            Self {
                target,
                temporary: Some(temporary),
            },
        ))
    }

    /// Puts the finished file in its place.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn commit(self) -> io::Result<()> {
        match self.temporary {
            Some(temporary) => temporary.persist(&self.target).map_err(|error| error.error),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_committed() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out.json");
        fs::write(&target, "old").unwrap();
        let (mut file, pending) = Pending::create(&target).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        pending.commit().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn a_file_given_up_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let pending = Pending::create(&directory.path().join("out.json")).unwrap();
        drop(pending);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
