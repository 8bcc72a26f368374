//! Reads any octets as a policy file.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../properties/policy.rs"]
mod property;

fuzz_target!(|octets: &[u8]| property::holds(octets));
