//! Mails that arrive, with a real folder.

use tempfile::TempDir;

use super::*;

const XARF: &str = r#"{"xarf_version":"4.0.0","category":"messaging","type":"spam",
"source_identifier":"203.0.113.9","timestamp":"2026-11-30T09:00:00Z",
"report_id":"1","reporter":{"org":"Other","contact":"abuse@other.example","domain":"other.example"},
"sender":{"org":"Other","contact":"abuse@other.example","domain":"other.example"}}"#;

fn maildir(mails: &[(&str, &str)]) -> (TempDir, Maildir) {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["new", "cur", "tmp"] {
        fs::create_dir(folder.path().join(part)).expect("a part");
    }
    for (name, text) in mails {
        lay(&folder, name, text);
    }
    let maildir = Maildir::open(folder.path()).expect("a maildir");
    (folder, maildir)
}

fn lay(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join("new").join(name), text).expect("a mail");
}

fn names(folder: &TempDir, part: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.path().join(part)).expect("a part");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).into_string().expect("plain"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_taken_goes_to_cur_and_what_cannot_be_read_stays_and_is_told_of_once() {
    let (folder, mut maildir) = maildir(&[("1.a", XARF), ("2.b", "no report"), ("3.c", XARF)]);
    let mut heard = Vec::new();
    let take = |heard: &mut Vec<String>, name: &str, complaints: Vec<Complaint>| {
        assert_eq!(complaints.len(), 1, "{name}");
        heard.push(name.rsplit('/').next().expect("a name").to_owned());
        if name.ends_with("1.a") {
            Taken::Held
        } else {
            Taken::Nobody
        }
    };
    let unread = maildir
        .collect(|name, complaints| take(&mut heard, name, complaints))
        .expect("a folder");
    assert_eq!(heard, ["1.a", "3.c"]);
    assert_eq!(names(&folder, "cur"), ["1.a:2,S", "3.c:2,FS"]);
    assert_eq!(names(&folder, "new"), ["2.b"]);
    assert!(unread.len() == 1 && unread[0].contains("2.b"), "{unread:?}");
    let again = maildir.collect(|_, _| unreachable!("nothing is new"));
    assert!(again.expect("a folder").is_empty());
}

#[test]
fn what_could_not_be_stored_is_tried_again() {
    let (folder, mut maildir) = maildir(&[("1.a", XARF)]);
    let unread = maildir.collect(|_, _| Taken::NotYet).expect("a folder");
    assert!(unread.is_empty());
    assert_eq!(names(&folder, "new"), ["1.a"]);
    maildir.collect(|_, _| Taken::Held).expect("a folder");
    assert_eq!(names(&folder, "cur"), ["1.a:2,S"]);
}

#[test]
fn a_flood_of_mails_is_read_a_few_at_a_time_and_none_is_lost() {
    let (folder, mut maildir) = maildir(&[]);
    for number in 0..40 {
        lay(&folder, &format!("{number:03}.x"), XARF);
    }
    let mut counts = Vec::new();
    for _ in 0..4 {
        let mut count = 0;
        maildir
            .collect(|_, _| {
                count += 1;
                Taken::Held
            })
            .expect("a folder");
        counts.push(count);
    }
    assert_eq!(counts, [MAILS_MAX, MAILS_MAX, 40 - 2 * MAILS_MAX, 0]);
    assert_eq!(names(&folder, "cur").len(), 40);
}

#[test]
fn a_folder_that_is_no_maildir_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = Maildir::open(folder.path()).expect_err("no maildir");
    assert!(error.to_string().contains("mkdir -p"), "{error}");
}
