//! What the file keeps, what it refuses, and what a power cut does to it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{
    policy::steps::Scope,
    remedy::{Releaser, Remedy, Stage, Subscriber},
};

const DAY: Duration = Duration::from_secs(86_400);

fn at(days: u32) -> Timestamp {
    let begin = Timestamp::from_second(1_700_000_000).expect("a moment");
    begin.saturating_add(days * DAY).expect("a moment")
}

fn subscriber(number: u8) -> Subscriber {
    Subscriber {
        name: None,
        prefix: format!("203.0.113.{number}/32").parse().expect("a prefix"),
    }
}

fn quarantined(remedy: &Remedy, number: u8, days: u32) -> Change {
    let order = ("anna", "abuse reports");
    remedy.quarantine(&subscriber(number), Scope::Mail, 30 * DAY, order, at(days))
}

fn released(remedy: &Remedy, number: u8, days: u32) -> Change {
    let by = Releaser::Staff("anna".to_owned());
    let change = remedy.release(&subscriber(number), &by, "called", at(days));
    change.expect("there is an open case")
}

/// Stores and applies.
fn enact(store: &mut Store, remedy: &mut Remedy, change: Change) {
    store.commit(std::slice::from_ref(&change)).expect("stored");
    remedy.apply(change);
}

/// A folder with a store of two cases in it, one of them closed on day 1.
fn two_cases() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cases.redb");
    let mut store = Store::open(&path).expect("a new store");
    let mut remedy = Remedy::default();
    for number in [66, 67] {
        let change = quarantined(&remedy, number, 0);
        enact(&mut store, &mut remedy, change);
    }
    let change = released(&remedy, 67, 1);
    enact(&mut store, &mut remedy, change);
    (folder, path)
}

#[test]
fn cases_and_their_trails_are_there_again_after_a_restart() {
    let (_folder, path) = two_cases();
    let store = Store::open(&path).expect("the store");
    let remedy = Remedy::new(store.cases().expect("cases"));
    let restricted: Vec<_> = remedy.restricted().collect();
    let [(case, Scope::Mail)] = restricted[..] else {
        panic!("{restricted:?}")
    };
    assert_eq!(case.subscriber, subscriber(66));
    let trail = store.trail("203.0.113.67/32").expect("a trail");
    let acts: Vec<_> = trail
        .iter()
        .map(|(number, record)| (*number, record.act.name(), record.who.to_string()))
        .collect();
    let staff = "staff anna".to_owned();
    assert_eq!(
        acts,
        [(2, "quarantined", staff.clone()), (3, "released", staff)]
    );
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = two_cases();
    let mode = fs::metadata(path).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_store_is_one_processs_at_a_time() {
    let (_folder, path) = two_cases();
    let _held = Store::open(&path).expect("the store");
    let refused = Store::open(&path).expect_err("it is open");
    assert!(
        refused.to_string().contains("another process has it open"),
        "{refused}"
    );
}

#[test]
fn a_file_that_is_something_else_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in [("text", &b"class,prefix,name\n"[..]), ("empty", b"")] {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("a file");
        let refused = Store::open(&path).expect_err("it is no store").to_string();
        assert!(
            refused.contains("this is not a store of Lychgate's"),
            "{refused}"
        );
        assert_eq!(fs::read(&path).expect("the file"), content);
    }
}

#[test]
fn another_programs_database_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.redb");
    let other = Database::create(&path).expect("a database");
    let transaction = other.begin_write().expect("a transaction");
    let theirs: TableDefinition<'_, u64, u64> = TableDefinition::new("meta");
    transaction.open_table(theirs).expect("a table");
    transaction.commit().expect("committed");
    drop(other);
    let refused = Store::open(&path).expect_err("it is no store").to_string();
    assert!(
        refused.contains("this is not a store of Lychgate's"),
        "{refused}"
    );
}

#[test]
fn a_store_of_another_version_is_refused() {
    let (_folder, path) = two_cases();
    let store = Store::open(&path).expect("the store");
    let rewritten = store.write(|transaction| {
        let mut meta = transaction.open_table(META)?;
        meta.insert("schema", "lychgate.store/7")?;
        Ok(())
    });
    rewritten.expect("written");
    drop(store);
    let refused = Store::open(&path).expect_err("another version").to_string();
    assert!(
        refused.contains("its schema is lychgate.store/7"),
        "{refused}"
    );
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let refused = Store::open(Path::new("/nowhere/cases.redb")).expect_err("no folder");
    let said = refused.to_string();
    assert!(
        said.starts_with("/nowhere/cases.redb: cannot make it: "),
        "{said}"
    );
}

/// Each octet of the file in turn (of every 1,009, to save time) with its bits turned over.
#[test]
fn damage_is_refused_or_harmless_and_never_believed() {
    let (folder, path) = two_cases();
    let good = fs::read(&path).expect("the file");
    let store = Store::open(&path).expect("the store");
    let (cases, audit) = (store.cases().expect("cases"), store.audit().expect("audit"));
    drop(store);
    let damaged = folder.path().join("damaged.redb");
    let mut refusals = 0;
    for at in (0..good.len()).step_by(1_009) {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        fs::write(&damaged, &bad).expect("a file");
        match Store::open(&damaged) {
            Ok(store) => {
                assert_eq!(store.cases().expect("cases"), cases, "octet {at}");
                assert_eq!(store.audit().expect("audit"), audit, "octet {at}");
            }
            Err(error) => {
                refusals += 1;
                let said = error.to_string();
                assert!(said.contains("it is left as it is"), "octet {at}: {said}");
                let left = fs::read(&damaged).expect("the file");
                assert!(left == bad, "octet {at}: overwritten, though {said}");
            }
        }
    }
    assert!(
        refusals > 0,
        "what is believed whatever happens to it is not checked"
    );
}

#[test]
fn what_is_too_old_is_forgotten_and_open_cases_are_not() {
    let (_folder, path) = two_cases();
    let mut store = Store::open(&path).expect("the store");
    assert!(store.expire(at(1)).expect("expired").is_empty());
    assert_eq!(store.expire(at(400)).expect("expired"), ["203.0.113.67/32"]);
    let cases = store.cases().expect("cases");
    assert_eq!(cases.len(), 1);
    let audit = store.audit().expect("audit");
    assert_eq!(audit.len(), 1);
    assert_eq!(audit[0].1.case, "203.0.113.66/32");
}

#[test]
fn an_erased_subscriber_is_nowhere_in_the_file() {
    let (_folder, path) = two_cases();
    let mut store = Store::open(&path).expect("the store");
    assert_eq!(store.erase("203.0.113.67/32").expect("erased"), 2);
    // A number that was used is not used again.
    let mut remedy = Remedy::new(store.cases().expect("cases"));
    let change = quarantined(&remedy, 68, 2);
    enact(&mut store, &mut remedy, change);
    assert_eq!(store.trail("203.0.113.68/32").expect("a trail")[0].0, 4);
    drop(store);
    let file = fs::read(path).expect("the file");
    let holds = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(holds(b"203.0.113.66/32"));
    assert!(!holds(b"203.0.113.67/32"));
}

/// A disk whose power fails: what was not synced may be there or not, whole or in part.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    now: Vec<u8>,
    synced: Vec<u8>,
    since: Vec<(u64, Vec<u8>)>,
    /// Operations left until the power fails.
    left: u64,
}

impl Platter {
    fn spend(&mut self) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("no power"))?;
        Ok(())
    }
}

impl Disk {
    /// What is left of it, with power for ever.
    fn after_the_cut(&self, rng: &mut ChaCha8Rng) -> Self {
        let platter = self.0.lock().expect("no panic");
        let mut image = platter.synced.clone();
        for (offset, data) in &platter.since {
            let kept = match rng.random_range(0..3) {
                0 => 0,
                1 => data.len(),
                _ => data.len().min(512 * rng.random_range(0..8)),
            };
            let begin = usize::try_from(*offset).expect("it fits");
            image.resize(image.len().max(begin + kept), 0);
            image[begin..begin + kept].copy_from_slice(&data[..kept]);
        }
        let (now, synced, since) = (image.clone(), image, Vec::new());
        let left = u64::MAX;
        Self(Arc::new(Mutex::new(Platter {
            now,
            synced,
            since,
            left,
        })))
    }
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().expect("no panic").now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().expect("no panic");
        let begin = usize::try_from(offset).expect("it fits");
        let read = platter.now.get(begin..begin + out.len());
        out.copy_from_slice(read.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.0.lock().expect("no panic");
        platter.spend()?;
        let length = usize::try_from(length).expect("it fits");
        platter.now.resize(length, 0);
        // Lengths are kept at once: harder cases are those of the content.
        platter.synced.resize(length, 0);
        platter
            .since
            .retain(|(offset, data)| *offset as usize + data.len() <= length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().expect("no panic");
        platter.spend()?;
        platter.synced = platter.now.clone();
        platter.since.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock().expect("no panic");
        platter.spend()?;
        let begin = usize::try_from(offset).expect("it fits");
        platter.now[begin..begin + data.len()].copy_from_slice(data);
        platter.since.push((offset, data.to_vec()));
        Ok(())
    }
}

fn on(disk: &Disk) -> Result<Store, redb::DatabaseError> {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true);
    let database = builder.create_with_backend(disk.clone())?;
    let name = "the disk".to_owned();
    Ok(Store { database, name })
}

impl Store {
    /// An empty one, on a disk that has just failed.
    pub(crate) fn broken() -> Self {
        let disk = Disk::default();
        disk.0.lock().expect("no panic").left = u64::MAX;
        let store = on(&disk).expect("a store");
        store.write(make_tables).expect("tables");
        disk.0.lock().expect("no panic").left = 0;
        store
    }
}

#[test]
fn a_power_cut_loses_nothing_that_was_stored() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let disk = Disk::default();
        disk.0.lock().expect("no panic").left = u64::MAX;
        let mut store = on(&disk).expect("a store");
        store.write(make_tables).expect("tables");
        disk.0.lock().expect("no panic").left = rng.random_range(0..400);
        let mut remedy = Remedy::default();
        let mut acknowledged = Vec::new();
        for day in 0..40 {
            let number = rng.random_range(0..6);
            let is_open = remedy
                .of(&subscriber(number))
                .is_some_and(|(_, case)| case.is_open());
            let change = match is_open {
                true => released(&remedy, number, day),
                false => quarantined(&remedy, number, day),
            };
            if store.commit(std::slice::from_ref(&change)).is_err() {
                break;
            }
            acknowledged.extend(change.records.clone());
            remedy.apply(change);
        }
        drop(store);
        let store = on(&disk.after_the_cut(&mut rng)).expect("it opens again");
        let audit = store.audit().expect("the audit trail");
        let stored: Vec<_> = audit.into_iter().map(|(_, record)| record).collect();
        assert!(
            stored.starts_with(&acknowledged),
            "seed {seed}: something is lost"
        );
        assert!(stored.len() <= acknowledged.len() + 1, "seed {seed}");
        for (id, case) in store.cases().expect("cases") {
            let last = stored.iter().rfind(|record| record.case == id);
            assert_eq!(
                last.map(|record| record.stage),
                Some(case.stage),
                "seed {seed}"
            );
            assert_eq!(case.is_open(), case.stage != Stage::Released);
        }
    }
}
