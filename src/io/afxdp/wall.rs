//! Walls (src/bpf/wall.bpf.h): whose harmless frames come to the workers all the same.

use std::collections::HashMap;

use ipnet::IpNet;
use libbpf_rs::{MapCore, MapFlags, Object};

use super::{
    error::{Error, Result},
    lease::prefix_key,
    program::map,
};

/// The most walls that the kernel program tells apart (`WALLS_MAX`): beyond them, everything from the
/// access port comes to the workers.
pub const WALLS_MAX: usize = 65_536;

/// Which of a subscriber's harmless frames come to the workers (`enum wall`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
pub enum Wall {
    /// Segments to port 80.
    Web = 1,
    /// All.
    Everything = 2,
}

/// `enum walls`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Up {
    None,
    Some,
    All,
}

/// What is in the map `walls` now.
#[derive(Debug, Default)]
pub(super) struct Walls(HashMap<IpNet, Wall>);

impl Walls {
    /// Has exactly these in the map. Where that can't be, everything comes to the workers.
    pub(super) fn set(&mut self, object: &Object, walls: &[(IpNet, Wall)]) -> Result<()> {
        let mut wanted: HashMap<IpNet, Wall> = HashMap::new();
        for &(prefix, wall) in walls {
            let place = wanted.entry(prefix).or_insert(wall);
            *place = wall.max(*place);
        }
        if wanted.len() > WALLS_MAX {
            return raise(object, Up::All);
        }
        let put = self.put(object, &wanted);
        let up = match (&put, wanted.is_empty()) {
            (Err(_), _) => Up::All,
            (Ok(()), true) => Up::None,
            (Ok(()), false) => Up::Some,
        };
        raise(object, up)?;
        put
    }

    /// Those that go make room for those that come; one that goes lets frames cross that a worker
    /// would let cross.
    fn put(&mut self, object: &Object, wanted: &HashMap<IpNet, Wall>) -> Result<()> {
        let walls = map(object, "walls")?;
        let failed = |cause| Error::new("kernel program", "write its map walls", cause);
        let gone: Vec<_> = self
            .0
            .keys()
            .filter(|prefix| !wanted.contains_key(prefix))
            .copied()
            .collect();
        for prefix in gone {
            walls.delete(&prefix_key(prefix)).map_err(failed)?;
            self.0.remove(&prefix);
        }
        for (&prefix, &wall) in wanted {
            if self.0.get(&prefix) == Some(&wall) {
                continue;
            }
            let value = (wall as u32).to_ne_bytes();
            walls
                .update(&prefix_key(prefix), &value, MapFlags::ANY)
                .map_err(failed)?;
            self.0.insert(prefix, wall);
        }
        Ok(())
    }
}

fn raise(object: &Object, up: Up) -> Result<()> {
    map(object, "walls_up")?
        .update(&[0; 4], &(up as u32).to_ne_bytes(), MapFlags::ANY)
        .map_err(|cause| Error::new("kernel program", "write its map walls_up", cause))
}
