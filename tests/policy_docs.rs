//! docs/policy.md says what the policy reader does.

use lychgate::policy::{
    self, CAPACITY_DEFAULT, CAPACITY_MAX, CLASSES_MAX, COLUMNS, CONNECTIONS_MAX, Policy,
    RunSettings, SHAPES, VLANS_MAX,
};

const DOCS: &str = include_str!("../docs/policy.md");

/// The blocks of TOML that are marked as complete policies.
fn complete_policies() -> Vec<&'static str> {
    let blocks = DOCS.split("```toml complete\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default())
        .collect()
}

#[test]
fn every_key_has_its_row() {
    for shape in SHAPES {
        for key in shape.keys {
            let row = DOCS.contains(&format!("| `{key}` |"));
            // The tables are keys of the top, too: they have a heading each.
            let table = [
                format!("`[{key}]`"),
                format!("`[[{key}]]`"),
                format!("`[{key}.NAME]`"),
            ];
            let heading = table.iter().any(|title| DOCS.contains(title));
            assert!(
                row || heading,
                "`{key}` of {} is not in docs/policy.md",
                shape.title
            );
        }
    }
}

#[test]
fn every_row_is_a_key() {
    let rows = DOCS
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for row in rows {
        let known = SHAPES.iter().any(|shape| shape.keys.contains(&row));
        assert!(
            known,
            "docs/policy.md has a row for `{row}`, which the reader doesn't know"
        );
    }
}

#[test]
fn complete_policies_are_good() {
    let policies = complete_policies();
    assert_eq!(policies.len(), 2);
    for text in policies {
        if let Err(diagnostics) = Policy::from_toml("docs/policy.md", text) {
            panic!("{diagnostics}");
        }
    }
}

#[test]
fn the_examples_are_those_in_the_files() {
    let [policy, survey] = complete_policies()[..] else {
        panic!("two policies")
    };
    assert_eq!(policy, include_str!("../docs/examples/policy.toml"));
    let file = include_str!("../docs/examples/survey.toml");
    let bare: Vec<_> = file.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(survey.trim(), bare.join("\n").trim());
}

/// A number as the documentation writes it.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

/// The row of a key of `[ports]`.
fn row(key: &str) -> &'static str {
    let begin = format!("| `{key}` |");
    let row = DOCS.lines().find(|line| line.starts_with(&begin));
    row.unwrap_or_else(|| panic!("no row for `{key}`"))
}

#[test]
fn the_live_box_has_the_defaults_and_bounds_of_its_rows() {
    for (key, default) in RunSettings::default().rows() {
        let begin = format!("| `{key}` | {default} |");
        assert!(row(key).starts_with(&begin), "{begin}");
    }
    for (key, bounds) in [
        ("workers", policy::WORKERS),
        ("deadline", policy::DEADLINE),
        ("batch", policy::BATCH),
        ("spin", policy::SPIN),
        ("ring", policy::RING),
        ("busy_poll_time", policy::BUSY_POLL_TIME),
        ("busy_poll_budget", policy::BUSY_POLL_BUDGET),
        ("defer_irqs", policy::DEFER_IRQS),
        ("flush_timeout", policy::FLUSH_TIMEOUT),
    ] {
        let [low, high] = [bounds.low, bounds.high].map(|number| grouped(number.into()));
        assert!(row(key).contains(&format!("{low} to {high}")), "{key}");
        assert_eq!(row(key).contains("a power of 2"), bounds.power_of_two);
    }
    let stamp_max = grouped(policy::STAMP.high.into());
    assert!(row("stamp").contains(&format!("a power of 2 up to {stamp_max}")));
}

#[test]
fn bounds_are_those_of_the_reader() {
    for (what, text) in [
        (
            "limits",
            format!("1 to {}", grouped(CONNECTIONS_MAX.into())),
        ),
        ("capacity", format!("1 to {}", grouped(CAPACITY_MAX.into()))),
        (
            "default capacity",
            format!("| `capacity` | {CAPACITY_DEFAULT} |"),
        ),
        (
            "classes",
            format!("at most {} classes", grouped(CLASSES_MAX as u64)),
        ),
        ("vlans", format!("1 to 4094, at most {VLANS_MAX}")),
        ("columns", format!("`{}`", COLUMNS.join(","))),
    ] {
        assert!(
            DOCS.contains(&text),
            "{what}: no {text:?} in docs/policy.md"
        );
    }
}
