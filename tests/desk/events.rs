//! `[events]`: what `check` says of it, and `lychgate report --tell` into real outlets.

use std::{net::UdpSocket, time::Duration};

use serde_json::Value;

use crate::{POLICY, lychgate, says, with_files};

const XARF: &str = r#"{"xarf_version": "4.2.0", "timestamp": "2026-11-30T10:00:00Z",
  "source_identifier": "203.0.113.30", "category": "messaging", "type": "spam",
  "reporter": {"org": "Example", "contact": "reports@example.com", "domain": "example.com"}}"#;

macro_rules! refused {
    ($($name:ident: $line:expr => $($expected:expr),+;)+) => {
        $(#[test]
        fn $name() {
            let policy = format!("{POLICY}[events]\n{}\n", $line);
            let done = with_files(&[("isp.toml", &policy)], &["check", "isp.toml"]);
            says(&done, 1, &[$($expected),+, "isp.toml is refused"]);
        })+
    };
}

refused! {
    a_file_for_events_without_a_name: "json = \"\"" => "`json` cannot be \"\"", "write the path of a file";
    a_syslog_without_port: "syslog = \"192.0.2.10\"" => "`syslog` cannot be \"192.0.2.10\"", "\"192.0.2.10:514\"";
    a_syslog_by_name: "syslog = \"log.example.net:514\"" => "`syslog` cannot be", "an address and a port";
    a_web_hook_that_is_no_url: "webhook = \"desk.example.net\"" => "`webhook` cannot be", "https://desk.example.net/events";
    a_web_hook_without_host: "webhook = \"https:///events\"" => "`webhook` cannot be";
    a_web_hook_with_a_password: "webhook = \"https://a:b@desk.example.net/\"" => "without user and password";
    an_outlet_that_is_not_known: "mail = \"abuse@isp.example\"" => "unknown key `mail` in [events]";
}

#[test]
fn complaints_are_told_to_the_file_and_to_syslog() {
    let syslog = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    syslog
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a bound");
    let folder = tempfile::tempdir().expect("a folder");
    let address = syslog.local_addr().expect("an address");
    let policy = format!("{POLICY}[events]\njson = \"events.jsonl\"\nsyslog = \"{address}\"\n");
    std::fs::write(folder.path().join("isp.toml"), policy).expect("a file");
    let arguments = ["report", "-", "--policy", "isp.toml", "--tell"];
    says(
        &lychgate(folder.path(), &arguments, XARF.as_bytes()),
        0,
        &[],
    );
    let line = std::fs::read_to_string(folder.path().join("events.jsonl")).expect("events");
    assert_eq!(
        line,
        "{\"schema\":\"lychgate.event/1\",\"event\":\"complaint\",\"time\":\"2026-11-30T10:00:00Z\",\
         \"source\":\"203.0.113.30\",\"kind\":\"spam\",\"reporter\":\"reports@example.com\",\
         \"subscriber\":{\"name\":\"ACME Hosting\",\"prefix\":\"203.0.113.30/32\"}}\n"
    );
    let mut datagram = [0; 2_048];
    let length = syslog.recv(&mut datagram).expect("a message within 30 s");
    let message = std::str::from_utf8(&datagram[..length]).expect("UTF-8");
    let (header, json) = message.split_once(" - ").expect("no structured data");
    assert!(
        header.starts_with("<29>1 2026-11-30T10:00:00.000000Z "),
        "{header}"
    );
    assert!(header.ends_with(" complaint"), "{header}");
    let told: Value = serde_json::from_str(json).expect("JSON");
    assert_eq!(told, serde_json::from_str::<Value>(&line).expect("JSON"));
}

#[test]
fn a_policy_without_outlets_has_nobody_to_tell() {
    let files = [("isp.toml", POLICY), ("a.json", XARF)];
    let done = with_files(&files, &["report", "a.json", "-p", "isp.toml", "--tell"]);
    says(
        &done,
        2,
        &["the policy has no [events], so there is nobody to tell"],
    );
}

#[test]
fn a_file_for_events_that_cannot_be_opened_is_told() {
    let policy = format!("{POLICY}[events]\njson = \"no/such/folder/events.jsonl\"\n");
    let files = [("isp.toml", policy.as_str()), ("a.json", XARF)];
    let done = with_files(&files, &["report", "a.json", "-p", "isp.toml", "--tell"]);
    says(
        &done,
        2,
        &[
            "cannot open",
            "no/such/folder/events.jsonl for events: No such file",
        ],
    );
}

#[test]
fn telling_takes_a_policy() {
    let done = with_files(&[("a.json", XARF)], &["report", "a.json", "--tell"]);
    says(&done, 2, &["--policy <FILE>"]);
}
