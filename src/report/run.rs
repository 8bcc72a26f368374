//! What a live box did, as one self-contained page: no script, no font, no image from elsewhere.

use askama::Template;
use hdrhistogram::Histogram;

use super::{percentiles::PercentilePlot, words};

/// Height of a plot, in pixels.
const HEIGHT: f64 = 240.0;

/// The page. Its owner fills it: this module knows nothing of workers.
#[derive(Debug, Template)]
#[template(path = "run.html")]
pub struct RunPage {
    /// What happened, in a sentence.
    pub headline: String,
    /// What to know beside that.
    pub facts: Vec<(&'static str, String)>,
    /// What went wrong.
    pub warnings: Vec<String>,
    /// What became of frames: where, outbound, inbound; whether that is a loss.
    pub fates: Vec<FateLine>,
    /// Frames that did not cross, by cause.
    pub drops: Vec<(&'static str, String)>,
    /// What was obtained, a line each.
    pub obtained: Vec<String>,
    /// The distributions that have values.
    pub plots: Vec<Plot>,
    /// Of the program.
    pub version: &'static str,
}

/// A row of the table of frames.
#[derive(Debug)]
pub struct FateLine {
    /// What became of them.
    pub fate: &'static str,
    /// How many, outbound and inbound.
    pub frames: [String; 2],
    /// Whether that deserves a look.
    pub alarming: bool,
}

/// A distribution, drawn.
#[derive(Debug)]
pub struct Plot {
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    drawn: PercentilePlot,
}

impl Plot {
    /// Times in nanoseconds.
    #[must_use]
    pub fn of_times(
        title: &'static str,
        about: &'static str,
        all: &Histogram<u64>,
        workers: &[&Histogram<u64>],
    ) -> Option<Self> {
        let drawn = PercentilePlot::new(all, workers, words::duration, HEIGHT)?;
        let unit = "time";
        Some(Self {
            title,
            about,
            unit,
            drawn,
        })
    }

    /// Counts of frames.
    #[must_use]
    pub fn of_counts(
        title: &'static str,
        about: &'static str,
        all: &Histogram<u64>,
        workers: &[&Histogram<u64>],
    ) -> Option<Self> {
        let drawn = PercentilePlot::new(all, workers, words::thousands, HEIGHT)?;
        let unit = "frames";
        Some(Self {
            title,
            about,
            unit,
            drawn,
        })
    }
}
