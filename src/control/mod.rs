//! Who starts, watches and stops the workers.
//!
//! A [`Supervisor`] puts one [`Worker`](crate::worker::Worker) per queue pair on a thread of its
//! own, over ports that a [`Site`] opens, tells what happens ([`Notice`]), and drains them all when
//! it is asked to stop or when one of them fails. It touches no frame and holds no lock that a
//! worker waits for. What it tells is data; how that is shown is the caller's business.
//!
//! | file | what it holds |
//! |---|---|
//! | `supervisor` | threads: start, watch, stop |
//! | `site` | what the workers stand on: ports, and what the kernel does without them |
//! | `live` | the site that is a box in the wire: interfaces, kernel program, sockets |
//! | `preflight` | what is looked at before frames cross, and what is put right |
//! | `ports` | what becomes of the ports under way |
//! | `watch` | sees it |
//! | `stall` | a queue that stops |
//! | `reload` | another policy, while the box runs |
//! | `crowding` | a source table that is full |
//! | `cores` | which core each worker gets |
//! | `casebook` | cases: decided, stored, then enforced |
//! | `findings` | what detectors found, as cases know it |
//! | `maildir` | complaints that arrive by mail |
//! | `counter` | where staff ask: the control socket, or the store where no box runs |
//! | `stats` | what happened within a second |
//! | `summary` | what happened from start to end, for people and programs |
//! | `page` | the same as a page |

pub mod casebook;
pub mod cores;
#[cfg(unix)]
pub mod counter;
mod crowding;
mod findings;
#[cfg(feature = "xdp")]
pub mod live;
#[cfg(unix)]
mod maildir;
mod page;
mod ports;
#[cfg(feature = "xdp")]
pub mod preflight;
mod reload;
mod site;
mod stall;
mod stats;
mod summary;
mod supervisor;
#[cfg(feature = "xdp")]
pub mod watch;

pub use crowding::TableFull;
pub use ports::{PortChange, PortCounts, PortEvent, PortState};
pub use reload::{Outcome, Reloader};
pub use site::{
    KernelFate, KernelRow, Obtained, ObtainedPort, ObtainedQueue, ObtainedSocket, Site,
};
pub use stall::{Stall, StallEvent};
pub use stats::{Drops, Rates, Sample};
pub use summary::Summary;
pub use supervisor::{Notice, Plan, PortReporter, Stopper, Supervisor};
