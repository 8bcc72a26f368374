//! Reads tables of a TOML file key by key, and says what is wrong with each.
//!
//! A [`Section`] is opened with its [`Shape`]: the keys it may have. Keys it may not have are
//! reported at once, with the nearest known one. A [`Value`] is asked for what it should be; if it
//! isn't, the answer is `None` and the mistake is in the report, so that reading goes on.

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Remark, Report, Spot};

/// The keys that a table may have.
#[derive(Debug)]
pub struct Shape {
    /// How the table is called in messages and in the documentation, like `[class.NAME]`.
    pub title: &'static str,
    /// Every key it may have.
    pub keys: &'static [&'static str],
}

/// A table with its place and shape.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    table: &'a DeTable<'a>,
    shape: &'static Shape,
    /// What stands for NAME in the shape's title.
    name: &'a str,
    /// Its header, or the whole of an inline table.
    pub(super) spot: Spot,
}

/// The value of a key, or one element of an array.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    value: &'a DeValue<'a>,
    /// The key's name.
    pub(super) name: &'a str,
    /// Where the value stands.
    pub(super) spot: Spot,
}

impl<'a> Section<'a> {
    /// Opens a table; keys that its shape doesn't have are reported, those of `shapes` with the
    /// table where they belong.
    pub(super) fn open(
        table: &'a DeTable<'a>,
        name: &'a str,
        spot: Spot,
        shape: &'static Shape,
        shapes: &[&'static Shape],
        report: &mut Report,
    ) -> Self {
        let section = Self {
            table,
            shape,
            name,
            spot,
        };
        for (key, _) in table.iter() {
            if !shape.keys.contains(&key.get_ref().as_ref()) {
                let spot = Spot::new(spot.file, key.span());
                report.error(spot, || section.unknown_key(key.get_ref(), shapes));
            }
        }
        section
    }

    /// The value of a key, if the table has it.
    pub(super) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        debug_assert!(
            self.shape.keys.contains(&name),
            "{name} is not in {}",
            self.shape.title
        );
        let (key, value) = self.table.get_key_value(name)?;
        let spot = Spot::new(self.spot.file, value.span());
        // Tables without a header of their own have no place but their key's.
        let spot = if spot.start == spot.end {
            Spot::new(self.spot.file, key.span())
        } else {
            spot
        };
        Some(Value {
            value: value.get_ref(),
            name,
            spot,
        })
    }

    /// The value of a key that the table must have.
    pub(super) fn require(
        &self,
        name: &'static str,
        example: &str,
        report: &mut Report,
    ) -> Option<Value<'a>> {
        let value = self.get(name);
        if value.is_none() && !self.misspells(name) {
            report.missing(self.spot, || {
                Remark::new(
                    format!("`{name}` is missing in {}", self.title()),
                    format!("add `{name} = {example}`"),
                )
            });
        }
        value
    }

    /// Whether an unknown key, which is reported already, was probably meant to be this one.
    fn misspells(&self, name: &str) -> bool {
        let known = || self.shape.keys.iter().copied();
        let mut unknown = self
            .table
            .keys()
            .filter(|key| !known().any(|k| k == key.get_ref()));
        unknown.any(|key| nearest(key.get_ref(), known()) == Some(name))
    }

    /// Whether it has no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How to call it in messages.
    pub(super) fn title(&self) -> String {
        self.shape.title.replace("NAME", self.name)
    }

    /// A key that a table doesn't have: a slip of the pen, or one that belongs elsewhere.
    fn unknown_key(&self, key: &str, shapes: &[&Shape]) -> Remark {
        let elsewhere = shapes.iter().find(|other| other.keys.contains(&key));
        let remedy = match (nearest(key, self.shape.keys.iter().copied()), elsewhere) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(other)) if other.title == TOP_TITLE => {
                format!("`{key}` belongs at the top of the file, before the first [table]")
            }
            (None, Some(other)) => format!("`{key}` belongs in {}", other.title),
            (None, None) => format!("{} takes: {}", self.title(), self.shape.keys.join(", ")),
        };
        Remark::new(format!("unknown key `{key}` in {}", self.title()), remedy)
    }
}

impl<'a> Value<'a> {
    /// Every entry of a table whose keys are names of the user's choice.
    pub(super) fn entries(self, report: &mut Report) -> Vec<(Value<'a>, Spot)> {
        let DeValue::Table(table) = self.value else {
            return self.wrong_type("a table", report).unwrap_or_default();
        };
        let entry = |(key, value): (&'a toml::Spanned<_>, &'a toml::Spanned<DeValue<'a>>)| {
            let key_spot = Spot::new(self.spot.file, key.span());
            let spot = Spot::new(self.spot.file, value.span());
            let name: &std::borrow::Cow<'a, str> = key.get_ref();
            (
                Value {
                    value: value.get_ref(),
                    name: name.as_ref(),
                    spot,
                },
                key_spot,
            )
        };
        table.iter().map(entry).collect()
    }

    /// A table of a known shape.
    pub(super) fn section(
        self,
        shape: &'static Shape,
        shapes: &[&'static Shape],
        report: &mut Report,
    ) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(table) => Some(Section::open(
                table, self.name, self.spot, shape, shapes, report,
            )),
            _ => self.wrong_type("a table", report),
        }
    }

    /// The elements of an array.
    pub(super) fn array(self, of: &str, report: &mut Report) -> Vec<Value<'a>> {
        let DeValue::Array(array) = self.value else {
            return self
                .wrong_type(&format!("an array of {of}"), report)
                .unwrap_or_default();
        };
        let element = |value: &'a toml::Spanned<DeValue<'a>>| Value {
            value: value.get_ref(),
            name: self.name,
            spot: Spot::new(self.spot.file, value.span()),
        };
        array.iter().map(element).collect()
    }

    /// A string.
    pub(super) fn string(self, report: &mut Report) -> Option<&'a str> {
        self.as_str()
            .or_else(|| self.wrong_type("a string", report))
    }

    /// The string, if it is one.
    pub(super) fn as_str(self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// `true` or `false`.
    pub(super) fn boolean(self, report: &mut Report) -> Option<bool> {
        self.value
            .as_bool()
            .or_else(|| self.wrong_type("true or false", report))
    }

    /// The integer, if it is one that fits.
    pub(super) fn as_integer(self) -> Option<i128> {
        let integer = self.value.as_integer()?;
        i128::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
    }

    /// Whether it is a table.
    pub(super) fn is_table(self) -> bool {
        self.value.is_table()
    }

    /// Whether it is a table with this key.
    pub(super) fn has(self, key: &str) -> bool {
        self.value
            .as_table()
            .is_some_and(|table| table.contains_key(key))
    }

    /// Whether it is an integer.
    pub(super) fn is_integer(self) -> bool {
        self.value.is_integer()
    }

    /// An integer within a range; `remedy` goes on where the remedy names the range.
    pub(super) fn integer(
        self,
        range: std::ops::RangeInclusive<u32>,
        remedy: &str,
        report: &mut Report,
    ) -> Option<u32> {
        if !self.value.is_integer() {
            return self.wrong_type("an integer", report);
        }
        let number = self
            .as_integer()
            .and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let text = report.text(self.spot);
            report.error(self.spot, || {
                let (low, high) = (range.start(), range.end());
                Remark::new(
                    format!(
                        "`{}` is {text}, which is not from {low} to {high}",
                        self.name
                    ),
                    format!("choose a number from {low} to {high}{remedy}"),
                )
            });
        }
        number
    }

    /// A number, whole or not.
    pub(super) fn number(self, report: &mut Report) -> Option<f64> {
        let number = match self.value {
            DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
            _ => self.as_integer().map(|integer| integer as f64),
        };
        number.or_else(|| self.wrong_type("a number", report))
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(self, words: &[(&str, T)], report: &mut Report) -> Option<T> {
        let names = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect::<Vec<_>>();
        let Some(text) = self.as_str() else {
            return self.wrong_type(&names.join(" or "), report);
        };
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|&(_, meaning)| meaning);
        if found.is_none() {
            report.error(self.spot, || {
                let nearest = nearest(text, words.iter().map(|(word, _)| *word));
                Remark::new(
                    format!("`{}` cannot be \"{text}\"", self.name),
                    match nearest {
                        Some(word) => format!("did you mean \"{word}\"?"),
                        None => format!("write {}", names.join(" or ")),
                    },
                )
            });
        }
        found
    }

    /// Reports that the value is of the wrong type.
    pub(super) fn wrong_type<T>(self, expected: &str, report: &mut Report) -> Option<T> {
        // After a syntax error, a table may have lost its header.
        if report.damaged && expected.contains("table") {
            return None;
        }
        report.error(self.spot, || {
            let found = self.value.type_str();
            let article = if found.starts_with(['a', 'i']) {
                "an"
            } else {
                "a"
            };
            Remark::new(
                format!("`{}` must be {expected}, not {article} {found}", self.name),
                match (expected, self.value) {
                    ("a string", DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
                        "put it in quotes".to_owned()
                    }
                    ("an integer", DeValue::String(_)) => "write it without quotes".to_owned(),
                    (array, DeValue::String(_)) if array.starts_with("an array") => {
                        "put it in brackets: [\"…\"]".to_owned()
                    }
                    ("a table", DeValue::Array(_)) => {
                        format!("write [{0}] once, not [[{0}]]", self.name)
                    }
                    (array, DeValue::Table(_)) if array.starts_with("an array of tables") => {
                        format!("write [[{0}]] with double brackets", self.name)
                    }
                    _ => format!("write {expected}"),
                },
            )
        });
        None
    }
}

/// How the table of the keys outside of all tables is called.
pub(super) const TOP_TITLE: &str = "the policy";

/// The candidate that the user probably meant.
pub fn nearest<'n>(text: &str, candidates: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let text: String = text.chars().take(64).collect::<String>().to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&text, &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|&(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
