//! Judges captures with the engine, in capture time.
