//! How findings are said: to people, and to programs as `lychgate.preflight/1`.

use std::io::{self, Write};

use serde::Serialize;

use super::{Finding, Report, Severity};

/// Name and version of the document. Fields may be added to a version, never removed or redefined.
pub const SCHEMA: &str = "lychgate.preflight/1";

/// What stands for the interface where a finding is about the machine.
const HOST: &str = "host";

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    worst: Severity,
    findings: &'a [Finding],
}

impl Severity {
    /// The word for people.
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Repaired => "repaired",
            Self::Repairable => "to repair",
            Self::Warning => "warning",
            Self::Refusal => "REFUSAL",
        }
    }
}

impl Report {
    /// Writes the findings that are at least as bad as `least` for people, a line each and one for
    /// its remedy.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_text(&self, least: Severity, mut out: impl Write) -> io::Result<()> {
        let subject = |finding: &Finding| finding.interface.clone().unwrap_or_else(|| HOST.into());
        let width = self.0.iter().map(|finding| subject(finding).len()).max();
        let width = width.unwrap_or_default();
        for finding in self.0.iter().filter(|finding| finding.severity >= least) {
            let (word, check) = (finding.severity.word(), finding.check.name());
            // What has several lines is indented as far as its remedy.
            let cause = finding.cause.replace('\n', "\n            ");
            writeln!(
                out,
                "{word:<9}   {:<width$}   {check:<12}   {cause}",
                subject(finding)
            )?;
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "            remedy: {remedy}")?;
            }
        }
        Ok(())
    }

    /// Writes all findings for programs, indented.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let document = Document {
            schema: SCHEMA,
            worst: self.worst(),
            findings: &self.0,
        };
        serde_json::to_writer_pretty(&mut out, &document)?;
        out.write_all(b"\n")?;
        out.flush()
    }

    /// What is refused, and why, in one text; nothing where nothing is.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let refused = |finding: &Finding| {
            let subject = match &finding.interface {
                Some(interface) => format!("interface {interface}"),
                None => HOST.to_owned(),
            };
            let (check, cause) = (finding.check.name(), &finding.cause);
            let remedy = finding.remedy.as_ref();
            let remedy = remedy.map_or_else(String::new, |remedy| format!("\nremedy: {remedy}"));
            format!("{subject}: {check}: {cause}{remedy}")
        };
        let refusals = self
            .0
            .iter()
            .filter(|finding| finding.severity == Severity::Refusal);
        let refusals: Vec<_> = refusals.map(refused).collect();
        (!refusals.is_empty()).then(|| refusals.join("\n"))
    }
}
