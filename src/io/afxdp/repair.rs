//! What is put right on an interface, and put back.
//!
//! Each repair leaves a mark beside the pinned link, in the BPF file system: a directory with its
//! name. So it is known to the next process, too, and put back when the kernel program goes, by
//! whoever takes that off. Not before: what crosses in the kernel needs the repairs as much as what
//! crosses through a worker.

use std::{fmt, fs, io, path::Path};

use super::{error::Result, ethtool::Offload, link::Pins, netdev::Interface};

/// Something that can be put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repair {
    /// Promiscuous mode is off: switch it on, or the card keeps what is not for it.
    Promiscuous,
    /// An offload is on: switch it off.
    Offload(Offload),
}

impl Repair {
    /// All that there are.
    pub fn all() -> impl Iterator<Item = Self> {
        let offloads = Offload::ALL.iter().copied().map(Self::Offload);
        std::iter::once(Self::Promiscuous).chain(offloads)
    }

    /// Its mark's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Promiscuous => "promiscuous",
            Self::Offload(offload) => offload.name(),
        }
    }

    fn apply(self, interface: &Interface) -> Result<()> {
        match self {
            Self::Promiscuous => interface.set_promiscuous(true),
            Self::Offload(offload) => interface.set_offload(offload, false),
        }
    }

    fn undo(self, interface: &Interface) -> Result<()> {
        match self {
            Self::Promiscuous => interface.set_promiscuous(false),
            Self::Offload(offload) => interface.set_offload(offload, true),
        }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Puts something right, and marks it as ours to put back.
///
/// # Errors
///
/// If it cannot be done; then it is as it was, and there is no mark.
pub fn repair(interface: &Interface, root: &Path, repair: Repair) -> Result<()> {
    let pins = Pins::new(root, interface);
    pins.prepare()?;
    let mark = pins.marks(interface).join(repair.name());
    // The mark first: whoever is killed between the two leaves one too many, not one too few.
    fs::create_dir_all(&mark).map_err(|cause| pins.error("leave a mark", cause))?;
    repair.apply(interface).inspect_err(|_| {
        // As far as they are empty.
        for directory in mark
            .ancestors()
            .take_while(|directory| directory.starts_with(root))
        {
            let _ = fs::remove_dir(directory);
        }
    })
}

/// What is marked as repaired on an interface.
#[must_use]
pub fn repaired(interface: &Interface, root: &Path) -> Vec<Repair> {
    let marks = Pins::new(root, interface).marks(interface);
    Repair::all()
        .filter(|repair| marks.join(repair.name()).is_dir())
        .collect()
}

/// Puts back what is marked as repaired on an interface, and says what that was. One that cannot be
/// put back keeps none of the others from it, and keeps its mark.
///
/// # Errors
///
/// The first of those that could not be put back.
pub fn restore(interface: &Interface, root: &Path) -> Result<Vec<Repair>> {
    let pins = Pins::new(root, interface);
    let marks = pins.marks(interface);
    let mut restored = Vec::new();
    let mut failure = None;
    for repair in repaired(interface, root) {
        let unmark = || {
            fs::remove_dir(marks.join(repair.name()))
                .map_err(|cause: io::Error| pins.error("remove a mark", cause))
        };
        match repair.undo(interface).and_then(|()| unmark()) {
            Ok(()) => restored.push(repair),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(restored),
    }
}
