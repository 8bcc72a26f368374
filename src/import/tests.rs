use proptest::prelude::*;

use super::*;
use crate::policy::Policy;

const EXPORT: &str = r#"# nov/30/2026 20:00:00 by RouterOS 7.16
# software id = ABCD-1234
/interface bridge
add name=bridge
/ip address
add address=192.168.88.1/24 interface=bridge network=192.168.88.0
/ip firewall address-list
add address=203.0.113.0/24 list=customers
add list=customers address=198.51.100.77/24
add address=203.0.113.30 comment="ACME \"Mail\" \
    Hosting" list=servers
add address=203.0.113.40-203.0.113.42 comment="ACME \"Mail\" Hosting" \
    list=servers
add address=203.0.113.50 disabled=yes list=servers
add address=203.0.113.51 list=servers timeout=1d
add address=mail.example.net list=servers
add address=192.0.2.9 comment=outside list=servers
add address=10.9.9.9 list=blacklist
add address=10.9.9.10 list=blacklist
add address=203.0.113.256 list=servers
add address=203.0.113.41 list=servers
set [ find list=servers ] disabled=no
add comment="never closed list=servers
/ipv6 firewall address-list
add address=2001:db8:200::/40 list=customers
add address=2001:db8:300::/56 comment="Caf\C3\A9" list=servers
/ip/firewall/address-list/add address=203.0.113.60 list=servers
/ip firewall address-list add address=203.0.113.61/32 list=servers
"#;

fn lists() -> routeros::ListMap {
    let entry = |list: &str, kind, class: &str| (list.to_owned(), (kind, class.to_owned()));
    [
        entry("customers", Kind::Pool, "residential"),
        entry("servers", Kind::Subscriber, "mta"),
    ]
    .into()
}

/// Loads what was written; panics if it is not accepted without a warning.
fn accepted(plan: &Plan) -> Policy {
    let text = plan.toml();
    match Policy::from_toml("imported", &text) {
        Ok((policy, diagnostics)) if diagnostics.0.is_empty() => policy,
        Ok((_, diagnostics)) | Err(diagnostics) => panic!("{diagnostics}\n{text}"),
    }
}

fn left_out(plan: &Plan) -> Vec<(String, &str)> {
    let line = |left_out: &LeftOut| left_out.lines_text();
    plan.left_out
        .iter()
        .map(|item| (line(item), item.why.as_str()))
        .collect()
}

#[test]
fn an_export_of_a_router_becomes_a_policy() {
    let plan = Plan::new(routeros::read(EXPORT.as_bytes(), &lists()));
    let policy = accepted(&plan);
    assert!(policy.observe());
    let pools: Vec<_> = policy
        .pools()
        .iter()
        .map(|pool| pool.prefix.to_string())
        .collect();
    assert_eq!(
        pools,
        [
            "203.0.113.0/24",
            "198.51.100.0/24",
            "2001:db8:200::/40",
            "192.0.2.9/32",
            "2001:db8:300::/56",
        ]
        .map(str::to_owned)
        .to_vec()
    );
    let name = |address: &str| {
        let address: std::net::IpAddr = address.parse().unwrap();
        match policy.role(address) {
            crate::policy::Role::Subscriber(member) => {
                policy.name_of(member.key).map(str::to_owned)
            }
            _ => None,
        }
    };
    assert_eq!(
        name("203.0.113.30").as_deref(),
        Some("ACME \"Mail\" Hosting")
    );
    assert_eq!(
        name("203.0.113.42").as_deref(),
        Some("ACME \"Mail\" Hosting (203.0.113.40/31)")
    );
    assert_eq!(name("2001:db8:300::9").as_deref(), Some("Café"));
    assert_eq!(policy.subscribers(), 6);
}

#[test]
fn every_line_of_an_export_that_is_not_taken_is_named_with_its_reason() {
    let plan = Plan::new(routeros::read(EXPORT.as_bytes(), &lists()));
    let said = left_out(&plan);
    for (line, why) in [
        ("4", "this is no address list"),
        ("6", "this is no address list"),
        ("14", "it is disabled"),
        ("15", "it is temporary: its timeout is 1d"),
        ("16", "it is a name, and only the DNS knows its addresses"),
        (
            "18-19",
            "no class is given for it: add --pool blacklist=CLASS or --subscribers blacklist=CLASS",
        ),
        ("20", "it is no address, prefix or range"),
        ("21", "it overlaps 203.0.113.40/31 of line 12"),
        ("22", "only `add` names an address"),
        ("23", "a quotation mark is never closed"),
    ] {
        assert!(
            said.contains(&(line.to_owned(), why)),
            "no {line}: {why} in {said:#?}"
        );
    }
    assert_eq!(said.len(), 10, "{said:#?}");
    assert_eq!(plan.notes[0].why, "taken as 198.51.100.0/24");
}

#[test]
fn pools_that_overlap_are_taken_once() {
    let export = "/ip firewall address-list\n\
        add address=10.1.0.0/16 list=customers\n\
        add address=10.0.0.0/8 list=customers\n\
        add address=10.0.0.0/8 list=customers\n\
        add address=10.2.0.0/16 list=business\n\
        add address=10.0.0.0/7 list=servers\n";
    let mut lists = lists();
    lists.insert("business".to_owned(), (Kind::Pool, "business".to_owned()));
    let plan = Plan::new(routeros::read(export.as_bytes(), &lists));
    accepted(&plan);
    assert_eq!(
        left_out(&plan),
        [
            ("2".to_owned(), "it is in pool 10.0.0.0/8 of line 3 already"),
            ("4".to_owned(), "it is there twice, in line 3"),
            (
                "5".to_owned(),
                "it is in pool 10.0.0.0/8 of line 3, which has another class: split that pool"
            ),
            ("6".to_owned(), "it is wider than pool 10.0.0.0/8 of line 3"),
        ]
    );
}

const DEVICES: &str = "\u{feff}Circuit ID,Circuit Name,Device ID,Device Name,Parent Node,MAC,IPv4,IPv6,Download Min Mbps,Upload Min Mbps,Download Max Mbps,Upload Max Mbps,Comment\r\n\
# a comment\r\n\
1,Rimu Road 5,a,router,Tower 1,,\"100.64.0.2, 100.64.0.3\",2001:db8:1::/56,1,1,50,10,\r\n\
1,Rimu Road 5,b,phone,Tower 1,,100.64.0.9/32,,1,1,50,10,\r\n\
2,Rimu Road 5,c,,Business,,100.64.1.1/30,,1,1,50,10,\r\n\
3,\"Smith, \"\"Bob\"\"\",d,,Tower 1,,,,1,1,50,10,\r\n\
4,Kauri,e,,Tower 1,,100.64.0.4;bad,2001:db8:1:100::1/128,1,1,50,10,\r\n\
1,Rimu Road 5,f,,Business,,100.64.3.3,,1,1,50,10,\r\n\
5,Twice,g,,Tower 1,,100.64.0.9,,1,1,50,10,\r\n\
,No ID,h,,Tower 1,,10.0.10.0-10.0.10.9,,1\r\n";

fn classes() -> libreqos::Classes {
    libreqos::Classes {
        usual: "residential".to_owned(),
        by_node: [("Business".to_owned(), "mta".to_owned())].into(),
    }
}

#[test]
fn circuits_of_a_shaper_become_subscribers() {
    let plan = Plan::new(libreqos::read(DEVICES.as_bytes(), &classes()).unwrap());
    let policy = accepted(&plan);
    assert_eq!(policy.subscribers(), 4);
    let subscribers: Vec<_> = plan
        .subscribers
        .iter()
        .map(|s| {
            (
                s.name.as_deref().unwrap(),
                s.class.as_str(),
                s.prefixes.len(),
            )
        })
        .collect();
    assert_eq!(
        subscribers,
        [
            ("Rimu Road 5", "residential", 4),
            ("Rimu Road 5 (100.64.1.0/30)", "mta", 1),
            ("Kauri", "residential", 2),
            ("No ID", "residential", 2),
        ]
    );
    assert_eq!(
        left_out(&plan),
        [
            ("6".to_owned(), "it has no address"),
            (
                "7".to_owned(),
                "it is a name, and only the DNS knows its addresses"
            ),
            (
                "8".to_owned(),
                "by its parent node it is of class \"mta\", but the circuit's first row is of class \"residential\""
            ),
            ("9".to_owned(), "it is there twice, in line 4"),
        ]
    );
}

#[test]
fn pools_made_for_circuits_hold_nobody_else() {
    let plan = Plan::new(libreqos::read(DEVICES.as_bytes(), &classes()).unwrap());
    for pool in &plan.pools {
        let held: Vec<_> = plan
            .subscribers
            .iter()
            .flat_map(|s| &s.prefixes)
            .copied()
            .collect();
        let inside: Vec<_> = held
            .into_iter()
            .filter(|prefix| pool.prefix.contains(prefix))
            .collect();
        assert_eq!(IpNet::aggregate(&inside), [pool.prefix]);
    }
}

#[test]
fn a_file_of_something_else_is_refused() {
    let error = libreqos::read(b"a,b\n1,2\n", &classes())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no column `IPv4` in line 1"), "{error}");
    assert!(libreqos::read(b"", &classes()).is_err());
}

/// Pieces that lines are made of, so that random files come near to real ones.
fn line() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        (0..64_u32, 20..=32_u8).prop_map(|(n, length)| format!(
            "10.0.{}.{}/{length}",
            n / 8,
            n * 32 % 256
        )),
        (0..8_u32, 0..8_u32).prop_map(|(a, b)| format!("10.0.0.{a}-10.0.0.{b}")),
        (0..32_u32, 40..=128_u8).prop_map(|(n, length)| format!("2001:db8:{n}::/{length}")),
        ".{0,12}",
    ];
    let list = prop_oneof![Just("customers"), Just("servers"), Just("other")];
    (address, list, ".{0,10}", any::<bool>()).prop_map(|(address, list, comment, quoted)| {
        match quoted {
            true => format!("add address={address} list={list} comment=\"{comment}\""),
            false => format!("add list={list} address={address} {comment}"),
        }
    })
}

proptest! {
    #[test]
    fn whatever_a_router_exports_becomes_a_policy_that_is_accepted(
        lines in prop::collection::vec(line(), 1..30),
    ) {
        let export = format!("/ip firewall address-list\n{}\n", lines.join("\n"));
        let plan = Plan::new(routeros::read(export.as_bytes(), &lists()));
        if !plan.pools.is_empty() {
            accepted(&plan);
        }
        plan.csv().expect("memory");
    }

    #[test]
    fn whatever_a_shaper_has_becomes_a_policy_that_is_accepted(
        rows in prop::collection::vec((0..9_u8, ".{0,8}", line()), 1..30),
    ) {
        let mut file = "Circuit ID,Circuit Name,Parent Node,IPv4\n".to_owned();
        for (id, name, line) in rows {
            let address = line.split("address=").nth(1).unwrap_or("").split(' ').next().unwrap_or("");
            file += &format!("{id},\"{}\",Tower,{address}\n", name.replace('"', "\"\""));
        }
        let plan = Plan::new(libreqos::read(file.as_bytes(), &classes()).unwrap());
        if !plan.pools.is_empty() {
            accepted(&plan);
        }
    }

    #[test]
    fn no_octets_make_an_importer_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Plan::new(routeros::read(&octets, &lists()));
        let _ = libreqos::read(&octets, &classes()).map(Plan::new);
    }
}
