//! Subscriber lists: CSV with the header `prefix,class,name`, or JSON lines.
//!
//! A list of a million rows loads in about a second. Rows are independent: a wrong one is reported
//! with its line, and reading goes on.

use std::{borrow::Cow, path::Path, sync::Arc};

use csv::{ByteRecord, ReaderBuilder, Trim};
use serde::Deserialize;

use super::{
    diagnostic::{Remark, Report, Spot},
    file::Classes,
    reader::nearest,
    subscribers::Subscribers,
    value,
};

/// How far the loading of a list is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The list.
    pub file: &'a Path,
    /// Rows read from it so far.
    pub rows: u64,
    /// Octets read from it so far.
    pub octets: u64,
    /// Octets that it has.
    pub octets_total: u64,
}

/// Progress is told every so many rows.
const ROWS_PER_PROGRESS: u64 = 1 << 16;
/// The columns of a CSV list; `name` may be left out.
pub const COLUMNS: [&str; 3] = ["prefix", "class", "name"];

/// Reads lists into one policy.
pub(super) struct Lists<'a> {
    pub(super) classes: &'a mut Classes,
    pub(super) subscribers: &'a mut Subscribers,
    pub(super) report: &'a mut Report,
    pub(super) progress: &'a mut dyn FnMut(Progress<'_>),
}

/// One row of JSON lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    prefixes: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    class: Cow<'a, str>,
}

impl Lists<'_> {
    /// Reads the list that the policy calls `name`, relative to `folder`.
    pub(super) fn read(&mut self, folder: &Path, name: &str, named_at: Spot) {
        let path = folder.join(name);
        let octets = match std::fs::read(&path) {
            Ok(octets) => Arc::new(octets),
            Err(error) => {
                return self.report.error(named_at, || {
                    Remark::new(
                        format!("cannot read list {}: {error}", path.display()),
                        "write its path relative to the folder of the policy file",
                    )
                });
            }
        };
        let shown = path.display().to_string();
        let Some(file) = self.report.add_file(&shown, Arc::clone(&octets), true) else {
            return self.report.error(named_at, || {
                Remark::new(format!("list {shown} is 4 GiB or larger"), "split it")
            });
        };
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => self.read_csv(file, &octets, &path),
            Some("jsonl" | "ndjson") => self.read_json_lines(file, &octets, &path),
            _ => self.report.error(named_at, || {
                Remark::new(
                    format!("list \"{name}\" is neither CSV nor JSON lines"),
                    "call it .csv or .jsonl, as what it holds",
                )
            }),
        }
    }

    fn read_csv(&mut self, file: u32, octets: &[u8], path: &Path) {
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .trim(Trim::All)
            .comment(Some(b'#'))
            .has_headers(false)
            .from_reader(octets);
        let mut record = ByteRecord::new();
        let mut columns = None;
        let mut rows = 0_u64;
        loop {
            let more = reader.read_byte_record(&mut record);
            let end = usize::try_from(reader.position().byte()).unwrap_or(octets.len());
            let row = CsvRow {
                file,
                octets,
                record: &record,
                end,
            };
            match more {
                Ok(true) => {}
                Ok(false) => break,
                // Reading from memory can't fail, and rows of any length are accepted.
                Err(error) => {
                    self.report.error(row.spot(), || {
                        Remark::new(error.to_string(), "see RFC 4180")
                    });
                    break;
                }
            }
            match &columns {
                None => match Columns::read(&row, self.report) {
                    Some(found) => columns = Some(found),
                    None => return,
                },
                Some(columns) => {
                    rows += 1;
                    self.csv_row(&row, columns);
                    if rows.is_multiple_of(ROWS_PER_PROGRESS) {
                        self.tell(path, rows, end, octets.len());
                    }
                }
            }
        }
        self.tell(path, rows, octets.len(), octets.len());
    }

    fn csv_row(&mut self, row: &CsvRow<'_>, columns: &Columns) {
        if row.record.len() != columns.count {
            return self.report.error(row.spot(), || {
                Remark::new(
                    format!(
                        "this row has {} fields, the header {}",
                        row.record.len(),
                        columns.count
                    ),
                    "give every row the header's fields; quote a field that holds a comma",
                )
            });
        }
        let prefix = self.field(row, columns.prefix).and_then(|text| {
            let prefix = value::prefix_or_address(text);
            prefix
                .map_err(|remark| self.report.error(row.field(columns.prefix), || remark))
                .ok()
        });
        let class = self.field(row, columns.class).and_then(|name| {
            self.classes
                .find(name, || row.field(columns.class), self.report)
        });
        let name = columns.name.map(|column| self.field(row, column));
        let (Some(prefix), Some(class)) = (prefix, class) else {
            return;
        };
        let spot = row.spot();
        match name {
            Some(None) => {}
            Some(Some(name)) if !name.is_empty() => {
                self.subscribers
                    .join((name, spot), class, (prefix, spot), self.report);
            }
            _ => self
                .subscribers
                .add(None, class, &[(prefix, spot)], self.report),
        }
    }

    /// The text of a field; what isn't text is reported.
    fn field<'r>(&mut self, row: &CsvRow<'r>, column: usize) -> Option<&'r str> {
        let text = std::str::from_utf8(row.record.get(column)?);
        text.map_err(|_| self.report.error(row.spot(), not_text))
            .ok()
    }

    fn read_json_lines(&mut self, file: u32, octets: &[u8], path: &Path) {
        let mut start = 0;
        let mut rows = 0_u64;
        for line in octets.split_inclusive(|&octet| octet == b'\n') {
            let spot = Spot::new(file, start..start + line.len());
            start += line.len();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            rows += 1;
            self.json_row(spot, line);
            if rows.is_multiple_of(ROWS_PER_PROGRESS) {
                self.tell(path, rows, start, octets.len());
            }
        }
        self.tell(path, rows, octets.len(), octets.len());
    }

    fn json_row(&mut self, spot: Spot, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else {
            return self.report.error(spot, not_text);
        };
        let row: Row<'_> = match serde_json::from_str(text) {
            Ok(row) => row,
            Err(error) => {
                return self.report.error(json_spot(spot, &error), || {
                    Remark::new(json_message(&error), JSON_EXAMPLE)
                });
            }
        };
        let class = self
            .classes
            .find(&row.class, || within(spot, text, &row.class), self.report);
        let mut prefixes = Vec::with_capacity(row.prefixes.len());
        for prefix in &row.prefixes {
            match value::prefix_or_address(prefix) {
                Ok(net) => prefixes.push((net, spot)),
                Err(remark) => self.report.error(within(spot, text, prefix), || remark),
            }
        }
        if row.prefixes.is_empty() {
            self.report.error(spot, || {
                Remark::new("this subscriber has no address", JSON_EXAMPLE)
            });
        }
        if let Some(class) = class {
            let name = row.name.as_deref().filter(|name| !name.is_empty());
            self.subscribers
                .add(name.map(|name| (name, spot)), class, &prefixes, self.report);
        }
    }

    fn tell(&mut self, file: &Path, rows: u64, octets: usize, total: usize) {
        (self.progress)(Progress {
            file,
            rows,
            octets: octets as u64,
            octets_total: total as u64,
        });
    }
}

/// A record and where it stands.
struct CsvRow<'r> {
    file: u32,
    octets: &'r [u8],
    record: &'r ByteRecord,
    end: usize,
}

impl CsvRow<'_> {
    /// The row. A record's own position is where the one before ended: blank lines and comments
    /// come first.
    fn spot(&self) -> Spot {
        let position = self.record.position().map_or(0, csv::Position::byte);
        let mut start = usize::try_from(position).unwrap_or(0).min(self.end);
        while let Some(octet) = self.octets[start..self.end].first() {
            match octet {
                b'\r' | b'\n' => start += 1,
                b'#' => {
                    let line = self.octets[start..self.end]
                        .iter()
                        .position(|&o| o == b'\n');
                    start = line.map_or(self.end, |line| start + line);
                }
                _ => break,
            }
        }
        let ends = self.octets[start..self.end].trim_ascii_end().len();
        Spot::new(self.file, start..start + ends)
    }

    /// A field of the row; the whole row if it can't be told (quotes within quotes).
    fn field(&self, column: usize) -> Spot {
        let row = self.spot();
        let line = &self.octets[row.start as usize..row.end as usize];
        let mut start = 0;
        for _ in 0..column {
            match line[start..].iter().position(|&octet| octet == b',') {
                Some(comma) if !line[..start].contains(&b'"') => start += comma + 1,
                _ => return row,
            }
        }
        let end = line[start..].iter().position(|&octet| octet == b',');
        let end = end.map_or(line.len(), |comma| start + comma);
        let lead = line[start..end].len() - line[start..end].trim_ascii_start().len();
        let length = line[start..end].trim_ascii().len();
        if length == 0 {
            return row;
        }
        let base = row.start as usize + start + lead;
        Spot::new(self.file, base..base + length)
    }
}

/// Where the columns are.
struct Columns {
    count: usize,
    prefix: usize,
    class: usize,
    name: Option<usize>,
}

impl Columns {
    fn read(row: &CsvRow<'_>, report: &mut Report) -> Option<Self> {
        let header: Vec<_> = row.record.iter().map(String::from_utf8_lossy).collect();
        let header: Vec<_> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}'))
            .collect();
        let mut good = true;
        for (column, name) in header.iter().enumerate() {
            let twice = header[..column].contains(name);
            if twice || !COLUMNS.contains(name) {
                good = false;
                report.error(row.field(column), || unknown_column(name, twice));
            }
        }
        let find = |name: &str| header.iter().position(|column| *column == name);
        for name in &COLUMNS[..2] {
            if good && find(name).is_none() {
                report.error(row.spot(), || {
                    Remark::new(format!("the list has no column `{name}`"), CSV_EXAMPLE)
                });
            }
        }
        let columns = Self {
            count: header.len(),
            prefix: find("prefix")?,
            class: find("class")?,
            name: find("name"),
        };
        good.then_some(columns)
    }
}

const CSV_EXAMPLE: &str = "begin the file with the line: prefix,class,name";
const JSON_EXAMPLE: &str =
    r#"write a line like {"name": "ACME", "prefixes": ["203.0.113.30"], "class": "mta"}"#;

fn unknown_column(name: &str, twice: bool) -> Remark {
    if twice {
        return Remark::new(
            format!("column `{name}` is there twice"),
            "remove one of them",
        );
    }
    let remedy = match nearest(name, COLUMNS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => CSV_EXAMPLE.to_owned(),
    };
    Remark::new(format!("unknown column `{name}`"), remedy)
}

fn not_text() -> Remark {
    Remark::new("this row is not UTF-8", "save the list as UTF-8")
}

/// serde_json's message without its position in the row, which is shown by the pointer.
fn json_message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    format!("this row cannot be read: {message}")
}

/// The character at which reading JSON stopped.
fn json_spot(row: Spot, error: &serde_json::Error) -> Spot {
    let offset = u32::try_from(error.column().saturating_sub(1)).unwrap_or(0);
    let start = row.start.saturating_add(offset).min(row.end);
    Spot {
        start,
        end: start.saturating_add(1).min(row.end),
        ..row
    }
}

/// Where in a row a text stands; the whole row if it is written with escapes.
fn within(row: Spot, line: &str, text: &str) -> Spot {
    let quoted = format!("\"{text}\"");
    match line.find(&quoted) {
        Some(start) => {
            let start = row.start as usize + start;
            Spot::new(row.file, start..start + quoted.len())
        }
        None => row,
    }
}
