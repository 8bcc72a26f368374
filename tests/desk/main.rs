//! The abuse desk's tools, as its people meet them: what they print, and what they say of bad
//! input.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

mod disclose;
mod events;
mod import;
mod report;
mod spf;

/// A mail server among residential customers, and a relay.
const POLICY: &str = r#"[relays]
addresses = ["192.0.2.25", "2001:db8:25::/64"]

[class.residential]
smtp = { limit = { connections = 10, window = "10s" } }

[class.mta]
smtp = "allow"

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"

[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30"]
class = "mta"
"#;

/// What the program did.
struct Done {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program in a folder, with this on its standard input.
fn lychgate(folder: &Path, arguments: &[&str], input: &[u8]) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lychgate"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    // It may end without reading.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("output");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    Done {
        code: output.status.code().expect("a code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Runs the program in a folder with these files.
fn with_files(files: &[(&str, &str)], arguments: &[&str]) -> Done {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).expect("a file");
    }
    lychgate(folder.path(), arguments, b"")
}

/// Runs the program with the policy as isp.toml.
fn with_policy(arguments: &[&str]) -> Done {
    with_files(&[("isp.toml", POLICY)], arguments)
}

/// Asserts that it ends with this code and that standard error has all of these texts.
fn says(done: &Done, code: i32, expected: &[&str]) {
    assert_eq!(done.code, code, "{}{}", done.out, done.err);
    for text in expected {
        assert!(done.err.contains(text), "no {text:?} in:\n{}", done.err);
    }
}
