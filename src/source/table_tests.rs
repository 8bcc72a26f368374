use std::time::Duration;

use super::*;

fn limit() -> Limit {
    Limit::new(2, Duration::from_secs(10))
}

#[test]
fn a_slot_is_one_cache_line() {
    assert_eq!(size_of::<Slot>(), 64);
}

#[test]
fn records_that_share_a_home_find_their_own_place() {
    let table = Table::new(8, 10);
    // The high bits choose the home: all of these have the first slot's.
    for hash in 1..=8 {
        assert_eq!(table.admit(hash, limit(), 2, 0), Admission::Admitted);
    }
    for hash in 1..=8 {
        assert_eq!(table.admitted(hash, limit(), 0), 1, "hash {hash}");
    }
    assert_eq!(table.admit(9, limit(), 2, 0), Admission::Full);
}

#[test]
fn a_record_that_leaves_does_not_hide_those_behind_it() {
    let table = Table::new(8, 10);
    let short = Limit::new(2, Duration::from_secs(1));
    table.admit(1, short, 2, 0);
    table.admit(2, limit(), 2, 0);
    table.sweep(2_000_000_000, 10);
    assert_eq!(table.live(), 1);
    assert_eq!(table.admitted(2, limit(), 2_000_000_000), 1);
    table.admit(3, limit(), 2, 2_000_000_000);
    assert_eq!(table.reach(0), 1, "the empty slot was used again");
}

#[test]
fn a_reader_that_slept_through_a_recycling_is_refused_its_old_word() {
    let table = Table::new(1, 1);
    let (first, second) = (5, 6);
    table.admit(first, limit(), 2, 0);
    let slot = &table.slots[0];
    let identity = slot.identity();
    table.sweep(100_000_000_000, 1);
    assert_eq!(table.live(), 0);
    table.admit(second, limit(), 2, 100_000_000_000);
    assert_eq!(admit_in(slot, identity, limit().part(0), 2), None);
}
