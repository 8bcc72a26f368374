//! `process(batch)` → verdicts: the only place where policy, sources and wire meet.
//!
//! The engine owns no clock, thread, socket or file: every frame brings its time.
