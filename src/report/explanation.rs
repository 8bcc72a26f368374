//! One frame told in full, for people and for programs.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::words;
use crate::{
    engine::{Action, Attempt, Effect, Reason},
    policy::{Class, Limit, Rule},
    replay::{Explanation, History, Owner, source_text},
    wire::Service,
};

/// Name and version of the document for programs.
pub const SCHEMA: &str = "lychgate.explain/1";

const TITLE: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const STOPPED: Style = AnsiColor::Red.on_default().bold();
const CROSSED: Style = AnsiColor::Green.on_default().bold();

/// Writes the explanation as text.
///
/// # Errors
/// Those of the writer.
pub fn write(found: &Explanation, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{TITLE}Frame {}{TITLE:#} {}, {}{}",
        found.number,
        words::rfc3339(found.stamp),
        words::counted(u64::from(found.wire_length), "octet"),
        if found.captured < found.wire_length as usize {
            format!(
                ", {} of them captured",
                words::thousands(found.captured as u64)
            )
        } else {
            String::new()
        },
    )?;
    if found.time != found.stamp {
        writeln!(
            out,
            "Time runs backwards here: it was judged at {}.",
            words::rfc3339(found.time)
        )?;
    }
    writeln!(out, "\n{FAINT}{:>8}  layer{FAINT:#}", "offset")?;
    let name_width = found
        .layers
        .iter()
        .map(|layer| layer.name.len())
        .max()
        .unwrap_or(0);
    for layer in &found.layers {
        writeln!(
            out,
            "{:>8}  {:<name_width$}  {}",
            layer.offset, layer.name, layer.detail
        )?;
    }
    subscriber(found, out)?;
    verdict(found, out)?;
    out.flush()
}

fn subscriber(found: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let direction = found.verdict.direction.name();
    let Some(Owner {
        key,
        name,
        vlans,
        class,
    }) = &found.owner
    else {
        return writeln!(
            out,
            "\n{TITLE}No subscriber's{TITLE:#}, {direction}: its address is in no pool, or could not be read."
        );
    };
    let name = name
        .as_ref()
        .map_or_else(String::new, |name| format!(" ({name})"));
    writeln!(
        out,
        "\n{TITLE}Subscriber {}{TITLE:#}{name}, class {}, {direction}",
        source_text(*key),
        class.name
    )?;
    writeln!(out, "{:>10}SMTP (25): {}", "", rule_text(class.smtp))?;
    writeln!(
        out,
        "{:>10}submission (587, 465): {}",
        "",
        rule_text(class.submission)
    )?;
    if let Some(vlans) = vlans {
        let vlans: Vec<_> = vlans.iter().map(u16::to_string).collect();
        writeln!(
            out,
            "{:>10}expected in VLAN {}, outermost first",
            "",
            vlans.join(", ")
        )?;
    }
    if class.observe {
        writeln!(
            out,
            "{:>10}the class only observes: what it refuses crosses all the same",
            ""
        )?;
    }
    Ok(())
}

fn verdict(found: &Explanation, out: &mut impl Write) -> io::Result<()> {
    let verdict = found.verdict;
    let (style, action) = match verdict.action {
        Action::Forward => (CROSSED, "Forwarded"),
        Action::Drop => (STOPPED, "Dropped"),
        Action::Reset => (STOPPED, "Reset"),
        Action::Redirect => (STOPPED, "Redirected"),
    };
    writeln!(
        out,
        "\n{style}{action}{style:#}: {TITLE}{}{TITLE:#}",
        verdict.reason.name()
    )?;
    writeln!(out, "{:>10}{}", "", verdict.reason.text())?;
    if let Some((attempt, history)) = &found.attempt {
        for line in attempt_lines(attempt, history, found) {
            writeln!(out, "{:>10}{line}", "")?;
        }
    }
    if verdict.observed {
        writeln!(
            out,
            "{:>10}It crossed only because the policy observes here.",
            ""
        )?;
    }
    let page = if verdict.reason.effect() == Effect::Refuse {
        " and docs/policy.md"
    } else {
        ""
    };
    writeln!(
        out,
        "{:>10}{FAINT}See {} in docs/counters.md{page}.{FAINT:#}",
        "",
        verdict.reason.name()
    )
}

fn attempt_lines(attempt: &Attempt, history: &History, found: &Explanation) -> Vec<String> {
    let mut lines = Vec::new();
    if attempt.relay {
        lines.push(
            "Its destination is one of the relays, so that the relay limit counts.".to_owned(),
        );
    }
    if attempt.retransmission {
        lines.push(
            "It repeats an earlier SYN: it has that one's verdict and is not counted again."
                .to_owned(),
        );
    }
    let Some(limit) = history.limit else {
        return lines;
    };
    lines.push(format!(
        "Before it, in the last {}: {} admitted of {} that the limit allows, {} refused.",
        words::duration(window(limit)),
        words::thousands(history.admitted),
        limit.connections,
        words::thousands(history.refused),
    ));
    if let Some(oldest) = history.oldest_admitted.filter(|_| !attempt.admitted) {
        let left = (oldest + window(limit)).saturating_sub(found.time);
        lines.push(format!(
            "The oldest of them was admitted at {}; it leaves the window {} after this frame.",
            words::rfc3339(oldest),
            words::duration(left),
        ));
        if history.admitted < u64::from(limit.connections) {
            lines.push(
                "The window is kept in eight parts, so that an attempt counts up to an eighth longer than that.".to_owned(),
            );
        }
    }
    lines
}

fn rule_text(rule: Rule) -> String {
    match rule {
        Rule::Allow => "allowed without limit".to_owned(),
        Rule::Block => "blocked".to_owned(),
        Rule::Limit(limit) => format!(
            "at most {} in any {}",
            words::counted(u64::from(limit.connections), "attempt"),
            words::duration(window(limit)),
        ),
    }
}

fn window(limit: Limit) -> u64 {
    u64::try_from(limit.window.as_nanos()).unwrap_or(u64::MAX)
}

/// Writes the explanation as JSON.
///
/// # Errors
/// Those of the writer.
pub fn write_json(found: &Explanation, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &Document::from(found))?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    frame: u64,
    time: String,
    judged_at: String,
    captured: usize,
    wire_length: u32,
    layers: Vec<LayerView<'a>>,
    subscriber: Option<Subscriber<'a>>,
    verdict: Judged,
    attempt: Option<AttemptView>,
}

#[derive(Serialize)]
struct LayerView<'a> {
    offset: usize,
    name: &'a str,
    detail: &'a str,
}

#[derive(Serialize)]
struct Subscriber<'a> {
    source: String,
    name: Option<&'a str>,
    vlans: Option<&'a [u16]>,
    class: &'a str,
    smtp: RuleView,
    submission: RuleView,
    observe: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum RuleView {
    Allow,
    Block,
    Limit(LimitView),
}

#[derive(Serialize)]
struct LimitView {
    connections: u16,
    window_ns: u64,
}

#[derive(Serialize)]
struct Judged {
    action: &'static str,
    reason: &'static str,
    text: &'static str,
    direction: &'static str,
    observed: bool,
}

#[derive(Serialize)]
struct AttemptView {
    service: &'static str,
    relay: bool,
    admitted: bool,
    retransmission: bool,
    limit: Option<LimitView>,
    admitted_before: u64,
    refused_before: u64,
}

impl<'a> From<&'a Explanation> for Document<'a> {
    fn from(found: &'a Explanation) -> Self {
        let verdict = found.verdict;
        Self {
            schema: SCHEMA,
            frame: found.number,
            time: words::rfc3339(found.stamp),
            judged_at: words::rfc3339(found.time),
            captured: found.captured,
            wire_length: found.wire_length,
            layers: found
                .layers
                .iter()
                .map(|layer| LayerView {
                    offset: layer.offset,
                    name: layer.name,
                    detail: &layer.detail,
                })
                .collect(),
            subscriber: found.owner.as_ref().map(Subscriber::from),
            verdict: Judged {
                action: action_name(verdict.action),
                reason: Reason::name(verdict.reason),
                text: verdict.reason.text(),
                direction: verdict.direction.name(),
                observed: verdict.observed,
            },
            attempt: found.attempt.as_ref().map(AttemptView::from),
        }
    }
}

impl<'a> From<&'a Owner> for Subscriber<'a> {
    fn from(owner: &'a Owner) -> Self {
        let Class {
            name,
            smtp,
            submission,
            observe,
            ..
        } = &owner.class;
        Self {
            source: source_text(owner.key),
            name: owner.name.as_deref(),
            vlans: owner.vlans.as_deref(),
            class: name,
            smtp: (*smtp).into(),
            submission: (*submission).into(),
            observe: *observe,
        }
    }
}

impl From<Rule> for RuleView {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Allow => Self::Allow,
            Rule::Block => Self::Block,
            Rule::Limit(limit) => Self::Limit(limit.into()),
        }
    }
}

impl From<Limit> for LimitView {
    fn from(limit: Limit) -> Self {
        Self {
            connections: limit.connections,
            window_ns: window(limit),
        }
    }
}

impl From<&(Attempt, History)> for AttemptView {
    fn from((attempt, history): &(Attempt, History)) -> Self {
        Self {
            service: match attempt.service {
                Service::Smtp => "smtp",
                Service::Submission => "submission",
            },
            relay: attempt.relay,
            admitted: attempt.admitted,
            retransmission: attempt.retransmission,
            limit: history.limit.map(LimitView::from),
            admitted_before: history.admitted,
            refused_before: history.refused,
        }
    }
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Forward => "forward",
        Action::Drop => "drop",
        Action::Reset => "reset",
        Action::Redirect => "redirect",
    }
}
