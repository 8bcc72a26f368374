//! `lychgate check`, one test for each kind of bad input: what it says, where, and the remedy.

use std::{fs, path::Path};

use assert_cmd::Command;
use tempfile::TempDir;

/// A class and a pool that nothing is wrong with; lines 1 to 5.
const GOOD: &str = r#"[class.home]
smtp = "block"
[[pool]]
prefix = "203.0.113.0/24"
class = "home"
"#;

/// Runs `lychgate check` on `policy.toml` in a folder with these files.
fn check(files: &[(&str, &[u8])], arguments: &[&str]) -> (i32, String, String) {
    let folder = TempDir::new().expect("a folder");
    for (name, content) in files {
        fs::write(folder.path().join(name), content).expect("a file");
    }
    run(folder.path(), arguments)
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("lychgate")
        .expect("the program")
        .current_dir(folder)
        .arg("check")
        .args(arguments)
        .output()
        .expect("output");
    let text = |octets| String::from_utf8(octets).expect("UTF-8");
    (
        output.status.code().expect("a code"),
        text(output.stdout),
        text(output.stderr),
    )
}

/// Asserts that a policy is refused with all of these texts, and with none of them on stdout.
fn refuses(files: &[(&str, &[u8])], expected: &[&str]) {
    let (code, out, err) = check(files, &["policy.toml"]);
    assert_eq!(code, 1, "{out}{err}");
    assert_eq!(out, "");
    for text in expected {
        assert!(err.contains(text), "no {text:?} in:\n{err}");
    }
    assert!(err.contains("policy.toml is refused"), "{err}");
}

macro_rules! refused {
    ($($name:ident: $policy:expr => $($expected:expr),+;)+) => {
        $(#[test]
        fn $name() {
            refuses(&[("policy.toml", $policy.as_ref())], &[$($expected),+]);
        })+
    };
}

refused! {
    text_that_is_not_toml: "[class.home\nsmtp = \"block\"\n" =>
        "this is not TOML: unclosed table, expected `]`", "policy.toml:1:12";
    a_key_that_is_there_twice: "[class.home]\nsmtp = \"block\"\nsmtp = \"allow\"\n" =>
        "duplicate key", "policy.toml:3:1", "a key is named once";
    octets_that_are_not_utf8: b"# \xff\n" => "this is not UTF-8", "policy.toml:1:3", "save the policy as UTF-8";
    no_pool: "[class.home]\nsmtp = \"block\"\n" => "there is no pool", "add a [[pool]]";
    a_misspelt_key: format!("{GOOD}subscriber_prefx = 32\n") =>
        "unknown key `subscriber_prefx` in [[pool]]", "policy.toml:6:1", "did you mean `subscriber_prefix`?";
    a_key_of_another_table: format!("{GOOD}capacity = 5\n") =>
        "unknown key `capacity` in [[pool]]", "`capacity` belongs in [sources]";
    a_key_of_the_top: format!("{GOOD}mode = \"observe\"\n") =>
        "unknown key `mode` in [[pool]]", "policy.toml:6:1", "belongs at the top of the file, before the first [table]";
    a_key_unlike_any: format!("colour = \"red\"\n{GOOD}") =>
        "unknown key `colour` in the policy", "the policy takes: mode, ports";
    a_store_without_a_path: format!("{GOOD}[store]\nkeep = \"30d\"\n") =>
        "`path` is missing in [store]", "add `path = \"/var/lib/lychgate/cases.redb\"`";
    a_store_with_an_empty_path: format!("{GOOD}[store]\npath = \"\"\n") =>
        "`path` is empty", "policy.toml:7:8";
    a_time_to_keep_that_is_none: format!("{GOOD}[store]\npath = \"cases\"\nkeep = \"6 months\"\n") =>
        "`keep` cannot be \"6 months\"", "write how many days, from \"1d\" to \"3650d\"";
    a_word_where_true_or_false_belongs: format!("{GOOD}[[subscriber]]\nprefixes = [\"203.0.113.9\"]\nclass = \"home\"\nautomatic = \"no\"\n") =>
        "`automatic` must be true or false, not a string", "write true or false";
    a_string_where_an_integer_belongs: format!("{GOOD}subscriber_prefix = \"32\"\n") =>
        "`subscriber_prefix` must be an integer, not a string", "write it without quotes";
    an_integer_where_a_string_belongs: format!("{GOOD}[[pool]]\nprefix = 10\nclass = \"home\"\n") =>
        "`prefix` must be a string, not an integer", "policy.toml:7:10", "put it in quotes";
    a_string_where_an_array_belongs: format!("[relays]\naddresses = \"192.0.2.25\"\n{GOOD}") =>
        "`addresses` must be an array of addresses or prefixes, not a string", "put it in brackets";
    a_table_with_single_brackets: "[class.home]\nsmtp = \"block\"\n[pool]\nprefix = \"10.0.0.0/8\"\n" =>
        "`pool` must be an array of tables, not a table", "write [[pool]] with double brackets";
    a_table_with_double_brackets: format!("[[sources]]\ncapacity = 5\n{GOOD}") =>
        "`sources` must be a table, not an array", "write [sources] once, not [[sources]]";
    an_unknown_word: format!("mode = \"obsrve\"\n{GOOD}") =>
        "`mode` cannot be \"obsrve\"", "policy.toml:1:8", "did you mean \"observe\"?";
    an_unknown_class: format!("{GOOD}[[pool]]\nprefix = \"10.0.0.0/8\"\nclass = \"hoem\"\n") =>
        "there is no class \"hoem\"", "policy.toml:8:9", "did you mean \"home\"?";
    a_class_without_smtp: format!("[class.other]\nexcess = \"drop\"\n{GOOD}") =>
        "`smtp` is missing in [class.other]", "policy.toml:1:1", "add `smtp = { limit = {";
    a_limit_without_its_name: GOOD.replace("\"block\"", "{ connections = 5, window = \"1m\" }") =>
        "`smtp` is neither a word nor { limit", "write smtp = { limit = { connections = 5, window = \"1m\" } }";
    a_limit_of_nothing: limit("connections = 0, window = \"1m\"") =>
        "a limit of 0 connections cannot be represented", "policy.toml:2:34", "says \"block\"";
    a_limit_too_high: limit("connections = 10001, window = \"1m\"") =>
        "a limit of 10001 connections cannot be represented", "a shorter window allows a higher rate";
    a_limit_without_window: limit("connections = 1") => "`window` is missing in a limit", "add `window = \"10s\"`";
    a_window_too_short: limit("connections = 1, window = \"500ms\"") =>
        "\"500ms\" is not a window", "the shortest window is \"1s\"";
    a_window_too_long: limit("connections = 1, window = \"2d\"") =>
        "a window of \"2d\" cannot be represented", "choose a window from \"1s\" to \"1d\"";
    a_window_without_unit: limit("connections = 1, window = \"10\"") =>
        "\"10\" is not a window", "add a unit: \"10s\", \"10m\", \"10h\"";
    a_prefix_with_host_bits: GOOD.replace("113.0/24", "113.7/24") =>
        "prefix \"203.0.113.7/24\" has bits set beyond its length", "policy.toml:4:10",
        "write \"203.0.113.0/24\" for the network or \"203.0.113.7/32\" for the address";
    a_prefix_with_a_netmask: GOOD.replace("/24", "/255.255.255.0") =>
        "\"203.0.113.0/255.255.255.0\" is not a prefix", "a number of bits, like /24";
    a_prefix_too_long: GOOD.replace("/24", "/33") =>
        "\"203.0.113.0/33\" is not a prefix", "from 0 to 32 bits";
    a_pool_without_length: GOOD.replace("/24", "") =>
        "\"203.0.113.0\" is not a prefix", "write \"203.0.113.0/32\" if you mean this one address";
    an_ipv4_address_written_as_ipv6: format!("[relays]\naddresses = [\"::ffff:192.0.2.25\"]\n{GOOD}") =>
        "is an IPv4 address written as IPv6", "write \"192.0.2.25/32\"";
    overlapping_pools: format!("{GOOD}[[pool]]\nprefix = \"203.0.113.128/25\"\nclass = \"home\"\n") =>
        "pool 203.0.113.128/25 overlaps pool 203.0.113.0/24", "policy.toml:7:10", "policy.toml:4:10", "the other pool";
    a_pool_inside_a_survey: format!("{GOOD}[[pool]]\nprefix = \"0.0.0.0/0\"\nclass = \"home\"\n") =>
        "pool 203.0.113.0/24 overlaps pool 0.0.0.0/0";
    a_pool_that_is_there_twice: format!("{GOOD}[[pool]]\nprefix = \"203.0.113.0/24\"\nclass = \"home\"\n") =>
        "pool 203.0.113.0/24 is there twice";
    a_relay_inside_a_pool: format!("[relays]\naddresses = [\"203.0.113.25\"]\n{GOOD}") =>
        "relay 203.0.113.25/32 is inside pool 203.0.113.0/24", "policy.toml:2:14", "the pool", "take it out of the pool";
    a_relay_that_covers_a_pool: format!("[relays]\naddresses = [\"203.0.0.0/16\"]\n{GOOD}") =>
        "relay 203.0.0.0/16 overlaps pool 203.0.113.0/24", "an address has one role";
    a_relay_that_is_everybody: format!("[relays]\naddresses = [\"::/0\"]\n{GOOD}") =>
        "relay ::/0 is everybody", "name the servers' addresses";
    a_concentrator_inside_a_pool: format!("[softwires]\nconcentrators = [\"203.0.113.1\"]\n{GOOD}") =>
        "concentrator 203.0.113.1/32 is inside pool 203.0.113.0/24";
    a_relay_that_is_a_concentrator: format!(
        "[relays]\naddresses = [\"192.0.2.1\"]\n[softwires]\nconcentrators = [\"192.0.2.1\"]\n{GOOD}") =>
        "relay 192.0.2.1/32 overlaps concentrator 192.0.2.1/32";
    a_subscriber_in_no_pool: subscriber("10.0.0.1") =>
        "subscriber's prefix 10.0.0.1/32 is in no pool", "policy.toml:7:13", "add a [[pool]] that contains it";
    a_subscriber_wider_than_a_pool: subscriber("203.0.112.0/23") =>
        "subscriber's prefix 203.0.112.0/23 is wider than pool 203.0.113.0/24", "write 203.0.113.0/24 or a part of it";
    a_subscriber_within_one_accounting_key: subscriber("203.0.113.9").replace("[[subscriber]]", "subscriber_prefix = 28\n[[subscriber]]") =>
        "203.0.113.9/32 is only a part of one subscriber: the pool counts by /28", "write 203.0.113.0/28";
    subscribers_who_overlap: format!("{}[[subscriber]]\nprefixes = [\"203.0.113.4/31\"]\nclass = \"home\"\n", subscriber("203.0.113.5")) =>
        "203.0.113.5/32 is part of another subscriber's 203.0.113.4/31", "policy.toml:7:13", "policy.toml:10:13";
    subscribers_of_the_same_name: format!("{}[[subscriber]]\nname = \"A\"\nprefixes = [\"203.0.113.4\"]\nclass = \"home\"\n",
        subscriber("203.0.113.5") + "name = \"A\"\n") =>
        "there are two subscribers \"A\"", "the other one";
    a_subscriber_without_address: format!("{GOOD}[[subscriber]]\nprefixes = []\nclass = \"home\"\n") =>
        "this subscriber has no address", "name at least one in `prefixes`";
    a_subscriber_prefix_shorter_than_the_pool: format!("{GOOD}subscriber_prefix = 20\n") =>
        "`subscriber_prefix` is 20, which is not from 24 to 32", "one subscriber is a part of 203.0.113.0/24";
    a_vlan_out_of_range: format!("{GOOD}vlans = [4095]\n") =>
        "`vlans` is 4095, which is not from 1 to 4094", "policy.toml:6:10";
    more_vlans_than_tags: format!("{GOOD}vlans = [1, 2, 3, 4, 5, 6, 7, 8, 9]\n") =>
        "9 VLAN identifiers are more than a frame can carry", "name at most 8";
    a_capacity_out_of_range: format!("{GOOD}[sources]\ncapacity = 0\n") =>
        "`capacity` is 0, which is not from 1 to 268435456", "policy.toml:7:12";
    one_interface_for_both_ports: format!("[ports]\naccess = \"eth1\"\nuplink = \"eth1\"\n{GOOD}") =>
        "access and uplink are the same interface, \"eth1\"";
    a_port_without_the_other: format!("[ports]\naccess = \"eth1\"\n{GOOD}") =>
        "`uplink` is missing in [ports]", "add `uplink = \"eth2\"`";
    an_impossible_interface: format!("[ports]\naccess = \"eth 1\"\nuplink = \"eth2\"\n{GOOD}") =>
        "\"eth 1\" cannot be the name of a network interface", "at most 15 characters";
    a_ring_that_is_no_power_of_two: format!("[ports]\nring = 1000\n{GOOD}") =>
        "`ring` is 1000, which is no power of 2", "policy.toml:2:8", "choose 512 or 1024";
    a_batch_of_none: format!("[ports]\nbatch = 0\n{GOOD}") =>
        "`batch` is 0, which is not from 1 to 64", "policy.toml:2:9";
    a_flag_that_is_a_word: format!("[ports]\nstats = \"yes\"\n{GOOD}") =>
        "`stats` must be true or false, not a string", "write true or false";
    a_steering_that_does_not_exist: format!("[ports]\nsteer = \"mails\"\n{GOOD}") =>
        "`steer` cannot be \"mails\"", "did you mean \"mail\"?";
    a_core_for_two_workers: format!("[ports]\ncores = [2, 2]\n{GOOD}") =>
        "core 2 is given twice", "give each worker a core of its own";
    fewer_cores_than_workers: format!("[ports]\nworkers = 2\ncores = [1]\n{GOOD}") =>
        "`cores` has 1 for 2 workers", "name a core for each worker";
    a_setting_of_the_box_elsewhere: format!("ring = 512\n{GOOD}") =>
        "unknown key `ring` in the policy", "`ring` belongs in [ports]";
    a_list_that_is_not_there: format!("{GOOD}[lists]\nsubscribers = [\"no.csv\"]\n") =>
        "cannot read list no.csv: No such file", "policy.toml:7:16", "relative to the folder of the policy file";
    a_list_named_twice: format!("{GOOD}[lists]\nsubscribers = [\"no.csv\", \"no.csv\"]\n") =>
        "list \"no.csv\" is named twice", "policy.toml:7:26";
}

fn limit(inside: &str) -> String {
    GOOD.replace("\"block\"", &format!("{{ limit = {{ {inside} }} }}"))
}

fn subscriber(prefix: &str) -> String {
    format!("{GOOD}[[subscriber]]\nprefixes = [\"{prefix}\"]\nclass = \"home\"\n")
}

/// Asserts that a list called `name` is refused with all of these texts.
fn refuses_list(name: &str, content: &[u8], expected: &[&str]) {
    let policy = format!("{GOOD}[lists]\nsubscribers = [\"{name}\"]\n");
    refuses(
        &[("policy.toml", policy.as_bytes()), (name, content)],
        expected,
    );
}

macro_rules! list_refused {
    ($($name:ident: $file:literal $content:expr => $($expected:expr),+;)+) => {
        $(#[test]
        fn $name() {
            refuses_list($file, $content.as_ref(), &[$($expected),+]);
        })+
    };
}

list_refused! {
    a_list_of_unknown_kind: "a.txt" "" => "list \"a.txt\" is neither CSV nor JSON lines", "policy.toml:7:16";
    a_list_without_class_column: "a.csv" "prefix,name\n203.0.113.1,A\n" =>
        "the list has no column `class`", "a.csv:1:1", "prefix,class,name";
    a_list_with_an_unknown_column: "a.csv" "prefix,clas\n" =>
        "unknown column `clas`", "a.csv:1:8", "did you mean `class`?";
    a_list_with_a_column_twice: "a.csv" "prefix,class,class\n" => "column `class` is there twice", "a.csv:1:14";
    a_row_with_too_few_fields: "a.csv" "prefix,class,name\n# a comment\n\n203.0.113.1,home\n" =>
        "this row has 2 fields, the header 3", "a.csv:4:1";
    a_row_with_a_bad_prefix: "a.csv" "prefix,class\n203.0.113.1,home\n203.0.113.3/31,home\n" =>
        "prefix \"203.0.113.3/31\" has bits set beyond its length", "a.csv:3:1";
    a_row_with_an_unknown_class: "a.csv" "prefix,class\n203.0.113.1, hom\n" =>
        "there is no class \"hom\"", "a.csv:2:14", "did you mean \"home\"?";
    a_row_in_no_pool: "a.csv" "prefix,class\n10.0.0.1,home\n" =>
        "subscriber's prefix 10.0.0.1/32 is in no pool", "a.csv:2:1";
    a_row_that_is_not_utf8: "a.csv" b"prefix,class,name\n203.0.113.1,home,\xff\n" =>
        "this row is not UTF-8", "a.csv:2:1", "save the list as UTF-8";
    rows_that_overlap: "a.csv" "prefix,class\n203.0.113.4,home\n203.0.113.4/30,home\n" =>
        "203.0.113.4/32 is part of another subscriber's 203.0.113.4/30", "a.csv:3:1", "a.csv:2:1";
    json_that_is_not_json: "a.jsonl" "{\"prefixes\": [\"203.0.113.1\"], \"class\": \"home\"}\n{nonsense\n" =>
        "this row cannot be read: key must be a string", "a.jsonl:2:2", "write a line like";
    json_without_class: "a.jsonl" "{\"prefixes\": [\"203.0.113.1\"]}\n" => "missing field `class`", "a.jsonl:1:";
    json_with_an_unknown_key: "a.jsonl" "{\"prefixes\": [\"203.0.113.1\"], \"klass\": \"home\"}\n" =>
        "unknown field `klass`", "a.jsonl:1:";
    json_with_a_bad_prefix: "a.jsonl" "\n{\"prefixes\": [\"203.0.113\"], \"class\": \"home\"}\n" =>
        "\"203.0.113\" is not a prefix", "a.jsonl:2:15";
    json_without_prefixes: "a.jsonl" "{\"prefixes\": [], \"class\": \"home\"}\n" =>
        "this subscriber has no address", "a.jsonl:1:1";
}

#[test]
fn many_wrong_rows_are_counted_not_shown() {
    let rows: String = (0..1000)
        .map(|row| format!("10.0.{}.{},home\n", row / 256, row % 256))
        .collect();
    let list = format!("prefix,class\n{rows}");
    refuses_list(
        "a.csv",
        list.as_bytes(),
        &["980 more mistakes in list rows", "is refused: 21 mistakes"],
    );
}

#[test]
fn lists_join_the_file() {
    let policy = format!(
        "{GOOD}[class.mta]\nsmtp = \"allow\"\n[lists]\nsubscribers = [\"a.csv\", \"b.jsonl\"]\n"
    );
    let csv = "class,prefix,name\nmta,203.0.113.1,\"A, Inc.\"\nmta,203.0.113.8/29,\"A, Inc.\"\nmta,203.0.113.2,\n";
    let json =
        "{\"name\": \"B\", \"prefixes\": [\"203.0.113.3\", \"203.0.113.4\"], \"class\": \"mta\"}\n";
    let files: [(&str, &[u8]); 3] = [
        ("policy.toml", policy.as_bytes()),
        ("a.csv", csv.as_bytes()),
        ("b.jsonl", json.as_bytes()),
    ];
    let (code, out, err) = check(&files, &["policy.toml"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("3 with a class of their own"), "{out}");
}

#[test]
fn a_name_in_two_classes_is_refused() {
    let policy =
        format!("{GOOD}[class.mta]\nsmtp = \"allow\"\n[lists]\nsubscribers = [\"a.csv\"]\n");
    let list = "prefix,class,name\n203.0.113.1,home,A\n203.0.113.2,mta,A\n";
    refuses(
        &[
            ("policy.toml", policy.as_bytes()),
            ("a.csv", list.as_bytes()),
        ],
        &[
            "subscriber \"A\" is in two classes",
            "a.csv:3:1",
            "a.csv:2:1",
            "the same class",
        ],
    );
}

#[test]
fn a_name_in_two_lists_is_refused() {
    let policy = format!("{GOOD}[lists]\nsubscribers = [\"a.csv\", \"b.csv\"]\n");
    let (a, b) = (
        "prefix,class,name\n203.0.113.1,home,A\n",
        "prefix,class,name\n203.0.113.2,home,A\n",
    );
    refuses(
        &[
            ("policy.toml", policy.as_bytes()),
            ("a.csv", a.as_bytes()),
            ("b.csv", b.as_bytes()),
        ],
        &["there are two subscribers \"A\"", "b.csv:2:1", "a.csv:2:1"],
    );
}

#[test]
fn a_policy_file_that_is_not_there_is_refused() {
    let (code, _, err) = check(&[], &["policy.toml"]);
    assert_eq!(code, 1);
    assert!(
        err.contains("cannot read policy policy.toml: No such file or directory"),
        "{err}"
    );
}

#[test]
fn without_a_file_there_is_a_usage_error() {
    let (code, _, err) = check(&[], &[]);
    assert_eq!(code, 2);
    assert!(err.contains("<FILE>"), "{err}");
}

#[test]
fn warnings_do_not_refuse() {
    let policy = format!(
        "mode = \"observe\"\n[class.other]\nsmtp = \"allow\"\nmode = \"enforce\"\n\
        [relays]\naddresses = [\"192.0.2.0/24\", \"192.0.2.25\"]\n{GOOD}"
    );
    let (code, out, err) = check(&[("policy.toml", policy.as_bytes())], &["policy.toml"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("policy.toml is good: 3 warnings."), "{out}");
    for text in [
        "class \"other\" is used by no pool and no subscriber",
        "class \"other\" does not enforce",
        "relay 192.0.2.25/32 is already covered by 192.0.2.0/24",
    ] {
        assert!(err.contains(text), "no {text:?} in:\n{err}");
    }
}

#[test]
fn a_good_policy_is_explained() {
    let example = include_bytes!("../docs/examples/policy.toml");
    let (code, out, err) = check(&[("policy.toml", example)], &["policy.toml"]);
    assert_eq!(code, 0, "{err}");
    for text in [
        "SMTP: at most 10 connections in any 10s. Submission is not limited. What is refused is dropped.",
        "203.0.113.0/24     residential, up to 256 subscribers (a /32 each)\n",
        "198.51.100.0/24    residential, up to 256 subscribers (a /32 each), in VLAN 66 only",
        "2001:db8:200::/40  residential, up to 65,536 subscribers (a /56 each)",
        "192.0.2.25, 2001:db8:25::/64: at most 60 connections in any 1m for each subscriber",
        "1,048,576 at once in 100.66 MB of memory; when full: forward",
    ] {
        assert!(out.contains(text), "no {text:?} in:\n{out}");
    }
}

#[test]
fn what_the_live_box_is_told_is_shown_where_it_is_not_the_default() {
    let policy = format!(
        "[ports]\nsteer = \"mail\"\nring = 4096\ncores = [1, 0]\ndefer_irqs = 3\nspin = 50\n{GOOD}"
    );
    let (code, out, err) = check(&[("policy.toml", policy.as_bytes())], &["policy.toml"]);
    assert_eq!(code, 0, "{err}");
    let ports = "\nPorts\n  as the arguments of `lychgate run` name them\n  steer = \"mail\"\n  \
                 cores = [1, 0]\n  ring = 4096\n  defer_irqs = 3\n\n";
    assert!(out.contains(ports), "{out}");
    let idle = "`defer_irqs` has no effect: there is no busy polling";
    assert!(err.contains(idle), "{err}");
    let (_, out, _) = check(
        &[("policy.toml", policy.as_bytes())],
        &["--json", "policy.toml"],
    );
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answer["policy"]["ports"], serde_json::Value::Null);
    let run = &answer["policy"]["run"];
    assert_eq!(
        (&run["steer"], &run["ring"]),
        (&"mail".into(), &4096.into())
    );
    assert_eq!(run["cores"], serde_json::json!([1, 0]));
}

#[test]
fn json_has_the_same_facts() {
    let example = include_bytes!("../docs/examples/policy.toml");
    let (code, out, err) = check(&[("policy.toml", example)], &["--json", "policy.toml"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answer["schema"], "lychgate.check/1");
    assert_eq!(answer["good"], true);
    let policy = &answer["policy"];
    assert_eq!(policy["classes"][0]["smtp"]["limit"]["window_seconds"], 10);
    assert_eq!(policy["classes"][1]["smtp"], "allow");
    assert_eq!(policy["pools"][1]["vlans"][0], 66);
    assert_eq!(policy["sources"]["octets"], 96 * 1_048_576);
    assert_eq!(answer["diagnostics"][0]["severity"], "warning");
}

#[test]
fn json_has_the_same_mistakes() {
    let policy = format!("{GOOD}[[pool]]\nprefix = \"203.0.113.128/25\"\nclass = \"home\"\n");
    let (code, out, err) = check(
        &[("policy.toml", policy.as_bytes())],
        &["--json", "policy.toml"],
    );
    assert_eq!((code, err.as_str()), (1, ""));
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&answer["good"], &answer["policy"]),
        (&false.into(), &serde_json::Value::Null)
    );
    let mistake = &answer["diagnostics"][0];
    assert_eq!(
        (&mistake["line"], &mistake["column"]),
        (&7.into(), &10.into())
    );
    assert_eq!(mistake["related"][0]["line"], 4);
    assert!(
        mistake["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("split")),
        "{mistake}"
    );
}

#[test]
fn where_events_are_told_and_complaints_come_in_is_shown() {
    let policy = format!(
        "{GOOD}[store]\npath = \"/var/lib/cases.redb\"\n\
         [complaints]\nmaildir = \"/var/mail/abuse\"\n\
         [events]\nsyslog = \"192.0.2.10:514\"\nwebhook = \"https://hook.example/a\"\n"
    );
    let files = [("policy.toml", policy.as_bytes())];
    let (code, out, _) = check(&files, &["policy.toml"]);
    assert_eq!(code, 0, "{out}");
    for line in [
        "\nComplaints\n  read from /var/mail/abuse; what happened more than 7 days ago",
        "\nEvents\n  syslog at 192.0.2.10:514\n  each posted to https://hook.example/a\n",
    ] {
        assert!(out.contains(line), "no {line:?} in:\n{out}");
    }
    let (_, out, _) = check(&files, &["--json", "policy.toml"]);
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let policy = &answer["policy"];
    assert_eq!(policy["events"]["syslog"], "192.0.2.10:514");
    assert_eq!(policy["complaints"]["max_age_seconds"], 7 * 86_400);
}

#[test]
fn complaints_without_a_store_are_refused() {
    let policy = format!("{GOOD}[complaints]\nmaildir = \"/var/mail/abuse\"\n");
    refuses(
        &[("policy.toml", policy.as_bytes())],
        &["this policy keeps none", "add [store] path"],
    );
}

#[test]
fn the_notice_and_the_garden_are_told_in_words_and_in_json() {
    let policy = format!(
        "{GOOD}[notice]\nurl = \"http://a.example/\"\naddresses = [\"192.0.2.80\"]\n\
         [garden]\nopen = [\"192.0.2.0/28\"]\nresolvers = [\"192.0.2.53\"]\n"
    );
    let files = [("policy.toml", policy.as_bytes())];
    let (code, out, err) = check(&files, &["policy.toml"]);
    assert_eq!((code, err.as_str()), (0, ""));
    for line in [
        "Notice\n  plain HTTP of whoever is in the garden, and who is quarantined until the notice \
         was read leads to http://a.example/, at 192.0.2.80\n",
        "Garden\n  open are 192.0.2.0/28 and the notice page; names from 192.0.2.53\n",
    ] {
        assert!(out.contains(line), "{out}");
    }
    let (_, out, _) = check(&files, &["--json", "policy.toml"]);
    let answer: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(answer["policy"]["notice"]["redirect"], "unread");
    assert_eq!(answer["policy"]["garden"]["open"][0], "192.0.2.0/28");
}
