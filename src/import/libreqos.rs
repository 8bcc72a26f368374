//! LibreQoS: `ShapedDevices.csv`, one row per device, several devices to a circuit.
//!
//! A circuit is a subscriber. Its class is that of its parent node, or the one for everybody.

use std::collections::{BTreeMap, HashMap};

use csv::{ByteRecord, ReaderBuilder, Trim};
use thiserror::Error;

use super::{Entry, Found, Kind, LeftOut, Placed, address, tidy};

/// Which class circuits get.
#[derive(Clone, Debug)]
pub struct Classes {
    /// Unless their node says otherwise.
    pub usual: String,
    /// By the name of the parent node.
    pub by_node: BTreeMap<String, String>,
}

/// Why a file is not read at all.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "there is no column `{column}` in line 1: is this a ShapedDevices.csv? It begins with: Circuit ID,Circuit Name,Device ID,…"
)]
pub struct NotShapedDevices {
    /// The column that is missing.
    column: &'static str,
}

/// Where the columns are that matter.
struct Columns {
    circuit: usize,
    name: Option<usize>,
    node: Option<usize>,
    addresses: Vec<usize>,
}

impl Columns {
    fn find(header: &ByteRecord) -> Result<Self, NotShapedDevices> {
        let names: Vec<String> = header
            .iter()
            .map(|name| {
                String::from_utf8_lossy(name)
                    .trim_start_matches('\u{feff}')
                    .to_lowercase()
            })
            .collect();
        let find = |name: &str| names.iter().position(|other| other == name);
        let addresses: Vec<_> = ["ipv4", "ipv6"]
            .iter()
            .filter_map(|name| find(name))
            .collect();
        if addresses.is_empty() {
            return Err(NotShapedDevices { column: "IPv4" });
        }
        let circuit = find("circuit id").ok_or(NotShapedDevices {
            column: "Circuit ID",
        })?;
        Ok(Self {
            circuit,
            name: find("circuit name"),
            node: find("parent node"),
            addresses,
        })
    }
}

/// Reads the rows.
///
/// # Errors
///
/// If the first row is not the header of such a file.
pub fn read(octets: &[u8], classes: &Classes) -> Result<Found, NotShapedDevices> {
    let mut rows = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(Trim::All)
        .from_reader(octets);
    let mut record = ByteRecord::new();
    // Reading from memory can't fail, and rows of any length and any octets are welcome.
    let has_header = rows.read_byte_record(&mut record).unwrap_or(false);
    let columns = Columns::find(&record)?;
    let mut found = Found::default();
    let mut circuits: HashMap<String, usize> = HashMap::new();
    let mut lines = Lines { octets: 0, line: 1 };
    while has_header && rows.read_byte_record(&mut record).unwrap_or(false) {
        let line = lines.of(octets, &record);
        row(&record, line, &columns, classes, &mut circuits, &mut found);
    }
    found.entries.retain(|entry| !entry.prefixes.is_empty());
    Ok(found)
}

/// Counts lines up to a row. The reader's own count leaves out comments.
struct Lines {
    octets: usize,
    line: u64,
}

impl Lines {
    /// The line of a row. Its position is where the row before ended: blank lines and comments come
    /// first.
    fn of(&mut self, octets: &[u8], record: &ByteRecord) -> u64 {
        let position = record.position().map_or(0, csv::Position::byte);
        let end = usize::try_from(position)
            .unwrap_or(octets.len())
            .min(octets.len());
        let passed = octets[self.octets.min(end)..end].iter();
        self.line += passed.filter(|&&octet| octet == b'\n').count() as u64;
        self.octets = end;
        let before = octets[end..]
            .split(|&octet| octet == b'\n')
            .take_while(|line| line.trim_ascii().is_empty() || line.starts_with(b"#"));
        self.line + before.count() as u64
    }
}

fn row(
    record: &ByteRecord,
    line: u64,
    columns: &Columns,
    classes: &Classes,
    circuits: &mut HashMap<String, usize>,
    found: &mut Found,
) {
    let cell = |column: usize| {
        tidy(&String::from_utf8_lossy(
            record.get(column).unwrap_or_default(),
        ))
    };
    let id = cell(columns.circuit);
    let name = columns.name.map(cell).filter(|name| !name.is_empty());
    let circuit = match &name {
        Some(name) => format!("circuit {name}"),
        None => format!("circuit {id}"),
    };
    let node = columns.node.map(cell).unwrap_or_default();
    let class = classes.by_node.get(&node).unwrap_or(&classes.usual);
    let mut prefixes = Vec::new();
    let mut empty = true;
    for text in columns.addresses.iter().map(|&column| cell(column)) {
        let separator = |c: char| c.is_whitespace() || ",;[]'\"".contains(c);
        for text in text.split(separator).filter(|text| !text.is_empty()) {
            empty = false;
            match address::read(text) {
                Ok(read) => {
                    if let Some(taken_as) = read.taken_as {
                        let note = LeftOut::new(line, text, format!("taken as {taken_as}"));
                        found.notes.push(note);
                    }
                    let placed = read.prefixes.into_iter();
                    prefixes.extend(placed.map(|prefix| Placed { prefix, line }));
                }
                Err(why) => {
                    let what = format!("{text} of {circuit}");
                    found.left_out.push(LeftOut::new(line, what, why));
                }
            }
        }
    }
    if empty {
        found
            .left_out
            .push(LeftOut::new(line, circuit, "it has no address"));
        return;
    }
    // A row without an identifier is a circuit of its own.
    let key = if id.is_empty() {
        format!("line {line}")
    } else {
        id.clone()
    };
    let next = found.entries.len();
    let index = *circuits.entry(key).or_insert(next);
    if index == next {
        found.entries.push(Entry {
            kind: Kind::Subscriber,
            class: class.clone(),
            name: name.or(Some(id).filter(|id| !id.is_empty())),
            prefixes,
        });
    } else if found.entries[index].class != *class {
        let why = format!(
            "by its parent node it is of class \"{class}\", but the circuit's first row is of class \"{}\"",
            found.entries[index].class
        );
        found.left_out.push(LeftOut::new(line, circuit, why));
    } else {
        found.entries[index].prefixes.extend(prefixes);
    }
}
