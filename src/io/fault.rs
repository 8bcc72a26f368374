//! A fault injector over any [`Ports`](super::Ports).
