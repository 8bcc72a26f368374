//! Shows what a replay found: terminal, HTML, JSON.
