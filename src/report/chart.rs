//! Geometry of the page's charts, in SVG user units. Everything is computed here, so that the
//! template only places it.

use super::words;
use crate::replay::{Series, SourceRow};

/// At most so many bars fit beside each other in the time chart.
pub const BARS_MAX: usize = 120;
/// At most so many moments are written below it.
const TIMES_MAX: usize = 6;
/// Upper bounds of the histogram's bins: 1, 2–4, 5–9, 10–19, 20–49, …
const BIN_STEPS: [u64; 3] = [1, 2, 5];

/// A bar of two stacked parts, admitted below and refused above.
#[derive(Debug, PartialEq)]
pub struct Bar {
    /// Left edge.
    pub x: f64,
    /// Width.
    pub width: f64,
    /// Upper edge of the admitted part.
    pub admitted_y: f64,
    /// Height of the admitted part.
    pub admitted_height: f64,
    /// Upper edge of the refused part.
    pub refused_y: f64,
    /// Height of the refused part.
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
    /// Where.
    pub at: f64,
    /// What stands there.
    pub label: String,
}

/// Stacked bars over two axes.
#[derive(Debug)]
pub struct BarChart {
    /// Width of the plot, without labels.
    pub width: f64,
    /// Height of the plot, without labels.
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
    /// What stands below it, if anything does.
    tick: String,
    lower: u64,
    upper: u64,
}

impl BarChart {
    /// Attempts and refusals over time; `None` without attempts.
    #[must_use]
    pub fn over_time(series: &Series, width: f64, height: f64) -> Option<Self> {
        let series = series.at_most(BARS_MAX);
        let step = series.width();
        let every = columns_per_tick(series.iter().len(), step);
        let columns: Vec<_> = series
            .iter()
            .map(|(start, bucket)| Column {
                label: words::time_of_day(start, step),
                tick: words::time_of_day(start, step * every as u64),
                lower: bucket.admitted,
                upper: bucket.refused,
            })
            .collect();
        // Few buckets make slim bars rather than slabs.
        Self::new(&columns, columns.len().max(24), 0.86, every, width, height)
    }

    /// How many subscribers made how many attempts; `None` without subscribers.
    #[must_use]
    pub fn attempts_per_source(sources: &[SourceRow], width: f64, height: f64) -> Option<Self> {
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
                tick: bin_label(low, high),
                lower: kept.count_between(low, high),
                upper: refused.count_between(low, high),
            })
            .collect();
        Self::new(&columns, columns.len().max(5), 0.9, 1, width, height)
    }

    fn new(
        columns: &[Column],
        slots: usize,
        fill: f64,
        every: usize,
        width: f64,
        height: f64,
    ) -> Option<Self> {
        let peak = columns
            .iter()
            .map(|column| column.lower + column.upper)
            .max()
            .filter(|peak| *peak > 0)?;
        let (top, y_ticks) = vertical_axis(peak, height);
        let slot = width / float(slots as u64);
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
        let tick = |(index, column): (usize, &Column)| Tick {
            at: rounded(slot * (float(index as u64) + 0.5)),
            label: column.tick.clone(),
        };
        Some(Self {
            width,
            height,
            bars: columns.iter().enumerate().map(bar).collect(),
            x_ticks: columns
                .iter()
                .enumerate()
                .step_by(every)
                .map(tick)
                .collect(),
            y_ticks,
        })
    }
}

/// How many columns of this width stand between two written moments: whole seconds, if it is more
/// than one.
fn columns_per_tick(columns: usize, width: u64) -> usize {
    const SECOND: u64 = 1_000_000_000;
    let fewest = columns.div_ceil(TIMES_MAX).max(1);
    let is_readable = |count: &usize| {
        let gap = width * *count as u64;
        gap < SECOND || gap.is_multiple_of(SECOND)
    };
    (fewest..fewest + 1000).find(is_readable).unwrap_or(fewest)
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
    (0..19).flat_map(|power| BIN_STEPS.map(|step| step * 10u64.pow(power)))
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

/// Two decimals are finer than any screen and keep the page small.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a length on a screen")]
fn float(value: u64) -> f64 {
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
    fn moments_below_the_axis_are_whole_seconds_or_less_than_one_apart() {
        let half = 500_000_000;
        assert_eq!(columns_per_tick(25, half), 6, "3 s rather than 2.5 s");
        assert_eq!(columns_per_tick(25, half / 50), 5, "50 ms");
        assert_eq!(columns_per_tick(1, 10 * half), 1);
        assert_eq!(columns_per_tick(0, half), 1);
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
        let chart = BarChart::over_time(&series, 240.0, 100.0).unwrap();
        let bar = &chart.bars[0];
        assert_eq!((bar.admitted_y, bar.admitted_height), (25.0, 75.0));
        assert_eq!((bar.refused_y, bar.refused_height), (0.0, 25.0));
    }

    #[test]
    fn without_attempts_there_is_no_chart() {
        assert!(BarChart::over_time(&Series::new(10), 100.0, 100.0).is_none());
        assert!(BarChart::attempts_per_source(&[], 100.0, 100.0).is_none());
    }
}
