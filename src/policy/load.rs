//! Policies from files and from text.

use std::{path::Path, sync::Arc};

use super::{
    Policy,
    diagnostic::{Diagnostics, Remark, Report, Severity, Spot},
    file,
    lists::{Lists, Progress},
    resolve::resolve,
};

impl Policy {
    /// Loads a policy file and the lists it names, and checks all of it.
    ///
    /// `progress` is called now and then while lists are read. With the policy come warnings.
    ///
    /// # Errors
    ///
    /// Every mistake in the file and its lists, and the warnings among them.
    pub fn load(
        path: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(Self, Diagnostics), Diagnostics> {
        let name = path.display().to_string();
        match std::fs::read(path) {
            Ok(octets) => make(&name, octets, path.parent(), progress),
            Err(error) => {
                let mut report = Report::default();
                let message = format!("cannot read policy {name}: {error}");
                report.error_nowhere(Remark::new(message, "write the path of a TOML file"));
                Err(report.finish())
            }
        }
    }

    /// Makes a policy of the text of a file; it cannot name lists.
    ///
    /// # Errors
    ///
    /// Every mistake in the text, and the warnings among them; they call the file `name`.
    pub fn from_toml(name: &str, text: &str) -> Result<(Self, Diagnostics), Diagnostics> {
        make(name, text.as_bytes().to_vec(), None, &mut |_| {})
    }
}

fn make(
    name: &str,
    octets: Vec<u8>,
    folder: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(Policy, Diagnostics), Diagnostics> {
    let mut report = Report::default();
    let octets = Arc::new(octets);
    let Some(file) = report.add_file(name, Arc::clone(&octets), false) else {
        let message = format!("policy {name} is 4 GiB or larger");
        report.error_nowhere(Remark::new(message, "put subscribers into lists"));
        return Err(report.finish());
    };
    let text = match std::str::from_utf8(&octets) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            report.error(Spot::new(file, at..at + 1), || {
                Remark::new(
                    "this is not UTF-8",
                    "save the policy as UTF-8, as TOML demands",
                )
            });
            return Err(report.finish());
        }
    };
    let mut draft = file::read(text, file, &mut report);
    for (list, spot) in std::mem::take(&mut draft.lists) {
        let Some(folder) = folder else {
            report.error(spot, || {
                Remark::new(
                    "a policy without a file cannot name lists",
                    "save it as a file",
                )
            });
            continue;
        };
        let (classes, subscribers) = (&mut draft.classes, &mut draft.subscribers);
        Lists {
            classes,
            subscribers,
            report: &mut report,
            progress,
        }
        .read(folder, &list, spot);
    }
    if let (Some(outlets), Some(folder)) = (&mut draft.outlets, folder) {
        outlets.within(folder);
    }
    if let (Some(keeping), Some(folder)) = (&mut draft.keeping, folder) {
        keeping.within(folder);
    }
    if let (Some(complaints), Some(folder)) = (&mut draft.complaints, folder) {
        complaints.within(folder);
    }
    let policy = resolve(draft, &mut report);
    let diagnostics = report.finish();
    match diagnostics.count(Severity::Error) {
        0 => Ok((policy, diagnostics)),
        _ => Err(diagnostics),
    }
}
