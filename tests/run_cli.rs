//! `lychgate run` before anything is attached: each mistake has its message, and status 2.
#![cfg(all(feature = "xdp", target_os = "linux"))]

use std::{fs, path::PathBuf};

use assert_cmd::Command;

const POLICY: &str = "
[class.residential]
smtp = \"block\"
[[pool]]
prefix = \"203.0.113.0/24\"
class = \"residential\"
";

/// What `lychgate run` says on standard error, refusing.
fn refusal(name: &str, ports: &str, arguments: &[&str]) -> String {
    let file = format!("{}/run-{name}.toml", env!("CARGO_TARGET_TMPDIR"));
    let file = PathBuf::from(file);
    fs::write(&file, format!("{ports}{POLICY}")).expect("a writable folder");
    let mut command = Command::cargo_bin("lychgate").expect("the program was built");
    let command = command.args(["run", "--policy"]).arg(&file).args(arguments);
    let output = command.assert().code(2).get_output().clone();
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn without_interfaces_it_says_where_to_name_them() {
    let said = refusal("none", "", &["--uplink", "eth2"]);
    assert!(
        said.contains("no access interface: give --access IF"),
        "{said}"
    );
    assert!(said.contains("run-none.toml ([ports] access"), "{said}");
}

#[test]
fn an_argument_goes_before_the_policys_port() {
    let ports = "[ports]\naccess = \"lyworker-x\"\nuplink = \"lyworker-y\"\n";
    let said = refusal("override", ports, &["--access", "lyworker-z"]);
    assert!(
        said.contains("interface lyworker-z: cannot find it"),
        "{said}"
    );
    assert!(said.contains("remedy: `ip link` lists"), "{said}");
}

#[test]
fn one_interface_cannot_be_both_ports() {
    let said = refusal("same", "", &["--access", "lo", "--uplink", "lo"]);
    assert!(said.contains("lo cannot be both ports"), "{said}");
}

#[test]
fn a_summary_that_cannot_be_written_is_told_before_anything_is_attached() {
    let arguments = [
        "--access",
        "lo",
        "--uplink",
        "lo",
        "--json",
        "/nowhere/run.json",
    ];
    let said = refusal("json", "", &arguments);
    assert!(
        said.contains("/nowhere/run.json: cannot be written"),
        "{said}"
    );
}

#[test]
fn a_batch_of_none_is_refused() {
    let said = refusal("batch", "", &["--batch", "0"]);
    assert!(said.contains("write a number from 1 to 64"), "{said}");
}

#[test]
fn a_setting_of_the_policy_holds_and_an_argument_goes_before_it() {
    let ports = "[ports]\naccess = \"lo\"\nuplink = \"nowhere\"\njson = \"/nowhere/policy.json\"\n";
    let said = refusal("key", ports, &[]);
    assert!(said.contains("/nowhere/policy.json: cannot be"), "{said}");
    let said = refusal("key-override", ports, &["--json", "/nowhere/run.json"]);
    assert!(said.contains("/nowhere/run.json: cannot be"), "{said}");
}
