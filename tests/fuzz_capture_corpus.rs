//! Replays the fuzz corpus of `capture`: what a fuzzer once found interesting stays right.

use std::{fs, path::Path};

#[path = "../fuzz/properties/capture.rs"]
mod property;

#[test]
fn every_file_of_the_corpus_holds_the_property() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/capture");
    let mut count = 0;
    for entry in fs::read_dir(corpus).expect("the corpus is part of the project") {
        let path = entry.expect("a readable folder").path();
        println!("{}", path.display());
        property::holds(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count >= 20, "only {count} files in the corpus");
}
