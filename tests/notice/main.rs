//! `lychgate notice` as visitors meet it: the real program, asked by a real HTTP client.
#![cfg(unix)]

mod browser;
mod server;

use std::{fs, path::Path, sync::Arc};

use lychgate::{
    control::casebook::{Casebook, Reply, Request},
    policy::{Policy, steps::Scope},
    remedy::Finding,
};
use server::{Answer, Server};
use tempfile::TempDir;

const POLICY: &str = r#"
[class.residential]
smtp = "block"
[class.residential.detect]
volume = { attempts = 5, window = "1h" }
steps = [{ step = "notify" }, { step = "quarantine", for = "24h" }]
[[pool]]
prefix = "127.0.0.0/8"
class = "residential"
[[pool]]
prefix = "::1/128"
class = "residential"
[[pool]]
prefix = "203.0.113.0/24"
class = "residential"
[[pool]]
prefix = "2001:db8::/32"
class = "residential"
subscriber_prefix = 56
[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30/32"]
class = "residential"
[store]
path = "cases.redb"
"#;
const ZOMBIE: &str = "203.0.113.66";
/// Most tests speak for their visitors, as a server does that stands before this one.
const PROXIED: [&str; 4] = ["--proxy", "127.0.0.1", "--reading", "0s"];
const HEADINGS: [(&str, &str); 5] = [
    ("en", "A device on your connection is sending spam"),
    ("de", "Ein Gerät an Ihrem Anschluss verschickt Spam"),
    ("es", "Un dispositivo de su conexión está enviando spam"),
    ("fr", "Un appareil de votre connexion envoie du spam"),
    (
        "mi",
        "Kei te tuku īmēra parahanga (spam) tētahi pūrere i tō hononga ipurangi",
    ),
];

fn folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("isp.toml"), POLICY).expect("a file");
    folder
}

fn policy(folder: &Path) -> Arc<Policy> {
    let (policy, _) = Policy::load(&folder.join("isp.toml"), &mut |_| {}).expect("a valid policy");
    Arc::new(policy)
}

/// Does something with the store, as a command does where no box runs.
fn decide<T>(folder: &TempDir, work: impl FnOnce(&mut Casebook) -> T) -> T {
    let policy = policy(folder.path());
    let keeping = policy.keeping().expect("a store");
    let mut casebook = Casebook::open(Arc::clone(&policy), keeping).expect("a store");
    work(&mut casebook)
}

fn quarantine(folder: &TempDir, who: &str, scope: Scope) {
    let request = Request::Add {
        who: who.to_owned(),
        scope,
        seconds: 30 * 86_400,
        by: "anna".to_owned(),
        why: "ticket 4711".to_owned(),
    };
    let reply = decide(folder, |cases| {
        cases.answer(&request, jiff::Timestamp::now())
    });
    assert!(matches!(reply, Reply::Done { .. }), "{reply:?}");
}

/// What a detector saw: 3,100 attempts at 1,234 servers, on 14 November 2023.
fn find(folder: &TempDir, key: &str) {
    let finding = Finding {
        detector: "outcomes".to_owned(),
        time: jiff::Timestamp::from_second(1_700_000_000).expect("a moment"),
        attempts: 3_100,
        destinations: 1_234,
        conclusive: true,
        evidence: serde_json::from_str(r#"{"sample":["198.51.100.77"]}"#).expect("JSON"),
    };
    let now = jiff::Timestamp::now();
    let key = key.parse().expect("a prefix");
    let records = decide(folder, |cases| cases.found(key, &finding, now)).expect("stored");
    assert_eq!(records.len(), 2, "suspected and notified");
}

/// How often the customer ended it, and whether it is open.
fn state(folder: &TempDir, who: &str) -> (u32, String) {
    let who = who.to_owned();
    let request = Request::Subject { who };
    match decide(folder, |cases| {
        cases.answer(&request, jiff::Timestamp::now())
    }) {
        Reply::Subject(subject) => {
            let case = subject.case.expect("a case");
            (case.self_releases, case.stage.name().to_owned())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_page_is_told_in_each_of_five_languages() {
    let folder = folder();
    find(&folder, "203.0.113.66/32");
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let server = Server::start(folder.path(), &PROXIED);
    for (tag, heading) in HEADINGS {
        let wish = format!("{tag}, xx;q=0.5");
        let page = server.visit(ZOMBIE, "/", &[("accept-language", &wish)]);
        assert_eq!(page.status, 200);
        assert!(
            page.body.contains(&format!("<html lang=\"{tag}\">")),
            "{tag}"
        );
        assert!(page.body.contains(heading), "{tag}: {}", page.body);
        assert_eq!(page.header("content-language"), tag);
        assert!(
            page.body.contains(ZOMBIE),
            "{tag}: the visitor's own address"
        );
        assert!(
            !page.body.contains('{'),
            "{tag}: something was not filled in"
        );
        assert_eq!(
            server.visit(ZOMBIE, &format!("/?lang={tag}"), &[]).body,
            page.body
        );
    }
    let page = server.visit(ZOMBIE, "/", &[]).body;
    assert!(
        page.contains("On 14 November 2023, 22:13 UTC, we saw"),
        "{page}"
    );
    assert!(
        page.contains("1,234 different mail servers, in 3,100 attempts"),
        "{page}"
    );
}

#[test]
fn what_is_blocked_and_when_it_changes_is_told_as_it_is() {
    let folder = folder();
    let server = Server::start(folder.path(), &PROXIED);
    find(&folder, "203.0.113.66/32");
    let page = server.visit(ZOMBIE, "/", &[]).body;
    assert!(page.contains("We have not blocked anything yet"), "{page}");
    assert!(
        page.contains("If the spam goes on, we will block it on"),
        "{page}"
    );
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let page = server.visit(ZOMBIE, "/", &[]).body;
    assert!(
        page.contains("The web and your own mail still work"),
        "{page}"
    );
    assert!(page.contains("The block ends by itself on"), "{page}");
    quarantine(&folder, "203.0.113.67", Scope::Garden);
    let page = server.visit("203.0.113.67", "/", &[]).body;
    assert!(
        page.contains("we have closed most of the internet"),
        "{page}"
    );
    assert!(page.contains("we learned that spam comes from"), "{page}");
}

#[test]
fn nobody_sees_anybody_elses_case() {
    let folder = folder();
    find(&folder, "203.0.113.66/32");
    quarantine(&folder, "ACME Hosting", Scope::Mail);
    quarantine(&folder, "2001:db8:0:100::1", Scope::Mail);
    let server = Server::start(folder.path(), &PROXIED);
    for neighbour in ["203.0.113.65", "2001:db8:0:200::1"] {
        let page = server.visit(neighbour, "/", &[]);
        assert!(
            page.body.contains("All is well with your connection"),
            "{neighbour}"
        );
        for other in [ZOMBIE, "ACME", "203.0.113.30", "1,234", "4711"] {
            assert!(!page.body.contains(other), "{neighbour} sees {other}");
        }
    }
    // Of one's own case, too, staff and evidence stay where they are.
    for (who, expected) in [
        (ZOMBIE, HEADINGS[0].1),
        ("203.0.113.30", HEADINGS[0].1),
        ("2001:db8:0:1ff::2", HEADINGS[0].1),
    ] {
        let page = server.visit(who, "/", &[]).body;
        assert!(page.contains(expected), "{who}: {page}");
        for inner in ["anna", "4711", "198.51.100.77", "ACME", "outcomes"] {
            assert!(!page.contains(inner), "{who} sees {inner}");
        }
    }
    let stranger = server.visit("192.0.2.1", "/", &[]);
    assert!(stranger.body.contains("This is not a connection of ours"));
    // A customer who writes the header meets a proxy that adds the true address behind it.
    let page = server.visit("203.0.113.66, 203.0.113.65", "/", &[]).body;
    assert!(page.contains("All is well"), "{page}");
}

#[test]
fn who_comes_directly_is_known_by_the_connection_and_nothing_else() {
    let folder = folder();
    quarantine(&folder, "127.0.0.1", Scope::Mail);
    quarantine(&folder, "203.0.113.66", Scope::Mail);
    let server = Server::start(folder.path(), &["--listen", "[::1]:0"]);
    let body = |at: usize, headers: &[(&str, &str)]| server.get(at, "/", headers).body;
    assert!(body(0, &[]).contains(HEADINGS[0].1));
    assert!(
        body(1, &[]).contains("All is well"),
        "over IPv6 it is another subscriber"
    );
    for name in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let page = body(1, &[(name, ZOMBIE)]);
        assert!(page.contains("All is well"), "{name}: {page}");
    }
}

#[test]
fn a_customer_ends_the_quarantine_through_question_and_answer() {
    let folder = folder();
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let server = Server::start(folder.path(), &PROXIED);
    let form = server.question(ZOMBIE);
    assert!(
        form.cookie_line.contains("HttpOnly; SameSite=Strict"),
        "{}",
        form.cookie_line
    );
    for (answer, said) in [
        ("I have not checked every device yet.", "Take your time"),
        ("I don’t know what to do.", "We are glad to help"),
    ] {
        let page = server.answer(ZOMBIE, &form, answer);
        assert_eq!(page.status, 200);
        assert!(page.body.contains(said), "{}", page.body);
    }
    assert_eq!(state(&folder, ZOMBIE), (0, "quarantined".to_owned()));
    let done = server.answer(ZOMBIE, &form, server::CLEANED);
    assert_eq!((done.status, done.header("location")), (303, "/?lang=en"));
    assert_eq!(state(&folder, ZOMBIE), (1, "released".to_owned()));
    let page = server.visit(ZOMBIE, "/", &[]).body;
    assert!(
        page.contains("Thank you. Nothing is blocked any more"),
        "{page}"
    );
}

fn refused(answer: &Answer, said: &str) {
    assert!((400..500).contains(&answer.status), "{}", answer.status);
    assert!(answer.body.contains(said), "{}", answer.body);
}

#[test]
fn forged_foreign_and_used_forms_release_nobody() {
    const OLD: &str = "That page was too old";
    let folder = folder();
    let other = "203.0.113.67";
    quarantine(&folder, ZOMBIE, Scope::Mail);
    quarantine(&folder, other, Scope::Mail);
    let server = Server::start(folder.path(), &PROXIED);
    let good = server.question(ZOMBIE);
    // Another subscriber's form.
    refused(&server.answer(other, &good, server::CLEANED), OLD);
    // A form without its cookie, or with another one: some other site sent it.
    let mut form = good.clone();
    form.cookie = String::new();
    refused(&server.answer(ZOMBIE, &form, server::CLEANED), OLD);
    form.cookie = server.question(ZOMBIE).cookie;
    refused(&server.answer(ZOMBIE, &form, server::CLEANED), OLD);
    refused(
        &server.send_from(ZOMBIE, &good, server::CLEANED, "cross-site"),
        OLD,
    );
    // A token that was made up, and one that was changed.
    for token in ["", "1.AAAA", &good.token.replacen('.', "0.", 1)] {
        form = good.clone();
        form.token = token.to_owned();
        refused(&server.answer(ZOMBIE, &form, server::CLEANED), OLD);
    }
    refused(
        &server.answer(ZOMBIE, &good, "nothing"),
        "Please choose an answer",
    );
    for who in [ZOMBIE, other] {
        assert_eq!(state(&folder, who), (0, "quarantined".to_owned()), "{who}");
    }
    // Used once, and then again for the next quarantine.
    let mut next = Server::start(folder.path(), &PROXIED);
    let form = next.question(ZOMBIE);
    assert_eq!(next.answer(ZOMBIE, &form, server::CLEANED).status, 303);
    refused(&next.answer(ZOMBIE, &form, server::CLEANED), OLD);
    quarantine(&folder, ZOMBIE, Scope::Mail);
    refused(&next.answer(ZOMBIE, &form, server::CLEANED), OLD);
    assert_eq!(state(&folder, ZOMBIE), (1, "quarantined".to_owned()));
    // A form of a server that is gone.
    let form = next.question(ZOMBIE);
    next.stop();
    refused(&server.answer(ZOMBIE, &form, server::CLEANED), OLD);
}

#[test]
fn an_answer_that_comes_sooner_than_a_person_reads_does_not_count() {
    let folder = folder();
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let server = Server::start(
        folder.path(),
        &["--proxy", "127.0.0.0/8", "--reading", "1d"],
    );
    let form = server.question(ZOMBIE);
    refused(
        &server.answer(ZOMBIE, &form, server::CLEANED),
        "That was very quick",
    );
    assert_eq!(state(&folder, ZOMBIE), (0, "quarantined".to_owned()));
}

#[test]
fn the_third_time_the_customer_is_asked_to_call() {
    let folder = folder();
    let server = Server::start(folder.path(), &PROXIED);
    for (round, offered) in ["You can do this twice", "once more"].iter().enumerate() {
        quarantine(&folder, ZOMBIE, Scope::Mail);
        assert!(
            server.visit(ZOMBIE, "/", &[]).body.contains(offered),
            "{round}"
        );
        let form = server.question(ZOMBIE);
        assert_eq!(server.answer(ZOMBIE, &form, server::CLEANED).status, 303);
    }
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let page = server.visit(ZOMBIE, "/", &[]).body;
    assert!(page.contains("Please call us now"), "{page}");
    assert!(!page.contains("<button"), "{page}");
    let question = server.visit(ZOMBIE, "/clean", &[]);
    assert_eq!(
        (question.status, question.header("location")),
        (303, "/?lang=en")
    );
    assert_eq!(state(&folder, ZOMBIE), (2, "quarantined".to_owned()));
}

#[test]
fn a_program_that_guesses_is_soon_told_to_wait() {
    let folder = folder();
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let server = Server::start(folder.path(), &PROXIED);
    let form = server.question(ZOMBIE);
    let mut statuses = Vec::new();
    for _ in 0..22 {
        statuses.push(server.answer(ZOMBIE, &form, "nothing").status);
    }
    // Twice ten at most, if an hour of the server's turned meanwhile.
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert!(
        server.question("203.0.113.67").token.is_empty(),
        "another one is not concerned"
    );
}

#[test]
fn whatever_else_is_asked_for_leads_to_the_page() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--url", "http://notice.isp.example/"]);
    for (host, path) in [
        ("notice.isp.example", "/generate_204"),
        ("captive.apple.com", "/hotspot-detect.html"),
        ("www.example.com", "/"),
        ("www.example.com", "/clean?lang=de"),
        ("[2001:db8::1]:8080", "/a/../b?c#d"),
    ] {
        let answer = server.get(0, path, &[("host", host)]);
        assert_eq!(answer.status, 302, "{host}{path}");
        assert_eq!(answer.header("location"), "http://notice.isp.example/");
    }
    let page = server.get(0, "/", &[("host", "Notice.isp.example:80")]);
    assert_eq!(page.status, 200);
    let unnamed = Server::start(folder.path(), &[]);
    let answer = unnamed.get(0, "/some/where", &[]);
    assert_eq!((answer.status, answer.header("location")), (302, "/"));
}

#[test]
fn devices_ask_whether_they_are_captive() {
    let folder = folder();
    find(&folder, "203.0.113.65/32");
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let options = ["--url", "https://notice.isp.example/"];
    let server = Server::start(folder.path(), &[&PROXIED[..], &options].concat());
    for (who, captive) in [
        (ZOMBIE, true),
        ("203.0.113.65", false),
        ("192.0.2.1", false),
    ] {
        let answer = server.visit(who, "/.well-known/captive-portal", &[]);
        assert_eq!(answer.header("content-type"), "application/captive+json");
        assert_eq!(answer.header("cache-control"), "no-store");
        let json: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let expected = serde_json::json!({
            "captive": captive,
            "user-portal-url": "https://notice.isp.example/",
            "can-extend-session": false,
        });
        assert_eq!(json, expected, "{who}");
    }
    assert!(server.question(ZOMBIE).cookie_line.ends_with("; Secure"));
}

#[test]
fn every_answer_keeps_browsers_safe_and_loads_nothing_from_elsewhere() {
    let folder = folder();
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let server = Server::start(folder.path(), &PROXIED);
    for path in [
        "/",
        "/clean",
        "/notice.css",
        "/.well-known/captive-portal",
        "/other",
    ] {
        let answer = server.visit(ZOMBIE, path, &[]);
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        for loads in ["<script", "src=", "@import", "url(", "style="] {
            assert!(!answer.body.contains(loads), "{path} has {loads}");
        }
    }
}

#[test]
fn where_the_box_does_not_answer_the_page_says_so() {
    let folder = folder();
    let socket = folder.path().join("nobody.sock");
    let socket = socket.to_str().expect("UTF-8");
    let server = Server::start(
        folder.path(),
        &[&PROXIED[..], &["--socket", socket]].concat(),
    );
    let page = server.visit(ZOMBIE, "/", &[]);
    assert_eq!((page.status, page.header("retry-after")), (503, "60"));
    assert!(
        page.body.contains("Please try again in a minute"),
        "{}",
        page.body
    );
}

#[test]
fn texts_that_are_not_whole_keep_it_from_starting() {
    let folder = folder();
    let (code, out, err) = server::run(folder.path(), &["--write-texts", "texts"]);
    assert_eq!((code, out.lines().count(), err.as_str()), (0, 6, ""));
    let (code, out, _) = server::run(folder.path(), &["--check-texts", "texts"]);
    assert!(
        code == 0 && out.starts_with("the texts are good: en, de, es, fr, mi"),
        "{out}"
    );
    let file = folder.path().join("texts/de.toml");
    let text = fs::read_to_string(&file).expect("a file");
    let line = text
        .lines()
        .position(|line| line.starts_with("exhausted ="))
        .expect("it")
        + 1;
    fs::write(&file, text.replace("\nexhausted =", "\nexausted =")).expect("written");
    let start = [
        "-p",
        "isp.toml",
        "--listen",
        "127.0.0.1:0",
        "--texts",
        "texts",
    ];
    let (code, out, err) = server::run(folder.path(), &start);
    assert_eq!((code, out.as_str()), (2, ""));
    let expected = format!(
        "texts/de.toml:{line}: unknown key `clean.exausted`: did you mean `clean.exhausted`?"
    );
    assert!(err.contains(&expected), "{err}");
}

#[test]
fn a_provider_shows_name_phone_and_links() {
    let folder = folder();
    quarantine(&folder, ZOMBIE, Scope::Mail);
    let texts = folder.path().join("texts");
    fs::create_dir(&texts).expect("a folder");
    let provider = r#"
[provider]
name = "Example & Net"
phone = "+49 800 123"
mail = "help@isp.example"
webmail = "https://webmail.isp.example/"
submission = "smtp.isp.example"
languages = ["de", "en"]
time_zone = "Europe/Berlin"
"#;
    fs::write(texts.join("provider.toml"), provider).expect("a file");
    let server = Server::start(
        folder.path(),
        &[&PROXIED[..], &["--texts", "texts"]].concat(),
    );
    let page = server.visit(ZOMBIE, "/", &[("accept-language", "xx")]).body;
    for expected in [
        "<html lang=\"de\">",
        "Example &#38; Net</title>",
        "href=\"tel:+49800123\"",
        "href=\"mailto:help@isp.example\"",
        "https://webmail.isp.example/",
        "smtp.isp.example",
    ] {
        assert!(page.contains(expected), "no {expected} in {page}");
    }
    assert!(!page.contains("lang=fr"), "{page}");
}

#[test]
fn it_ends_when_it_is_asked_to() {
    let folder = folder();
    let mut server = Server::start(folder.path(), &PROXIED);
    server.visit(ZOMBIE, "/", &[]);
    assert_eq!(server.stop(), Some(0));
}
