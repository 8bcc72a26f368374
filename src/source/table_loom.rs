//! Every interleaving of a few workers on a tiny table, explored by loom.

use std::time::Duration;

use loom::{model::Builder, sync::Arc, thread};

use super::*;

const S: u64 = 1_000_000_000;

fn limit() -> Limit {
    Limit::new(1, Duration::from_secs(1))
}

/// Up to three preemptions, or two where a sweep multiplies the interleavings.
fn explore(preemptions: usize, check: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(check);
}

fn admitted(table: &Arc<Table>, hash: u64, now: u64) -> u32 {
    u32::from(table.admit(hash, limit(), 1, now) == Admission::Admitted)
}

#[test]
fn two_workers_that_meet_a_new_source_admit_it_once() {
    explore(3, || {
        let table = Arc::new(Table::new(2, 3));
        let other = Arc::clone(&table);
        let worker = thread::spawn(move || admitted(&other, 7, 0));
        let here = admitted(&table, 7, 0);
        assert_eq!(here + worker.join().expect("no panic"), 1);
        assert_eq!(table.live(), 1);
    });
}

#[test]
fn two_new_sources_that_share_a_home_both_get_in() {
    explore(3, || {
        let table = Arc::new(Table::new(2, 3));
        let other = Arc::clone(&table);
        let worker = thread::spawn(move || admitted(&other, 7, 0));
        assert_eq!(admitted(&table, 8, 0), 1);
        assert_eq!(worker.join().expect("no panic"), 1);
        assert_eq!(table.live(), 2);
    });
}

#[test]
fn no_update_is_lost_between_workers() {
    explore(3, || {
        let table = Arc::new(Table::new(1, 1));
        let roomy = Limit::new(9, Duration::from_secs(1));
        let count = move |table: &Arc<Table>| {
            (0..2)
                .filter(|_| table.admit(7, roomy, 9, 0) == Admission::Admitted)
                .count() as u16
        };
        let other = Arc::clone(&table);
        let worker = thread::spawn(move || count(&other));
        let here = count(&table);
        let all = here + worker.join().expect("no panic");
        assert_eq!(all, 4);
        assert_eq!(table.admitted(7, roomy, 0), 4);
    });
}

#[test]
fn a_sweep_never_takes_a_record_that_is_wanted() {
    explore(3, || {
        let table = Arc::new(Table::new(2, 2));
        assert_eq!(admitted(&table, 7, 0), 1);
        // At 2 s the window is empty: the sweep may take the record, the attempt may renew it,
        // but an attempt that was admitted must not be forgotten.
        let sweeper = Arc::clone(&table);
        let sweep = thread::spawn(move || sweeper.sweep(2 * S, 2));
        assert_eq!(admitted(&table, 7, 2 * S), 1);
        sweep.join().expect("no panic");
        assert_eq!(
            admitted(&table, 7, 2 * S),
            0,
            "the second within the window"
        );
        assert_eq!(table.live(), 1);
    });
}

#[test]
fn a_slot_that_changes_hands_does_not_charge_the_new_source_for_the_old() {
    explore(2, || {
        let table = Arc::new(Table::new(1, 1));
        assert_eq!(admitted(&table, 7, 0), 1);
        let old = Arc::clone(&table);
        let worker = thread::spawn(move || admitted(&old, 7, 2 * S));
        table.sweep(2 * S, 1);
        let new = table.admit(8, limit(), 1, 2 * S);
        let old = worker.join().expect("no panic");
        match new {
            Admission::Admitted => assert_eq!(table.live(), 1),
            Admission::Full => assert_eq!(old, 1, "the old source kept its place"),
            Admission::Refused => panic!("the new source was charged for the old one's attempt"),
        }
    });
}
