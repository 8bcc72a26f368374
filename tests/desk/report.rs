//! `lychgate report`.

use serde_json::{Value, json};

use crate::{Done, POLICY, lychgate, says, with_files, with_policy};

const ARF: &str = "From: FBL <fbl@mail.example>\r\n\
Date: Mon, 30 Nov 2026 13:00:00 +1300\r\n\
Content-Type: multipart/report; report-type=feedback-report; boundary=\"part\"\r\n\r\n\
--part\r\nContent-Type: message/feedback-report\r\n\r\n\
Feedback-Type: abuse\r\nUser-Agent: Generator/1.0\r\nVersion: 1\r\n\
Source-IP: 203.0.113.30\r\nArrival-Date: Mon, 30 Nov 2026 12:59:59 +1300\r\n\r\n\
--part--\r\n";

const XARF: &str = r#"{"xarf_version": "4.2.0", "timestamp": "2026-11-30T10:00:00Z",
  "source_identifier": "2001:db8:200:12ff::7", "category": "messaging", "type": "spam",
  "reporter": {"org": "Example", "contact": "reports@example.com", "domain": "example.com"}}"#;

/// Reads one report that stands on standard input.
fn read(report: &str, arguments: &[&str]) -> Done {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("isp.toml"), POLICY).expect("a file");
    let arguments = [&["report", "-"], arguments].concat();
    lychgate(folder.path(), &arguments, report.as_bytes())
}

#[test]
fn a_complaint_is_told_with_the_subscriber_who_has_the_address() {
    let done = read(ARF, &["--policy", "isp.toml"]);
    says(&done, 0, &[]);
    assert_eq!(
        done.out,
        "-: spam about 203.0.113.30\n  \
           form        ARF, abuse\n  \
           happened    2026-11-29T23:59:59Z\n  \
           reporter    fbl@mail.example\n  \
           incidents   1\n  \
           subscriber  ACME Hosting, 203.0.113.30/32, class mta\n"
    );
}

#[test]
fn a_complaint_in_json_has_all_of_it() {
    let done = read(XARF, &["--policy", "isp.toml", "--json"]);
    says(&done, 0, &[]);
    let value: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(
        value,
        json!({
            "schema": "lychgate.complaint/1",
            "complaints": [{
                "file": "-",
                "form": "xarf4",
                "kind": "spam",
                "stated_kind": "spam",
                "source": "2001:db8:200:12ff::7",
                "source_port": null,
                "time": "2026-11-30T10:00:00Z",
                "time_of": "incident",
                "reporter": "reports@example.com",
                "incidents": 1,
                "missing": [],
                "subject": {
                    "role": "subscriber",
                    "key": "2001:db8:200:1200::/56",
                    "name": null,
                    "class": "residential"
                }
            }],
            "unreadable": []
        })
    );
}

#[test]
fn addresses_of_nobody_and_of_relays_are_told_as_such() {
    let nobody = read(
        &ARF.replace("203.0.113.30", "198.51.100.9"),
        &["--policy", "isp.toml"],
    );
    assert!(
        nobody
            .out
            .contains("subscriber  nobody: the address is in no pool"),
        "{}",
        nobody.out
    );
    let relay = read(
        &ARF.replace("203.0.113.30", "192.0.2.25"),
        &["--policy", "isp.toml"],
    );
    assert!(
        relay.out.contains("subscriber  a relay of the policy"),
        "{}",
        relay.out
    );
    assert!(!read(ARF, &[]).out.contains("subscriber"));
}

#[test]
fn every_message_of_a_maildir_is_read_and_what_is_no_report_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["box/new", "box/cur", "box/tmp"] {
        std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
    }
    for (name, text) in [
        ("new/1", ARF),
        ("cur/2:2,S", XARF),
        ("cur/3:2,", "Hello"),
        ("tmp/4", ARF),
    ] {
        std::fs::write(folder.path().join("box").join(name), text).expect("a file");
    }
    let done = lychgate(folder.path(), &["report", "box", "--json"], b"");
    says(
        &done,
        1,
        &["lychgate: box/cur/3:2,: it is neither ARF nor XARF"],
    );
    let value: Value = serde_json::from_str(&done.out).expect("JSON");
    let files: Vec<_> = value["complaints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["file"])
        .collect();
    assert_eq!(files, ["box/new/1", "box/cur/2:2,S"]);
    assert_eq!(value["unreadable"][0]["file"], "box/cur/3:2,");
}

#[test]
fn what_is_missing_is_named() {
    let done = read(&ARF.replace("Source-IP: 203.0.113.30\r\n", ""), &[]);
    says(&done, 0, &[]);
    assert!(
        done.out
            .starts_with("-: spam about an address that it doesn't name\n"),
        "{}",
        done.out
    );
    assert!(
        done.out.contains("  missing     `Source-IP` is missing\n"),
        "{}",
        done.out
    );
}

macro_rules! unreadable {
    ($($name:ident: $input:expr => $expected:expr;)+) => {
        $(#[test]
        fn $name() {
            let done = read($input, &[]);
            says(&done, 2, &["lychgate: -: ", $expected]);
            assert_eq!(done.out, "");
        })+
    };
}

unreadable! {
    a_message_without_a_report: "From: a@b.example\r\n\r\nHello\r\n" => "it is neither ARF nor XARF";
    an_empty_file: "" => "it is neither ARF nor XARF";
    broken_json: "{\"xarf_version\": " => "it is not JSON: EOF while parsing";
    json_of_something_else: "{\"a\": 1}" => "it is JSON, but no XARF";
    messages_within_messages: &"Content-Type: message/rfc822\r\n\r\n".repeat(9_999) => "nested in it too often";
    a_report_of_seventeen_megabytes: &"a".repeat(17 << 20) => "are not read";
}

#[test]
fn a_file_that_is_not_there_is_told() {
    says(
        &with_files(&[], &["report", "nowhere.eml"]),
        2,
        &["cannot read nowhere.eml"],
    );
}

#[test]
fn a_folder_that_is_no_maildir_is_told() {
    says(
        &with_files(&[], &["report", "."]),
        2,
        &[". is no maildir: it has no folder `new` or `cur`"],
    );
}

#[test]
fn no_file_at_all_is_told() {
    says(&with_files(&[], &["report"]), 2, &["<FILE>"]);
}

/// Writes a report with these arguments besides the usual ones.
fn written(form: &str, arguments: &[&str]) -> Done {
    let usual = ["report", form, "--from", "abuse@isp.example"];
    with_policy(&[&usual, arguments].concat())
}

const SEEN: [&str; 10] = [
    "--source",
    "203.0.113.30",
    "--attempts",
    "431",
    "--destinations",
    "420",
    "--since",
    "2026-11-30T09:00:00Z",
    "--until",
    "2026-11-30T10:00:00Z",
];

#[test]
fn what_report_writes_it_reads_back() {
    for (form, kind) in [("arf", "spam"), ("xarf", "infected")] {
        let report = written(form, &SEEN);
        says(&report, 0, &[]);
        let done = read(&report.out, &["--policy", "isp.toml"]);
        says(&done, 0, &[]);
        for text in [
            &format!("-: {kind} about 203.0.113.30"),
            "happened    2026-11-30T10:00:00Z",
            "reporter    abuse@isp.example",
            "incidents   431",
            "ACME Hosting",
        ] {
            assert!(done.out.contains(text), "no {text:?} in:\n{}", done.out);
        }
        assert!(!done.out.contains("missing"), "{}", done.out);
    }
}

#[test]
fn no_two_reports_have_the_same_identifier() {
    let id = || {
        let value: Value = serde_json::from_str(&written("xarf", &SEEN).out).expect("JSON");
        value["report_id"]
            .as_str()
            .expect("an identifier")
            .to_owned()
    };
    assert_ne!(id(), id());
}

macro_rules! refused {
    ($($name:ident: $arguments:expr => $($expected:expr),+;)+) => {
        $(#[test]
        fn $name() {
            says(&written("arf", &$arguments), 2, &[$($expected),+]);
        })+
    };
}

refused! {
    a_source_that_is_no_address: ["--source", "mail.example", "--attempts", "1"] => "invalid value 'mail.example'", "--source";
    no_attempts: ["--source", "192.0.2.7", "--attempts", "0"] => "invalid value '0'", "--attempts";
    no_source: ["--attempts", "1"] => "--source";
    more_destinations_than_attempts: ["--source", "192.0.2.7", "--attempts", "1", "--destinations", "2"] => "each takes an attempt";
    a_time_without_zone: ["--source", "192.0.2.7", "--attempts", "1", "--until", "2026-11-30T10:00:00"] => "write a moment with its time zone";
    a_time_that_runs_backwards: ["--source", "192.0.2.7", "--attempts", "1", "--since", "2026-11-30T10:00:00Z", "--until", "2026-11-30T09:00:00Z"]
        => "--since 2026-11-30T10:00:00Z is after --until 2026-11-30T09:00:00Z";
    a_recipient_without_domain: ["--source", "192.0.2.7", "--attempts", "1", "--to", "abuse"] => "\"abuse\" is no mail address";
    an_organisation_of_two_lines: ["--source", "192.0.2.7", "--attempts", "1", "--org", "a\nb"] => "one line of 1 to 200 characters";
}

#[test]
fn a_complaint_that_is_held_is_part_of_the_subscribers_case() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = format!("{POLICY}\n[store]\npath = \"cases.redb\"\n");
    std::fs::write(folder.path().join("isp.toml"), policy).expect("a file");
    let hold = |source: &str| {
        let now = jiff::Timestamp::now().to_string();
        let report = XARF
            .replace("2001:db8:200:12ff::7", source)
            .replace("2026-11-30T10:00:00Z", &now);
        let arguments = ["report", "-", "--policy", "isp.toml", "--hold"];
        lychgate(folder.path(), &arguments, report.as_bytes())
    };
    let done = hold("203.0.113.66");
    says(
        &done,
        0,
        &["suspected", "reports@example.com complained about spam"],
    );
    says(&hold("203.0.113.66"), 0, &["nothing new"]);
    let stranger = hold("198.51.100.7");
    says(&stranger, 0, &["held against nobody", "is no subscriber's"]);
    let arguments = ["subject", "203.0.113.66", "-p", "isp.toml"];
    let subject = lychgate(folder.path(), &arguments, b"");
    assert!(
        subject.out.contains("detector complaint"),
        "{}",
        subject.out
    );
}
