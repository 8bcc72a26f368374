//! What is wrong with a policy, where it stands, and what to do about it.
//!
//! A [`Diagnostic`] carries the lines it points at, so that it can be shown long after the files
//! are gone. [`Report`] collects diagnostics while files are read: it turns places into excerpts
//! and keeps a million wrong rows from becoming a million messages.

use std::{cell::OnceCell, fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use serde::Serialize;

/// At most this many mistakes in list rows are shown one by one.
pub const ROW_MISTAKES_SHOWN: usize = 20;

/// Whether a policy can take effect all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is accepted, but probably not what is meant.
    Warning,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The file as the user calls it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What to say about this place; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The text of the line.
    #[serde(skip)]
    pub text: String,
    /// The octets of `text` that are meant.
    #[serde(skip)]
    pub span: Range<usize>,
}

/// One mistake or doubt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, with the value at fault.
    pub message: String,
    /// How to put it right.
    pub remedy: String,
    /// Where it stands, unless a whole file is at fault.
    #[serde(flatten)]
    pub place: Option<Excerpt>,
    /// Other places that have to do with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Excerpt>,
}

/// All that is to be said about a policy, in the order of its files and lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// How many there are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.0
            .iter()
            .filter(|diagnostic| diagnostic.severity == severity)
            .count()
    }

    /// The text for people, in the manner of rustc; with colours if `styled`.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let rendered: Vec<_> = self
            .0
            .iter()
            .map(|diagnostic| renderer.render(&[diagnostic.group()]).to_string())
            .collect();
        rendered.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostic {
    fn group(&self) -> Group<'_> {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group =
            Group::with_title(level.primary_title(normalize_untrusted_str(&self.message)));
        if let Some(place) = &self.place {
            group = group.element(place.snippet(AnnotationKind::Primary));
        }
        for place in &self.related {
            group = group.element(place.snippet(AnnotationKind::Context));
        }
        if !self.remedy.is_empty() {
            group = group.element(Level::HELP.message(normalize_untrusted_str(&self.remedy)));
        }
        group
    }
}

impl Excerpt {
    fn snippet(&self, kind: AnnotationKind) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let label = (!self.label.is_empty()).then_some(self.label.as_str());
        Snippet::source(self.text.as_str())
            .line_start(self.line)
            .path(self.file.as_str())
            .annotation(kind.span(self.span.clone()).label(label))
    }
}

/// A place in one of the files that a [`Report`] knows: octets from `start` to `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) file: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Spot {
    /// A place by octet range; files are below 4 GiB (see [`Report::add_file`]).
    pub(super) fn new(file: u32, range: Range<usize>) -> Self {
        let octets = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Self {
            file,
            start: octets(range.start),
            end: octets(range.end),
        }
    }
}

/// What to say about a [`Spot`].
#[derive(Debug)]
pub(super) struct Remark {
    message: String,
    remedy: String,
    related: Vec<(Spot, String)>,
}

impl Remark {
    /// A message and its remedy.
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
            related: Vec::new(),
        }
    }

    /// Points at another place, too.
    pub(super) fn related(mut self, spot: Spot, label: impl Into<String>) -> Self {
        self.related.push((spot, label.into()));
        self
    }
}

/// A file that places refer to.
#[derive(Debug)]
struct File {
    name: String,
    octets: Arc<Vec<u8>>,
    /// Whether its mistakes are counted as rows.
    list: bool,
    /// Where each line begins; found when the first excerpt is asked for.
    lines: OnceCell<Vec<usize>>,
}

/// Collects diagnostics while files are read.
#[derive(Debug, Default)]
pub(super) struct Report {
    files: Vec<File>,
    found: Vec<(Option<Spot>, Diagnostic)>,
    row_mistakes: usize,
    /// Set when a syntax error may have swallowed something: what is absent may just be unread.
    pub(super) damaged: bool,
}

impl Report {
    /// Makes a file known; its number goes into the places in it. None if it is 4 GiB or more.
    pub(super) fn add_file(&mut self, name: &str, octets: Arc<Vec<u8>>, list: bool) -> Option<u32> {
        u32::try_from(octets.len()).ok()?;
        let number = u32::try_from(self.files.len()).ok()?;
        self.files.push(File {
            name: name.to_owned(),
            octets,
            list,
            lines: OnceCell::new(),
        });
        Some(number)
    }

    /// A mistake at a place. The remark is only made if it will be shown.
    pub(super) fn error(&mut self, spot: Spot, remark: impl FnOnce() -> Remark) {
        if self.files[spot.file as usize].list {
            self.row_mistakes += 1;
            if self.row_mistakes > ROW_MISTAKES_SHOWN {
                return;
            }
        }
        self.push(Severity::Error, Some(spot), remark());
    }

    /// A mistake that consists in something not being there.
    pub(super) fn missing(&mut self, spot: Spot, remark: impl FnOnce() -> Remark) {
        if !self.damaged {
            self.error(spot, remark);
        }
    }

    /// A doubt about a place.
    pub(super) fn warning(&mut self, spot: Spot, remark: impl FnOnce() -> Remark) {
        if !self.damaged {
            self.push(Severity::Warning, Some(spot), remark());
        }
    }

    /// A mistake that has no place in a file.
    pub(super) fn error_nowhere(&mut self, remark: Remark) {
        self.push(Severity::Error, None, remark);
    }

    /// Everything found, in the order of files and lines; errors if there is any.
    pub(super) fn finish(mut self) -> Diagnostics {
        self.found
            .sort_by_key(|(spot, _)| spot.map_or((0, 0), |spot| (spot.file, spot.start)));
        if let Some(more @ 1..) = self.row_mistakes.checked_sub(ROW_MISTAKES_SHOWN) {
            let message = format!("{more} more mistakes in list rows");
            let remedy = "put those above right and check again";
            self.push(Severity::Error, None, Remark::new(message, remedy));
        }
        Diagnostics(
            self.found
                .into_iter()
                .map(|(_, diagnostic)| diagnostic)
                .collect(),
        )
    }

    /// The text at a place.
    pub(super) fn text(&self, spot: Spot) -> String {
        let octets = &self.files[spot.file as usize].octets;
        let range = spot.start as usize..(spot.end as usize).min(octets.len());
        String::from_utf8_lossy(octets.get(range).unwrap_or_default()).into_owned()
    }

    fn push(&mut self, severity: Severity, spot: Option<Spot>, remark: Remark) {
        let Remark {
            message,
            remedy,
            related,
        } = remark;
        let place = spot.map(|spot| self.excerpt(spot, String::new()));
        let related = related
            .into_iter()
            .map(|(spot, label)| self.excerpt(spot, label))
            .collect();
        self.found.push((
            spot,
            Diagnostic {
                severity,
                message,
                remedy,
                place,
                related,
            },
        ));
    }

    /// The (first) line of a place and the place in it.
    fn excerpt(&self, spot: Spot, label: String) -> Excerpt {
        let file = &self.files[spot.file as usize];
        let octets = &file.octets[..];
        let lines = file.lines.get_or_init(|| {
            let breaks = octets
                .iter()
                .enumerate()
                .filter(|&(_, &octet)| octet == b'\n');
            std::iter::once(0)
                .chain(breaks.map(|(offset, _)| offset + 1))
                .collect()
        });
        let start = (spot.start as usize).min(octets.len());
        let line = lines.partition_point(|&begin| begin <= start).max(1);
        let begin = lines[line - 1];
        let end = lines
            .get(line)
            .map_or(octets.len(), |next| next - 1)
            .max(start);
        let before = String::from_utf8_lossy(&octets[begin..start]);
        let meant = String::from_utf8_lossy(&octets[start..(spot.end as usize).clamp(start, end)]);
        let after = String::from_utf8_lossy(&octets[(spot.end as usize).clamp(start, end)..end]);
        let span = before.len()..before.len() + meant.len();
        let text = format!("{before}{meant}{after}")
            .trim_end_matches(['\r', '\n'])
            .to_owned();
        Excerpt {
            file: file.name.clone(),
            line,
            column: before.chars().count() + 1,
            label,
            span: span.start.min(text.len())..span.end.min(text.len()),
            text,
        }
    }
}
