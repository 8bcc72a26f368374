//! Reproducible synthetic traffic.

pub mod packet;
pub mod profile;
