//! The source table: one subscriber, one cache line.
