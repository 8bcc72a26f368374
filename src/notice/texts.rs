//! The sentences of the page, a TOML file per language, and how such files are read.
//!
//! The English file that is compiled in is the measure: any other must have its keys, all of them
//! and no others, of the same kinds, and may fill in what the English sentence fills in. What is
//! wrong is told all at once, each with file, line and key.

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use crate::policy::nearest;

/// The languages that are compiled in: tag and text.
pub(super) const EMBEDDED: [(&str, &str); 5] = [
    ("en", include_str!("texts/en.toml")),
    ("de", include_str!("texts/de.toml")),
    ("es", include_str!("texts/es.toml")),
    ("fr", include_str!("texts/fr.toml")),
    ("mi", include_str!("texts/mi.toml")),
];

/// Everything that the page says in one language. The files explain the keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts {
    pub language: Language,
    pub blocked: Blocked,
    pub happened: Happened,
    pub real: Message,
    pub steps: Steps,
    pub tools: Tools,
    pub mail: Mail,
    pub contact: Contact,
    pub clean: Clean,
    pub confirm: Confirm,
    pub done: Message,
    pub early: Message,
    pub stale: Message,
    pub unanswered: Message,
    pub not_yet: Message,
    pub help: Message,
    pub limit: Message,
    pub busy: Message,
    pub nothing: Message,
    pub elsewhere: Message,
    pub end: End,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Language {
    pub name: String,
    pub menu: String,
    pub skip: String,
    pub moment: String,
    pub months: [String; 12],
    pub thousands: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Blocked {
    pub heading: String,
    pub mail: String,
    pub garden: String,
    pub warned: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Happened {
    pub heading: String,
    pub servers: String,
    pub attempts: String,
    pub complaint: String,
    pub staff: String,
    pub cause: String,
    pub ends: String,
    pub planned: String,
    pub privacy: String,
}

/// A heading and what stands under it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub heading: String,
    pub text: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Steps {
    pub heading: String,
    pub intro: String,
    pub windows: List,
    pub mac: List,
    pub phone: List,
    pub things: List,
    pub last: List,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct List {
    pub title: String,
    pub items: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tools {
    pub heading: String,
    pub intro: String,
    pub windows: String,
    pub mac: String,
    pub phone: String,
    pub all: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mail {
    pub heading: String,
    pub browser: String,
    pub webmail: String,
    pub program: String,
    pub server: String,
    pub garden: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contact {
    pub heading: String,
    pub intro: String,
    pub phone: String,
    pub hours: String,
    pub mail: String,
    pub page: String,
    pub address: String,
    pub bill: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clean {
    pub heading: String,
    pub blocked: String,
    pub warned: String,
    pub twice: String,
    pub once: String,
    pub button: String,
    pub exhausted: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    pub heading: String,
    pub lead: String,
    pub question: String,
    pub cleaned: String,
    pub not_yet: String,
    pub help: String,
    pub wait: String,
    pub button: String,
    pub back: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    pub home: String,
    pub again: String,
    pub about: String,
    pub privacy: String,
}

/// What is filled in: names and values.
pub(super) type Values<'a> = [(&'a str, &'a str)];

/// A sentence with its `{names}` filled in.
pub(super) fn fill(sentence: &str, values: &Values<'_>) -> String {
    let mut filled = String::with_capacity(sentence.len() + 32);
    let mut rest = sentence;
    while let Some((before, name, after)) = next_name(rest) {
        filled.push_str(before);
        // Names were checked when the file was read.
        let value = values.iter().find(|(known, _)| *known == name);
        filled.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// What stands before a name in braces, the name, and what stands after it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

fn names(sentence: &str) -> Vec<&str> {
    let mut rest = sentence;
    let mut found = Vec::new();
    while let Some((_, name, after)) = next_name(rest) {
        found.push(name);
        rest = after;
    }
    found
}

/// Reads a language. `file` is what messages call it.
///
/// # Errors
///
/// Everything that is wrong with it, a line each.
pub(super) fn read(file: &str, text: &str) -> Result<Texts, Vec<String>> {
    let table = DeTable::parse(text).map_err(|error| vec![unreadable(file, text, &error)])?;
    let english = DeTable::parse(EMBEDDED[0].1).expect("a test reads what is compiled in");
    let mut check = Check {
        file,
        text,
        mistakes: Vec::new(),
    };
    check.table("", table.get_ref(), english.get_ref(), 0);
    if !check.mistakes.is_empty() {
        return Err(check.mistakes);
    }
    toml::from_str(text).map_err(|error| vec![unreadable(file, text, &error)])
}

/// Why a file can't be read, with its line.
pub(super) fn unreadable(file: &str, text: &str, error: &toml::de::Error) -> String {
    let line = line_of(text, error.span().map_or(0, |span| span.start));
    format!("{file}:{line}: {}", error.message())
}

/// The line of an octet, from 1.
pub(super) fn line_of(text: &str, octet: usize) -> usize {
    let before = &text.as_bytes()[..octet.min(text.len())];
    before.iter().filter(|&&octet| octet == b'\n').count() + 1
}

/// Compares a file with the English one.
struct Check<'a> {
    file: &'a str,
    text: &'a str,
    mistakes: Vec<String>,
}

impl Check<'_> {
    fn mistake(&mut self, octet: usize, what: &str) {
        let line = line_of(self.text, octet);
        self.mistakes.push(format!("{}:{line}: {what}", self.file));
    }

    /// `octet` is where the table's header stands.
    fn table(&mut self, path: &str, table: &DeTable<'_>, english: &DeTable<'_>, octet: usize) {
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            let full = join(path, name);
            match english.get(name) {
                Some(wanted) => {
                    let (value, wanted) = ((value.get_ref(), value.span()), wanted.get_ref());
                    // A table without a header of its own stands where its key does.
                    let start = match value.1.is_empty() {
                        true => key.span().start,
                        false => value.1.start,
                    };
                    self.value(&full, value.0, wanted, start);
                }
                None => {
                    let known = english.keys().map(|key| key.get_ref().as_ref());
                    let help = match nearest(name, known) {
                        Some(near) => format!("did you mean `{}`?", join(path, near)),
                        None => "the page has no such text; delete it".to_owned(),
                    };
                    self.mistake(key.span().start, &format!("unknown key `{full}`: {help}"));
                }
            }
        }
        let missing: Vec<String> = english
            .keys()
            .filter(|key| table.get(key.get_ref().as_ref()).is_none())
            .map(|key| join(path, key.get_ref()))
            .collect();
        for full in missing {
            let example = sample(EMBEDDED[0].1, &full);
            self.mistake(octet, &format!("key `{full}` is missing{example}"));
        }
    }

    fn value(&mut self, path: &str, value: &DeValue<'_>, english: &DeValue<'_>, octet: usize) {
        match (value, english) {
            (DeValue::Table(table), DeValue::Table(english)) => {
                self.table(path, table, english, octet);
            }
            (DeValue::String(text), DeValue::String(english)) => {
                self.sentence(path, text, &names(english), octet);
            }
            (DeValue::Array(items), DeValue::Array(english)) => {
                if items.is_empty() {
                    self.mistake(
                        octet,
                        &format!("`{path}` is empty: write at least one text"),
                    );
                }
                if path == "language.months" && items.len() != english.len() {
                    self.mistake(octet, &format!("`{path}` must have 12 names"));
                }
                for item in items.iter() {
                    match item.get_ref().as_str() {
                        Some(text) => self.sentence(path, text, &[], item.span().start),
                        None => self.mistake(
                            item.span().start,
                            &format!("`{path}` must hold texts only: put each in quotes"),
                        ),
                    }
                }
            }
            (_, english) => {
                let kind = match english {
                    DeValue::Table(_) => "a table",
                    DeValue::Array(_) => "an array of texts: [\"…\", \"…\"]",
                    _ => "a text in quotes",
                };
                self.mistake(octet, &format!("`{path}` must be {kind}"));
            }
        }
    }

    fn sentence(&mut self, path: &str, text: &str, allowed: &[&str], octet: usize) {
        // Some languages put nothing, or a space, between thousands.
        if text.trim().is_empty() && path != "language.thousands" {
            self.mistake(octet, &format!("`{path}` is empty: write the text"));
        }
        let unknown = names(text).into_iter().find(|name| !allowed.contains(name));
        if let Some(name) = unknown {
            let help = match allowed {
                [] => "nothing is filled in here".to_owned(),
                allowed => format!("it may have {{{}}}", allowed.join("}, {")),
            };
            self.mistake(octet, &format!("`{path}` has {{{name}}}: {help}"));
        }
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

/// How English has a missing text, where it is short enough to help.
fn sample(english: &str, path: &str) -> String {
    let table: toml::Table = toml::from_str(english).expect("a test reads what is compiled in");
    let mut value = toml::Value::Table(table);
    for name in path.split('.') {
        let Some(inner) = value.get(name) else {
            return String::new();
        };
        value = inner.clone();
    }
    match value.as_str() {
        Some(text) => format!("; in English it is \"{text}\""),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str) -> Vec<String> {
        read("xx.toml", text).expect_err("it is wrong")
    }

    #[test]
    fn every_language_has_every_key() {
        for (tag, text) in EMBEDDED {
            let texts = read(&format!("{tag}.toml"), text);
            assert!(texts.is_ok(), "{}", texts.expect_err("wrong").join("\n"));
        }
    }

    /// A sentence that leaves out what English fills in would tell less.
    #[test]
    fn every_language_fills_in_what_english_fills_in() {
        fn each(path: &str, value: &toml::Value, visit: &mut dyn FnMut(&str, &str)) {
            match value {
                toml::Value::String(text) => visit(path, text),
                toml::Value::Table(table) => table
                    .iter()
                    .for_each(|(key, value)| each(&join(path, key), value, visit)),
                _ => {}
            }
        }
        let all = EMBEDDED.map(|(tag, text)| {
            let table: toml::Table = toml::from_str(text).expect("TOML");
            let mut found = Vec::new();
            each("", &toml::Value::Table(table), &mut |path, text| {
                let mut names = names(text);
                names.sort_unstable();
                let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
                found.push((path.to_owned(), names));
            });
            found.sort();
            (tag, found)
        });
        for (tag, found) in &all[1..] {
            assert_eq!(found, &all[0].1, "{tag}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line() {
        let text = EMBEDDED[1].1.replace("\nwarned =", "\nwarnd =");
        let line = 1 + text
            .lines()
            .position(|line| line.starts_with("warnd"))
            .expect("it");
        let said = mistakes(&text);
        assert_eq!(
            said[0],
            format!("xx.toml:{line}: unknown key `blocked.warnd`: did you mean `blocked.warned`?")
        );
        assert!(
            said[1].contains("key `blocked.warned` is missing"),
            "{said:?}"
        );
    }

    #[test]
    fn a_missing_key_is_refused_with_its_table_and_the_english_text() {
        let text: String = EMBEDDED[0]
            .1
            .lines()
            .filter(|line| !line.starts_with("skip ="))
            .map(|line| format!("{line}\n"))
            .collect();
        let line = 1 + text
            .lines()
            .position(|line| line == "[language]")
            .expect("it");
        assert_eq!(
            mistakes(&text),
            [format!(
                "xx.toml:{line}: key `language.skip` is missing; in English it is \"Skip to the text\""
            )]
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_refused() {
        let text = EMBEDDED[0]
            .1
            .replace("{destinations} different", "{servers} different");
        let said = mistakes(&text);
        assert!(
            said[0].contains("`happened.servers` has {servers}: it may have {date}"),
            "{said:?}"
        );
        let text = EMBEDDED[0]
            .1
            .replace("\"Restart the Mac.\"", "\"Restart {it}.\"");
        assert!(mistakes(&text)[0].contains("has {it}: nothing is filled in here"));
    }

    #[test]
    fn texts_of_another_kind_and_empty_ones_are_refused() {
        for (good, bad, expected) in [
            (
                "skip = \"Skip to the text\"",
                "skip = 1",
                "`language.skip` must be a text in quotes",
            ),
            (
                "skip = \"Skip to the text\"",
                "skip = \" \"",
                "`language.skip` is empty",
            ),
            ("\"January\", ", "", "`language.months` must have 12 names"),
            (
                "\"Restart the Mac.\"",
                "7",
                "`steps.mac.items` must hold texts only",
            ),
            ("[real]", "[real", "xx.toml:"),
        ] {
            let text = EMBEDDED[0].1.replace(good, bad);
            let said = mistakes(&text);
            assert!(said[0].contains(expected), "{said:?}");
        }
    }

    #[test]
    fn sentences_are_filled_in_by_name() {
        let filled = fill("{b} and {a}{c}", &[("a", "1"), ("b", "{a}")]);
        assert_eq!(filled, "{a} and 1");
        assert_eq!(fill("an open { brace", &[]), "an open { brace");
    }
}
