//! `lychgate import`, and `lychgate check` on what it prints.

use crate::{lychgate, says, with_files};

const LISTS: &str = "\
# nov/30/2026 20:00:00 by RouterOS 7.16
/ip firewall address-list
add address=203.0.113.0/24 list=customers
add address=203.0.113.30 comment=\"ACME \\
    Hosting\" list=servers
/ipv6 firewall address-list
add address=2001:db8:200::/40 list=customers
";

const DEVICES: &str = "\
Circuit ID,Circuit Name,Device ID,Device Name,Parent Node,MAC,IPv4,IPv6,Download Min Mbps,Upload Min Mbps,Download Max Mbps,Upload Max Mbps,Comment
1,Rimu Road 5,a,router,Tower 1,,\"100.64.0.2, 100.64.0.3\",2001:db8:1::/56,1,1,50,10,
2,Kauri,b,server,Business,,100.64.1.0/30,,1,1,50,10,
";

const ROUTEROS: [&str; 7] = [
    "import",
    "routeros",
    "lists.rsc",
    "--pool",
    "customers=residential",
    "--subscribers",
    "servers=mta",
];
const LIBREQOS: [&str; 7] = [
    "import",
    "libreqos",
    "ShapedDevices.csv",
    "--class",
    "residential",
    "--node",
    "Business=mta",
];

/// Imports a file, writes what it printed, and checks that.
fn checked(file: (&str, &str), arguments: &[&str], format: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path(file.0), file.1).expect("a file");
    let arguments = [arguments, &["--format", format]].concat();
    let done = lychgate(folder.path(), &arguments, b"");
    says(
        &done,
        0,
        &["2 subscribers; 0 kinds of lines were not taken."],
    );
    std::fs::write(path(&format!("made.{format}")), &done.out).expect("a file");
    let mut policy = "made.toml";
    if format == "csv" {
        policy = "isp.toml";
        let pools = ["203.0.113.0/24", "2001:db8::/32", "100.64.0.0/10"]
            .map(|prefix| format!("[[pool]]\nprefix = \"{prefix}\"\nclass = \"residential\"\n"));
        let text = format!(
            "[class.residential]\nsmtp = \"block\"\n[class.mta]\nsmtp = \"allow\"\n\
             [lists]\nsubscribers = [\"made.csv\"]\n{}",
            pools.concat()
        );
        std::fs::write(path(policy), text).expect("a file");
    }
    let check = lychgate(folder.path(), &["check", policy], b"");
    assert_eq!(check.code, 0, "{}\n{}", check.err, done.out);
    assert!(
        check.out.starts_with(&format!("{policy} is good.\n")),
        "{}",
        check.out
    );
    assert!(check.out.contains("2 with a class of their own") || file.0 == "lists.rsc");
}

#[test]
fn check_accepts_what_a_router_exported_as_it_stands() {
    let lists = format!("{LISTS}add address=2001:db8:200:4200::/56 list=servers\n");
    for format in ["toml", "csv"] {
        let wide = lists.replace("2001:db8:200::/40 list", "2001:db8:200::/48 list");
        checked(("lists.rsc", &wide), &ROUTEROS, format);
    }
}

#[test]
fn check_accepts_what_a_shaper_has_as_it_stands() {
    for format in ["toml", "csv"] {
        checked(("ShapedDevices.csv", DEVICES), &LIBREQOS, format);
    }
}

#[test]
fn a_list_comes_from_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut arguments = ROUTEROS;
    arguments[2] = "-";
    let done = lychgate(folder.path(), &arguments, LISTS.as_bytes());
    says(&done, 0, &["2 pools and 1 subscribers"]);
    assert!(
        done.out
            .contains("name = \"ACME Hosting\"\nprefixes = [\"203.0.113.30/32\"]\nclass = \"mta\"")
    );
}

#[test]
fn pools_that_are_known_hold_more_than_the_circuits() {
    let arguments = [&LIBREQOS[..], &["--pool", "100.64.0.0/10=residential"]].concat();
    let done = with_files(&[("ShapedDevices.csv", DEVICES)], &arguments);
    says(&done, 0, &["2 pools and 2 subscribers"]);
    assert!(done.out.contains("prefix = \"100.64.0.0/10\""));
}

macro_rules! left_out {
    ($($name:ident: $line:expr => $($expected:expr),+;)+) => {
        $(#[test]
        fn $name() {
            let lists = format!("{LISTS}/ip firewall address-list\n{}\n", $line);
            let done = with_files(&[("lists.rsc", &lists)], &ROUTEROS);
            says(&done, 1, &["lists.rsc:9: not taken: ", $($expected),+]);
            assert!(done.out.contains("203.0.113.30/32"), "the rest is taken");
        })+
    };
}

left_out! {
    an_entry_that_is_disabled: "add address=203.0.113.9 disabled=yes list=servers" => "it is disabled";
    an_entry_with_a_timeout: "add address=203.0.113.9 list=servers timeout=1d" => "it is temporary: its timeout is 1d";
    an_entry_with_a_name: "add address=mx.example.net list=servers" => "it is a name, and only the DNS knows";
    an_entry_that_is_no_address: "add address=203.0.113.999 list=servers" => "it is no address, prefix or range";
    a_range_that_runs_backwards: "add address=203.0.113.9-203.0.113.4 list=servers" => "the range runs backwards";
    a_range_of_both_families: "add address=203.0.113.9-2001:db8::1 list=servers" => "begins in one family";
    an_ipv4_address_as_ipv6: "add address=::ffff:203.0.113.9 list=servers" => "IPv4 address written as IPv6";
    an_entry_of_no_list: "add address=203.0.113.9" => "it has no list=";
    an_entry_without_address: "add list=servers" => "it has no address=";
    an_entry_with_an_unknown_property: "add address=203.0.113.9 list=servers colour=red" => "its property `colour` is not known here";
    a_word_that_is_no_property: "add address=203.0.113.9 list=servers red" => "`red` is no property";
    an_escape_that_is_none: "add address=203.0.113.9 comment=\"\\q\" list=servers" => "an escape (\\) is not one of RouterOS";
    a_quotation_that_never_ends: "add address=203.0.113.9 comment=\"x list=servers" => "a quotation mark is never closed";
    a_command_that_adds_nothing: "remove [ find list=servers ]" => "only `add` names an address";
    an_entry_of_a_list_without_class: "add address=10.0.0.1 list=blacklist" => "list \"blacklist\": no class is given for it";
    an_entry_that_is_there_twice: "add address=203.0.113.30 list=servers" => "it is there twice, in line 4";
    an_entry_within_another_one: "add address=203.0.113.28/30 list=servers" => "it overlaps 203.0.113.30/32 of line 4";
    a_subscriber_wider_than_its_pool: "add address=203.0.112.0/23 list=servers" => "it overlaps 203.0.113.30/32";
    a_pool_within_a_pool: "add address=203.0.113.0/25 list=customers" => "it is in pool 203.0.113.0/24 of line 3 already";
    a_part_of_one_customer: "add address=2001:db8:200::1 list=servers" => "it is only a part of one subscriber: a customer of pool 2001:db8:200::/40 has a /64";
}

#[test]
fn other_parts_of_an_export_are_named_once_with_their_lines() {
    let lists = format!(
        "/ip address\nadd address=192.168.88.1/24 interface=a\nadd address=192.168.89.1/24 interface=b\n{LISTS}"
    );
    let done = with_files(&[("lists.rsc", &lists)], &ROUTEROS);
    says(
        &done,
        1,
        &["lists.rsc:2-3: not taken: /ip address: this is no address list"],
    );
}

#[test]
fn bits_beyond_a_prefix_are_noted() {
    let lists = LISTS.replace("203.0.113.0/24", "203.0.113.7/24");
    let done = with_files(&[("lists.rsc", &lists)], &ROUTEROS);
    says(
        &done,
        0,
        &["lists.rsc:3: note: 203.0.113.7/24: taken as 203.0.113.0/24"],
    );
}

#[test]
fn a_file_that_is_not_there_is_told() {
    says(
        &with_files(&[], &ROUTEROS),
        2,
        &["cannot read lists.rsc", "No such file"],
    );
}

#[test]
fn a_file_without_an_address_gives_no_policy() {
    let done = with_files(&[("lists.rsc", "/ip address\n")], &ROUTEROS);
    says(
        &done,
        2,
        &["lists.rsc: no address could be taken, so there is no policy"],
    );
}

#[test]
fn a_csv_of_something_else_is_refused() {
    let done = with_files(&[("ShapedDevices.csv", "a,b\n1,2\n")], &LIBREQOS);
    says(
        &done,
        2,
        &[
            "ShapedDevices.csv: there is no column `IPv4` in line 1",
            "Circuit ID,Circuit Name",
        ],
    );
}

#[test]
fn a_circuit_without_address_is_named() {
    let devices = format!("{DEVICES}3,Totara,c,,Tower 1,,,,1,1,1,1,\n");
    let done = with_files(&[("ShapedDevices.csv", &devices)], &LIBREQOS);
    says(
        &done,
        1,
        &["ShapedDevices.csv:4: not taken: circuit Totara: it has no address"],
    );
}

#[test]
fn a_circuit_of_two_classes_is_named() {
    let devices = format!("{DEVICES}2,Kauri,c,,Tower 1,,100.64.9.9,,1,1,1,1,\n");
    let done = with_files(&[("ShapedDevices.csv", &devices)], &LIBREQOS);
    says(
        &done,
        1,
        &[
            "ShapedDevices.csv:4: not taken: circuit Kauri: by its parent node it is of class \"residential\"",
        ],
    );
}

#[test]
fn a_pool_given_for_circuits_must_not_cut_one() {
    let arguments = [&LIBREQOS[..], &["--pool", "100.64.1.0/31=mta"]].concat();
    let done = with_files(&[("ShapedDevices.csv", DEVICES)], &arguments);
    says(
        &done,
        1,
        &[
            "ShapedDevices.csv:3: not taken: 100.64.1.0/30 of Kauri: it is wider than pool 100.64.1.0/31 of the command line",
        ],
    );
}

#[test]
fn no_list_at_all_is_refused() {
    let done = with_files(
        &[("lists.rsc", LISTS)],
        &["import", "routeros", "lists.rsc"],
    );
    says(&done, 2, &["no list is named", "--pool LIST=CLASS"]);
}

#[test]
fn a_list_named_twice_is_refused() {
    let arguments = [&ROUTEROS[..], &["--pool", "servers=mta"]].concat();
    let done = with_files(&[("lists.rsc", LISTS)], &arguments);
    says(&done, 2, &["list \"servers\" is named twice"]);
}

#[test]
fn a_list_without_its_class_is_refused() {
    let done = with_files(&[], &["import", "routeros", "x", "--pool", "customers"]);
    says(
        &done,
        2,
        &["invalid value 'customers'", "write a name, = and a class"],
    );
    let done = with_files(&[], &["import", "routeros", "x", "--pool", "customers="]);
    says(&done, 2, &["write the name of a class"]);
}

#[test]
fn a_pool_that_is_no_prefix_is_refused() {
    let with = |pool| [&LIBREQOS[..], &["--pool", pool]].concat();
    says(
        &with_files(&[], &with("home=mta")),
        2,
        &["write a prefix, = and a class"],
    );
    says(
        &with_files(&[], &with("10.1.0.0/8=mta")),
        2,
        &["write 10.0.0.0/8 for the network"],
    );
}
