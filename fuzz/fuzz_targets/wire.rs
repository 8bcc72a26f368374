//! Any bytes on any link layer keep the contract of `wire`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lychgate::wire::check_contract(data));
