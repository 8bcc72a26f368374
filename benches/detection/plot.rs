//! The plots of docs/detection.md.

use std::{error::Error, path::Path};

use plotters::{coord::CoordTranslate, prelude::*};

use crate::{Score, quantile, rivals::Curve};

const SIZE: (u32, u32) = (860, 460);
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 107, 164),
    RGBColor(200, 82, 0),
    RGBColor(89, 89, 89),
    RGBColor(0, 128, 96),
    RGBColor(150, 60, 150),
];

/// Draws both.
pub fn draw(folder: &Path, rows: &[Score], curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    times(&folder.join("detection-time.svg"), &rows[0])?;
    let_out(&folder.join("detection-let-out.svg"), &rows[0], curves)
}

/// How many of each kind are found after how long.
fn times(file: &Path, ours: &Score) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Time from a zombie's first attempt until it is found",
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(64)
        .build_cartesian_2d((1.0..86_400.0).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("time (logarithmic)")
        .y_desc("found, % of the kind")
        .x_label_formatter(&|seconds| moment(*seconds))
        .y_label_formatter(&|share| format!("{share:.0}"))
        .x_labels(12)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 14))
        .draw()?;
    for (kind, colour) in ours.kinds.iter().zip(COLOURS) {
        let all = kind.zombies as f64;
        let steps = kind.times.iter().enumerate();
        let points = steps.map(|(index, &time)| {
            let seconds = (time as f64 / 1e9).max(1.0);
            (seconds, 100.0 * (index + 1) as f64 / all)
        });
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(format!(
                "{}, median {}",
                kind.kind,
                crate::span(quantile(&kind.times, 0.5))
            ))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    label(&mut chart, SeriesLabelPosition::LowerRight)?;
    area.present()?;
    Ok(())
}

/// What is let out at which price in false positives.
fn let_out(file: &Path, ours: &Score, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let most = |pick: fn(&(u64, u64)) -> u64| {
        let points = curves.iter().flat_map(|curve| &curve.points);
        points.map(pick).max().unwrap_or(1) as f64
    };
    let own = (ours.innocents as f64, ours.let_out(|_| true) as f64);
    let (across, down) = (most(|point| point.0) * 1.2, most(|point| point.1) * 1.5);
    let least = curves.iter().flat_map(|curve| &curve.points);
    let least = least.map(|point| point.1).min().unwrap_or(1).max(1) as f64;
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Spam connections let out, and innocents accused",
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(84)
        .build_cartesian_2d(
            (0.5..across.max(2.0)).log_scale(),
            (least.min(own.1) / 2.0..down).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("innocents accused (logarithmic; the left edge is none)")
        .y_desc("let out in the day (logarithmic)")
        .x_label_formatter(&|count| {
            if *count < 1.0 {
                "0".to_owned()
            } else {
                format!("{count:.0}")
            }
        })
        .y_label_formatter(&|count| format!("{count:.0}"))
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 14))
        .draw()?;
    let place = |innocents: f64| innocents.max(0.5);
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let points: Vec<_> = curve
            .points
            .iter()
            .map(|&(innocents, out)| (place(innocents as f64), out as f64))
            .collect();
        chart.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        chart
            .draw_series(
                points
                    .into_iter()
                    .map(|at| Circle::new(at, 3, colour.filled())),
            )?
            .label(format!("thresholds, attempts in {}", curve.window))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    let here = (place(own.0), own.1);
    chart
        .draw_series([TriangleMarker::new(here, 9, RED.filled())])?
        .label("Lychgate")
        .legend(|(x, y)| TriangleMarker::new((x + 9, y), 8, RED.filled()));
    label(&mut chart, SeriesLabelPosition::UpperRight)?;
    area.present()?;
    Ok(())
}

/// Says in a corner what each series is.
fn label<'a, C: CoordTranslate>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, C>,
    corner: SeriesLabelPosition,
) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(corner)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(())
}

fn moment(seconds: f64) -> String {
    match seconds as u64 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
