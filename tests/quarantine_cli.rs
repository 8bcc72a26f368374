//! `lychgate quarantine` and `lychgate subject`: what they do, and each mistake with its message.
#![cfg(unix)]

use std::{collections::BTreeSet, fs, path::Path};

use assert_cmd::Command;
use lychgate::store::Store;
use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = r#"
[class.residential]
smtp = { limit = { connections = 10, window = "10s" } }
[[pool]]
prefix = "203.0.113.0/24"
class = "residential"
[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30/32"]
class = "residential"
automatic = false
"#;
const STORE: &str = "[store]\npath = \"cases.redb\"\n";

/// A folder with a policy that has a store.
fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    write(folder.path(), &format!("{POLICY}{STORE}"));
    folder
}

fn write(folder: &Path, policy: &str) {
    fs::write(folder.join("isp.toml"), policy).expect("a file");
}

/// Runs the program and gives its code and what it printed.
fn run(folder: &TempDir, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("lychgate")
        .expect("the program")
        .current_dir(folder.path())
        .args(arguments)
        .args(["-p", "isp.toml"])
        .env_remove("SUDO_USER")
        .env("LOGNAME", "anna")
        .output()
        .expect("output");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    (
        output.status.code().expect("a code"),
        text(output.stdout),
        text(output.stderr),
    )
}

fn done(folder: &TempDir, arguments: &[&str]) -> String {
    let (code, out, err) = run(folder, arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

/// What it says on standard error, refusing with status 2.
fn refused(folder: &TempDir, arguments: &[&str]) -> String {
    let (code, out, err) = run(folder, arguments);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    err
}

const ADD: [&str; 5] = ["quarantine", "add", "203.0.113.66", "--why", "reports"];

#[test]
fn a_case_goes_from_quarantine_to_release_and_all_of_it_is_told() {
    let folder = folder();
    assert_eq!(done(&folder, &["quarantine", "list"]), "no cases\n");
    let added = done(&folder, &ADD);
    assert!(
        added.contains("203.0.113.66/32: quarantined (mail closed until"),
        "{added}"
    );
    assert!(added.ends_with("by staff anna: reports\n"), "{added}");
    let listed = done(&folder, &["quarantine", "list"]);
    let row = listed.lines().nth(1).expect("a row");
    assert!(
        row.starts_with("203.0.113.66/32  quarantined  "),
        "{listed}"
    );
    done(
        &folder,
        &[
            "quarantine",
            "release",
            "203.0.113.66",
            "--why",
            "cleaned",
            "--by",
            "bert",
        ],
    );
    assert_eq!(done(&folder, &["quarantine", "list"]), "no cases\n");
    let shown = done(&folder, &["subject", "203.0.113.66"]);
    for expected in [
        "subscriber  203.0.113.66/32",
        "class       residential",
        "case        released since",
        "     1  ",
        "quarantined (mail closed until",
        "by staff anna: reports",
        "     2  ",
        "released by staff bert: cleaned",
    ] {
        assert!(shown.contains(expected), "no {expected:?} in\n{shown}");
    }
    assert_eq!(
        shown,
        done(&folder, &["quarantine", "show", "203.0.113.66/32"])
    );
    let erased = done(&folder, &["quarantine", "erase", "203.0.113.66"]);
    assert_eq!(
        erased,
        "203.0.113.66/32: the case and 2 records are erased\n"
    );
    let shown = done(&folder, &["subject", "203.0.113.66"]);
    assert!(shown.ends_with("case        none\n"), "{shown}");
}

#[test]
fn a_subscriber_who_opted_out_is_told_to_be_exempt() {
    let shown = done(&folder(), &["subject", "ACME Hosting"]);
    assert!(shown.contains("ACME Hosting (203.0.113.30/32)"), "{shown}");
    assert!(shown.contains("exempt: only staff take steps"), "{shown}");
}

/// Every key of an answer, wherever it stands.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                found.insert(key.clone());
                keys(value, found);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|element| keys(element, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_answers_is_documented() {
    let folder = folder();
    let docs = include_str!("../docs/remediation.md");
    let mut found = BTreeSet::new();
    let mut ask = |arguments: &[&str]| {
        let answer = done(&folder, &[arguments, &["--json"]].concat());
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["schema"], "lychgate.case/1");
        keys(&answer, &mut found);
    };
    ask(&ADD);
    ask(&[
        "quarantine",
        "add",
        "ACME Hosting",
        "--why",
        "spam",
        "--for",
        "12h",
    ]);
    ask(&["quarantine", "list", "--all"]);
    ask(&["subject", "ACME Hosting"]);
    ask(&["quarantine", "release", "ACME Hosting", "--why", "cleaned"]);
    ask(&["quarantine", "erase", "ACME Hosting"]);
    for key in found {
        let row = format!("| `{key}` |");
        assert!(docs.contains(&row), "no row {row} in docs/remediation.md");
    }
}

#[test]
fn without_a_store_it_says_what_to_add_to_the_policy() {
    let folder = folder();
    write(folder.path(), POLICY);
    let said = refused(&folder, &["quarantine", "list"]);
    assert!(
        said.contains("the policy names no store; add [store] path = "),
        "{said}"
    );
}

#[test]
fn who_is_nobody_is_told_so() {
    let said = refused(&folder(), &["subject", "ACNE"]);
    assert!(
        said.contains("\"ACNE\" is no address, no prefix, and no subscriber's name"),
        "{said}"
    );
}

#[test]
fn an_address_in_no_pool_is_told_so() {
    let said = refused(&folder(), &["subject", "192.0.2.1"]);
    assert!(
        said.contains("192.0.2.1 is no subscriber's: it is in no pool"),
        "{said}"
    );
}

#[test]
fn a_decision_without_a_reason_is_refused() {
    let said = refused(&folder(), &ADD[..3]);
    assert!(said.contains("--why <TEXT>"), "{said}");
    let said = refused(
        &folder(),
        &["quarantine", "add", "203.0.113.66", "--why", " "],
    );
    assert!(
        said.contains("--why is empty: the audit trail keeps the reason"),
        "{said}"
    );
}

#[test]
fn a_decision_of_nobody_is_refused() {
    let said = refused(&folder(), &[&ADD[..], &["--by", ""]].concat());
    assert!(
        said.contains("the audit trail needs to know who you are: give --by NAME"),
        "{said}"
    );
}

#[test]
fn a_time_that_is_none_is_refused() {
    for time in ["30", "0d", "2w", "-1d", "3651d", "99999999999999999999d"] {
        let said = refused(&folder(), &[&ADD[..], &[&format!("--for={time}")]].concat());
        assert!(
            said.contains("write hours or days, like 12h or 30d"),
            "{said}"
        );
    }
}

#[test]
fn staff_choose_what_is_taken_away() {
    let folder = folder();
    let garden = done(&folder, &[&ADD[..], &["--scope", "garden"]].concat());
    assert!(
        garden.contains(": quarantined (all but the garden closed until "),
        "{garden}"
    );
    let mail = done(&folder, &[&ADD[..], &["--scope", "mail"]].concat());
    assert!(mail.contains(": quarantined (mail closed until "), "{mail}");
    let said = refused(&folder, &[&ADD[..], &["--scope", "park"]].concat());
    assert!(
        said.contains("invalid value 'park' for '--scope <SCOPE>'"),
        "{said}"
    );
}

#[test]
fn what_is_not_there_cannot_be_released() {
    let folder = folder();
    let release = ["quarantine", "release", "203.0.113.66", "--why", "cleaned"];
    let said = refused(&folder, &release);
    assert_eq!(said, "lychgate: 203.0.113.66/32: there is no case\n");
    done(&folder, &ADD);
    done(&folder, &release);
    let said = refused(&folder, &release);
    assert!(
        said.contains("the case is closed already: released "),
        "{said}"
    );
}

#[test]
fn an_open_case_cannot_be_erased() {
    let folder = folder();
    done(&folder, &ADD);
    let said = refused(&folder, &["quarantine", "erase", "203.0.113.66"]);
    assert!(
        said.contains("the case is open; release the subscriber first"),
        "{said}"
    );
}

#[test]
fn a_store_in_a_folder_that_is_not_there_is_named() {
    let folder = folder();
    write(
        folder.path(),
        &format!("{POLICY}[store]\npath = \"/nowhere/cases.redb\"\n"),
    );
    let said = refused(&folder, &["quarantine", "list"]);
    assert!(
        said.contains("/nowhere/cases.redb: cannot make it: No such file"),
        "{said}"
    );
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = folder();
    let file = folder.path().join("cases.redb");
    fs::write(&file, "prefix,class\n").expect("a file");
    let said = refused(&folder, &["quarantine", "list"]);
    assert!(
        said.contains("cases.redb: this is not a store of Lychgate's"),
        "{said}"
    );
    assert!(
        said.contains("remedy: name another file in [store] path"),
        "{said}"
    );
    assert_eq!(fs::read(&file).expect("the file"), b"prefix,class\n");
}

#[test]
fn a_store_that_another_process_has_open_is_told_so() {
    let folder = folder();
    let _held = Store::open(&folder.path().join("cases.redb")).expect("a store");
    let said = refused(&folder, &ADD);
    assert!(
        said.contains("cases.redb: another process has it open"),
        "{said}"
    );
}

#[test]
fn a_wrong_policy_is_refused_as_everywhere() {
    let folder = folder();
    write(folder.path(), "colour = 1\n");
    let said = refused(&folder, &["quarantine", "list"]);
    assert!(said.contains("isp.toml: the policy is refused"), "{said}");
}
