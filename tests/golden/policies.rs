//! The policies of the golden cases.

/// The policy of the project's first page: residential subscribers, a VLAN, an IPv6 pool, a mail
/// server, a closed class that is only observed.
pub const VILLAGE: &str = r#"[relays]
addresses = ["192.0.2.25", "2001:db8:25::/64"]
limit = { connections = 60, window = "1m" }

[class.residential]
smtp = { limit = { connections = 10, window = "10s" } }
submission = "allow"
excess = "drop"

[class.mta]
smtp = "allow"

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "198.51.100.0/24"
vlans = [66]
class = "residential"

[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"

[[subscriber]]
name = "ACME Hosting"
prefixes = ["203.0.113.30/32"]
class = "mta"

[sources]
capacity = 1024
"#;

/// One residential class over the usual pools; `smtp`, `submission` and what else the class says.
pub fn one_class(lines: &str) -> String {
    with_class("", lines)
}

/// The same, with lines in front of the first table.
pub fn with_class(top: &str, lines: &str) -> String {
    format!(
        r#"{top}[relays]
addresses = ["192.0.2.25", "2001:db8:25::/64"]
limit = {{ connections = 3, window = "10s" }}

[class.residential]
{lines}

[[pool]]
prefix = "203.0.113.0/24"
class = "residential"

[[pool]]
prefix = "2001:db8:200::/40"
subscriber_prefix = 56
class = "residential"

[sources]
capacity = 1024
"#
    )
}
