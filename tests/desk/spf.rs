//! `lychgate spf`.

use serde_json::{Value, json};

use crate::{says, with_files, with_policy};

#[test]
fn the_record_stands_as_a_zone_file_has_it() {
    let done = with_policy(&["spf", "-p", "isp.toml", "--domain", "isp.example"]);
    says(&done, 0, &[]);
    assert_eq!(
        done.out,
        "isp.example. IN TXT \"v=spf1 ip4:192.0.2.25 ip4:203.0.113.30 ip6:2001:db8:25::/64 -all\"\n"
    );
    let done = with_policy(&[
        "spf",
        "-p",
        "isp.toml",
        "--relays-only",
        "--all",
        "softfail",
    ]);
    assert_eq!(
        done.out,
        "v=spf1 ip4:192.0.2.25 ip6:2001:db8:25::/64 ~all\n"
    );
}

#[test]
fn the_record_in_json_has_its_strings() {
    let done = with_policy(&["spf", "-p", "isp.toml", "--domain", "isp.example", "--json"]);
    let value: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(value["schema"], "lychgate.spf/1");
    assert_eq!(value["lookups"], 0);
    assert_eq!(value["records"][0]["name"], "isp.example");
    assert_eq!(
        value["records"][0]["strings"][0],
        value["records"][0]["text"]
    );
}

#[test]
fn a_record_that_agrees_is_told_with_exit_code_0() {
    let record = "v=spf1 ip4:192.0.2.25 ip4:203.0.113.30 ip6:2001:db8:25::/64 mx -all";
    let done = with_policy(&["spf", "-p", "isp.toml", "--check", record]);
    says(&done, 0, &[]);
    assert_eq!(
        done.out,
        "The record agrees with the policy, as far as is judged.\n\n\
         Not judged, since only the DNS knows\n  mx\n"
    );
}

#[test]
fn a_record_that_differs_is_told_with_exit_code_1() {
    let record = "v=spf1 ip4:192.0.2.0/31 ip4:203.0.113.30 ~all";
    let done = with_policy(&["spf", "-p", "isp.toml", "--check", record]);
    says(&done, 1, &[]);
    assert_eq!(
        done.out,
        "The record differs from the policy.\n\n\
         It lacks these mail servers: they get \"softfail\"\n  192.0.2.25/32\n  2001:db8:25::/64\n\n\
         It lets these pass, who are no mail servers of the policy\n  192.0.2.0/31\n"
    );
    let done = with_policy(&["spf", "-p", "isp.toml", "--check", record, "--json"]);
    assert_eq!(done.code, 1);
    let value: Value = serde_json::from_str(&done.out).expect("JSON");
    assert_eq!(value["beyond"], json!(["192.0.2.0/31"]));
    assert_eq!(value["lacks"][0]["result"], "softfail");
}

#[test]
fn a_record_that_receivers_refuse_is_told_with_its_term() {
    let done = with_policy(&[
        "spf",
        "-p",
        "isp.toml",
        "--check",
        "v=spf1 ip4:192.0.2.256 -all",
    ]);
    says(
        &done,
        2,
        &[
            "receivers would refuse this record whole",
            "`ip4:192.0.2.256`",
            "ip4:192.0.2.0/24",
        ],
    );
}

#[test]
fn a_policy_that_is_refused_gives_no_record() {
    let done = with_files(&[("isp.toml", "[class.a]\n")], &["spf", "-p", "isp.toml"]);
    says(
        &done,
        2,
        &["`smtp` is missing", "isp.toml: the policy is refused"],
    );
    assert_eq!(done.out, "");
}

#[test]
fn a_policy_without_mail_servers_is_told() {
    let policy =
        "[class.a]\nsmtp = \"block\"\n[[pool]]\nprefix = \"203.0.113.0/24\"\nclass = \"a\"\n";
    let done = with_files(&[("isp.toml", policy)], &["spf", "-p", "isp.toml"]);
    says(&done, 0, &["nobody may send mail"]);
    assert_eq!(done.out, "v=spf1 -all\n");
}

#[test]
fn a_name_that_is_no_domain_is_refused() {
    let done = with_policy(&["spf", "-p", "isp.toml", "--domain", "isp..example"]);
    says(&done, 2, &["\"isp..example\" is no domain", "example.net"]);
}

#[test]
fn what_needs_parts_needs_a_domain() {
    let servers: String = (0..100)
        .map(|n| format!("\"192.0.2.{}\", ", 2 * n))
        .collect();
    let policy = format!(
        "[relays]\naddresses = [{servers}]\n[class.a]\nsmtp = \"block\"\n[[pool]]\nprefix = \"203.0.113.0/24\"\nclass = \"a\"\n"
    );
    let files = [("isp.toml", policy.as_str())];
    let done = with_files(&files, &["spf", "-p", "isp.toml"]);
    says(&done, 2, &["100 prefixes take", "give --domain"]);
    let done = with_files(
        &files,
        &["spf", "-p", "isp.toml", "--domain", "isp.example"],
    );
    says(&done, 0, &[]);
    assert!(
        done.out
            .starts_with("isp.example. IN TXT \"v=spf1 include:_spf1.isp.example include:")
    );
    assert!(
        done.out
            .contains("\n_spf1.isp.example. IN TXT ( \"v=spf1 ip4:192.0.2.0 ")
    );
}
