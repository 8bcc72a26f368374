//! What needs no interface. Everything else is in tests/afxdp: it needs root and network
//! namespaces.

use super::*;

#[test]
fn the_defaults_carry_an_ordinary_mtu_under_two_tags() {
    assert!(Options::default().mtu_max() >= 1500);
}
