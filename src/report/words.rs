//! Numbers, times and findings in plain language.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use jiff::Timestamp;

use crate::{
    engine::{Nanos, Reason},
    replay::{ComparisonSummary, CounterRow, Difference, ReasonTally, SourceRow, Summary},
};

/// `1234567` as `1,234,567`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 frame`, `2 frames`.
#[must_use]
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

/// A share in percent that never rounds something to nothing, nor nearly everything to all.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage of three digits")]
    let share = part as f64 * 100.0 / whole as f64;
    match share {
        _ if part == whole => "100 %".to_owned(),
        share if share < 0.1 => "< 0.1 %".to_owned(),
        share if share > 99.9 => "> 99.9 %".to_owned(),
        share => format!("{share:.1} %"),
    }
}

/// A stretch of time in its two largest units.
#[must_use]
pub fn duration(nanos: Nanos) -> String {
    let seconds = nanos / 1_000_000_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match nanos {
        _ if days > 0 => two_units(days, "d", hours % 24, "h"),
        _ if hours > 0 => two_units(hours, "h", minutes % 60, "min"),
        _ if minutes > 0 => two_units(minutes, "min", seconds % 60, "s"),
        _ if seconds > 0 => two_units(seconds, "s", nanos / 1_000_000 % 1000, "ms"),
        _ if nanos >= 1_000_000 => format!("{} ms", nanos / 1_000_000),
        _ if nanos >= 1_000 => format!("{} µs", nanos / 1_000),
        _ => format!("{nanos} ns"),
    }
}

fn two_units(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    }
}

/// A moment in UTC, to the second.
#[must_use]
pub fn moment(nanos: Nanos) -> String {
    timestamp(nanos)
        .strftime("%Y-%m-%d %H:%M:%S UTC")
        .to_string()
}

/// A moment in UTC as RFC 3339 has it, to the nanosecond.
#[must_use]
pub fn rfc3339(nanos: Nanos) -> String {
    format!("{:.9}", timestamp(nanos))
}

const SECOND: Nanos = 1_000_000_000;
const MINUTE: Nanos = 60 * SECOND;
const HALF_HOUR: Nanos = 30 * MINUTE;
const DAY: Nanos = 48 * HALF_HOUR;

/// When a chart's bucket of this `width` begins, in UTC and as fine as the width: from
/// half an hour on, a chart may span more than a day.
#[must_use]
pub fn bucket_start(nanos: Nanos, width: Nanos) -> String {
    let format = match width {
        0..SECOND => "%H:%M:%S%.3f",
        SECOND..MINUTE => "%H:%M:%S",
        MINUTE..HALF_HOUR => "%H:%M",
        HALF_HOUR..DAY => "%Y-%m-%d %H:%M",
        DAY.. => "%Y-%m-%d",
    };
    timestamp(nanos).strftime(format).to_string()
}

/// What stands at a tick of a time axis in UTC, if the ticks are one `step` apart. Midnight is
/// written as the day that begins.
#[must_use]
pub fn clock(nanos: Nanos, step: Nanos) -> String {
    let format = match step {
        0..SECOND => "%H:%M:%S%.3f",
        SECOND..MINUTE => "%H:%M:%S",
        _ if nanos.is_multiple_of(DAY) => "%Y-%m-%d",
        _ => "%H:%M",
    };
    timestamp(nanos).strftime(format).to_string()
}

fn timestamp(nanos: Nanos) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::MAX)
}

/// What happened to the frames of one reason, in one or two words.
#[must_use]
pub fn fate(tally: &ReasonTally) -> &'static str {
    if tally.redirected > 0 {
        return "redirect";
    }
    match (tally.dropped > 0, tally.reset > 0, tally.observed > 0) {
        (true, true, _) => "drop, reset",
        (true, false, true) => "drop, observe",
        (false, true, true) => "reset, observe",
        (true, false, false) => "drop",
        (false, true, false) => "reset",
        (false, false, true) => "observe",
        (false, false, false) => "forward",
    }
}

/// `residential 3,400 · mta 12`: a reason's frames by class, largest first, at most `classes_max`
/// of them and the rest summed up. Empty where no class was looked up.
#[must_use]
pub fn by_class(counters: &[CounterRow], reason: Reason, classes_max: usize) -> String {
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    for row in counters.iter().filter(|row| row.reason == reason) {
        if let Some(class) = &row.class {
            *classes.entry(class).or_default() += row.frames;
        }
    }
    let mut classes: Vec<_> = classes.into_iter().collect();
    classes.sort_by_key(|(_, frames)| std::cmp::Reverse(*frames));
    let rest: u64 = classes
        .iter()
        .skip(classes_max)
        .map(|(_, frames)| frames)
        .sum();
    let mut parts: Vec<_> = classes
        .iter()
        .take(classes_max)
        .map(|(class, frames)| format!("{class} {}", thousands(*frames)))
        .collect();
    if rest > 0 {
        parts.push(format!("others {}", thousands(rest)));
    }
    parts.join(" · ")
}

/// A histogram that is as wide as its largest value needs; `None` where that cannot be.
#[must_use]
pub fn histogram(values: impl Iterator<Item = u64>) -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new(3).ok()?;
    for value in values {
        histogram.record(value).ok()?;
    }
    Some(histogram)
}

/// How many attempts a typical and a busy subscriber made; empty without subscribers.
#[must_use]
pub fn typical_source(sources: &[SourceRow]) -> String {
    let attempts = sources.iter().map(|row| row.tally.all().attempts);
    let mut attempts: Vec<_> = attempts.collect();
    attempts.sort_unstable();
    let Some(&busiest) = attempts.last() else {
        return String::new();
    };
    // The number that so many of a hundred subscribers do not exceed.
    let at_most = |percent: usize| attempts[(attempts.len() * percent).div_ceil(100) - 1];
    let (half, nearly_all) = (at_most(50), at_most(99));
    if half == busiest {
        return format!("No subscriber made more than {}.", counted(half, "attempt"));
    }
    let middle = if nearly_all < busiest {
        format!("99 of 100 at most {}, ", thousands(nearly_all))
    } else {
        String::new()
    };
    format!(
        "Half of the subscribers made at most {}, {middle}the busiest {}.",
        counted(half, "attempt"),
        thousands(busiest),
    )
}

/// What a second policy would have changed, in one sentence.
#[must_use]
pub fn comparison(found: &ComparisonSummary) -> String {
    let frames = counted(found.frames, "frame");
    match found.differing {
        0 => format!("Both policies give the same verdict on all {frames}."),
        differing => format!(
            "{} of {frames} would fare differently, from {}.",
            thousands(differing),
            counted(found.sources.len() as u64, "subscriber"),
        ),
    }
}

/// `17, 23, 99, …`: frame numbers to look at.
#[must_use]
pub fn examples(difference: &Difference) -> String {
    let mut numbers: Vec<_> = difference.examples.iter().map(u64::to_string).collect();
    if difference.frames > numbers.len() as u64 {
        numbers.push("…".to_owned());
    }
    numbers.join(", ")
}

/// What frames were stopped for, as far as a reader needs to tell reasons apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topic {
    /// They were not stopped.
    Crossing,
    /// A subscriber's mail, beyond what its class allows.
    Excess,
    /// Answers to mail that a subscriber sent from elsewhere.
    Reply,
    /// Mail of a subscriber who is quarantined, or the answer to it.
    Quarantine,
    /// What is closed in the walled garden.
    Garden,
    /// A quarantined subscriber's browser was sent to the notice page.
    Told,
    /// A source address in no pool.
    Stranger,
    /// A subscriber's address, where that subscriber is not.
    Misplaced,
    /// An attempt that no honest client makes.
    Malformed,
    /// Could hide mail.
    Hidden,
}

impl Topic {
    fn of(reason: Reason) -> Self {
        use Reason as R;
        match reason {
            R::NotMail | R::LinkControl | R::UnknownProtocol | R::LaterFragment | R::Tunnel => {
                Self::Crossing
            }
            R::Unreadable | R::MailSegment | R::InboundMail | R::Allowed | R::Admitted => {
                Self::Crossing
            }
            R::Relayed | R::StrangerForwarded | R::TableFullForwarded => Self::Crossing,
            R::LimitExceeded | R::SubmissionLimitExceeded | R::RelayLimitExceeded => Self::Excess,
            R::SmtpBlocked | R::SubmissionBlocked | R::TableFull => Self::Excess,
            R::SmtpReplyBlocked | R::OrphanSynAck => Self::Reply,
            R::Quarantined | R::QuarantinedReply => Self::Quarantine,
            R::Walled => Self::Garden,
            R::Redirected => Self::Told,
            R::Stranger => Self::Stranger,
            R::WrongVlan => Self::Misplaced,
            R::BadIpv4Checksum | R::SourceRoute | R::SynFin | R::SynRst => Self::Malformed,
            R::TinyFragment | R::FragmentAtOffsetOne | R::IncompleteHeaderChain => Self::Hidden,
            R::TooManyTags | R::TooManyExtensions | R::VersionMismatch => Self::Hidden,
            R::BadInternetHeaderLength | R::BadDataOffset | R::LengthOverrun => Self::Hidden,
            R::PppoeLengthOverrun | R::ExtensionOverrun | R::TruncatedTcpHeader => Self::Hidden,
            R::TruncatedHeader => Self::Hidden,
        }
    }
}

/// What the replay found, one sentence each, the most important first.
#[must_use]
pub fn findings(summary: &Summary) -> Vec<String> {
    let stopped = |topic: Topic| {
        let of_topic = summary
            .reasons
            .iter()
            .filter(|(reason, _)| Topic::of(*reason) == topic);
        of_topic
            .map(|(_, tally)| tally.dropped + tally.reset + tally.redirected)
            .sum::<u64>()
    };
    let sentence = |topic, noun: &str, one: &str, many: &str| {
        let frames = stopped(topic);
        let rest = if frames == 1 { one } else { many };
        (frames > 0).then(|| format!("{} {rest}", counted(frames, noun)))
    };
    let mut sentences = vec![attempts_sentence(summary)];
    sentences.extend(sentence(
        Topic::Hidden,
        "frame",
        "was stopped because it could have hidden mail from any filter.",
        "were stopped because they could have hidden mail from any filter.",
    ));
    sentences.extend(sentence(
        Topic::Quarantine,
        "mail segment",
        "from or to quarantined subscribers was stopped.",
        "from or to quarantined subscribers were stopped.",
    ));
    sentences.extend(sentence(
        Topic::Garden,
        "frame",
        "from a subscriber in the walled garden was stopped.",
        "from subscribers in the walled garden were stopped.",
    ));
    sentences.extend(sentence(
        Topic::Told,
        "segment",
        "to a web server was answered with what leads to the notice page.",
        "to web servers were answered with what leads to the notice page.",
    ));
    sentences.extend(sentence(
        Topic::Stranger,
        "mail segment",
        "came from an address that belongs to no subscriber, and was stopped.",
        "came from addresses that belong to no subscriber, and were stopped.",
    ));
    sentences.extend(sentence(
        Topic::Misplaced,
        "mail segment",
        "came from an address that belongs to subscribers elsewhere, and was stopped.",
        "came from addresses that belong to subscribers elsewhere, and were stopped.",
    ));
    sentences.extend(sentence(
        Topic::Reply,
        "answer",
        "from a mail server to a subscriber who may not send mail was stopped.",
        "from mail servers to subscribers who may not send mail were stopped.",
    ));
    sentences.extend(sentence(
        Topic::Malformed,
        "attempt",
        "was stopped because no honest client makes such.",
        "were stopped because no honest client makes such.",
    ));
    let detection = summary.detection.as_ref();
    sentences.extend(detection.and_then(|found| super::flagged::sentence(&found.flagged)));
    sentences.extend(observed_sentence(summary));
    sentences.push(rest_sentence(summary));
    sentences
}

fn attempts_sentence(summary: &Summary) -> String {
    let mut all = summary.smtp();
    all.add(summary.submission());
    let seen = summary.sources.len() as u64;
    let over = summary
        .sources
        .iter()
        .filter(|row| row.tally.all().refused > 0)
        .count() as u64;
    let attempts = counted(all.attempts, "attempt");
    match (seen, over) {
        (0, _) => "No subscriber tried to open a mail connection.".to_owned(),
        (1, 0) => format!(
            "The one subscriber that opened mail connections kept to its class: {attempts}, none refused."
        ),
        (_, 0) => format!(
            "All {} subscribers that opened mail connections kept to their class: {attempts}, none refused.",
            thousands(seen),
        ),
        _ => format!(
            "{} of {} tried more mail connections than {} class allows: {} of {attempts} {} refused.",
            thousands(over),
            counted(seen, "subscriber"),
            if over == 1 { "its" } else { "their" },
            thousands(all.refused),
            if all.refused == 1 { "was" } else { "were" },
        ),
    }
}

fn observed_sentence(summary: &Summary) -> Option<String> {
    let frames = summary.frames.observed;
    let rest = "would have been stopped, but the policy only observes there, so";
    let crossed = if frames == 1 {
        "it crossed"
    } else {
        "they crossed"
    };
    (frames > 0).then(|| format!("{} {rest} {crossed}.", counted(frames, "frame")))
}

fn rest_sentence(summary: &Summary) -> String {
    let frames = summary.frames;
    let crossed = frames.forwarded + frames.unreadable;
    match frames.total - crossed {
        0 => "No frame was stopped.".to_owned(),
        _ => format!(
            "Nothing else was touched: {} ({}) crossed.",
            counted(crossed, "frame"),
            percent(crossed, frames.total),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn large_numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn a_percentage_never_rounds_something_to_nothing_or_to_everything() {
        assert_eq!(percent(0, 10), "0 %");
        assert_eq!(percent(1, 1_000_000), "< 0.1 %");
        assert_eq!(percent(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(3, 3), "100 %");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        let cases = [
            (5, "5 ns"),
            (1_500_000, "1 ms"),
            (1_500_000_000, "1 s 500 ms"),
            (60_000_000_000, "1 min"),
            (90_061_000_000_000, "1 d 1 h"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(nanos), text);
        }
    }

    #[test]
    fn a_tick_names_the_day_at_midnight_and_the_minute_or_second_otherwise() {
        let noon = 20_779 * DAY + DAY / 2;
        assert_eq!(clock(noon, SECOND / 2), "12:00:00.000");
        assert_eq!(clock(noon, 30 * SECOND), "12:00:00");
        assert_eq!(clock(noon, 10 * MINUTE), "12:00");
        assert_eq!(clock(noon + DAY / 2, DAY / 4), "2026-11-23");
    }

    #[test]
    fn a_bucket_of_a_chart_over_days_names_its_day() {
        let noon = 20_779 * DAY + DAY / 2;
        let starts = [SECOND / 10, SECOND, MINUTE, HALF_HOUR, DAY];
        assert_eq!(
            starts.map(|width| bucket_start(noon, width)),
            [
                "12:00:00.000",
                "12:00:00",
                "12:00",
                "2026-11-22 12:00",
                "2026-11-22"
            ]
        );
    }

    #[test]
    fn a_small_capture_says_nothing_twice_about_its_busiest_subscriber() {
        let sources = sample::summary().sources;
        let (kept, zombie) = (&sources[0], &sources[28]);
        let rows = |kept_count, zombies| {
            let rows = std::iter::repeat_n(kept.clone(), kept_count);
            let rows: Vec<_> = rows
                .chain(std::iter::repeat_n(zombie.clone(), zombies))
                .collect();
            typical_source(&rows)
        };
        assert_eq!(rows(0, 0), "");
        assert_eq!(rows(1, 0), "No subscriber made more than 1 attempt.");
        assert_eq!(
            rows(50, 2),
            "Half of the subscribers made at most 1 attempt, the busiest 1,248."
        );
        assert_eq!(
            rows(199, 1),
            "Half of the subscribers made at most 1 attempt, 99 of 100 at most 1, the busiest 1,248."
        );
    }

    #[test]
    fn a_strangers_address_is_told_apart_from_a_subscribers_in_the_wrong_place() {
        let mut summary = sample::summary();
        for (reason, dropped) in [(Reason::Stranger, 742), (Reason::WrongVlan, 1)] {
            summary.reasons[reason as usize].1.dropped = dropped;
        }
        let text = findings(&summary).join(" ");
        assert!(
            text.contains("742 mail segments came from addresses that belong to no subscriber, "),
            "{text}"
        );
        assert!(
            text.contains(
                "1 mail segment came from an address that belongs to subscribers elsewhere, "
            ),
            "{text}"
        );
    }

    #[test]
    fn the_last_nanosecond_that_fits_is_still_a_moment() {
        assert_eq!(rfc3339(1_500_000_001), "1970-01-01T00:00:01.500000001Z");
        assert_eq!(moment(u64::MAX), "2554-07-21 23:34:33 UTC");
    }
}
