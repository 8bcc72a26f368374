//! Reads any octets as a capture.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../properties/capture.rs"]
mod property;

fuzz_target!(|octets: &[u8]| property::holds(octets));
