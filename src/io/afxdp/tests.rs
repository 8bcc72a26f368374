//! What needs no interface. Everything else is in tests/afxdp: it needs root and network
//! namespaces.

use super::*;

#[test]
fn the_defaults_carry_an_ordinary_mtu_under_two_tags() {
    assert!(Options::default().mtu_max() >= 1500);
}

#[test]
fn the_fates_are_those_of_the_kernel_program_in_its_order() {
    let source = include_str!("../../bpf/steer.bpf.c");
    let list = source.split("enum fate {").nth(1).expect("it has fates");
    let list = list.split('}').next().expect("they end");
    let theirs: Vec<_> = list
        .lines()
        .filter_map(|line| line.trim().split(',').next()?.strip_prefix("FATE_"))
        .map(str::to_lowercase)
        .collect();
    let ours: Vec<_> = Fate::ALL.iter().map(|fate| fate.name()).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn the_mark_of_a_stamp_is_that_of_the_kernel_program() {
    let source = include_str!("../../bpf/steer.bpf.c");
    let mark = format!("#define STAMP_MARK {:#x} ", umem::STAMP_MARK);
    assert!(source.contains(&mark), "{mark}");
}
