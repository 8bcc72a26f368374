//! Geometry of the page's charts: across in percent, so that a chart is as wide as its page and its
//! text as large as the rest; down in pixels. Everything is computed here, so that the template
//! only places it.

use super::words;
use crate::{
    engine::Nanos,
    replay::{Series, SourceRow},
};

/// At most so many bars fit beside each other in the time chart.
pub const BARS_MAX: usize = 120;
/// The axis of time is cut into at most so many stretches by the moments written below it.
const STRETCHES_MAX: u64 = 8;
/// At most so many bins are labelled below the histogram.
const BIN_LABELS_MAX: usize = 10;
/// Steps to round numbers: 1, 2, 5, 10, 20, 50, …
const ROUND_STEPS: [u64; 3] = [1, 2, 5];
const MILLISECOND: Nanos = 1_000_000;
const SECOND: Nanos = 1000 * MILLISECOND;
const DAY: Nanos = 86_400 * SECOND;
/// Seconds between moments that people find on a clock. Each divides the day.
const CLOCK_STEPS: [u64; 17] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
];

/// A bar of two stacked parts, admitted below and refused above.
#[derive(Debug, PartialEq)]
pub struct Bar {
    /// Left edge, in percent.
    pub x: f64,
    /// Width, in percent.
    pub width: f64,
    /// Upper edge of the admitted part, in pixels.
    pub admitted_y: f64,
    /// Height of the admitted part, in pixels.
    pub admitted_height: f64,
    /// Upper edge of the refused part, in pixels.
    pub refused_y: f64,
    /// Height of the refused part, in pixels.
    pub refused_height: f64,
    /// What the bar stands for: a moment or a range of attempts.
    pub label: String,
    /// The admitted part's number.
    pub admitted: String,
    /// The refused part's number.
    pub refused: String,
}

/// A labelled position on an axis.
#[derive(Debug, PartialEq)]
pub struct Tick {
    /// Where: in percent across, in pixels down.
    pub at: f64,
    /// What stands there.
    pub label: String,
}

/// Stacked bars over two axes.
#[derive(Debug)]
pub struct BarChart {
    /// Height of the plot without labels, in pixels.
    pub height: f64,
    /// The bars from left to right.
    pub bars: Vec<Bar>,
    /// Labels of the horizontal axis.
    pub x_ticks: Vec<Tick>,
    /// Labels of the vertical axis, from zero up.
    pub y_ticks: Vec<Tick>,
}

/// What a bar shows.
struct Column {
    /// What the bar stands for.
    label: String,
    lower: u64,
    upper: u64,
}

impl BarChart {
    /// Attempts and refusals over time; `None` without attempts.
    #[must_use]
    pub fn over_time(series: &Series, height: f64) -> Option<Self> {
        let series = series.at_most(BARS_MAX);
        let width = series.width();
        let columns: Vec<_> = series
            .iter()
            .map(|(start, bucket)| Column {
                label: words::bucket_start(start, width),
                lower: bucket.admitted,
                upper: bucket.refused,
            })
            .collect();
        // Few buckets make slim bars rather than slabs.
        let slots = columns.len().max(24);
        let (first, _) = series.iter().next()?;
        let ticks = time_ticks(first, width, columns.len() as u64, slots as u64);
        Self::new(&columns, slots, 0.86, ticks, height)
    }

    /// How many subscribers made how many attempts; `None` without subscribers.
    #[must_use]
    pub fn attempts_per_source(sources: &[SourceRow], height: f64) -> Option<Self> {
        let attempts = |over: bool| {
            let all = sources.iter().map(|row| row.tally.all());
            words::histogram(
                all.filter(|all| (all.refused > 0) == over)
                    .map(|all| all.attempts),
            )
        };
        let (kept, refused) = (attempts(false)?, attempts(true)?);
        let largest = kept.max().max(refused.max());
        let columns: Vec<_> = bins(largest)
            .map(|(low, high)| Column {
                label: bin_label(low, high),
                lower: kept.count_between(low, high),
                upper: refused.count_between(low, high),
            })
            .collect();
        let slots = columns.len().max(5);
        let tick = |(index, column): (usize, &Column)| Tick {
            at: rounded(100.0 * (float(index as u64) + 0.5) / float(slots as u64)),
            label: column.label.clone(),
        };
        let every = columns.len().div_ceil(BIN_LABELS_MAX).max(1);
        let ticks = columns.iter().enumerate().step_by(every).map(tick);
        Self::new(&columns, slots, 0.9, ticks.collect(), height)
    }

    fn new(
        columns: &[Column],
        slots: usize,
        fill: f64,
        x_ticks: Vec<Tick>,
        height: f64,
    ) -> Option<Self> {
        let peak = columns
            .iter()
            .map(|column| column.lower + column.upper)
            .max()
            .filter(|peak| *peak > 0)?;
        let (top, y_ticks) = vertical_axis(peak, height);
        let slot = 100.0 / float(slots as u64);
        let scale = |count: u64| height * float(count) / float(top);
        let bar = |(index, column): (usize, &Column)| {
            let (lower, upper) = (scale(column.lower), scale(column.upper));
            Bar {
                x: rounded(slot * (float(index as u64) + (1.0 - fill) / 2.0)),
                width: rounded(slot * fill),
                admitted_y: rounded(height - lower),
                admitted_height: rounded(lower),
                refused_y: rounded(height - lower - upper),
                refused_height: rounded(upper),
                label: column.label.clone(),
                admitted: words::thousands(column.lower),
                refused: words::thousands(column.upper),
            }
        };
        Some(Self {
            height,
            bars: columns.iter().enumerate().map(bar).collect(),
            x_ticks,
            y_ticks,
        })
    }
}

/// Round moments below an axis of `slots` columns, the first of which begins at `first`. Each
/// stands where its moment is: at the left edge of the column that begins then.
fn time_ticks(first: Nanos, width: Nanos, columns: u64, slots: u64) -> Vec<Tick> {
    let (span, axis) = (width * columns, float(width) * float(slots));
    let step = time_step(span, width);
    let tick = |moment: Nanos| Tick {
        at: rounded(100.0 * float(moment - first) / axis),
        label: words::clock(moment, step),
    };
    let moments = first.div_ceil(step)..=first.saturating_add(span) / step;
    moments.map(|index| tick(index * step)).collect()
}

/// The shortest step that people find on a clock or in a calendar, at least a column's `width`, and
/// so long that it cuts the `span` into few stretches.
fn time_step(span: Nanos, width: Nanos) -> Nanos {
    let shortest = span.div_ceil(STRETCHES_MAX).max(width);
    let below_a_second = round_numbers().map(|count| count * MILLISECOND);
    let days = round_numbers().take(15).map(|count| count * DAY);
    below_a_second
        .take_while(|step| *step < SECOND)
        .chain(CLOCK_STEPS.map(|count| count * SECOND))
        .chain(days)
        .find(|step| *step >= shortest)
        .unwrap_or(shortest)
}

/// The axis' upper end and ticks at round numbers, at most five.
fn vertical_axis(peak: u64, height: f64) -> (u64, Vec<Tick>) {
    let step = round_numbers()
        .find(|step| peak.div_ceil(*step) <= 4)
        .unwrap_or(peak);
    let steps = peak.div_ceil(step);
    let tick = |index| Tick {
        at: rounded(height - height * float(index) / float(steps)),
        label: words::thousands(index * step),
    };
    (step * steps, (0..=steps).map(tick).collect())
}

/// 1, 2, 5, 10, 20, 50, …
fn round_numbers() -> impl Iterator<Item = u64> {
    (0..19).flat_map(|power| ROUND_STEPS.map(|step| step * 10u64.pow(power)))
}

/// Ranges of attempts that reach to `largest`, both ends included.
fn bins(largest: u64) -> impl Iterator<Item = (u64, u64)> {
    round_numbers()
        .zip(round_numbers().skip(1))
        .map(|(low, next)| (low, next - 1))
        .take_while(move |(low, _)| *low <= largest)
}

fn bin_label(low: u64, high: u64) -> String {
    let short = |number: u64| match number {
        1_000_000.. => format!("{}M", number / 1_000_000),
        1_000.. => format!("{}k", number / 1_000),
        _ => number.to_string(),
    };
    match low {
        _ if low == high => low.to_string(),
        0..100 => format!("{low}–{high}"),
        _ => format!("{}+", short(low)),
    }
}

/// Three decimals are finer than any screen and keep the page small.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "a length on a screen")]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vertical_axis_ends_at_a_round_number_at_or_above_the_peak() {
        for (peak, top, ticks) in [
            (1, 1, 2),
            (7, 8, 5),
            (10, 10, 3),
            (45, 60, 4),
            (1_234, 1_500, 4),
        ] {
            let (end, axis) = vertical_axis(peak, 100.0);
            assert_eq!((end, axis.len()), (top, ticks), "peak {peak}");
            assert_eq!((axis[0].at, axis[ticks - 1].at), (100.0, 0.0));
        }
    }

    #[test]
    fn steps_of_time_are_those_of_a_clock() {
        let minutes = |count: u64| count * 60 * SECOND;
        let cases = [
            (20 * MILLISECOND, 5 * MILLISECOND),
            (4 * SECOND, 500 * MILLISECOND),
            (13 * SECOND, 2 * SECOND),
            (minutes(2), 15 * SECOND),
            (minutes(5), minutes(1)),
            (minutes(10), minutes(2)),
            (minutes(61), minutes(10)),
            (minutes(100), minutes(15)),
            (DAY, 3 * 3600 * SECOND),
            (2 * DAY, 6 * 3600 * SECOND),
            (7 * DAY, DAY),
            (60 * DAY, 10 * DAY),
        ];
        for (span, step) in cases {
            assert_eq!(time_step(span, span / 100), step, "{span} ns");
        }
        assert_eq!(
            time_step(5 * SECOND, 5 * SECOND),
            5 * SECOND,
            "no finer than a column"
        );
        assert!(time_step(u64::MAX, 364 * DAY) >= u64::MAX / STRETCHES_MAX);
    }

    #[test]
    fn ticks_stand_at_round_moments_whenever_the_capture_begins() {
        let begin = 18 * 3600 * SECOND + 55 * SECOND;
        let ticks = time_ticks(begin, 5 * SECOND, 60, 60);
        let labels: Vec<_> = ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["18:01", "18:02", "18:03", "18:04", "18:05"]);
        assert_eq!((ticks[0].at, ticks[1].at), (1.667, 21.667));
    }

    #[test]
    fn a_lone_column_has_its_moment_below() {
        let ticks = time_ticks(3 * SECOND, SECOND, 1, 24);
        let labels: Vec<_> = ticks.iter().map(|tick| tick.label.as_str()).collect();
        assert_eq!(labels, ["00:00:03", "00:00:04"]);
    }

    #[test]
    fn bins_cover_every_number_of_attempts_once() {
        let bins: Vec<_> = bins(60).collect();
        assert_eq!(bins, [(1, 1), (2, 4), (5, 9), (10, 19), (20, 49), (50, 99)]);
    }

    #[test]
    fn a_bar_stacks_refusals_on_admissions() {
        let mut series = Series::new(10);
        for admitted in [true, true, true, false] {
            series.count(0, admitted);
        }
        let chart = BarChart::over_time(&series, 100.0).unwrap();
        let bar = &chart.bars[0];
        assert_eq!((bar.admitted_y, bar.admitted_height), (25.0, 75.0));
        assert_eq!((bar.refused_y, bar.refused_height), (0.0, 25.0));
    }

    #[test]
    fn without_attempts_there_is_no_chart() {
        assert!(BarChart::over_time(&Series::new(10), 100.0).is_none());
        assert!(BarChart::attempts_per_source(&[], 100.0).is_none());
    }
}
