//! Reproducible synthetic traffic.
