//! What sysfs and procfs tell of the card behind an interface. Hints only: a virtual interface has
//! none, and in a container sysfs may be another namespace's.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{control::cores, io::afxdp::Interface};

/// The interrupt of one of a card's queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The queue that it speaks for.
    pub queue: u32,
    /// The cores that it goes to.
    pub cores: Vec<usize>,
}

/// Where the card's device is in sysfs; nothing for an interface without one.
fn device(interface: &Interface) -> Option<PathBuf> {
    let directory = Path::new("/sys/class/net").join(interface.name());
    let index = fs::read_to_string(directory.join("ifindex")).ok()?;
    // Else this is an interface of the same name, in the namespace that sysfs was mounted in.
    (index.trim() == interface.index().to_string()).then(|| directory.join("device"))
}

/// The memory node that the card is on, if the machine has several.
pub fn node(interface: &Interface) -> Option<u32> {
    // A virtio card's node is its parent's.
    let device = device(interface)?;
    let node = ["numa_node", "../numa_node"]
        .into_iter()
        .find_map(|place| fs::read_to_string(device.join(place)).ok())?;
    // -1: there are no nodes to speak of.
    node.trim().parse().ok()
}

/// The cores of a memory node.
pub fn cores_of_node(node: u32) -> Vec<usize> {
    let path = format!("/sys/devices/system/node/node{node}/cpulist");
    let list = fs::read_to_string(path).ok();
    list.and_then(|list| cores::parse(&list))
        .unwrap_or_default()
}

/// The interrupts of a card's receive queues.
pub fn interrupts(interface: &Interface) -> Vec<Interrupt> {
    let Some(device) = device(interface) else {
        return Vec::new();
    };
    // A virtio card's interrupts are its parent's.
    let numbers = ["msi_irqs", "../msi_irqs"]
        .into_iter()
        .find_map(|place| fs::read_dir(device.join(place)).ok());
    let numbers: Vec<u32> = numbers
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let table = fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let queues = queues(&table, &numbers);
    let cores = |number: u32| {
        let path = format!("/proc/irq/{number}/effective_affinity_list");
        cores::parse(&fs::read_to_string(path).ok()?)
    };
    queues
        .into_iter()
        .filter_map(|(queue, number)| {
            let cores = cores(number)?;
            Some(Interrupt { queue, cores })
        })
        .collect()
}

/// Which of these interrupts speaks for which receive queue, from /proc/interrupts. Drivers name
/// them as they like, but nearly all end the name with the queue: `eth0-TxRx-3`, `ice-eth0-TxRx-3`,
/// `mlx5_comp3@pci:0000:01:00.0`, `virtio1-input.3`.
pub fn queues(table: &str, numbers: &[u32]) -> BTreeMap<u32, u32> {
    let row = |line: &str| {
        let (number, rest) = line.split_once(':')?;
        let number = number.trim().parse().ok()?;
        let name = rest.split_whitespace().next_back()?;
        let name = name.split('@').next()?;
        let lower = name.to_lowercase();
        let is_other = ["output", "config", "async", "-tx-", "misc", "fdir"]
            .iter()
            .any(|other| lower.contains(other));
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let queue = name[name.len() - digits..].parse().ok()?;
        (numbers.contains(&number) && !is_other).then_some((queue, number))
    };
    table.lines().filter_map(row).collect()
}
