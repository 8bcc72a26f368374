//! The replay's findings as one self-contained page: no script, no font, no image from elsewhere.

use askama::Template;

use super::{chart::BarChart, flagged, words};
use crate::replay::{
    ComparisonSummary, Detection, Difference, FlaggedRow, FrameTotals, SourceRow, Summary,
    source_text,
};

/// So many classes are told apart beside a reason before the rest is summed up.
const CLASSES_MAX: usize = 4;

/// Renders the page with the `top` subscribers that were refused most.
///
/// # Errors
/// Those of the template engine.
pub fn render(summary: &Summary, top: usize) -> Result<String, askama::Error> {
    Page::new(summary, top).render()
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    version: &'static str,
    headline: String,
    findings: Vec<String>,
    files: String,
    policy: &'a str,
    span: Option<Span>,
    damage: &'a [String],
    clamped: u64,
    tiles: [Tile; 4],
    over_time: Option<BarChart>,
    bucket: String,
    spread: Option<BarChart>,
    typical: String,
    sources: Vec<SourceLine<'a>>,
    sources_total: String,
    detection: Option<DetectionView<'a>>,
    reasons: Vec<ReasonLine>,
    services: [ServiceLine; 2],
    totals: [TotalLine; 5],
    comparison: Option<ComparisonView<'a>>,
}

struct Span {
    first: String,
    last: String,
    duration: String,
}

struct Tile {
    number: String,
    label: &'static str,
    note: String,
    alarming: bool,
}

struct SourceLine<'a> {
    source: String,
    name: Option<&'a str>,
    class: &'a str,
    attempts: String,
    admitted: String,
    refused: String,
    /// Lengths in percent of the longest bar.
    admitted_length: f64,
    refused_length: f64,
}

struct DetectionView<'a> {
    about: String,
    flagged: Vec<FlaggedLine<'a>>,
}

struct FlaggedLine<'a> {
    source: String,
    name: Option<&'a str>,
    class: &'a str,
    detector: &'static str,
    why: String,
    attempts: String,
    destinations: String,
    /// When, and what.
    time_line: Vec<(String, String)>,
}

struct ReasonLine {
    name: &'static str,
    text: &'static str,
    fate: &'static str,
    frames: String,
    share: String,
    classes: String,
}

struct ServiceLine {
    name: &'static str,
    ports: &'static str,
    syn_frames: String,
    attempts: String,
    admitted: String,
    refused: String,
}

struct TotalLine {
    fate: &'static str,
    frames: String,
    share: String,
    alarming: bool,
}

struct ComparisonView<'a> {
    policy: &'a str,
    sentence: String,
    pairs: Vec<PairLine>,
    sources: Vec<DifferingLine>,
}

struct PairLine {
    ours: String,
    theirs: String,
    frames: String,
    examples: String,
}

struct DifferingLine {
    source: String,
    frames: String,
    newly_refused: String,
    newly_admitted: String,
    examples: String,
}

impl<'a> Page<'a> {
    fn new(summary: &'a Summary, top: usize) -> Self {
        let mut findings = words::findings(summary);
        let capture = &summary.capture;
        let moments = capture.first.zip(capture.last);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            headline: findings.remove(0),
            findings,
            files: capture.files.join(", "),
            policy: &summary.policy,
            span: moments.map(|(first, last)| Span {
                first: words::moment(first),
                last: words::moment(last),
                duration: words::duration(capture.duration()),
            }),
            damage: &capture.damage,
            clamped: capture.clamped,
            tiles: tiles(summary),
            over_time: BarChart::over_time(&summary.series, 220.0),
            bucket: words::duration(summary.series.at_most(super::chart::BARS_MAX).width()),
            spread: BarChart::attempts_per_source(&summary.sources, 340.0),
            typical: words::typical_source(&summary.sources),
            sources: source_lines(summary, top),
            sources_total: words::thousands(summary.sources.len() as u64),
            detection: summary.detection.as_ref().map(DetectionView::new),
            reasons: reason_lines(summary),
            services: service_lines(summary),
            totals: total_lines(summary.frames),
            comparison: summary
                .comparison
                .as_ref()
                .map(|found| ComparisonView::new(found, top)),
        }
    }
}

fn tiles(summary: &Summary) -> [Tile; 4] {
    let mut all = summary.smtp();
    all.add(summary.submission());
    let over = summary
        .sources
        .iter()
        .filter(|row| row.tally.all().refused > 0)
        .count() as u64;
    let frames = summary.frames;
    let tile = |number, label, note, alarming| Tile {
        number: words::thousands(number),
        label,
        note,
        alarming,
    };
    let stopped = frames.dropped + frames.reset + frames.redirected;
    [
        tile(
            frames.total,
            "frames judged",
            format!("{} stopped", words::thousands(stopped)),
            false,
        ),
        tile(
            all.attempts,
            "mail connection attempts",
            format!("{} SYN frames", words::thousands(all.syn_frames)),
            false,
        ),
        tile(
            all.refused,
            "attempts refused",
            format!(
                "{} of all attempts",
                words::percent(all.refused, all.attempts)
            ),
            all.refused > 0,
        ),
        tile(
            over,
            "subscribers over their limit",
            format!(
                "of {} with mail attempts",
                words::thousands(summary.sources.len() as u64)
            ),
            over > 0,
        ),
    ]
}

fn source_lines(summary: &Summary, top: usize) -> Vec<SourceLine<'_>> {
    let rows = summary.top_sources(top);
    let longest = rows
        .iter()
        .map(|row| row.tally.all().attempts)
        .max()
        .unwrap_or(0);
    rows.into_iter()
        .map(|row| source_line(row, longest))
        .collect()
}

fn source_line(row: &SourceRow, longest: u64) -> SourceLine<'_> {
    let all = row.tally.all();
    #[expect(clippy::cast_precision_loss, reason = "a length on a screen")]
    let length = |count: u64| (count as f64 * 10_000.0 / longest.max(1) as f64).round() / 100.0;
    SourceLine {
        source: source_text(row.key),
        name: row.name.as_deref(),
        class: &row.class,
        attempts: words::thousands(all.attempts),
        admitted: words::thousands(all.admitted),
        refused: words::thousands(all.refused),
        admitted_length: length(all.admitted),
        refused_length: length(all.refused),
    }
}

impl<'a> DetectionView<'a> {
    fn new(found: &'a Detection) -> Self {
        let line = |row: &'a FlaggedRow| FlaggedLine {
            source: source_text(row.key()),
            name: row.name.as_deref(),
            class: &row.class,
            detector: row.detector().name(),
            why: flagged::why(&row.flag),
            attempts: words::thousands(row.flag.attempts.into()),
            destinations: words::thousands(row.flag.destinations.into()),
            time_line: flagged::time_line(row),
        };
        Self {
            about: format!(
                "{} observed. {} in the name of others, blamed on nobody. The time line is what \
                 the steps of the class would have done.",
                words::counted(found.observed, "subscriber"),
                words::counted(found.unproven, "attempt"),
            ),
            flagged: found.flagged.iter().map(line).collect(),
        }
    }
}

fn reason_lines(summary: &Summary) -> Vec<ReasonLine> {
    let seen = summary
        .reasons
        .iter()
        .filter(|(_, tally)| tally.total() > 0);
    let line = |(reason, tally): &(crate::engine::Reason, crate::replay::ReasonTally)| ReasonLine {
        name: reason.name(),
        text: reason.text(),
        fate: words::fate(tally),
        frames: words::thousands(tally.total()),
        share: words::percent(tally.total(), summary.frames.total),
        classes: words::by_class(&summary.counters, *reason, CLASSES_MAX),
    };
    let mut lines: Vec<_> = seen.collect();
    // What was stopped comes first: that is what the reader is here for.
    lines.sort_by_key(|(_, tally)| {
        let stopped = tally.total() - tally.forwarded;
        (stopped == 0, std::cmp::Reverse(tally.total()))
    });
    lines.into_iter().map(line).collect()
}

fn service_lines(summary: &Summary) -> [ServiceLine; 2] {
    let services = [
        ("SMTP", "port 25", summary.smtp()),
        ("Submission", "ports 587, 465", summary.submission()),
    ];
    services.map(|(name, ports, tally)| ServiceLine {
        name,
        ports,
        syn_frames: words::thousands(tally.syn_frames),
        attempts: words::thousands(tally.attempts),
        admitted: words::thousands(tally.admitted),
        refused: words::thousands(tally.refused),
    })
}

fn total_lines(frames: FrameTotals) -> [TotalLine; 5] {
    let lines = [
        ("forwarded", frames.forwarded, false),
        ("dropped", frames.dropped, true),
        ("reset", frames.reset, true),
        ("redirected", frames.redirected, true),
        ("unreadable", frames.unreadable, false),
    ];
    lines.map(|(fate, count, stopped)| TotalLine {
        fate,
        frames: words::thousands(count),
        share: words::percent(count, frames.total),
        alarming: stopped && count > 0,
    })
}

impl<'a> ComparisonView<'a> {
    fn new(found: &'a ComparisonSummary, top: usize) -> Self {
        let pair = |(ours, theirs, difference): &(_, _, Difference)| PairLine {
            ours: crate::replay::Fate::to_string(ours),
            theirs: crate::replay::Fate::to_string(theirs),
            frames: words::thousands(difference.frames),
            examples: words::examples(difference),
        };
        let source =
            |(key, found): &(ipnet::IpNet, crate::replay::SourceDifference)| DifferingLine {
                source: source_text(*key),
                frames: words::thousands(found.all.frames),
                newly_refused: words::thousands(found.newly_refused),
                newly_admitted: words::thousands(found.newly_admitted),
                examples: words::examples(&found.all),
            };
        Self {
            policy: &found.policy,
            sentence: words::comparison(found),
            pairs: found.pairs.iter().map(pair).collect(),
            sources: found.sources.iter().take(top).map(source).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        let page = render(&sample::summary(), 20).unwrap();
        for foreign in ["http:", "https:", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn names_from_the_policy_cannot_break_the_page() {
        let page = render(&sample::summary(), 20).unwrap();
        assert!(
            page.contains("Bäckerei &#60;Mehl &#38; Söhne&#62;"),
            "{page}"
        );
    }

    #[test]
    fn the_first_finding_is_the_headline() {
        let page = render(&sample::summary(), 20).unwrap();
        assert!(page.contains(
            "<h1>12 of 300 subscribers tried more mail connections than their class allows: "
        ));
    }
}
