//! What may take whose place.

use super::*;

const POLICY: &str = r#"
[relays]
addresses = ["192.0.2.25"]
limit = { connections = 20, window = "10m" }
[class.home]
smtp = { limit = { connections = 3, window = "10m" } }
[class.business]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/24"
class = "home"
[[subscriber]]
name = "ACME"
prefixes = ["203.0.113.20/32"]
class = "business"
"#;
const DETECT: &str = "[class.home.detect]\nvolume = { attempts = 5, window = \"1h\" }\n";

fn policy(text: &str) -> Policy {
    let made = Policy::from_toml("isp.toml", text);
    made.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(false)))
        .0
}

fn running(text: &str) -> Edition {
    let policy = policy(text);
    Edition {
        observer: policy
            .detects()
            .then(|| Arc::new(Observer::new(policy.observed()))),
        policy: Arc::new(policy),
        generation: 1,
    }
}

fn changes(from: &str, to: &str) -> Vec<String> {
    succeed(&running(from), policy(to))
        .unwrap_or_else(|refusals| panic!("{refusals:?}"))
        .changes
}

#[test]
fn what_is_different_is_told_with_what_becomes_of_the_windows() {
    assert_eq!(
        changes(POLICY, POLICY),
        ["subscribers and classes are as they were"]
    );
    let to = POLICY
        .replace(
            "connections = 3, window = \"10m\"",
            "connections = 9, window = \"10m\"",
        )
        .replace(
            "connections = 20, window = \"10m\"",
            "connections = 20, window = \"1h\"",
        )
        .replace(
            "smtp = \"allow\"",
            "smtp = \"block\"\nexcess = \"reset\"\nmode = \"observe\"",
        );
    assert_eq!(
        changes(POLICY, &to),
        [
            "class home: smtp: 3 in 10m → 9 in 10m; what is in the windows counts on",
            "class business: smtp: allow → block",
            "class business: excess: reset",
            "class business: mode: observe",
            "relays: 20 in 10m → 20 in 1h; its windows begin empty",
        ]
    );
    let large = POLICY.replace("connections = 3,", "connections = 3000,");
    assert_eq!(
        changes(&large, POLICY),
        ["class home: smtp: 3,000 in 10m → 3 in 10m; of what is in the windows, part counts on"]
    );
}

#[test]
fn classes_pools_and_subscribers_come_and_go() {
    let to = POLICY
        .replace("class.business", "class.hosting")
        .replace("class = \"business\"", "class = \"hosting\"");
    let to = format!("{to}[[pool]]\nprefix = \"198.51.100.0/24\"\nclass = \"home\"\n");
    assert_eq!(
        changes(POLICY, &to),
        [
            "class business: gone; its counts stay",
            "class hosting: new",
            "pools: 1 → 2",
        ]
    );
}

#[test]
fn everything_that_needs_a_restart_is_named_with_the_remedy_and_nothing_changes() {
    let to = format!(
        "{POLICY}[ports]\nring = 512\n[sources]\ncapacity = 4096\nobserved = 2048\n[store]\npath = \"cases.redb\"\n"
    );
    let refusals = succeed(&running(POLICY), policy(&to)).expect_err("a restart is needed");
    let named: Vec<_> = refusals
        .iter()
        .map(|refusal| refusal.split_once(':').expect("a name").0)
        .collect();
    assert_eq!(
        named,
        [
            "[ports] ring",
            "[sources] capacity",
            "[sources] observed",
            "[store] path",
            "[store] keep",
            "[store] socket"
        ]
    );
    assert_eq!(
        refusals[0],
        "[ports] ring: the running box has 2048, the file says 512\n\
         remedy: write 2048 again, or restart the box: frames cross in the kernel meanwhile"
    );
}

#[test]
fn who_watches_goes_on_unless_it_is_told_to_measure_otherwise() {
    let detecting = format!("{POLICY}{DETECT}");
    let now = running(&detecting);
    let observer = |running: &Edition, to: &str| {
        let next = succeed(running, policy(to)).expect("it may change");
        next.observer.expect("somebody watches")
    };
    let watching = now.observer.clone().expect("somebody watches");
    let looser = detecting.replace("connections = 3,", "connections = 4,");
    assert!(Arc::ptr_eq(&observer(&now, &looser), &watching));
    let other = detecting.replace("attempts = 5", "attempts = 6");
    assert!(!Arc::ptr_eq(&observer(&now, &other), &watching));
    assert!(
        changes(&detecting, &other)
            .contains(&"detection: other measures; observation begins anew".to_owned())
    );
    // It begins where there was none, and rests where nobody asks any more.
    observer(&running(POLICY), &detecting);
    assert!(Arc::ptr_eq(&observer(&now, POLICY), &watching));
}
