//! Measuring a box with frames: what a generator offers, and what arrives behind it.
//!
//! [`Cast`] is a set of frames that are sent in turn, each a little different every time; [`Pace`]
//! says how many are due; [`fire`] joins the two over a [`Sender`]. At the other end, a [`Ledger`]
//! holds frames against what their [`Stamp`]s say: how many are missing, doubled or out of order,
//! how long they took, whose they were.
//!
//! It promises that every load is bounded, in frames or in time, and that what a summary calls
//! offered was handed to the kernel. It leaves sockets and kernel programs to [`crate::io::afxdp`].
//!
//! | file | what it holds |
//! |---|---|
//! | `template` | one frame, and what changes in it each time; the set of them |
//! | `stamp` | number and time behind a frame's end |
//! | `pace` | how many frames are due by now, and when to look again |
//! | `blast` | sending until the bounds are reached |
//! | `ledger`, `order` | counting what arrives, and in which order |
//! | `summary` | both for people and for programs |

mod blast;
mod ledger;
mod order;
mod pace;
mod stamp;
mod summary;
mod template;

pub use blast::{Bounds, Offered, Sender, fire};
pub use ledger::Ledger;
pub use order::Order;
pub use pace::{Pace, Rate};
pub use stamp::{STAMP_OCTETS, Stamp};
pub use summary::{Arrived, BLAST_SCHEMA, BlastSummary, SINK_SCHEMA, SinkSummary, Volume};
pub use template::{Cast, FRAME_OCTETS_MAX, Template, Varied, Word};
