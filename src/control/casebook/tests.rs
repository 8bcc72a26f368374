//! Decided, stored, enforced: in this order, and again after a restart.

use super::*;
use crate::remedy::Act;

const POLICY: &str = r#"
[class.residential]
smtp = { limit = { connections = 10, window = "10s" } }
[class.residential.detect]
outcomes = { theta0 = 0.2, theta1 = 0.9 }
steps = [{ step = "notify" }, { step = "quarantine", for = "1h", scope = "mail", expires = "30d" }]
[class.mta]
smtp = "allow"
[class.mta.detect]
outcomes = { theta0 = 0.2, theta1 = 0.9 }
steps = [{ step = "quarantine" }]
[[pool]]
prefix = "203.0.113.0/24"
class = "residential"
[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"
[[subscriber]]
name = "ACME"
prefixes = ["203.0.113.30/32", "203.0.113.40/32"]
class = "residential"
[[subscriber]]
prefixes = ["203.0.113.31/32"]
class = "residential"
automatic = false
[[subscriber]]
prefixes = ["203.0.113.25/32"]
class = "mta"
"#;

fn policy(text: &str) -> Arc<Policy> {
    let (policy, _) = Policy::from_toml("test.toml", text).expect("a valid policy");
    Arc::new(policy)
}

fn keeping(folder: &tempfile::TempDir) -> Keeping {
    Keeping {
        path: folder.path().join("cases.redb"),
        keep: Duration::from_secs(180 * 86_400),
        socket: folder.path().join("socket"),
    }
}

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + hours * 3_600).expect("a moment")
}

fn finding(hours: i64) -> Finding {
    Finding {
        detector: "outcomes".to_owned(),
        time: at(hours),
        attempts: 21,
        destinations: 20,
        conclusive: true,
        evidence: serde_json::Map::new(),
    }
}

fn key(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

fn add(who: &str) -> Request {
    Request::Add {
        who: who.to_owned(),
        scope: Scope::Mail,
        seconds: 3_600,
        by: "anna".to_owned(),
        why: "abuse".to_owned(),
    }
}

fn release(who: &str, by: Option<&str>) -> Request {
    Request::Release {
        who: who.to_owned(),
        by: by.map(str::to_owned),
        why: "cleaned".to_owned(),
    }
}

fn refusal(reply: Reply) -> String {
    match reply {
        Reply::Refused { why } => why,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_finding_becomes_a_quarantine_that_outlives_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let (policy, keeping) = (policy(POLICY), keeping(&folder));
    let mut casebook = Casebook::open(Arc::clone(&policy), &keeping).expect("a store");
    let restrictions = casebook.restrictions();
    let zombie = key("203.0.113.66/32");
    let records = casebook.found(zombie, &finding(0), at(0));
    let acts: Vec<_> = records.expect("stored").iter().map(|r| r.act).collect();
    assert_eq!(acts, [Act::Suspected, Act::Notified]);
    assert!(restrictions.is_empty());
    assert_eq!(casebook.next(), Some(at(1)));
    assert_eq!(
        casebook.tick(at(1)).expect("stored")[0].act,
        Act::Quarantined
    );
    assert_eq!(restrictions.len(), 1);
    drop(casebook);
    let casebook = Casebook::open(policy, &keeping).expect("the store");
    assert_eq!(casebook.restrictions().len(), 1);
}

#[test]
fn what_cannot_be_stored_does_not_take_effect() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    casebook.store = Store::broken();
    let why = refusal(casebook.answer(&add("203.0.113.66"), at(0)));
    assert!(
        why.contains("nothing of what was to be stored has taken effect"),
        "{why}"
    );
    assert!(casebook.restrictions().is_empty());
    assert_eq!(casebook.open_cases(), 0);
}

#[test]
fn a_subscriber_is_found_by_any_address_and_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    for who in ["203.0.113.40", "203.0.113.30/32", "ACME"] {
        let Reply::Done { records } = casebook.answer(&add(who), at(0)) else {
            panic!("{who}")
        };
        assert_eq!(records[0].case, "name:ACME");
    }
    casebook.answer(&add("2001:db8:200:42ff::7"), at(0));
    let Reply::Cases { cases } = casebook.answer(&Request::List { all: false }, at(0)) else {
        panic!("a list")
    };
    let subscribers: Vec<_> = cases
        .iter()
        .map(|case| case.subscriber.to_string())
        .collect();
    let expected = ["2001:db8:200:4200::/56", "ACME (203.0.113.30/32)"];
    assert_eq!(subscribers, expected);
}

#[test]
fn who_is_no_subscriber_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    for (who, expected) in [
        (
            "ACNE",
            "\"ACNE\" is no address, no prefix, and no subscriber's name",
        ),
        (
            "192.0.2.1",
            "192.0.2.1 is no subscriber's: it is in no pool",
        ),
        (
            "203.0.113.0/25",
            "203.0.113.0/25 is more than one subscriber's; the first of them is",
        ),
    ] {
        let why = refusal(casebook.answer(&add(who), at(0)));
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn a_case_follows_the_subscriber_to_another_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeping = keeping(&folder);
    let mut casebook = Casebook::open(policy(POLICY), &keeping).expect("a store");
    casebook.answer(&add("ACME"), at(0));
    drop(casebook);
    let moved = POLICY.replace(
        "\"203.0.113.30/32\", \"203.0.113.40/32\"",
        "\"203.0.113.99/32\"",
    );
    let casebook = Casebook::open(policy(&moved), &keeping).expect("the store");
    let [(case, _)] = casebook.remedy.restricted().collect::<Vec<_>>()[..] else {
        panic!("one")
    };
    assert_eq!(
        case.subscriber.key(&casebook.policy),
        Some(key("203.0.113.99/32"))
    );
    assert_eq!(casebook.restrictions().len(), 1);
    assert!(casebook.lost().is_empty());
}

#[test]
fn whoever_has_a_lost_subscribers_address_is_not_held_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let keeping = keeping(&folder);
    let mut casebook = Casebook::open(policy(POLICY), &keeping).expect("a store");
    casebook.answer(&add("ACME"), at(0));
    drop(casebook);
    let renamed = POLICY.replace("ACME", "Another Company");
    let mut casebook = Casebook::open(policy(&renamed), &keeping).expect("the store");
    assert!(casebook.restrictions().is_empty());
    assert_eq!(casebook.lost().len(), 1);
    // Staff can still end it.
    let reply = casebook.answer(&release("ACME", Some("anna")), at(1));
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
}

#[test]
fn mail_servers_and_who_opted_out_get_no_step_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    for exempt in ["203.0.113.31/32", "203.0.113.25/32"] {
        let records = casebook.found(key(exempt), &finding(0), at(0));
        let acts: Vec<_> = records.expect("stored").iter().map(|r| r.act).collect();
        assert_eq!(acts, [Act::Suspected], "{exempt}");
    }
    assert_eq!(casebook.next(), None);
}

#[test]
fn the_customer_can_end_it_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    for hours in 0..2 {
        casebook.answer(&add("203.0.113.66"), at(hours));
        let reply = casebook.answer(&release("203.0.113.66", None), at(hours));
        assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
    }
    casebook.answer(&add("203.0.113.66"), at(3));
    let why = refusal(casebook.answer(&release("203.0.113.66", None), at(3)));
    assert!(why.contains("now only staff can"), "{why}");
    assert_eq!(casebook.restrictions().len(), 1);
}

#[test]
fn an_open_case_is_not_erased_and_a_closed_one_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    let erase = Request::Erase {
        who: "203.0.113.66".to_owned(),
    };
    let why = refusal(casebook.answer(&erase, at(0)));
    assert!(why.ends_with("there is no case: nothing is kept"), "{why}");
    casebook.answer(&add("203.0.113.66"), at(0));
    let why = refusal(casebook.answer(&erase, at(0)));
    assert!(why.ends_with("release the subscriber first"), "{why}");
    casebook.answer(&release("203.0.113.66", Some("anna")), at(1));
    let reply = casebook.answer(&erase, at(2));
    assert!(
        matches!(reply, Reply::Erased { records: 2, .. }),
        "{reply:?}"
    );
    let Reply::Cases { cases } = casebook.answer(&Request::List { all: true }, at(2)) else {
        panic!("a list")
    };
    assert!(cases.is_empty());
}

#[test]
fn closed_cases_are_forgotten_when_their_time_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    casebook.answer(&add("203.0.113.66"), at(0));
    // It expires after an hour, and is closed from then on.
    casebook.tick(at(1)).expect("stored");
    casebook.tick(at(180 * 24)).expect("nothing to do");
    assert_eq!(casebook.remedy.cases().count(), 1);
    casebook.tick(at(180 * 24 + 2)).expect("forgotten");
    assert_eq!(casebook.remedy.cases().count(), 0);
    assert!(casebook.store.audit().expect("the trail").is_empty());
}

#[test]
fn requests_and_answers_are_what_the_documentation_shows() {
    let docs = include_str!("../../../docs/remediation.md");
    let block = docs.split("```json requests\n").nth(1).expect("the block");
    let lines = block.split("```").next().expect("its end").lines();
    let mut count = 0;
    for line in lines {
        serde_json::from_str::<Request>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        count += 1;
    }
    assert_eq!(count, 8, "one of each");
}

fn complaint(source: &str, hours: i64) -> Complaint {
    let text = format!(
        r#"{{"xarf_version":"4.2.0","timestamp":"{}","source_identifier":"{source}",
        "category":"messaging","type":"spam","reporter":{{"contact":"abuse@other.example"}}}}"#,
        at(hours)
    );
    let mut read = crate::complaint::read(text.as_bytes()).expect("a report");
    read.remove(0)
}

#[test]
fn complaints_open_a_case_and_never_lead_to_quarantine_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    for hours in [0, 2, 4, 30] {
        let heard = casebook.complained(&complaint("203.0.113.66", hours), at(hours + 1));
        let records = heard.expect("stored").expect("held");
        assert_eq!(records[0].why, "abuse@other.example complained about spam");
        casebook.tick(at(hours + 1)).expect("stored");
    }
    casebook.tick(at(1000)).expect("stored");
    assert!(casebook.restrictions().is_empty());
    let Reply::Cases { cases } = casebook.answer(&Request::List { all: false }, at(1000)) else {
        panic!("a list")
    };
    assert_eq!((cases.len(), cases[0].stage.name()), (1, "notified"));
    // What traffic shows is enough, and the grace begins then.
    casebook
        .found(key("203.0.113.66/32"), &finding(1000), at(1000))
        .expect("stored");
    casebook.tick(at(1002)).expect("stored");
    assert_eq!(casebook.restrictions().len(), 1);
}

#[test]
fn a_complaint_about_a_stranger_or_long_ago_is_held_against_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    let mut unwanted = complaint("203.0.113.66", 0);
    unwanted.kind = crate::complaint::Kind::OptOut;
    let mut timeless = complaint("203.0.113.66", 0);
    timeless.time = None;
    for (complaint, now, why) in [
        (complaint("198.51.100.1", 0), 1, "is no subscriber's"),
        (complaint("203.0.113.66", 0), 7 * 24 + 1, "too long ago"),
        (unwanted, 1, "speaks for no zombie"),
        (timeless, 1, "doesn't say when"),
    ] {
        let heard = casebook.complained(&complaint, at(now)).expect("stored");
        let said = heard.expect_err("nobody");
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(casebook.open_cases(), 0);
}

#[test]
fn a_complaint_held_twice_is_one_finding() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut casebook = Casebook::open(policy(POLICY), &keeping(&folder)).expect("a store");
    let complaint = complaint("203.0.113.66", 0);
    for expected in [2, 0] {
        let heard = casebook.complained(&complaint, at(1)).expect("stored");
        assert_eq!(heard.expect("held").len(), expected);
    }
}

#[test]
fn who_has_read_the_notice_is_not_sent_there_again_until_something_is_new() {
    let notice = "[notice]\nurl = \"http://a.example/\"\naddresses = [\"192.0.2.80\"]\n";
    let policy = policy(&format!("{POLICY}{notice}"));
    let folder = tempfile::tempdir().expect("a folder");
    let keeping = keeping(&folder);
    let mut casebook = Casebook::open(Arc::clone(&policy), &keeping).expect("a store");
    let walls = |casebook: &Casebook| casebook.restrictions().walls(&policy).len();
    let who = "203.0.113.66".to_owned();
    let read = Request::Read { who };
    let acts = |reply| match reply {
        Reply::Done { records } => records.iter().map(|record| record.act).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        acts(casebook.answer(&read, at(0))),
        [],
        "there is nothing to read"
    );
    casebook.answer(&add("203.0.113.66"), at(1));
    assert_eq!(walls(&casebook), 1);
    assert_eq!(acts(casebook.answer(&read, at(2))), [Act::Read]);
    assert_eq!(acts(casebook.answer(&read, at(3))), [], "nothing new");
    assert_eq!((walls(&casebook), casebook.restrictions().len()), (0, 1));
    drop(casebook);
    let mut casebook = Casebook::open(Arc::clone(&policy), &keeping).expect("the store");
    assert_eq!(walls(&casebook), 0, "remembered");
    casebook.answer(&add("203.0.113.66"), at(4));
    assert_eq!(walls(&casebook), 1, "decided anew");
}

#[test]
fn another_policy_finds_whoever_is_quarantined_under_the_new_key_or_says_who_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = policy(POLICY);
    let mut casebook = Casebook::open(Arc::clone(&first), &keeping(&folder)).expect("a store");
    let edition = |policy| Edition {
        policy,
        observer: None,
        generation: 0,
    };
    let in_force = InForce::new(edition(first));
    let request = Request::Add {
        who: "ACME".to_owned(),
        scope: Scope::Mail,
        seconds: 3_600,
        by: "anna".to_owned(),
        why: "abuse".to_owned(),
    };
    let done = casebook.answer(&request, at(0));
    assert!(matches!(done, Reply::Done { .. }), "{done:?}");
    let moved = POLICY.replace("\"203.0.113.30/32\", ", "");
    casebook.adopt(&in_force, edition(policy(&moved)));
    let restrictions = casebook.restrictions();
    assert_eq!((restrictions.len(), casebook.lost().len()), (1, 0));
    let key = in_force.policy().key_of("ACME");
    assert_eq!(key, Some("203.0.113.40/32".parse().expect("a prefix")));
    let restricted = [(key.expect("it is there"), Scope::Mail.into())];
    assert_eq!(casebook.keyed(), restricted);
    let gone = POLICY.replace("name = \"ACME\"", "name = \"Other\"");
    casebook.adopt(&in_force, edition(policy(&gone)));
    assert_eq!((restrictions.len(), casebook.lost().len()), (0, 1));
    casebook.adopt(&in_force, edition(policy(POLICY)));
    assert_eq!((restrictions.len(), casebook.lost().len()), (1, 0));
}
