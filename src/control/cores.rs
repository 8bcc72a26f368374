//! Which core each worker gets.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use core_affinity::CoreId;

/// Where the kernel tells which cores are on the network card's side of the machine.
const INTERFACES: &str = "/sys/class/net";

/// Cores for `workers` workers: those near the cards of `interfaces`, if the kernel says which
/// these are, and of them the last first, because most of a system's own work is on the first.
///
/// # Errors
///
/// There are fewer cores than workers. Two workers on one core would fight for it.
pub fn choose(workers: usize, interfaces: &[&str]) -> anyhow::Result<Vec<usize>> {
    let available = available()?;
    let near = |interface: &&str| near(&Path::new(INTERFACES).join(interface));
    let near: Vec<_> = interfaces.iter().filter_map(near).flatten().collect();
    choose_from(workers, &available, &near)
}

/// Checks a list of the user's.
///
/// # Errors
///
/// A core is not there, or not this process's, or given twice; or there are too few for `workers`.
pub fn check(cores: &[usize], workers: usize) -> anyhow::Result<()> {
    check_against(cores, workers, &available()?)
}

/// Pins this thread to a core.
///
/// # Errors
///
/// This process may not use it.
pub fn pin(core: usize) -> anyhow::Result<()> {
    check(&[core], 1)?;
    if !core_affinity::set_for_current(CoreId { id: core }) {
        bail!("cannot be pinned to core {core}, though this process may use it");
    }
    Ok(())
}

fn check_against(cores: &[usize], workers: usize, available: &[usize]) -> anyhow::Result<()> {
    if let Some(core) = cores.iter().find(|core| !available.contains(core)) {
        bail!(
            "core {core} is not among those that this process may use ({}); look at `taskset -p $$` and the service's AllowedCPUs",
            list(available)
        );
    }
    let twice = |(index, core): (usize, &usize)| cores[..index].contains(core).then_some(*core);
    if let Some(core) = cores.iter().enumerate().find_map(twice) {
        bail!("core {core} is given twice; a worker needs a core of its own");
    }
    if cores.len() < workers {
        bail!(
            "{} for {workers} workers: name {workers}, or run fewer workers",
            count(cores.len())
        );
    }
    Ok(())
}

fn choose_from(workers: usize, available: &[usize], near: &[usize]) -> anyhow::Result<Vec<usize>> {
    if available.len() < workers {
        bail!(
            "{} for {workers} workers: run fewer workers, or let this process use more cores",
            count(available.len())
        );
    }
    let mut cores = available.to_vec();
    cores.sort_unstable_by_key(|core| (!near.contains(core), std::cmp::Reverse(*core)));
    cores.truncate(workers);
    Ok(cores)
}

/// The cores that this process may use, in order.
pub(super) fn available() -> anyhow::Result<Vec<usize>> {
    let cores =
        core_affinity::get_core_ids().context("the kernel does not tell which cores there are")?;
    let mut cores: Vec<_> = cores.into_iter().map(|core| core.id).collect();
    cores.sort_unstable();
    Ok(cores)
}

/// The cores near an interface's card; nothing for one without a card.
fn near(interface: &Path) -> Option<Vec<usize>> {
    parse(&fs::read_to_string(interface.join("device/local_cpulist")).ok()?)
}

/// Reads a list as the kernel writes it, `0-3,8-11`.
pub(super) fn parse(list: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for range in list.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cores.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(cores)
}

fn list(cores: &[usize]) -> String {
    let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
    cores.join(", ")
}

fn count(cores: usize) -> String {
    match cores {
        1 => "1 core".to_owned(),
        cores => format!("{cores} cores"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_near_the_card_come_first_and_the_last_of_them_before_the_others() {
        let all: Vec<_> = (0..8).collect();
        let chosen = |workers, near: &[usize]| choose_from(workers, &all, near).ok();
        assert_eq!(chosen(2, &[0, 1, 2, 3]), Some(vec![3, 2]));
        assert_eq!(chosen(5, &[0, 1, 2, 3]), Some(vec![3, 2, 1, 0, 7]));
        assert_eq!(chosen(1, &[]), Some(vec![7]));
        assert_eq!(chosen(9, &[]), None);
    }

    #[test]
    fn the_kernels_lists_are_read() {
        assert_eq!(parse("0-2,8\n"), Some(vec![0, 1, 2, 8]));
        assert_eq!(parse("\n"), Some(vec![]));
        assert_eq!(parse("0-x"), None);
    }

    #[test]
    fn a_list_of_cores_is_refused_with_its_reason() {
        let refusal = |cores: &[usize], workers| {
            let checked = check_against(cores, workers, &[0, 1]);
            checked.expect_err("refused").to_string()
        };
        assert!(check_against(&[1, 0], 2, &[0, 1]).is_ok());
        assert!(refusal(&[2], 1).starts_with("core 2 is not among"));
        assert!(refusal(&[1, 1], 2).starts_with("core 1 is given twice"));
        assert!(refusal(&[1], 2).starts_with("1 core for 2 workers"));
    }
}
