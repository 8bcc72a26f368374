//! What a policy says about addresses, and what loading refuses.

use std::{
    hint::black_box,
    net::IpAddr,
    time::{Duration, Instant},
};

use ipnet::IpNet;
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    ClassId, Diagnostics, Excess, Fallback, Limit, Outcomes, Policy, Redirecting, Role, Rule,
    Severity, Threshold,
    steps::{Scope, StepAction},
};

const EXAMPLE: &str = include_str!("../../docs/examples/policy.toml");

/// Classes `home` and `mta`, and a pool each of IPv4 and IPv6.
const BASE: &str = r#"
[class.home]
smtp = { limit = { connections = 10, window = "10s" } }
[class.mta]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/24"
class = "home"
[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "home"
"#;

fn policy(text: &str) -> Policy {
    match Policy::from_toml("policy.toml", text) {
        Ok((policy, _)) => policy,
        Err(diagnostics) => panic!("{diagnostics}"),
    }
}

/// The mistakes in a text, without the warnings.
fn refused(text: &str) -> Diagnostics {
    let mut diagnostics = Policy::from_toml("policy.toml", text).expect_err("a mistake");
    diagnostics
        .0
        .retain(|diagnostic| diagnostic.severity == Severity::Error);
    diagnostics
}

fn role<'a>(policy: &'a Policy, address: &str) -> Role<'a> {
    policy.role(address.parse().expect("an address"))
}

/// Key and class of a subscriber's address.
fn member(policy: &Policy, address: &str) -> (String, ClassId) {
    match role(policy, address) {
        Role::Subscriber(member) => (member.key.to_string(), member.class),
        other => panic!("{address} is {other:?}"),
    }
}

#[test]
fn the_example_means_what_it_says() {
    let (policy, warnings) = Policy::from_toml("policy.toml", EXAMPLE).expect("good");
    let minute = Duration::from_secs(60);
    assert_eq!(
        policy.relay_limit(),
        Some(Limit {
            connections: 60,
            window: minute
        })
    );
    let names: Vec<_> = policy
        .classes()
        .iter()
        .map(|class| class.name.as_str())
        .collect();
    assert_eq!(names, ["residential", "mta", "closed"]);
    let residential = policy.class(ClassId(0));
    let ten = Limit {
        connections: 10,
        window: Duration::from_secs(10),
    };
    assert_eq!(residential.smtp, Rule::Limit(ten));
    assert_eq!(
        (residential.submission, residential.excess),
        (Rule::Allow, Excess::Drop)
    );
    assert!(policy.class(ClassId(2)).observe && !residential.observe && !policy.observe());
    assert_eq!(policy.class(ClassId(2)).smtp, Rule::Block);
    assert_eq!(
        policy.ports().map(|ports| ports.access.as_str()),
        Some("eth1")
    );
    assert_eq!(
        (policy.capacity(), policy.full()),
        (1_048_576, Fallback::Forward)
    );
    assert_eq!(
        (policy.strangers(), policy.has_concentrators()),
        (Fallback::Drop, false)
    );
    assert_eq!(warnings.0.len(), 1, "class closed is unused: {warnings}");
}

#[test]
fn the_example_knows_its_addresses() {
    let policy = policy(EXAMPLE);
    assert_eq!(
        member(&policy, "203.0.113.10"),
        ("203.0.113.10/32".into(), ClassId(0))
    );
    assert_eq!(
        member(&policy, "203.0.113.30"),
        ("203.0.113.30/32".into(), ClassId(1))
    );
    let site = ("2001:db8:200:1200::/56".into(), ClassId(0));
    assert_eq!(member(&policy, "2001:db8:200:12ff::7"), site);
    assert_eq!(role(&policy, "192.0.2.25"), Role::Relay);
    assert_eq!(role(&policy, "2001:db8:25::1"), Role::Relay);
    assert_eq!(role(&policy, "192.0.2.26"), Role::Stranger);
    assert_eq!(role(&policy, "::ffff:203.0.113.10"), Role::Stranger);
    let vlans = |address| match role(&policy, address) {
        Role::Subscriber(member) => member.vlans.map(<[u16]>::to_vec),
        other => panic!("{other:?}"),
    };
    assert_eq!(vlans("198.51.100.1"), Some(vec![66]));
    assert_eq!(vlans("203.0.113.1"), None);
    let key = |text: &str| text.parse::<IpNet>().expect("a prefix");
    assert_eq!(policy.name_of(key("203.0.113.30/32")), Some("ACME Hosting"));
    assert_eq!(policy.name_of(key("203.0.113.31/32")), None);
}

#[test]
fn a_subscriber_with_several_prefixes_has_one_key() {
    let policy = policy(&format!(
        "{BASE}[[subscriber]]\nname = \"A\"\nclass = \"mta\"\n\
         prefixes = [\"203.0.113.64/29\", \"203.0.113.9\", \"2001:db8:200:100::/56\"]\n\
         [[subscriber]]\nname = \"B\"\nclass = \"mta\"\nprefixes = [\"203.0.113.128/28\"]\n"
    ));
    let joint = ("203.0.113.64/29".to_owned(), ClassId(1));
    for address in [
        "203.0.113.64",
        "203.0.113.71",
        "203.0.113.9",
        "2001:db8:200:1ff::1",
    ] {
        assert_eq!(member(&policy, address), joint, "{address}");
    }
    assert_eq!(
        member(&policy, "203.0.113.130"),
        ("203.0.113.128/28".into(), ClassId(1))
    );
    assert_eq!(
        policy.name_of("203.0.113.64/29".parse().expect("a prefix")),
        Some("A")
    );
    assert_eq!(
        policy.name_of("203.0.113.128/28".parse().expect("a prefix")),
        Some("B")
    );
    assert_eq!(policy.subscribers(), 2);
}

#[test]
fn relays_stand_out_of_a_survey_pool() {
    let policy = policy(
        "[relays]\naddresses = [\"192.0.2.25\"]\n[softwires]\nconcentrators = [\"2001:db8::1\"]\n\
         [class.all]\nsmtp = \"allow\"\n[[pool]]\nprefix = \"0.0.0.0/0\"\nclass = \"all\"\n\
         [[pool]]\nprefix = \"::/0\"\nclass = \"all\"\n",
    );
    assert_eq!(role(&policy, "192.0.2.25"), Role::Relay);
    assert_eq!(role(&policy, "2001:db8::1"), Role::Concentrator);
    assert!(policy.has_concentrators());
    assert_eq!(member(&policy, "192.0.2.26").0, "192.0.2.26/32");
    assert_eq!(member(&policy, "2001:db8::2").0, "2001:db8::/64");
}

#[test]
fn a_pool_longer_than_64_bits_counts_its_addresses_as_one() {
    let text = BASE.replace("2001:db8:200::/40", "2001:db8:200::/80");
    let policy = policy(&text.replace("subscriber_prefix = 56\n", ""));
    assert_eq!(member(&policy, "2001:db8:200::5").0, "2001:db8:200::/80");
}

#[test]
fn without_keys_the_defaults_apply() {
    let policy = policy(BASE);
    let class = policy.class(ClassId(0));
    assert_eq!(
        (class.submission, class.excess, class.observe),
        (Rule::Allow, Excess::Drop, false)
    );
    assert_eq!((policy.capacity(), policy.relay_limit()), (1 << 20, None));
    assert_eq!(
        (policy.full(), policy.strangers()),
        (Fallback::Forward, Fallback::Drop)
    );
    assert!(!policy.observe() && policy.ports().is_none());
    assert_eq!(policy.pools()[0].subscriber_prefix, 32);
}

#[test]
fn an_empty_vlan_list_means_untagged() {
    let text = BASE.replace(
        "prefix = \"203.0.113.0/24\"",
        "prefix = \"203.0.113.0/24\"\nvlans = []",
    );
    match role(&policy(&text), "203.0.113.1") {
        Role::Subscriber(member) => assert_eq!(member.vlans, Some(&[][..])),
        other => panic!("{other:?}"),
    };
}

#[test]
fn every_mistake_is_found_in_one_run() {
    let diagnostics = refused(
        "mod = 1\n[ports]\naccess = 7\n[class.a]\nsmtp = \"alow\"\nexcess = \"deny\"\n\
         [[pool]]\nprefix = \"10.0.0.1/8\"\nclass = \"b\"\n[sources]\ncapacity = 0\n",
    );
    let lines: Vec<_> = diagnostics
        .0
        .iter()
        .map(|diagnostic| diagnostic.place.as_ref().map_or(0, |place| place.line))
        .collect();
    // Line 2 stands for the missing `uplink`.
    assert_eq!(lines, [1, 2, 3, 5, 6, 8, 9, 11], "{diagnostics}");
}

#[test]
fn a_syntax_error_does_not_make_things_missing() {
    let diagnostics = refused(
        "[class.home\nsmtp = \"allow\"\n[[pool]]\nprefix = \"10.0.0.0/8\"\nclass = \"home\"\n",
    );
    assert_eq!(diagnostics.0.len(), 1, "{diagnostics}");
    assert!(diagnostics.0[0].message.contains("not TOML"));
}

#[test]
fn text_without_a_file_cannot_name_lists() {
    let diagnostics = refused(&format!("{BASE}[lists]\nsubscribers = [\"a.csv\"]\n"));
    assert!(
        diagnostics.0[0].message.contains("cannot name lists"),
        "{diagnostics}"
    );
}

#[test]
fn a_place_is_named_by_line_and_column() {
    let diagnostics = refused(&BASE.replace("203.0.113.0/24", "203.0.113.0/33"));
    let place = diagnostics.0[0].place.as_ref().expect("a place");
    assert_eq!(
        (place.file.as_str(), place.line, place.column),
        ("policy.toml", 7, 10)
    );
    assert_eq!(&place.text[place.span.clone()], "\"203.0.113.0/33\"");
}

proptest! {
    /// The key of every address in a pool is that address, masked, and contains it.
    #[test]
    fn a_key_contains_its_address(bits in any::<u128>(), length in 40..=128_u8) {
        let text = BASE.replace("subscriber_prefix = 56", &format!("subscriber_prefix = {length}"));
        let policy = policy(&text);
        let address = IpAddr::from((0x2001_0db8_0200_0000_u128 << 64 | bits >> 40).to_be_bytes());
        let Role::Subscriber(member) = policy.role(address) else { panic!("{address}") };
        prop_assert!(member.key.contains(&address));
        prop_assert_eq!(member.key.prefix_len(), length);
        prop_assert_eq!(member.key.trunc(), member.key);
    }

    /// Whatever the text, loading it ends with a policy or with mistakes.
    #[test]
    fn mutilated_policies_never_panic(cut in 0..EXAMPLE.len(), length in 0..40_usize, insert in "[\\PC\n]{0,6}") {
        let end = (cut + length).min(EXAMPLE.len());
        let octets = [&EXAMPLE.as_bytes()[..cut], insert.as_bytes(), &EXAMPLE.as_bytes()[end..]].concat();
        let text = String::from_utf8_lossy(&octets);
        if let Err(diagnostics) = Policy::from_toml("policy.toml", &text) {
            prop_assert!(diagnostics.count(Severity::Error) > 0);
            prop_assert!(!diagnostics.render(false).is_empty());
        }
    }
}

/// `cargo test --release --lib roles_per_second -- --ignored --nocapture`
#[test]
#[ignore = "prints figures; run it in release"]
fn roles_per_second() {
    let policy = policy(EXAMPLE);
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let v4 = |net: u32, host: u32| IpAddr::from((net | host).to_be_bytes());
    let v6 = |net: u128, host: u128| IpAddr::from((net << 64 | host >> 40).to_be_bytes());
    let sources: Vec<IpAddr> = (0..1 << 16)
        .map(|_| match random.random_range(0..3) {
            0 => v4(0xcb00_7100, random.random_range(0..256)),
            1 => v4(0xc633_6400, random.random_range(0..256)),
            _ => v6(0x2001_0db8_0200_0000, random.random()),
        })
        .collect();
    let servers: Vec<IpAddr> = (0..1 << 16).map(|_| v4(0, random.random())).collect();
    for (name, addresses) in [("subscribers", &sources), ("any IPv4 address", &servers)] {
        let mut best = f64::MAX;
        for _ in 0..9 {
            let started = Instant::now();
            addresses.iter().for_each(|&address| {
                black_box(policy.role(address));
            });
            let nanos = started.elapsed().as_nanos() as f64 / addresses.len() as f64;
            best = best.min(nanos);
        }
        println!("role of {name}: {best:.2} ns");
    }
}

const DETECT: &str = r#"
[class.home.detect]
volume = { attempts = 500, window = "1h" }
destinations = { distinct = 200, window = "1h" }
outcomes = { theta0 = 0.2, theta1 = 0.9, alpha = 5e-5, beta = 0.01 }   # the sequential test
steps = [ { step = "notify" }, { step = "quarantine", for = "24h", scope = "mail", expires = "30d" } ]
"#;

#[test]
fn a_class_says_when_its_subscribers_are_suspected_and_what_follows() {
    let text = format!("{BASE}{DETECT}");
    let policy = policy(&text);
    let hour = Duration::from_secs(3600);
    assert!(policy.detects() && policy.class(ClassId(1)).detect.is_none());
    assert_eq!(policy.observed(), 131_072);
    let detect = policy.class(ClassId(0)).detect.clone().expect("detect");
    let threshold = |count| {
        Some(Threshold {
            count,
            window: hour,
        })
    };
    assert_eq!(
        (detect.volume, detect.destinations),
        (threshold(500), threshold(200))
    );
    assert_eq!(detect.submission, None);
    let expected = Outcomes {
        theta0: 0.2,
        theta1: 0.9,
        alpha: 5e-5,
        beta: 0.01,
        answer_within: Duration::from_secs(3),
    };
    assert_eq!(detect.outcomes, Some(expected));
    let [notify, quarantine] = detect.steps[..] else {
        panic!("{:?}", detect.steps)
    };
    assert_eq!(
        (notify.action, notify.grace),
        (StepAction::Notify, Duration::ZERO)
    );
    let held = StepAction::Quarantine {
        scope: Scope::Mail,
        expires: 30 * 24 * hour,
    };
    assert_eq!((quarantine.action, quarantine.grace), (held, 24 * hour));
    let short = text.replace(", alpha = 5e-5, beta = 0.01", "");
    let defaults = self::policy(&short).class(ClassId(0)).detect.clone();
    assert_eq!(defaults.and_then(|detect| detect.outcomes), Some(expected));
}

#[test]
fn what_detection_cannot_do_is_refused_with_the_place() {
    for (right, wrong, message) in [
        (
            "attempts = 500",
            "attempts = 5000",
            "`attempts` is 5000, which is not from 1 to 4000",
        ),
        (
            "distinct = 200",
            "distinct = 0",
            "`distinct` is 0, which is not from 1 to 1000",
        ),
        (
            "attempts = 500, window = \"1h\"",
            "attempts = 500, window = \"5s\"",
            "`window` cannot be \"5s\"",
        ),
        (
            "theta1 = 0.9",
            "theta1 = 0.1",
            "theta0 (0.2) is not below theta1 (0.1)",
        ),
        (
            "alpha = 5e-5",
            "alpha = 0.0",
            "`alpha` is 0, which is not from 0.000000001 to 0.4",
        ),
        (
            "beta = 0.01",
            "beta = \"low\"",
            "`beta` must be a number, not a string",
        ),
        (
            "step = \"notify\"",
            "step = \"quarantine\"",
            "step \"quarantine\" comes after \"quarantine\"",
        ),
        (
            "step = \"notify\"",
            "step = \"notify\", scope = \"mail\"",
            "step \"notify\" has no `scope`",
        ),
        (
            "for = \"24h\"",
            "for = \"400d\"",
            "`for` cannot be \"400d\"",
        ),
        (
            "for = \"24h\"",
            "for = \"a day\"",
            "\"a day\" is not a window",
        ),
        (
            "step = \"notify\"",
            "step = \"notfy\"",
            "`step` cannot be \"notfy\"",
        ),
    ] {
        let text = format!("{BASE}{DETECT}").replace(right, wrong);
        let refused = refused(&text);
        assert!(
            refused.0.iter().any(|mistake| mistake.message == message),
            "{wrong}: {refused}"
        );
    }
    let nothing = refused(&format!("{BASE}[class.home.detect]\nsteps = []\n"));
    assert!(
        nothing.0[0]
            .message
            .contains("when a subscriber is suspected")
    );
}

const NOTICE: &str = r#"
[notice]
url = "http://192.0.2.80/"
addresses = ["192.0.2.80", "2001:db8:80::/64"]
[garden]
open = ["198.51.100.0/24"]
resolvers = ["192.0.2.53"]
"#;

#[test]
fn the_notice_and_what_is_open_in_the_garden() {
    let text = format!("{BASE}{NOTICE}");
    let told = policy(&text);
    let notice = told.notice().expect("a notice");
    let at = |address: &str| address.parse().expect("an address");
    assert_eq!(notice.url, "http://192.0.2.80/");
    assert_eq!(notice.redirect, Redirecting::Unread);
    assert!(notice.is_at(at("2001:db8:80::1")) && !notice.is_at(at("192.0.2.81")));
    assert!(told.garden().is_open(at("198.51.100.7")));
    assert!(told.garden().is_resolver(at("192.0.2.53")));
    assert!(!told.garden().is_resolver(at("192.0.2.54")));
    let silent = policy(BASE);
    assert!(silent.notice().is_none() && silent.garden().is_resolver(at("192.0.2.54")));
    for (word, redirect) in [
        ("always", Redirecting::Always),
        ("garden", Redirecting::Garden),
    ] {
        let text = text.replace("[garden]", &format!("redirect = \"{word}\"\n[garden]"));
        assert_eq!(
            policy(&text).notice().map(|notice| notice.redirect),
            Some(redirect)
        );
    }
}

#[test]
fn a_notice_that_nobody_could_read_is_refused_with_the_place() {
    let long = format!("\"http://a.example/{}\"", "x".repeat(256));
    for (right, wrong, message) in [
        (
            "\"http://192.0.2.80/\"",
            "\"notice.example\"",
            "`url` cannot be",
        ),
        ("\"http://192.0.2.80/\"", "\"http://\"", "`url` cannot be"),
        (
            "\"http://192.0.2.80/\"",
            "\"http://a@b/\"",
            "`url` cannot be",
        ),
        (
            "\"http://192.0.2.80/\"",
            "\"http://a.example/\\r\\nX: y\"",
            "`url` cannot be",
        ),
        ("\"http://192.0.2.80/\"", &long, "`url` cannot be"),
        (
            "\"http://192.0.2.80/\"",
            "\"http://192.0.2.8:81/\"",
            "not among its `addresses`",
        ),
        (
            "\"http://192.0.2.80/\"",
            "\"http://[2001:db8::1]/\"",
            "not among its `addresses`",
        ),
        (
            "\"192.0.2.80\", ",
            "\"192.0.2\", ",
            "\"192.0.2\" is not a prefix",
        ),
        (
            "\"198.51.100.0/24\"",
            "\"0.0.0.0/0\"",
            "0.0.0.0/0 is everybody",
        ),
        ("[\"192.0.2.53\"]", "[]", "`resolvers` names none"),
        ("open =", "opne =", "unknown key `opne` in [garden]"),
        (
            "url = \"http://192.0.2.80/\"",
            "",
            "`url` is missing in [notice]",
        ),
    ] {
        let refused = refused(&format!("{BASE}{NOTICE}").replace(right, wrong));
        assert!(
            refused
                .0
                .iter()
                .any(|mistake| mistake.message.contains(message)),
            "{wrong}: {refused}"
        );
    }
}

#[test]
fn a_class_that_locks_up_without_a_word_is_warned_of() {
    let garden = DETECT.replace("scope = \"mail\"", "scope = \"garden\"");
    let warnings = |text: &str| match Policy::from_toml("policy.toml", text) {
        Ok((_, warnings)) => warnings.0.into_iter().map(|found| found.message).collect(),
        Err(diagnostics) => panic!("{diagnostics}"),
    };
    let silent: Vec<String> = warnings(&format!("{BASE}{garden}"));
    let silent = silent
        .iter()
        .filter(|message| message.contains("no page tells them"));
    assert_eq!(silent.count(), 1);
    let told: Vec<String> = warnings(&format!("{BASE}{garden}{NOTICE}"));
    assert!(
        told.iter()
            .all(|message| !message.contains("no page tells them"))
    );
}

#[test]
fn a_subscriber_is_found_by_all_its_prefixes_and_a_neighbour_by_none() {
    let policy = policy(&format!(
        "{BASE}[[subscriber]]\nclass = \"mta\"\n\
         prefixes = [\"203.0.113.8/30\", \"203.0.113.3\", \"2001:db8:200:4200::/56\"]\n\
         [[subscriber]]\nclass = \"mta\"\nprefixes = [\"203.0.113.0\", \"203.0.113.1\"]\n"
    ));
    let net = |text: &str| text.parse::<IpNet>().expect("a prefix");
    let found = |keys: &[&str]| {
        let held = keys.iter().map(|key| (net(key), ())).collect();
        let found = policy.prefixes_of(&held).into_iter();
        let addresses = [
            "203.0.113.3",
            "203.0.113.8",
            "203.0.113.11",
            "203.0.113.0",
            "203.0.113.1",
        ];
        let all: Vec<_> = found.map(|(prefix, ())| prefix).collect();
        let within = |address: &&str| {
            let address: IpAddr = address.parse().expect("an address");
            all.iter().any(|prefix| prefix.contains(&address))
        };
        let seen = addresses.iter().filter(|address| within(address)).count();
        (seen, all.contains(&net("2001:db8:200:4200::/56")))
    };
    assert_eq!(
        found(&["203.0.113.8/30"]),
        (3, true),
        "the three of the first"
    );
    assert_eq!(found(&["203.0.113.0/32"]), (2, false));
    assert_eq!(found(&["203.0.113.99/32"]), (0, false), "one of the pool");
    assert_eq!(found(&[]), (0, false));
}
