//! Replays the fuzz corpus of `policy`: what a fuzzer once found interesting stays right.

use std::{fs, path::Path};

#[path = "../fuzz/properties/policy.rs"]
mod property;

#[test]
fn every_file_of_the_corpus_holds_the_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/policy");
    let mut count = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is part of the project") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display());
        property::holds(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 10, "only {count} files in the corpus");
}
