//! The replay's findings for people at a terminal, or in a pipe.
