//! What survives when the program doesn't: cases and the audit trail, in one file.
//!
//! Promises:
//!
//! - [`Store::commit`] returns when everything is on the disk (fsync), and then it is all there, or,
//!   if the program or the machine died before, none of it: a case never disagrees with its audit
//!   trail. Only what was committed may take effect.
//! - A file that is not ours, of another version, or damaged, is refused and left as it is. Damage
//!   is found when the file is opened: every page has a checksum. Two-phase commits keep redb from
//!   taking a damaged page for a commit that was torn, and falling back to the one before it.
//! - One process at a time: the file is locked while it is open. Who finds it so waits two seconds.
//! - The audit trail is only ever added to, until its time is over ([`Store::expire`]) or a
//!   subscriber's data must go ([`Store::erase`]). Its numbers are never used twice, so a gap shows
//!   that something was there.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | `schema` | `lychgate.store/1` |
//! | `counter` | `next` | number of the next record |
//! | `case` | what the case is kept under | [`Case`] as JSON |
//! | `audit` | number | [`Record`] as JSON |
//! | `trail` | what the case is kept under, number | nothing: finds a case's records |
//!
//! It leaves to others: what a case may become ([`crate::remedy`]).

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, TableError,
    WriteTransaction, backends::FileBackend,
};

use crate::remedy::{Case, Change, Record};

/// What the file says it is.
pub const SCHEMA: &str = "lychgate.store/1";

/// How a file of redb begins.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// Memory for pages that were read: there is little to read.
const CACHE: usize = 4 << 20;
/// How long somebody else may have the file open before it counts as in use.
const TURN_MAX: Duration = Duration::from_secs(2);

const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");
const COUNTER: TableDefinition<'_, &str, u64> = TableDefinition::new("counter");
const CASE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("case");
const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
const TRAIL: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("trail");

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "{0}: another process has it open\nremedy: if that is `lychgate run`, its control socket answers; else wait for the other command to end"
    )]
    InUse(String),
    /// It is something else.
    #[error(
        "{0}: this is not a store of Lychgate's; it is left as it is\nremedy: name another file in [store] path, or move this one away"
    )]
    Foreign(String),
    /// Another version wrote it.
    #[error(
        "{0}: its schema is {1}, and this program reads {SCHEMA}; it is left as it is\nremedy: use the program that wrote it, or name another file in [store] path"
    )]
    Schema(String, String),
    /// What is in it can't be trusted.
    #[error(
        "{0}: it is damaged ({1}); it is left as it is\nremedy: check the disk, then put the last backup in its place, or move it away to begin without cases"
    )]
    Damaged(String, String),
    /// The operating system refuses.
    #[error("{0}: cannot {1}: {2}")]
    Io(String, &'static str, io::Error),
    /// Reading or writing failed when it was open.
    #[error(
        "{0}: {1}; nothing of what was to be stored has taken effect\nremedy: look for a full or failing disk"
    )]
    Failed(String, redb::Error),
}

/// Cases and audit trail on the disk.
#[derive(Debug)]
pub struct Store {
    database: Database,
    /// As messages call it.
    name: String,
}

impl Store {
    /// Opens a store, or makes an empty one where there is no file.
    ///
    /// # Errors
    ///
    /// The file is no store, another version's, damaged, in use, or can't be had.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        match fs::File::open(path) {
            Ok(file) => check_magic(file, &name)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(store) = Self::create(path, &name)? {
                    return Ok(store);
                }
                // Somebody else just made it.
            }
            Err(error) => return Err(StoreError::Io(name, "open it", error)),
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        builder.set_check_integrity_on_open(true);
        let database = open_in_turn(&builder, path).map_err(|error| cannot_open(&name, error))?;
        let store = Self { database, name };
        store.check_schema()?;
        Ok(store)
    }

    /// Makes an empty store whole, then gives it its name: there is never half a one. `None` if
    /// there is one by now.
    fn create(path: &Path, name: &str) -> Result<Option<Self>, StoreError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let io = |doing| move |error| StoreError::Io(name.to_owned(), doing, error);
        // Only its owner can read it: tempfile sees to that.
        let temporary = tempfile::NamedTempFile::new_in(&folder).map_err(io("make it"))?;
        let file = temporary.reopen().map_err(io("make it"))?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE);
        let database = builder
            .create_with_backend(FileBackend::new(file).map_err(|error| cannot_open(name, error))?)
            .map_err(|error| cannot_open(name, error))?;
        let store = Self {
            database,
            name: name.to_owned(),
        };
        store.write(make_tables)?;
        match temporary.persist_noclobber(path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(StoreError::Io(name.to_owned(), "make it", error.error)),
        }
        let synced = fs::File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(io("make it last"))?;
        Ok(Some(store))
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let read = || -> Result<Option<String>, redb::Error> {
            match self.database.begin_read()?.open_table(META) {
                Ok(meta) => Ok(meta.get("schema")?.map(|found| found.value().to_owned())),
                Err(TableError::Storage(error)) => Err(error.into()),
                Err(_) => Ok(None),
            }
        };
        match self.checked(read())?.as_deref() {
            Some(SCHEMA) => Ok(()),
            Some(other) => Err(StoreError::Schema(self.name.clone(), other.to_owned())),
            None => Err(StoreError::Foreign(self.name.clone())),
        }
    }

    /// Every case with what it is kept under.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn cases(&self) -> Result<Vec<(String, Case)>, StoreError> {
        let read = || -> Result<Vec<(String, Case)>, redb::Error> {
            let cases = self.database.begin_read()?.open_table(CASE)?;
            let mut found = Vec::new();
            for entry in cases.iter()? {
                let (id, case) = entry?;
                found.push((id.value().to_owned(), decode(case.value())?));
            }
            Ok(found)
        };
        self.checked(read())
    }

    /// What the audit trail says about a case, oldest first, with each record's number.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn trail(&self, id: &str) -> Result<Vec<(u64, Record)>, StoreError> {
        let read = || -> Result<Vec<(u64, Record)>, redb::Error> {
            let transaction = self.database.begin_read()?;
            let (trail, audit) = (
                transaction.open_table(TRAIL)?,
                transaction.open_table(AUDIT)?,
            );
            let mut found = Vec::new();
            for entry in trail.range((id, 0)..=(id, u64::MAX))? {
                let number = entry?.0.value().1;
                let record = audit.get(number)?.ok_or_else(missing)?;
                found.push((number, decode(record.value())?));
            }
            Ok(found)
        };
        self.checked(read())
    }

    /// The whole audit trail, oldest first.
    ///
    /// # Errors
    ///
    /// It can't be read.
    pub fn audit(&self) -> Result<Vec<(u64, Record)>, StoreError> {
        let read = || -> Result<Vec<(u64, Record)>, redb::Error> {
            let audit = self.database.begin_read()?.open_table(AUDIT)?;
            let mut found = Vec::new();
            for entry in audit.iter()? {
                let (number, record) = entry?;
                found.push((number.value(), decode(record.value())?));
            }
            Ok(found)
        };
        self.checked(read())
    }

    /// Stores changes, all or none. When this returns, they are on the disk and may take effect.
    ///
    /// # Errors
    ///
    /// They are not stored, and must not take effect.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut counter = transaction.open_table(COUNTER)?;
            let mut next = counter.get("next")?.ok_or_else(missing)?.value();
            let mut cases = transaction.open_table(CASE)?;
            let mut audit = transaction.open_table(AUDIT)?;
            let mut trail = transaction.open_table(TRAIL)?;
            for change in changes {
                for record in &change.records {
                    audit.insert(next, encode(record)?.as_slice())?;
                    trail.insert((change.id.as_str(), next), ())?;
                    next += 1;
                }
                cases.insert(change.id.as_str(), encode(&change.case)?.as_slice())?;
            }
            counter.insert("next", next)?;
            Ok(())
        })
    }

    /// Erases a case and all of its records; says how many there were. What they took up in the file
    /// is given back.
    ///
    /// # Errors
    ///
    /// Nothing is erased.
    pub fn erase(&mut self, id: &str) -> Result<usize, StoreError> {
        let numbers: Vec<u64> = self.trail(id)?.iter().map(|&(number, _)| number).collect();
        self.write(|transaction| {
            transaction.open_table(CASE)?.remove(id)?;
            remove(transaction, id, &numbers)
        })?;
        self.compact()?;
        Ok(numbers.len())
    }

    /// Forgets what is older than `before`: closed cases with all of their records, and of open ones
    /// nothing. Says which cases are gone.
    ///
    /// # Errors
    ///
    /// Nothing is forgotten.
    pub fn expire(&mut self, before: Timestamp) -> Result<Vec<String>, StoreError> {
        let is_over = |case: &Case| !case.is_open() && case.since < before;
        let cases = self.cases()?.into_iter();
        let over: Vec<String> = cases
            .filter(|(_, case)| is_over(case))
            .map(|(id, _)| id)
            .collect();
        if over.is_empty() {
            return Ok(over);
        }
        let mut numbers = Vec::new();
        for id in &over {
            numbers.push(self.trail(id)?.iter().map(|&(number, _)| number).collect());
        }
        let numbers: Vec<Vec<u64>> = numbers;
        self.write(|transaction| {
            for (id, numbers) in over.iter().zip(&numbers) {
                transaction.open_table(CASE)?.remove(id.as_str())?;
                remove(transaction, id, numbers)?;
            }
            Ok(())
        })?;
        self.compact()?;
        Ok(over)
    }

    fn compact(&mut self) -> Result<(), StoreError> {
        let compacted = self.database.compact().map_err(redb::Error::from);
        self.checked(compacted.map(|_| ()))
    }

    /// Does all of `work` in one transaction, durably, or none of it.
    fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_two_phase_commit(true);
            work(&transaction)?;
            Ok(transaction.commit()?)
        };
        self.checked(write())
    }

    fn checked<T>(&self, result: Result<T, redb::Error>) -> Result<T, StoreError> {
        result.map_err(|error| match error {
            redb::Error::Corrupted(why) => StoreError::Damaged(self.name.clone(), why),
            error => StoreError::Failed(self.name.clone(), error),
        })
    }
}

fn check_magic(file: fs::File, name: &str) -> Result<(), StoreError> {
    let mut found = Vec::new();
    let limit = MAGIC.len() as u64;
    io::Read::read_to_end(&mut io::Read::take(file, limit), &mut found)
        .map_err(|error| StoreError::Io(name.to_owned(), "read it", error))?;
    if found != MAGIC {
        return Err(StoreError::Foreign(name.to_owned()));
    }
    Ok(())
}

/// Opens the file, and waits a little for somebody else who has it open: commands and the notice page
/// have it for a moment only, and a box that starts must not fail because of them.
fn open_in_turn(builder: &Builder, path: &Path) -> Result<Database, redb::DatabaseError> {
    let begin = Instant::now();
    loop {
        match builder.open(path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if begin.elapsed() < TURN_MAX => {
                thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

fn cannot_open(name: &str, error: redb::DatabaseError) -> StoreError {
    let name = name.to_owned();
    match error {
        redb::DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(name),
        redb::DatabaseError::Storage(redb::StorageError::Io(error))
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            StoreError::Io(name, "open it for writing", error)
        }
        error => StoreError::Damaged(name, error.to_string()),
    }
}

fn make_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert("schema", SCHEMA)?;
    transaction.open_table(COUNTER)?.insert("next", 1)?;
    transaction.open_table(CASE)?;
    transaction.open_table(AUDIT)?;
    transaction.open_table(TRAIL)?;
    Ok(())
}

fn remove(transaction: &WriteTransaction, id: &str, numbers: &[u64]) -> Result<(), redb::Error> {
    let mut audit = transaction.open_table(AUDIT)?;
    let mut trail = transaction.open_table(TRAIL)?;
    for &number in numbers {
        audit.remove(number)?;
        trail.remove((id, number))?;
    }
    Ok(())
}

fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|error| redb::Error::Io(error.into()))
}

fn decode<T: serde::de::DeserializeOwned>(octets: &[u8]) -> Result<T, redb::Error> {
    serde_json::from_slice(octets).map_err(|error| redb::Error::Corrupted(error.to_string()))
}

fn missing() -> redb::Error {
    redb::Error::Corrupted("a record is missing".to_owned())
}

#[cfg(test)]
mod tests;
