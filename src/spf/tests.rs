use ipnet::IpNet;

use super::*;

/// A mail server among residential customers, relays of both families.
const POLICY: &str = r#"
[relays]
addresses = ["192.0.2.24", "192.0.2.25", "2001:db8:25::/64"]
[class.home]
smtp = { limit = { connections = 10, window = "10s" } }
[class.mta]
smtp = "allow"
[[pool]]
prefix = "203.0.113.0/24"
class = "home"
[[pool]]
prefix = "198.51.100.0/24"
class = "mta"
[[subscriber]]
prefixes = ["203.0.113.30", "203.0.113.31"]
class = "mta"
[[subscriber]]
prefixes = ["198.51.100.128/25"]
class = "home"
"#;

fn of_policy(relays_only: bool) -> Addresses {
    let (policy, _) = Policy::from_toml("test", POLICY).expect("a good policy");
    designated(&policy, relays_only)
}

fn addresses(prefixes: &[&str]) -> Addresses {
    prefixes.iter().map(|text| text.parse().unwrap()).collect()
}

fn texts(prefixes: &[IpNet]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}

#[test]
fn relays_and_unlimited_classes_are_listed_with_the_fewest_prefixes() {
    let parts = write(&of_policy(false), Some("example.net."), Unlisted::Fail).unwrap();
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].name.as_deref(), Some("example.net"));
    assert_eq!(
        parts[0].text,
        "v=spf1 ip4:192.0.2.24/31 ip4:198.51.100.0/25 ip4:203.0.113.30/31 ip6:2001:db8:25::/64 -all"
    );
    let parts = write(&of_policy(true), None, Unlisted::SoftFail).unwrap();
    assert_eq!(
        parts[0].text,
        "v=spf1 ip4:192.0.2.24/31 ip6:2001:db8:25::/64 ~all"
    );
}

/// Every second address of a network: none can be joined with another.
fn scattered(count: u32) -> Addresses {
    (0..count)
        .map(|index| {
            let bits = 0xc633_6400 + 2 * index;
            IpNet::from(std::net::IpAddr::from(bits.to_be_bytes()))
        })
        .collect()
}

#[test]
fn what_is_too_long_for_one_record_is_included_in_parts_that_fit_a_packet() {
    let wanted = scattered(100);
    let parts = write(&wanted, Some("isp.example"), Unlisted::Fail).unwrap();
    assert!(
        (3..=LOOKUPS_MAX + 1).contains(&parts.len()),
        "{}",
        parts.len()
    );
    let mut listed = Addresses::default();
    for part in &parts {
        assert!(part.octets() <= OCTETS_ADVISED, "{}", part.octets());
        assert!(
            part.strings()
                .iter()
                .all(|string| string.len() <= STRING_MAX)
        );
        assert_eq!(part.strings().concat(), part.text);
        let record = read(&part.text).expect("what is written can be read");
        for term in &record.terms {
            if let Mechanism::Addresses(prefix) = term.mechanism {
                listed = listed.union(&[prefix].into_iter().collect());
            }
        }
    }
    assert_eq!(listed, wanted);
    let includes = parts[0].text.matches("include:_spf").count();
    assert_eq!(includes, parts.len() - 1);
    assert_eq!(parts[1].name.as_deref(), Some("_spf1.isp.example"));
}

#[test]
fn more_parts_than_receivers_look_up_are_refused() {
    let error = write(&scattered(1_000), Some("isp.example"), Unlisted::Fail);
    assert!(
        matches!(error, Err(SpfError::TooManyLookups { prefixes: 1_000, includes }) if includes > 10)
    );
    let error = write(&scattered(100), None, Unlisted::Fail);
    assert!(matches!(
        error,
        Err(SpfError::NeedsDomain { prefixes: 100, .. })
    ));
}

#[test]
fn a_record_that_was_written_agrees_with_its_policy() {
    let wanted = of_policy(false);
    for unlisted in [Unlisted::Fail, Unlisted::SoftFail] {
        let parts = write(&wanted, None, unlisted).unwrap();
        let comparison = compare(&read(&parts[0].text).unwrap(), &wanted);
        assert_eq!(comparison, Comparison::default());
    }
}

#[test]
fn what_a_record_lacks_and_allows_beyond_is_told_by_prefix() {
    let wanted = addresses(&["192.0.2.24/31", "198.51.100.0/24"]);
    let record = read("v=spf1 -ip4:198.51.100.7 ip4:198.51.100.0/23 ip4:192.0.2.25 ~all").unwrap();
    let comparison = compare(&record, &wanted);
    let lacks: Vec<_> = comparison
        .lacks
        .iter()
        .map(|lack| (lack.outcome.name(), texts(&lack.prefixes)))
        .collect();
    assert_eq!(
        lacks,
        [
            ("fail", vec!["198.51.100.7/32".to_owned()]),
            ("softfail", vec!["192.0.2.24/32".to_owned()])
        ]
    );
    assert_eq!(texts(&comparison.beyond), ["198.51.101.0/24"]);
}

#[test]
fn the_first_term_that_matches_decides() {
    let record = read("v=spf1 ip4:192.0.2.0/24 -ip4:192.0.2.1 all").unwrap();
    let comparison = compare(&record, &addresses(&["0.0.0.0/0", "::/0"]));
    assert!(comparison.agrees(), "{comparison:?}");
    assert!(comparison.advice[0].contains("`+all`"));
}

#[test]
fn what_only_the_dns_knows_is_named_as_not_judged() {
    let record = read(
        "v=spf1 mx a:mail.example.net/24 include:_spf.example.com exists:%{i}.x.example \
              redirect=other.example",
    )
    .unwrap();
    let comparison = compare(&record, &Addresses::default());
    assert_eq!(comparison.not_judged.len(), 5);
    assert!(comparison.agrees());
    let record = read("v=spf1 -all mx redirect=other.example").unwrap();
    let comparison = compare(&record, &Addresses::default());
    assert_eq!(comparison.never_reached, ["mx", "redirect=other.example"]);
    assert!(comparison.not_judged.is_empty());
}

#[test]
fn strings_as_dig_shows_them_are_joined_without_a_space() {
    let record = read(r#""v=spf1 ip4:192." "0.2.1 -all""#).unwrap();
    assert_eq!(record.text, "v=spf1 ip4:192.0.2.1 -all");
    assert_eq!(record.terms.len(), 2);
}

#[test]
fn what_no_receiver_understands_is_refused_with_its_term() {
    for (text, term) in [
        ("", ""),
        ("v=spf2 -all", "v=spf2"),
        ("spf2.0/pra -all", "spf2.0/pra"),
        ("v=spf1 ip4:192.0.2.300 -all", "ip4:192.0.2.300"),
        ("v=spf1 ip4:192.0.2.0/33 -all", "ip4:192.0.2.0/33"),
        ("v=spf1 ip4:2001:db8::1 -all", "ip4:2001:db8::1"),
        ("v=spf1 ip6:192.0.2.1 -all", "ip6:192.0.2.1"),
        ("v=spf1 ip4 -all", "ip4"),
        ("v=spf1 ip:192.0.2.1 -all", "ip:192.0.2.1"),
        ("v=spf1 include -all", "include"),
        ("v=spf1 -all:x", "-all:x"),
        ("v=spf1 redirect=a redirect=b", "redirect=b"),
        ("v=spf1 exp= -all", "exp="),
    ] {
        assert_eq!(read(text).expect_err(text).term, term);
    }
}

#[test]
fn advice_names_what_receivers_would_stumble_over() {
    let long: String = (0..40).map(|n| format!("ip4:192.0.2.{n} ")).collect();
    let asking: String = (0..11).map(|n| format!("include:{n}.example ")).collect();
    for (text, said) in [
        (format!("v=spf1 {asking} -all"), "takes 11 look-ups"),
        (format!("v=spf1 {long} -all"), "octets"),
        ("v=spf1 PTR -all".to_owned(), "`ptr`"),
        ("v=spf1 mx".to_owned(), "no end"),
        ("v=spf1 mx ?all".to_owned(), "says nothing"),
    ] {
        let advice = compare(&read(&text).unwrap(), &Addresses::default()).advice;
        assert!(
            advice.iter().any(|advice| advice.contains(said)),
            "{advice:?}"
        );
    }
}

#[test]
fn a_name_that_is_no_domain_is_refused() {
    for name in ["", "a b.example", "a..example", "-;", &"x".repeat(64)] {
        let error = write(&Addresses::default(), Some(name), Unlisted::Fail);
        assert_eq!(error, Err(SpfError::BadDomain(name.to_owned())));
    }
}
