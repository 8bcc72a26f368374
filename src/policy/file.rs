//! The policy file, table by table: TOML in, a [`Draft`] out.
//!
//! Everything that can be judged by looking at one value is judged here; what takes more than one
//! (overlaps, reachability) is for `resolve`. A new table or key begins with its [`Shape`]: the
//! reader then knows it, and a test demands it in docs/policy.md.

use std::collections::HashMap;

use ipnet::IpNet;
use toml::de::DeTable;

use super::{
    Class, ClassId, Excess, Fallback, Limit, Pool, Ports, Rule, RunSettings,
    complaints::{self, Complaints},
    detect,
    diagnostic::{Remark, Report, Spot},
    garden::{self, Garden, Notice},
    keeping::{self, Keeping},
    outlets::{self, Outlets},
    ports::{self, PORTS},
    reader::{Section, Shape, TOP_TITLE, Value, nearest},
    subscribers::Subscribers,
    value,
};

const TOP: Shape = Shape {
    title: TOP_TITLE,
    keys: &[
        "mode",
        "ports",
        "relays",
        "softwires",
        "class",
        "pool",
        "subscriber",
        "lists",
        "sources",
        "store",
        "complaints",
        "events",
        "notice",
        "garden",
    ],
};
const RELAYS: Shape = Shape {
    title: "[relays]",
    keys: &["addresses", "limit"],
};
const SOFTWIRES: Shape = Shape {
    title: "[softwires]",
    keys: &["concentrators"],
};
const CLASS: Shape = Shape {
    title: "[class.NAME]",
    keys: &["smtp", "submission", "excess", "mode", "detect"],
};
const RULE: Shape = Shape {
    title: "a rule",
    keys: &["limit"],
};
const LIMIT: Shape = Shape {
    title: "a limit",
    keys: &["connections", "window"],
};
const POOL: Shape = Shape {
    title: "[[pool]]",
    keys: &["prefix", "class", "subscriber_prefix", "vlans"],
};
const SUBSCRIBER: Shape = Shape {
    title: "[[subscriber]]",
    keys: &["name", "prefixes", "class", "automatic"],
};
const LISTS: Shape = Shape {
    title: "[lists]",
    keys: &["subscribers"],
};
const SOURCES: Shape = Shape {
    title: "[sources]",
    keys: &["capacity", "full", "strangers", "observed"],
};

/// Every table that a policy file may have.
pub const SHAPES: &[&Shape] = &[
    &TOP,
    &PORTS,
    &RELAYS,
    &SOFTWIRES,
    &CLASS,
    &RULE,
    &LIMIT,
    &POOL,
    &SUBSCRIBER,
    &LISTS,
    &SOURCES,
    &detect::DETECT,
    &detect::VOLUME,
    &detect::DESTINATIONS,
    &detect::OUTCOMES,
    &detect::STEP,
    &keeping::STORE,
    &complaints::COMPLAINTS,
    &outlets::EVENTS,
    &garden::NOTICE,
    &garden::GARDEN,
];

/// Sources that the table holds unless the policy says otherwise.
pub const CAPACITY_DEFAULT: u32 = 1 << 20;
/// The largest source table.
pub const CAPACITY_MAX: u32 = 1 << 28;
/// Classes in one policy.
pub const CLASSES_MAX: usize = 1_000;
/// VLAN identifiers that a pool can name: as many tags as are looked at in a frame.
pub const VLANS_MAX: usize = 8;

/// A policy as the file has it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) observe: bool,
    pub(super) ports: Option<Ports>,
    pub(super) run: RunSettings,
    pub(super) relays: Vec<(IpNet, Spot)>,
    pub(super) relay_limit: Option<Limit>,
    pub(super) concentrators: Vec<(IpNet, Spot)>,
    pub(super) classes: Classes,
    pub(super) pools: Vec<(Pool, Spot)>,
    /// Whether every pool could be read; if not, being in no pool is no mistake.
    pub(super) pools_known: bool,
    pub(super) subscribers: Subscribers,
    /// Subscriber lists, as the file calls them.
    pub(super) lists: Vec<(String, Spot)>,
    pub(super) capacity: u32,
    pub(super) full: Fallback,
    pub(super) strangers: Fallback,
    pub(super) observed: Option<u32>,
    pub(super) keeping: Option<Keeping>,
    pub(super) complaints: Option<Complaints>,
    pub(super) outlets: Option<Outlets>,
    pub(super) notice: Option<Notice>,
    pub(super) garden: Garden,
}

/// The classes by name.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) list: Vec<Class>,
    pub(super) spots: Vec<Spot>,
    ids: HashMap<String, ClassId>,
    used: Vec<bool>,
}

impl Classes {
    /// The class of a name, which is then in use; an unknown one is reported. The place is only
    /// looked for in that case.
    pub(super) fn find(
        &mut self,
        name: &str,
        spot: impl FnOnce() -> Spot,
        report: &mut Report,
    ) -> Option<ClassId> {
        if let Some(&id) = self.ids.get(name) {
            self.used[usize::from(id.0)] = true;
            return Some(id);
        }
        report.missing(spot(), || {
            let known = self.list.iter().map(|class| class.name.as_str());
            Remark::new(
                format!("there is no class \"{name}\""),
                match nearest(name, known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("add [class.{name}] or name one of the classes in this file"),
                },
            )
        });
        None
    }

    /// The classes that nothing has asked for.
    pub(super) fn unused(&self) -> impl Iterator<Item = (&Class, Spot)> {
        let all = self.list.iter().zip(&self.spots).zip(&self.used);
        all.filter(|(_, used)| !**used)
            .map(|((class, spot), _)| (class, *spot))
    }

    fn add(&mut self, class: Class, spot: Spot) {
        let id = ClassId(u16::try_from(self.list.len()).unwrap_or(u16::MAX));
        self.ids.insert(class.name.clone(), id);
        self.list.push(class);
        self.spots.push(spot);
        self.used.push(false);
    }
}

/// Reads a policy file.
pub(super) fn read(text: &str, file: u32, report: &mut Report) -> Draft {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        report.error(Spot::new(file, span), || syntax(error.message()));
    }
    report.damaged |= !errors.is_empty();
    let start = Spot::new(file, 0..0);
    let top = Section::open(table.get_ref(), "", start, &TOP, SHAPES, report);
    draft(&top, report)
}

fn syntax(message: &str) -> Remark {
    Remark::new(
        format!("this is not TOML: {message}"),
        "strings stand in quotes, a table begins with its name in brackets, a key is named once",
    )
}

fn draft(top: &Section<'_>, report: &mut Report) -> Draft {
    let observe = top
        .get("mode")
        .and_then(|value| mode(value, report))
        .unwrap_or(false);
    let (relays, relay_limit) = relays(top, report);
    let mut classes = classes(top, observe, report);
    let pool_tables = tables(top, "pool", &POOL, report);
    let pools: Vec<_> = pool_tables
        .iter()
        .filter_map(|table| pool(table, &mut classes, report))
        .collect();
    let mut subscribers = Subscribers::default();
    for table in tables(top, "subscriber", &SUBSCRIBER, report) {
        subscriber(&table, &mut classes, &mut subscribers, report);
    }
    let sources = table(top, "sources", &SOURCES, report);
    let port_table = table(top, "ports", &PORTS, report);
    let source = |key| sources.and_then(|table| table.get(key));
    Draft {
        observe,
        ports: port_table.and_then(|table| ports::ports(&table, report)),
        run: port_table.map_or_else(RunSettings::default, |table| {
            ports::settings(&table, report)
        }),
        relays,
        relay_limit,
        concentrators: table(top, "softwires", &SOFTWIRES, report)
            .and_then(|table| table.require("concentrators", "[\"192.0.2.1\"]", report))
            .map(|value| prefixes(value, report))
            .unwrap_or_default(),
        classes,
        pools_known: pools.len() == pool_tables.len(),
        pools,
        subscribers,
        lists: lists(top, report),
        capacity: source("capacity")
            .and_then(|value| value.integer(1..=CAPACITY_MAX, "", report))
            .unwrap_or(CAPACITY_DEFAULT),
        full: source("full")
            .and_then(|value| fallback(value, report))
            .unwrap_or(Fallback::Forward),
        strangers: source("strangers")
            .and_then(|value| fallback(value, report))
            .unwrap_or(Fallback::Drop),
        observed: source("observed").and_then(|value| detect::observed(value, report)),
        keeping: table(top, "store", &keeping::STORE, report)
            .and_then(|table| keeping::keeping(&table, report)),
        complaints: complaints(top, report),
        outlets: table(top, "events", &outlets::EVENTS, report)
            .map(|table| outlets::outlets(&table, report)),
        notice: table(top, "notice", &garden::NOTICE, report)
            .and_then(|table| garden::notice(&table, report)),
        garden: table(top, "garden", &garden::GARDEN, report)
            .map(|table| garden::garden(&table, report))
            .unwrap_or_default(),
    }
}

/// Complaints raise the suspicion of cases, so there must be cases.
fn complaints(top: &Section<'_>, report: &mut Report) -> Option<Complaints> {
    let table = table(top, "complaints", &complaints::COMPLAINTS, report)?;
    if top.get("store").is_none() {
        report.missing(table.spot, || {
            Remark::new(
                "complaints become cases, and this policy keeps none",
                "add [store] path = \"/var/lib/lychgate/cases.redb\"",
            )
        });
    }
    complaints::complaints(&table, report)
}

fn table<'a>(
    top: &Section<'a>,
    name: &'static str,
    shape: &'static Shape,
    report: &mut Report,
) -> Option<Section<'a>> {
    top.get(name)?.section(shape, SHAPES, report)
}

fn tables<'a>(
    top: &Section<'a>,
    name: &'static str,
    shape: &'static Shape,
    report: &mut Report,
) -> Vec<Section<'a>> {
    let Some(value) = top.get(name) else {
        return Vec::new();
    };
    let elements = value.array("tables", report);
    elements
        .into_iter()
        .filter_map(|element| element.section(shape, SHAPES, report))
        .collect()
}

/// `mode`: whether to observe only.
fn mode(value: Value<'_>, report: &mut Report) -> Option<bool> {
    value.word(&[("enforce", false), ("observe", true)], report)
}

fn fallback(value: Value<'_>, report: &mut Report) -> Option<Fallback> {
    value.word(
        &[("forward", Fallback::Forward), ("drop", Fallback::Drop)],
        report,
    )
}

fn relays(top: &Section<'_>, report: &mut Report) -> (Vec<(IpNet, Spot)>, Option<Limit>) {
    let Some(table) = table(top, "relays", &RELAYS, report) else {
        return (Vec::new(), None);
    };
    let addresses = table
        .require("addresses", "[\"192.0.2.25\"]", report)
        .map(|value| prefixes(value, report))
        .unwrap_or_default();
    let limit = table.get("limit").and_then(|value| limit(value, report));
    (addresses, limit)
}

/// An array of prefixes or addresses.
pub(super) fn prefixes(value: Value<'_>, report: &mut Report) -> Vec<(IpNet, Spot)> {
    let mut found = Vec::new();
    for element in value.array("addresses or prefixes", report) {
        let Some(text) = element.string(report) else {
            continue;
        };
        match value::prefix_or_address(text) {
            Ok(net) => found.push((net, element.spot)),
            Err(remark) => report.error(element.spot, || remark),
        }
    }
    found
}

fn classes(top: &Section<'_>, observe: bool, report: &mut Report) -> Classes {
    let mut classes = Classes::default();
    let Some(value) = top.get("class") else {
        return classes;
    };
    for (entry, spot) in value.entries(report) {
        if classes.list.len() == CLASSES_MAX {
            report.error(spot, || {
                Remark::new(
                    format!("there are more than {CLASSES_MAX} classes"),
                    "give subscribers who are treated alike the same class",
                )
            });
            break;
        }
        if let Some(table) = entry.section(&CLASS, SHAPES, report) {
            classes.add(class(entry.name, &table, observe, report), spot);
        }
    }
    classes
}

/// One class. What can't be read is as harmless as can be: the policy is refused anyway.
fn class(name: &str, table: &Section<'_>, observe_all: bool, report: &mut Report) -> Class {
    let smtp = table.require(
        "smtp",
        "{ limit = { connections = 10, window = \"10s\" } }",
        report,
    );
    let excess = [("drop", Excess::Drop), ("reset", Excess::Reset)];
    let observe = table
        .get("mode")
        .and_then(|value| Some((value, mode(value, report)?)));
    if let (true, Some((value, false))) = (observe_all, observe) {
        report.warning(value.spot, || {
            Remark::new(
                format!("class \"{name}\" does not enforce: the policy's mode is \"observe\""),
                "say mode = \"observe\" in the other classes instead of at the top",
            )
        });
    }
    Class {
        name: name.to_owned(),
        smtp: smtp
            .and_then(|value| rule(value, report))
            .unwrap_or(Rule::Allow),
        submission: table
            .get("submission")
            .and_then(|value| rule(value, report))
            .unwrap_or(Rule::Allow),
        excess: table
            .get("excess")
            .and_then(|value| value.word(&excess, report))
            .unwrap_or(Excess::Drop),
        observe: observe.is_some_and(|(_, observe)| observe),
        detect: table
            .get("detect")
            .and_then(|value| detect::detect(value, report)),
    }
}

/// `"allow"`, `"block"` or `{ limit = { … } }`.
fn rule(value: Value<'_>, report: &mut Report) -> Option<Rule> {
    if !value.is_table() {
        if value.as_str().is_none() {
            return value.wrong_type("\"allow\", \"block\" or { limit = { … } }", report);
        }
        return value.word(&[("allow", Rule::Allow), ("block", Rule::Block)], report);
    }
    if value.has("connections") && !value.has("limit") {
        let text = report.text(value.spot);
        report.error(value.spot, || {
            Remark::new(
                format!(
                    "`{}` is neither a word nor {{ limit = {{ … }} }}",
                    value.name
                ),
                format!("write {} = {{ limit = {text} }}", value.name),
            )
        });
        return None;
    }
    let table = value.section(&RULE, SHAPES, report)?;
    let example = "{ connections = 10, window = \"10s\" }";
    table
        .require("limit", example, report)
        .and_then(|value| limit(value, report))
        .map(Rule::Limit)
}

/// `{ connections = 10, window = "10s" }`.
fn limit(value: Value<'_>, report: &mut Report) -> Option<Limit> {
    let table = value.section(&LIMIT, SHAPES, report)?;
    let connections = table.require("connections", "10", report);
    let window = table
        .require("window", "\"10s\"", report)
        .and_then(|value| {
            let text = value.string(report)?;
            value::window(text)
                .map_err(|remark| report.error(value.spot, || remark))
                .ok()
        });
    let connections = self::connections(connections?, report)?;
    Some(Limit {
        connections,
        window: window?,
    })
}

fn connections(value: Value<'_>, report: &mut Report) -> Option<u16> {
    let number = value.as_integer();
    if let Some(number) = number.and_then(|number| u16::try_from(number).ok())
        && (1..=value::CONNECTIONS_MAX).contains(&u32::from(number))
    {
        return Some(number);
    }
    if !value.is_integer() {
        return value.wrong_type("an integer", report);
    }
    let text = report.text(value.spot);
    report.error(value.spot, || {
        Remark::new(
            format!("a limit of {text} connections cannot be represented"),
            match number {
                Some(..=0) => "choose at least 1; a class that may not send says \"block\"",
                _ => "choose at most 10000; a shorter window allows a higher rate",
            },
        )
    });
    None
}

fn pool(table: &Section<'_>, classes: &mut Classes, report: &mut Report) -> Option<(Pool, Spot)> {
    let class = class_of(table, classes, report);
    let vlans = table.get("vlans").map(|value| vlans(value, report));
    let value = table.require("prefix", "\"203.0.113.0/24\"", report)?;
    let text = value.string(report)?;
    let prefix = value::prefix(text)
        .map_err(|remark| report.error(value.spot, || remark))
        .ok()?;
    let subscriber_prefix = table
        .get("subscriber_prefix")
        .and_then(|value| subscriber_prefix(value, prefix, report))
        .unwrap_or_else(|| match prefix {
            IpNet::V4(_) => 32,
            IpNet::V6(net) => net.prefix_len().max(64),
        });
    Some((
        Pool {
            prefix,
            class,
            subscriber_prefix,
            vlans,
        },
        value.spot,
    ))
}

/// The class that a pool or subscriber names. Class 0 stands in for one that can't be read.
fn class_of(table: &Section<'_>, classes: &mut Classes, report: &mut Report) -> ClassId {
    table
        .require("class", "\"residential\"", report)
        .and_then(|value| classes.find(value.string(report)?, || value.spot, report))
        .unwrap_or(ClassId(0))
}

fn subscriber_prefix(value: Value<'_>, prefix: IpNet, report: &mut Report) -> Option<u8> {
    let (low, high) = (
        u32::from(prefix.prefix_len()),
        u32::from(prefix.max_prefix_len()),
    );
    let remedy = format!(": one subscriber is a part of {prefix}");
    u8::try_from(value.integer(low..=high, &remedy, report)?).ok()
}

/// VLAN identifiers, outermost first; none means that the frames carry no tag.
fn vlans(value: Value<'_>, report: &mut Report) -> Vec<u16> {
    let elements = value.array("VLAN identifiers", report);
    if elements.len() > VLANS_MAX {
        report.error(value.spot, || {
            Remark::new(
                format!(
                    "{} VLAN identifiers are more than a frame can carry",
                    elements.len()
                ),
                format!("name at most {VLANS_MAX}: the tags of one frame, outermost first"),
            )
        });
    }
    elements
        .into_iter()
        .filter_map(|id| id.integer(1..=4_094, "", report))
        .filter_map(|id| u16::try_from(id).ok())
        .collect()
}

fn subscriber(
    table: &Section<'_>,
    classes: &mut Classes,
    subscribers: &mut Subscribers,
    report: &mut Report,
) {
    let class = class_of(table, classes, report);
    let prefixes = table
        .require("prefixes", "[\"203.0.113.30/32\"]", report)
        .map(|value| (prefixes(value, report), value.spot));
    let name = table
        .get("name")
        .and_then(|value| Some((value.string(report)?, value.spot)));
    let Some((prefixes, spot)) = prefixes else {
        return;
    };
    if prefixes.is_empty() {
        report.missing(spot, || {
            Remark::new(
                "this subscriber has no address",
                "name at least one in `prefixes`",
            )
        });
        return;
    }
    let automatic = table
        .get("automatic")
        .and_then(|value| value.boolean(report));
    if automatic == Some(false) {
        subscribers.opted_out.insert(prefixes[0].0);
    }
    subscribers.add(name, class, &prefixes, report);
}

fn lists(top: &Section<'_>, report: &mut Report) -> Vec<(String, Spot)> {
    let value = table(top, "lists", &LISTS, report)
        .and_then(|table| table.require("subscribers", "[\"subscribers.csv\"]", report));
    let Some(value) = value else {
        return Vec::new();
    };
    let mut lists: Vec<(String, Spot)> = Vec::new();
    for element in value.array("file names", report) {
        let Some(name) = element.string(report) else {
            continue;
        };
        if let Some((_, first)) = lists.iter().find(|(other, _)| other == name) {
            report.error(element.spot, || {
                Remark::new(
                    format!("list \"{name}\" is named twice"),
                    "name each list once",
                )
                .related(*first, "named here first")
            });
        } else {
            lists.push((name.to_owned(), element.spot));
        }
    }
    lists
}
