//! Shows what a replay found: to people on a terminal or a page, to programs as JSON.
//!
//! Everything here is a pure function of a [`crate::replay::Summary`], or of the [`run::RunPage`]
//! that a live box makes of its own; where the text goes is the caller's business.

mod chart;
pub mod explanation;
mod flagged;
pub mod html;
pub mod json;
mod percentiles;
pub mod run;
pub mod terminal;
pub mod words;

#[cfg(test)]
mod sample;
