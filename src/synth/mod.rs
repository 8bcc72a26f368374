//! Reproducible synthetic traffic.

pub mod packet;
