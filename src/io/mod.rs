//! Frames in, frames out. Knows nothing of policy or verdicts.

pub mod capture;
