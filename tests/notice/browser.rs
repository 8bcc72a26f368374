//! The page as a real browser has it: scripts/notice.sh runs this.

use std::{fs, path::Path, process::Command};

use lychgate::policy::steps::Scope;

use super::{Server, find, folder, quarantine, state};

const PROVIDER: &str = r#"
[provider]
name = "Example Net"
phone = "0800 123 456"
hours = "8:00 – 20:00"
mail = "help@isp.example"
page = "https://www.isp.example/clean"
webmail = "https://webmail.isp.example/"
submission = "smtp.isp.example"
privacy = "https://www.isp.example/privacy"
languages = ["en", "de", "es", "fr", "mi"]
time_zone = "Pacific/Auckland"

[[provider.tool]]
name = "Microsoft Safety Scanner"
url = "https://learn.microsoft.com/defender-endpoint/safety-scanner-download"
device = "windows"

[[provider.tool]]
name = "Malwarebytes"
url = "https://www.malwarebytes.com/mwb-download"
device = "all"
"#;

#[test]
#[ignore = "needs Chromium and two npm packages: scripts/notice.sh"]
fn a_browser_reads_the_page_in_every_language_and_releases_a_case() {
    let folder = folder();
    let texts = folder.path().join("texts");
    fs::create_dir(&texts).expect("a folder");
    fs::write(texts.join("provider.toml"), PROVIDER).expect("a file");
    find(&folder, "127.0.0.1/32");
    quarantine(&folder, "127.0.0.1", Scope::Mail);
    // Shorter than the browser takes; the page says how long.
    let server = Server::start(folder.path(), &["--texts", "texts", "--reading", "1s"]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/notice/browse.mjs");
    let mut browse = Command::new("node");
    browse.arg(script).arg(server.base());
    if let Some(pictures) = std::env::var_os("NOTICE_PICTURES") {
        browse.arg(pictures);
    }
    let status = browse.status().expect("node");
    assert!(status.success(), "the browser found something, above");
    assert_eq!(state(&folder, "127.0.0.1"), (1, "released".to_owned()));
}
