//! Capture files, from the outside: inputs are built by hand here, octet by octet, so that reader
//! and writer cannot agree on a mistake.

mod build;
mod damage;
mod formats;
mod merging;
mod pcapng;
mod properties;
mod writing;
