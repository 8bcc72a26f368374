//! MikroTik RouterOS: `/ip firewall address-list export`, and the address lists of any other export.
//!
//! An export is a script: lines that go on behind a `\`, quoted values with escapes, a line with a
//! path that says where the following commands apply. Only `add` in an address list means something
//! here; everything else is left out and named.

use std::collections::BTreeMap;

use super::{Entry, Found, Kind, LeftOut, Placed, address, tidy};

/// What becomes of the lists: list, what its entries are, and their class.
pub type ListMap = BTreeMap<String, (Kind, String)>;

/// Commands that a path can be followed by on its line.
const COMMANDS: [&str; 10] = [
    "add", "set", "remove", "disable", "enable", "comment", "edit", "print", "export", "find",
];
/// Properties of an entry that change nothing here.
const HARMLESS: [&str; 3] = ["dynamic", "creation-time", "place-before"];

/// Reads an export.
#[must_use]
pub fn read(octets: &[u8], lists: &ListMap) -> Found {
    let mut reader = Reader {
        lists,
        section: Vec::new(),
        found: Found::default(),
        others: BTreeMap::new(),
        unmapped: BTreeMap::new(),
    };
    for (line, text) in logical_lines(octets) {
        reader.line(line, &text);
    }
    reader.finish()
}

/// Lines with the number of their first one; those that end in a `\` are joined with the next.
fn logical_lines(octets: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut lines: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut goes_on = false;
    for (number, line) in (1..).zip(octets.split(|&octet| octet == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let slashes = line.iter().rev().take_while(|&&octet| octet == b'\\');
        let continued = slashes.count() % 2 == 1;
        let text = &line[..line.len() - usize::from(continued)];
        match lines.last_mut() {
            Some((_, before)) if goes_on => before.extend_from_slice(text.trim_ascii_start()),
            _ => lines.push((number, text.to_vec())),
        }
        goes_on = continued;
    }
    lines
}

struct Reader<'a> {
    lists: &'a ListMap,
    /// Where commands without a path apply.
    section: Vec<String>,
    found: Found,
    /// Lines of other parts of the configuration.
    others: BTreeMap<String, Vec<u64>>,
    /// Lines of lists that become nothing.
    unmapped: BTreeMap<String, Vec<u64>>,
}

impl Reader<'_> {
    fn line(&mut self, line: u64, text: &[u8]) {
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            return;
        }
        let words = match words(text) {
            Ok(words) => words,
            Err(why) => return self.leave_out(line, text, why),
        };
        let (section, command, rest) = if words[0].starts_with('/') {
            let (path, command, rest) = path(&words);
            let Some(command) = command else {
                self.section = path;
                return;
            };
            (path, command, rest)
        } else {
            (self.section.clone(), words[0].as_str(), &words[1..])
        };
        let is_list = matches!(section.as_slice(), [family, firewall, list]
            if (family == "ip" || family == "ipv6") && firewall == "firewall" && list == "address-list");
        if !is_list {
            let section = format!("/{}", section.join(" "));
            self.others.entry(section).or_default().push(line);
        } else if command == "add" {
            if let Err(why) = self.add(line, rest) {
                self.leave_out(line, text, why);
            }
        } else {
            self.leave_out(line, text, "only `add` names an address");
        }
    }

    fn leave_out(&mut self, line: u64, text: &[u8], why: impl Into<String>) {
        let what = tidy(&String::from_utf8_lossy(text));
        self.found.left_out.push(LeftOut::new(line, what, why));
    }

    /// One entry of an address list.
    fn add(&mut self, line: u64, words: &[String]) -> Result<(), String> {
        let mut properties: BTreeMap<&str, &str> = BTreeMap::new();
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                return Err(format!("`{word}` is no property such as list=customers"));
            };
            let known = ["address", "list", "comment", "disabled", "timeout"];
            if !known.contains(&key) && !HARMLESS.contains(&key) {
                return Err(format!("its property `{key}` is not known here"));
            }
            properties.insert(key, value);
        }
        let text = *properties.get("address").ok_or("it has no address=")?;
        let list = *properties.get("list").ok_or("it has no list=")?;
        let Some((kind, class)) = self.lists.get(list) else {
            self.unmapped.entry(list.to_owned()).or_default().push(line);
            return Ok(());
        };
        if matches!(properties.get("disabled"), Some(&("yes" | "true"))) {
            return Err("it is disabled".to_owned());
        }
        if let Some(timeout) = properties.get("timeout") {
            return Err(format!("it is temporary: its timeout is {timeout}"));
        }
        let read = address::read(text)?;
        if let Some(taken_as) = read.taken_as {
            let note = LeftOut::new(line, text, format!("taken as {taken_as}"));
            self.found.notes.push(note);
        }
        let comment = properties.get("comment").map(|text| tidy(text));
        let prefixes = read.prefixes.into_iter();
        self.found.entries.push(Entry {
            kind: *kind,
            class: class.clone(),
            name: comment.filter(|name| !name.is_empty()),
            prefixes: prefixes.map(|prefix| Placed { prefix, line }).collect(),
        });
        Ok(())
    }

    fn finish(mut self) -> Found {
        let others = self.others.into_iter().map(|(section, lines)| LeftOut {
            lines,
            what: section,
            why: "this is no address list".to_owned(),
        });
        let unmapped = self.unmapped.into_iter().map(|(list, lines)| LeftOut {
            lines,
            why: format!(
                "no class is given for it: add --pool {list}=CLASS or --subscribers {list}=CLASS"
            ),
            what: format!("list \"{list}\""),
        });
        self.found.left_out.extend(unmapped.chain(others));
        self.found
    }
}

/// The path at the beginning of a line, both `/ip firewall` and `/ip/firewall`, the command behind
/// it if there is one, and the rest.
fn path(words: &[String]) -> (Vec<String>, Option<&str>, &[String]) {
    let mut parts = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if word.contains('=') {
            return (parts, Some(""), &words[index..]);
        }
        for part in word.split('/').filter(|part| !part.is_empty()) {
            if COMMANDS.contains(&part) {
                return (parts, Some(part), &words[index + 1..]);
            }
            parts.push(part.to_owned());
        }
    }
    (parts, None, &[])
}

/// The words of a line, quotes and escapes resolved. There is at least one.
fn words(text: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut words: Vec<Vec<u8>> = vec![Vec::new()];
    let mut octets = text.iter().copied();
    let mut quoted = false;
    while let Some(octet) = octets.next() {
        let is_space = octet == b' ' || octet == b'\t';
        let Some(word) = words.last_mut() else { break };
        match octet {
            b'"' => quoted = !quoted,
            b'\\' if quoted => word.push(escaped(&mut octets)?),
            _ if is_space && !quoted => {
                if !word.is_empty() {
                    words.push(Vec::new());
                }
            }
            _ => word.push(octet),
        }
    }
    if quoted {
        return Err("a quotation mark is never closed");
    }
    if words.len() > 1 && words.last().is_some_and(Vec::is_empty) {
        words.pop();
    }
    let text = |word: Vec<u8>| String::from_utf8_lossy(&word).into_owned();
    Ok(words.into_iter().map(text).collect())
}

/// What stands behind a backslash in a quoted value.
fn escaped(octets: &mut impl Iterator<Item = u8>) -> Result<u8, &'static str> {
    const WRONG: &str = "an escape (\\) is not one of RouterOS";
    let octet = octets.next().ok_or(WRONG)?;
    Ok(match octet {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' | b'b' | b'f' | b'v' => b' ',
        b'_' => b' ',
        b'"' | b'\\' | b'$' | b'?' => octet,
        _ => {
            let digit = |octet: u8| char::from(octet).to_digit(16);
            let (high, low) = (digit(octet), octets.next().and_then(digit));
            let (high, low) = (high.ok_or(WRONG)?, low.ok_or(WRONG)?);
            (high * 16 + low) as u8
        }
    })
}
