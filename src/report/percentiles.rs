//! Geometry of percentile plots: values up, on a logarithmic scale; to the right the share of all
//! that is not above them, by its nines, so that the rare and slow are as wide as the common.
//!
//! As in the other charts, everything is computed here, and the template only places it.

use hdrhistogram::Histogram;

use super::chart::{Tick, float, rounded};

/// So many nines at most are drawn: one value in a million.
const NINES_MAX: u32 = 6;

/// A percentile plot.
#[derive(Debug)]
pub struct PercentilePlot {
    /// Height of the plot without labels, in pixels.
    pub height: f64,
    /// One for all together; then, where there are several, one for each worker.
    pub curves: Vec<Curve>,
    /// Labels of the horizontal axis.
    pub x_ticks: Vec<Tick>,
    /// Labels of the vertical axis, from below.
    pub y_ticks: Vec<Tick>,
    /// The numbers of all together: share, value.
    pub rows: Vec<(String, String)>,
}

/// One distribution.
#[derive(Debug)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Points of an SVG polyline: across from 0 to 100, down in pixels.
    pub points: String,
}

/// Both axes.
struct Scale {
    nines: u32,
    low: f64,
    high: f64,
    height: f64,
}

impl PercentilePlot {
    /// A plot of all values together and of each worker's; `None` without values.
    #[must_use]
    pub fn new(
        all: &Histogram<u64>,
        workers: &[&Histogram<u64>],
        text: impl Fn(u64) -> String,
        height: f64,
    ) -> Option<Self> {
        if all.is_empty() {
            return None;
        }
        let scale = Scale::of(all, height);
        let mut curves = vec![scale.curve("all workers".to_owned(), all)];
        if workers.len() > 1 {
            let of_worker = |(index, histogram): (usize, &&Histogram<u64>)| {
                scale.curve(format!("worker {index}"), histogram)
            };
            let busy = workers
                .iter()
                .enumerate()
                .filter(|(_, one)| !one.is_empty());
            curves.extend(busy.map(of_worker));
        }
        let shares = scale.shares();
        let row = |(quantile, label): &(f64, String)| {
            (label.clone(), text(all.value_at_quantile(*quantile)))
        };
        let mut rows: Vec<_> = shares.iter().map(row).collect();
        rows.push(("all".to_owned(), text(all.max())));
        Some(Self {
            height,
            curves,
            x_ticks: shares
                .iter()
                .map(|(quantile, label)| Tick {
                    at: scale.x(*quantile),
                    label: label.clone(),
                })
                .collect(),
            y_ticks: scale.y_ticks(text),
            rows,
        })
    }
}

impl Scale {
    fn of(all: &Histogram<u64>, height: f64) -> Self {
        let low = float(all.min().max(1)).log10().floor();
        // What was recorded, not the end of its bucket: 1000 needs no decade beyond it.
        let largest = all.lowest_equivalent(all.max()).max(1);
        let high = float(largest).log10().ceil().max(low + 1.0);
        Self {
            nines: all.len().ilog10().clamp(1, NINES_MAX),
            low,
            high,
            height,
        }
    }

    /// Across, in percent.
    fn x(&self, quantile: f64) -> f64 {
        let nines = -(1.0 - quantile).max(f64::MIN_POSITIVE).log10();
        rounded(100.0 * (nines / f64::from(self.nines)).clamp(0.0, 1.0))
    }

    /// Down, in pixels.
    fn y(&self, value: u64) -> f64 {
        let share = (float(value.max(1)).log10() - self.low) / (self.high - self.low);
        rounded(self.height * (1.0 - share.clamp(0.0, 1.0)))
    }

    /// Half of all, then nine more for each nine.
    fn shares(&self) -> Vec<(f64, String)> {
        let nines = (1..=self.nines).map(|nines| {
            let digits = (nines as usize).saturating_sub(2);
            let quantile = 1.0 - 0.1_f64.powi(i32::try_from(nines).unwrap_or(0));
            (quantile, format!("{:.digits$} %", 100.0 * quantile))
        });
        std::iter::once((0.5, "50 %".to_owned()))
            .chain(nines)
            .collect()
    }

    fn y_ticks(&self, text: impl Fn(u64) -> String) -> Vec<Tick> {
        let decades = self.low as u32..=self.high as u32;
        let ticks = decades.filter_map(|decade| 10_u64.checked_pow(decade));
        ticks
            .map(|value| Tick {
                at: self.y(value),
                label: text(value),
            })
            .collect()
    }

    /// A step for each recorded value: from the share below it to the share up to it.
    fn curve(&self, name: String, histogram: &Histogram<u64>) -> Curve {
        let mut points = String::new();
        let mut before = 0.0;
        for step in histogram.iter_recorded() {
            let y = self.y(step.value_iterated_to());
            let after = self.x(step.quantile());
            points.push_str(&format!("{before},{y} {after},{y} "));
            before = after;
        }
        points.truncate(points.trim_end().len());
        Curve { name, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(2).expect("a precision that exists");
        for value in values {
            histogram.record(value).expect("it resizes");
        }
        histogram
    }

    #[test]
    fn the_median_lies_where_half_the_values_end_and_a_nine_is_as_wide_as_the_next() {
        let values = histogram((0..1000).map(|index| if index < 500 { 10 } else { 1000 }));
        let plot = PercentilePlot::new(&values, &[], |value| value.to_string(), 100.0);
        let plot = plot.expect("there are values");
        let labels: Vec<_> = plot
            .x_ticks
            .iter()
            .map(|tick| tick.label.as_str())
            .collect();
        assert_eq!(labels, ["50 %", "90 %", "99 %", "99.9 %"]);
        let at: Vec<_> = plot.x_ticks.iter().map(|tick| tick.at).collect();
        assert_eq!(at, [10.034, 33.333, 66.667, 100.0]);
        assert_eq!(plot.curves.len(), 1);
        let points = &plot.curves[0].points;
        assert!(points.starts_with("0,100 10.034,100 10.034,"), "{points}");
        assert!(points.ends_with("100,0"), "{points}");
        assert_eq!(plot.rows[0], ("50 %".to_owned(), "10".to_owned()));
    }

    #[test]
    fn each_worker_has_a_curve_only_where_there_are_several() {
        let (one, other, none) = (histogram([5, 7]), histogram([9]), histogram([]));
        let mut all = one.clone();
        all.add(&other).expect("of one shape");
        let curves = |workers: &[&Histogram<u64>]| {
            let plot = PercentilePlot::new(&all, workers, |value| value.to_string(), 100.0);
            let curves = plot.expect("there are values").curves;
            curves
                .into_iter()
                .map(|curve| curve.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(curves(&[&all]), ["all workers"]);
        let of_all = curves(&[&one, &none, &other]);
        assert_eq!(of_all, ["all workers", "worker 0", "worker 2"]);
    }

    #[test]
    fn without_values_there_is_no_plot() {
        let none = histogram([]);
        assert!(PercentilePlot::new(&none, &[], |value| value.to_string(), 100.0).is_none());
    }
}
