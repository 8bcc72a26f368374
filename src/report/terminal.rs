//! The replay's findings for people at a terminal, or in a pipe: no colour and no line drawing is
//! needed to understand it.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::words;
use crate::replay::{ComparisonSummary, Detection, Series, ServiceTally, Summary, source_text};

const TITLE: Style = Style::new().bold();
const STOPPED: Style = AnsiColor::Red.on_default();
const FAINT: Style = Style::new().dimmed();

/// Columns of the chart over time.
const COLUMNS_MAX: usize = 60;
/// So many classes are told apart beside a reason before the rest is summed up.
const CLASSES_MAX: usize = 3;
/// So many kinds of differences are listed.
const PAIRS_MAX: usize = 12;

/// Writes the report, with the `top` subscribers that were refused most. Styles are always
/// written; the caller's stream strips them where they are not wanted.
///
/// # Errors
/// Those of the writer.
pub fn write(summary: &Summary, top: usize, out: &mut impl Write) -> io::Result<()> {
    heading(summary, out)?;
    reasons(summary, out)?;
    services(summary, out)?;
    sources(summary, top, out)?;
    if let Some(found) = &summary.detection {
        flagged(found, out)?;
    }
    over_time(&summary.series, out)?;
    if let Some(found) = &summary.comparison {
        comparison(found, top, out)?;
    }
    out.flush()
}

fn heading(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let capture = &summary.capture;
    for sentence in words::findings(summary) {
        writeln!(out, "{TITLE}{sentence}{TITLE:#}")?;
    }
    writeln!(out)?;
    write!(
        out,
        "{FAINT}{} by {}",
        capture.files.join(", "),
        summary.policy
    )?;
    if let Some(first) = capture.first {
        write!(
            out,
            ", {} from {}",
            words::duration(capture.duration()),
            words::moment(first)
        )?;
    }
    writeln!(out, "{FAINT:#}")?;
    if capture.clamped > 0 {
        writeln!(
            out,
            "Time ran backwards in {}; each was judged at the latest time before it.",
            words::counted(capture.clamped, "frame")
        )?;
    }
    if !capture.damage.is_empty() {
        writeln!(
            out,
            "{STOPPED}Incomplete: {} of {} damaged; what stands before the damage was judged.{STOPPED:#}",
            capture.damage.len(),
            words::counted(capture.files.len() as u64, "capture"),
        )?;
    }
    Ok(())
}

fn title(out: &mut impl Write, text: &str) -> io::Result<()> {
    writeln!(out, "\n{TITLE}{text}{TITLE:#}")
}

fn reasons(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    title(out, "Verdicts")?;
    let frames = summary.frames;
    for (name, count, style) in [
        ("forwarded", frames.forwarded, Style::new()),
        ("dropped", frames.dropped, STOPPED),
        ("reset", frames.reset, STOPPED),
        ("redirected", frames.redirected, STOPPED),
        ("unreadable", frames.unreadable, Style::new()),
    ] {
        let style = if count == 0 { FAINT } else { style };
        let (share, count) = (words::percent(count, frames.total), words::thousands(count));
        writeln!(out, "{style}{count:>15}  {name:<28} {share:>8}{style:#}")?;
    }
    title(out, "Reasons")?;
    let mut seen: Vec<_> = summary
        .reasons
        .iter()
        .filter(|(_, tally)| tally.total() > 0)
        .collect();
    seen.sort_by_key(|(_, tally)| std::cmp::Reverse(tally.total()));
    for (reason, tally) in seen {
        let fate = words::fate(tally);
        let style = if fate == "forward" {
            Style::new()
        } else {
            STOPPED
        };
        let (count, name) = (words::thousands(tally.total()), reason.name());
        let classes = words::by_class(&summary.counters, *reason, CLASSES_MAX);
        let line =
            format!("{style}{count:>15}  {name:<28} {fate:<14}{style:#} {FAINT}{classes}{FAINT:#}");
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn services(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    title(out, "Mail connections of subscribers")?;
    writeln!(
        out,
        "{FAINT}{:>15}  {:<28} {:>12} {:>12} {:>12}{FAINT:#}",
        "attempts", "service", "SYN frames", "admitted", "refused"
    )?;
    for (name, tally) in [
        ("SMTP (25)", summary.smtp()),
        ("submission (587, 465)", summary.submission()),
    ] {
        let ServiceTally {
            syn_frames,
            attempts,
            admitted,
            refused,
        } = tally;
        let style = if refused > 0 { STOPPED } else { Style::new() };
        let [syn_frames, attempts, admitted, refused] =
            [syn_frames, attempts, admitted, refused].map(words::thousands);
        writeln!(
            out,
            "{attempts:>15}  {name:<28} {syn_frames:>12} {admitted:>12} {style}{refused:>12}{style:#}"
        )?;
    }
    Ok(())
}

fn sources(summary: &Summary, top: usize, out: &mut impl Write) -> io::Result<()> {
    let rows = summary.top_sources(top);
    if rows.is_empty() {
        return Ok(());
    }
    let of = if rows.len() < summary.sources.len() {
        format!(
            ", {} of {}",
            rows.len(),
            words::thousands(summary.sources.len() as u64)
        )
    } else {
        String::new()
    };
    title(out, &format!("Subscribers refused most{of}"))?;
    writeln!(
        out,
        "{FAINT}{:>15}  {:<28} {:>12} {:>12}  class{FAINT:#}",
        "attempts", "subscriber", "admitted", "refused"
    )?;
    for row in rows {
        let all = row.tally.all();
        let [attempts, admitted, refused] =
            [all.attempts, all.admitted, all.refused].map(words::thousands);
        let style = if all.refused > 0 {
            STOPPED
        } else {
            Style::new()
        };
        let name = row
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" ({name})"));
        writeln!(
            out,
            "{attempts:>15}  {:<28} {admitted:>12} {style}{refused:>12}{style:#}  {}{name}",
            source_text(row.key),
            row.class,
        )?;
    }
    Ok(())
}

fn flagged(found: &Detection, out: &mut impl Write) -> io::Result<()> {
    let (observed, unproven) = (
        words::counted(found.observed, "subscriber"),
        words::counted(found.unproven, "attempt"),
    );
    title(out, "Flagged subscribers")?;
    writeln!(
        out,
        "{FAINT}{observed} observed; {unproven} in the name of others, blamed on nobody{FAINT:#}"
    )?;
    if found.full > 0 {
        let times = words::counted(found.full, "time");
        writeln!(
            out,
            "{STOPPED}No room to observe a subscriber, {times}.{STOPPED:#}"
        )?;
    }
    for row in &found.flagged {
        let name = row
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" ({name})"));
        writeln!(
            out,
            "{:>15}  {STOPPED}{:<28}{STOPPED:#} {}{name}",
            words::thousands(row.flag.attempts.into()),
            source_text(row.key()),
            row.class,
        )?;
        writeln!(out, "{:>15}  {}", "", super::flagged::why(&row.flag))?;
        for (when, what) in super::flagged::time_line(row) {
            writeln!(out, "{:>15}  {FAINT}{when}{FAINT:#}  {what}", "")?;
        }
    }
    if found.flagged.is_empty() {
        writeln!(out, "{:>15}  none", "")?;
    }
    Ok(())
}

fn over_time(series: &Series, out: &mut impl Write) -> io::Result<()> {
    let series = series.at_most(COLUMNS_MAX);
    let buckets: Vec<_> = series.iter().collect();
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Ok(());
    };
    let attempts: Vec<_> = buckets
        .iter()
        .map(|(_, bucket)| bucket.admitted + bucket.refused)
        .collect();
    let refused: Vec<_> = buckets.iter().map(|(_, bucket)| bucket.refused).collect();
    let peak = attempts.iter().copied().max().unwrap_or(0);
    let width = series.width();
    title(
        out,
        &format!("Over time, one column is {}", words::duration(width)),
    )?;
    for (name, counts, style) in [
        ("attempts", attempts, Style::new()),
        ("refused", refused, STOPPED),
    ] {
        let most = words::thousands(counts.iter().copied().max().unwrap_or(0));
        writeln!(
            out,
            "{name:>15}  {style}{}{style:#}  at most {most}",
            sparkline(&counts, peak)
        )?;
    }
    let (begin, end) = (
        words::bucket_start(first.0, width),
        words::bucket_start(last.0, width),
    );
    let gap = buckets.len().saturating_sub(begin.len() + end.len());
    let axis = if gap == 0 {
        begin
    } else {
        format!("{begin}{:gap$}{end}", "")
    };
    writeln!(out, "{:>15}  {FAINT}{axis} UTC{FAINT:#}", "")
}

/// One character a number, as high as its share of `peak`; something is never shown as nothing.
fn sparkline(counts: &[u64], peak: u64) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let level = |count: u64| match count {
        0 => ' ',
        _ => {
            let eighths = u128::from(count) * 8 / u128::from(peak.max(count));
            LEVELS[usize::try_from(eighths).unwrap_or(8).clamp(1, 8) - 1]
        }
    };
    counts.iter().map(|count| level(*count)).collect()
}

fn comparison(found: &ComparisonSummary, top: usize, out: &mut impl Write) -> io::Result<()> {
    title(out, &format!("Compared with {}", found.policy))?;
    writeln!(out, "{}", words::comparison(found))?;
    if found.differing == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "{FAINT}{:>15}  {:<36} {:<36} examples{FAINT:#}",
        "frames", "this policy", "the other"
    )?;
    for (ours, theirs, difference) in found.pairs.iter().take(PAIRS_MAX) {
        let (ours, theirs) = (ours.to_string(), theirs.to_string());
        let (frames, examples) = (
            words::thousands(difference.frames),
            words::examples(difference),
        );
        writeln!(out, "{frames:>15}  {ours:<36} {theirs:<36} {examples}")?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "{FAINT}{:>15}  {:<28} {:>14} {:>14}  examples{FAINT:#}",
        "frames", "subscriber", "newly refused", "newly admitted"
    )?;
    for (key, source) in found.sources.iter().take(top) {
        let [frames, refused, admitted] = [
            source.all.frames,
            source.newly_refused,
            source.newly_admitted,
        ]
        .map(words::thousands);
        let examples = words::examples(&source.all);
        writeln!(
            out,
            "{frames:>15}  {:<28} {refused:>14} {admitted:>14}  {examples}",
            source_text(*key)
        )?;
    }
    if found.strangers.frames > 0 {
        let frames = words::thousands(found.strangers.frames);
        let examples = words::examples(&found.strangers);
        writeln!(
            out,
            "{frames:>15}  {:<28} {:>14} {:>14}  {examples}",
            "(no subscriber)", "", ""
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    fn plain(summary: &Summary, top: usize) -> String {
        let mut text = Vec::new();
        write(summary, top, &mut anstream::StripStream::new(&mut text)).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_sparkline_never_shows_something_as_nothing() {
        assert_eq!(sparkline(&[0, 1, 50, 100], 100), " ▁▄█");
        assert_eq!(sparkline(&[0, 0], 0), "  ");
    }

    #[test]
    fn the_report_begins_with_what_was_found() {
        let report = plain(&sample::summary(), 5);
        assert!(
            report.starts_with(
                "12 of 300 subscribers tried more mail connections than their class allows"
            ),
            "{report}"
        );
    }

    #[test]
    fn only_so_many_subscribers_are_listed_and_the_rest_is_counted() {
        let report = plain(&sample::summary(), 5);
        assert!(
            report.contains("Subscribers refused most, 5 of 300"),
            "{report}"
        );
        assert_eq!(report.matches("residential\n").count(), 5, "{report}");
    }

    #[test]
    fn without_colour_there_is_no_escape_sequence() {
        assert!(!plain(&sample::summary(), 5).contains('\u{1b}'));
    }
}
