//! Every file of the fuzz corpora, through what its fuzz target checks: once found, always tested.

use std::{fs, path::Path};

#[path = "../fuzz/properties/capture.rs"]
mod capture;
#[path = "../fuzz/properties/complaint.rs"]
mod complaint;
#[path = "../fuzz/properties/policy.rs"]
mod policy;

/// Runs `check` over all files of one target's corpus.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("a corpus for each target") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display()); // shown if the check fails
        check(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 10, "only {count} files in {}", folder.display());
}

#[test]
fn wire_keeps_its_contract_over_its_corpus() {
    replay("wire", lychgate::wire::check_contract);
}

#[test]
fn capture_reading_keeps_its_properties_over_its_corpus() {
    replay("capture", capture::holds);
}

#[test]
fn policies_keep_their_properties_over_their_corpus() {
    replay("policy", policy::holds);
}

#[test]
fn reports_keep_their_properties_over_their_corpus() {
    replay("complaint", complaint::holds);
}
