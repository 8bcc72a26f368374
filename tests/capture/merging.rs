//! Several captures as one.

use std::io::Cursor;

use lychgate::io::capture::{Fault, Merge, Progress, Reader, Run};
use proptest::prelude::*;

use super::build::*;

const L: Order = Order::Little;

fn capture(times: &[u32]) -> Vec<u8> {
    let records = times
        .iter()
        .map(|&time| pcap_record(L, (0, time), 1, &[time as u8]));
    let header = pcap_header(L, NANOSECONDS, 0, 1);
    [header].into_iter().chain(records).flatten().collect()
}

fn reader(octets: Vec<u8>) -> Reader {
    Reader::from_read("test.cap", Cursor::new(octets)).expect("a whole header")
}

/// Index and time of every record; an error stands as `None`.
fn merged(inputs: Vec<Vec<u8>>) -> Vec<(usize, Option<u64>)> {
    let mut merge = Merge::new(inputs.into_iter().map(reader).collect());
    let mut order = Vec::new();
    loop {
        match merge.next() {
            Ok(Some((index, record))) => {
                assert_eq!(record.bytes, [record.time as u8]);
                order.push((index, Some(record.time)));
            }
            Ok(None) => break,
            Err((index, error)) => {
                assert!(matches!(error.fault, Fault::Truncated { .. }));
                order.push((index, None));
            }
        }
    }
    assert!(matches!(merge.next(), Ok(None)));
    order
}

#[test]
fn records_come_by_time_and_at_the_same_time_by_input() {
    let order = merged(vec![
        capture(&[1, 5, 5]),
        capture(&[]),
        capture(&[1, 5, 9]),
        capture(&[0]),
    ]);
    let expected = [(3, 0), (0, 1), (2, 1), (0, 5), (0, 5), (2, 5), (2, 9)];
    assert_eq!(order, expected.map(|(index, time)| (index, Some(time))));
}

#[test]
fn a_damaged_input_says_so_behind_its_last_record_and_the_others_go_on() {
    let mut damaged = capture(&[2, 4]);
    damaged.extend([1, 2, 3]);
    let mut damaged_at_once = capture(&[]);
    damaged_at_once.extend([1, 2, 3]);
    let order = merged(vec![capture(&[1, 3, 5]), damaged, damaged_at_once]);
    let expected = [
        (2, None),
        (0, Some(1)),
        (1, Some(2)),
        (0, Some(3)),
        (1, Some(4)),
        (1, None),
        (0, Some(5)),
    ];
    assert_eq!(order, expected);
}

#[test]
fn nothing_merged_is_nothing() {
    assert_eq!(merged(vec![]), []);
}

#[test]
fn progress_is_the_sum_and_has_a_total_if_each_has_one() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("a.pcap");
    std::fs::write(&path, capture(&[1])).expect("a file for the test");
    let open = || Reader::open(&path).expect("a whole header");
    let finished = |mut merge: Merge| {
        while let Ok(Some(_)) = merge.next() {}
        merge.progress()
    };
    assert_eq!(
        finished(Merge::new(vec![open(), open()])),
        Progress {
            read: 82,
            total: Some(82)
        }
    );
    let with_pipe = Merge::new(vec![open(), reader(capture(&[1]))]);
    assert_eq!(
        finished(with_pipe),
        Progress {
            read: 82,
            total: None
        }
    );
}

proptest! {
    #[test]
    fn inputs_in_order_merge_as_a_stable_sort_would(
        mut inputs in prop::collection::vec(prop::collection::vec(0..20_u32, 0..12), 0..8),
    ) {
        for times in &mut inputs {
            times.sort_unstable();
        }
        let mut expected: Vec<_> = inputs
            .iter()
            .enumerate()
            .flat_map(|(index, times)| times.iter().map(move |&time| (index, Some(u64::from(time)))))
            .collect();
        expected.sort_by_key(|&(_, time)| time);
        prop_assert_eq!(merged(inputs.iter().map(|times| capture(times)).collect()), expected);
    }

    #[test]
    fn an_input_whose_time_runs_backwards_keeps_its_order(
        inputs in prop::collection::vec(prop::collection::vec(0..20_u32, 0..12), 1..6),
    ) {
        let order = merged(inputs.iter().map(|times| capture(times)).collect());
        for (index, times) in inputs.iter().enumerate() {
            let kept: Vec<_> =
                order.iter().filter(|turn| turn.0 == index).filter_map(|turn| turn.1).collect();
            let times: Vec<_> = times.iter().map(|&time| u64::from(time)).collect();
            prop_assert_eq!(kept, times);
        }
    }
}

/// The same, a run at a time. An error comes behind the records of its run.
fn merged_by_runs(readers: Vec<Reader>) -> Vec<(usize, Option<u64>)> {
    let mut merge = Merge::new(readers);
    let (mut run, mut order) = (Run::default(), Vec::new());
    loop {
        let filled = merge.fill(&mut run);
        for (index, (input, record)) in run.records().enumerate() {
            assert_eq!(record.bytes, [record.time as u8]);
            assert_eq!(record, run.record(index));
            order.push((input, Some(record.time)));
        }
        match filled {
            Err(_) => order.push((usize::MAX, None)),
            Ok(()) if run.is_empty() => return order,
            Ok(()) => {}
        }
    }
}

proptest! {
    #[test]
    fn runs_hold_the_records_that_come_one_by_one(
        times in prop::collection::vec(prop::collection::vec(0_u32..1000, 0..40), 1..4),
        damaged in any::<bool>(),
    ) {
        let mut inputs: Vec<_> = times.iter().map(|times| capture(times)).collect();
        if damaged {
            inputs[0].extend([1, 2, 3]);
        }
        let expected: Vec<_> = merged(inputs.clone())
            .into_iter()
            .map(|(input, time)| (time.map_or(usize::MAX, |_| input), time))
            .collect();
        let whole = inputs.iter().cloned().map(reader).collect();
        prop_assert_eq!(&merged_by_runs(whole), &expected);
        let dribbling = |octets| {
            Reader::from_read("test.cap", Dribble(Cursor::new(octets))).expect("a whole header")
        };
        let dribbling = inputs.into_iter().map(dribbling).collect();
        prop_assert_eq!(&merged_by_runs(dribbling), &expected);
    }
}

#[test]
fn runs_are_cut_alike_however_the_octets_arrive_and_lose_nothing_between_them() {
    let times: Vec<_> = (0..40_000).collect();
    let lengths = |reader: Reader| {
        let mut merge = Merge::new(vec![reader]);
        let (mut run, mut lengths) = (Run::default(), Vec::new());
        let mut next = 0;
        loop {
            merge.fill(&mut run).expect("no damage");
            for (_, record) in run.records() {
                assert_eq!((record.time, record.bytes), (next, &[next as u8][..]));
                next += 1;
            }
            if run.is_empty() {
                assert_eq!(next, 40_000);
                return lengths;
            }
            lengths.push(run.len());
        }
    };
    let whole = lengths(reader(capture(&times)));
    assert!(whole.len() > 2);
    let dribble = Dribble(Cursor::new(capture(&times)));
    let dribbling = Reader::from_read("test.cap", dribble).expect("a whole header");
    assert_eq!(lengths(dribbling), whole);
}

#[test]
fn a_disk_that_fails_leaves_the_run_in_front_of_it() {
    let failing = Failing(Cursor::new(capture(&[1, 2, 3])));
    let failing = Reader::from_read("test.cap", failing).expect("a whole header");
    let order = merged_by_runs(vec![failing]);
    assert_eq!(
        order,
        [(0, Some(1)), (0, Some(2)), (0, Some(3)), (usize::MAX, None)]
    );
}
