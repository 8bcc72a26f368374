//! Judges captures with the engine, in capture time.

mod compare;
mod series;
mod summary;
mod tally;

pub use compare::{Comparison, Difference, Fate, SourceDifference};
pub use series::{Bucket, Series};
pub use summary::{CaptureSpan, ComparisonSummary, CounterRow, SourceRow, Summary, direction_name, source_text};
pub use tally::{FrameTotals, ReasonTally, ServiceTally, SourceTally, Tally};
