//! The scripts, as far as they can be run here: they parse, and refuse what makes no sense.
#![cfg(target_os = "linux")]

use std::{fs, path::Path, process::Command};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a script says on standard error, refusing.
fn refusal(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(root().join("scripts").join(script))
        .args(arguments)
        .output()
        .expect("bash runs it");
    assert!(!output.status.success(), "{script} {arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn every_script_parses() {
    let folder = fs::read_dir(root().join("scripts")).expect("the folder scripts");
    let scripts = folder.map(|entry| entry.expect("an entry").path());
    for script in scripts.filter(|path| path.extension().is_some_and(|ending| ending == "sh")) {
        let parsed = Command::new("bash").arg("-n").arg(&script).output();
        let parsed = parsed.expect("bash is installed");
        let said = String::from_utf8_lossy(&parsed.stderr);
        assert!(parsed.status.success(), "{}: {said}", script.display());
    }
}

#[test]
fn pktgen_says_what_is_wrong_with_its_arguments() {
    for (arguments, says) in [
        (&[][..], "name two interfaces"),
        (&["eth1"], "name two interfaces"),
        (&["eth1", "eth1"], "OUT and IN are the same interface"),
        (&["eth1", "eth2", "--threads"], "--threads wants a number"),
        (&["eth1", "eth2", "--syn", "x"], "--syn wants a number"),
        (
            &["eth1", "eth2", "--seconds", "1.5"],
            "--seconds wants a whole number",
        ),
        (&["eth1", "eth2", "--threads", "0"], "are at least 1"),
        (&["eth1", "eth2", "--size", "9000"], "--size is 60 to 1514"),
        (
            &["eth1", "eth2", "--speed", "1"],
            "there is no option --speed",
        ),
    ] {
        let said = refusal("pktgen.sh", arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn without_pktgen_in_the_kernel_its_script_says_so_and_names_the_remedy() {
    let loads = Command::new("modprobe")
        .args(["--dry-run", "pktgen"])
        .status();
    let has_pktgen =
        Path::new("/proc/net/pktgen").exists() || loads.is_ok_and(|status| status.success());
    if !rustix::process::geteuid().is_root() || has_pktgen {
        eprintln!("SKIPPED: needs root, and a kernel without pktgen");
        return;
    }
    // In a network of its own, so that no interface of this machine is touched.
    let script = root().join("scripts/pktgen.sh");
    let steps = format!(
        "ip link add lypkt0 type veth peer name lypkt1 && {} lypkt0 lypkt1",
        script.display()
    );
    let output = Command::new("unshare")
        .args(["--net", "sh", "-c", &steps])
        .output();
    let output = output.expect("unshare is installed");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("has no pktgen: use one with CONFIG_NET_PKTGEN"),
        "{said}"
    );
}

#[test]
fn lab_says_what_is_wrong_with_its_arguments() {
    for (arguments, says) in [
        (&["rtl8139"][..], "there is no model or option rtl8139"),
        (&["igb", "--only"], "--only wants a value"),
    ] {
        let said = refusal("lab.sh", arguments);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
fn soak_says_what_is_wrong_with_its_arguments() {
    for arguments in [&["x"][..], &["0"], &["1", "2"]] {
        let said = refusal("soak.sh", arguments);
        assert!(
            said.contains("scripts/soak.sh [MINUTES]"),
            "{arguments:?}: {said}"
        );
    }
}
