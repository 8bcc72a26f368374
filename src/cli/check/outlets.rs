//! Where it is told what happens, and where complaints come in, for programs and in words.

use serde::Serialize;

use crate::policy::{Complaints, Outlets};

#[derive(Serialize)]
pub(super) struct EventFacts {
    json: Option<String>,
    syslog: Option<String>,
    webhook: Option<String>,
}

impl EventFacts {
    pub fn of(outlets: &Outlets) -> Self {
        Self {
            json: outlets.json.as_ref().map(|path| path.display().to_string()),
            syslog: outlets.syslog.as_ref().map(ToString::to_string),
            webhook: outlets.webhook.clone(),
        }
    }

    /// One line for each outlet.
    pub fn meaning(&self) -> Vec<String> {
        let outlets = [
            ("lines of JSON to", &self.json),
            ("syslog at", &self.syslog),
            ("each posted to", &self.webhook),
        ];
        let named: Vec<_> = outlets
            .into_iter()
            .filter_map(|(what, place)| Some(format!("{what} {}", place.as_ref()?)))
            .collect();
        match named.is_empty() {
            true => vec!["no outlet is named: nobody is told".to_owned()],
            false => named,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ComplaintFacts {
    maildir: String,
    max_age_seconds: u64,
}

impl ComplaintFacts {
    pub fn of(complaints: &Complaints) -> Self {
        Self {
            maildir: complaints.maildir.display().to_string(),
            max_age_seconds: complaints.max_age.as_secs(),
        }
    }

    pub fn meaning(&self) -> String {
        let hours = self.max_age_seconds / 3600;
        let age = match (hours / 24, hours % 24) {
            (1, 0) => "a day".to_owned(),
            (days, 0) => format!("{days} days"),
            _ => format!("{hours} h"),
        };
        format!(
            "read from {}; what happened more than {age} ago is held against nobody",
            self.maildir
        )
    }
}
