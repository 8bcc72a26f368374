//! A disclosure as text, HTML or Markdown.

use std::fmt::Write;

use super::Disclosure;

/// How a disclosure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Plain lines.
    Text,
    /// A `<section>` to put into a page.
    Html,
    /// CommonMark.
    Markdown,
}

impl Disclosure {
    /// Writes it out.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        let mut out = String::new();
        // Writing to a string can't fail.
        let _ = match format {
            Format::Text => self.text(&mut out),
            Format::Html => self.html(&mut out),
            Format::Markdown => self.markdown(&mut out),
        };
        out
    }

    fn text(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}", self.heading)?;
        writeln!(out, "{}", "=".repeat(self.heading.chars().count()))?;
        for (matter, text) in &self.items {
            writeln!(out, "\n{matter}\n  {text}")?;
        }
        Ok(())
    }

    fn html(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "<section lang=\"{}\">", self.language)?;
        writeln!(out, "<h2>{}</h2>\n<dl>", escape_html(&self.heading))?;
        for (matter, text) in &self.items {
            let (matter, text) = (escape_html(matter), escape_html(text));
            writeln!(out, "<dt>{matter}</dt>\n<dd>{text}</dd>")?;
        }
        writeln!(out, "</dl>\n</section>")
    }

    fn markdown(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## {}", escape_markdown(&self.heading))?;
        for (matter, text) in &self.items {
            let (matter, text) = (escape_markdown(matter), escape_markdown(text));
            writeln!(out, "\n### {matter}\n\n{text}")?;
        }
        Ok(())
    }
}

fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Escapes what Markdown would act on; a line stays a line.
fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '&' | '|' | '~' => {
                escaped.extend(['\\', c]);
            }
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped
}
