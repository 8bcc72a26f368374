//! Reads any octets as an abuse report.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../properties/complaint.rs"]
mod property;

fuzz_target!(|octets: &[u8]| property::holds(octets));
