//! Abuse reports: read from ARF and XARF, and written in both.
//!
//! [`read`] makes of a message or JSON document a [`Complaint`]: one form, whoever sent it. Reports
//! come from anybody, so nothing in them is trusted: sizes and depths are bounded, text is made
//! printable, and what is missing or makes no sense is named, never guessed. [`Statement`] is what
//! we report to others; [`write_arf`] and [`write_xarf`] put it into their forms.
//!
//! ARF is RFC 5965 and 6650 (a message with a part of type `message/feedback-report`), XARF is JSON
//! in its versions 3 and 4, by itself or attached to a message. MIME is `mail-parser`'s business.

mod arf;
mod mail;
mod statement;
mod xarf;

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

pub use statement::{BadReporter, Reporter, Statement, write_arf, write_xarf};

/// The largest report that is read, in octets.
pub const OCTETS_MAX: usize = 16 << 20;
/// Characters of a text that are kept.
const TEXT_MAX: usize = 200;

/// The form that a report came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// RFC 5965.
    Arf,
    /// XARF before version 4.
    Xarf3,
    /// XARF from version 4 on.
    Xarf4,
}

impl Form {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Arf => "ARF",
            Self::Xarf3 => "XARF 3",
            Self::Xarf4 => "XARF 4",
        }
    }
}

/// What is complained about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Unwanted mail; ARF calls it abuse.
    Spam,
    /// Phishing and other fraud.
    Fraud,
    /// A virus or other malware was sent.
    Malware,
    /// The source seems to be taken over.
    Infected,
    /// Login attempts, scans, floods.
    Attack,
    /// Somebody wants no more mail of a list.
    OptOut,
    /// Something was taken for spam and isn't: no complaint about the source.
    NotSpam,
    /// A message failed SPF, DKIM or DMARC.
    AuthFailure,
    /// Something else, or not said.
    Other,
}

impl Kind {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spam => "spam",
            Self::Fraud => "fraud",
            Self::Malware => "malware",
            Self::Infected => "infected",
            Self::Attack => "attack",
            Self::OptOut => "opt_out",
            Self::NotSpam => "not_spam",
            Self::AuthFailure => "auth_failure",
            Self::Other => "other",
        }
    }

    /// Whether it speaks for a zombie.
    #[must_use]
    pub const fn accuses(self) -> bool {
        matches!(
            self,
            Self::Spam | Self::Fraud | Self::Malware | Self::Infected | Self::Attack
        )
    }

    /// The kind behind a word of ARF or XARF.
    fn of(stated: &str) -> Self {
        let letters: String = stated
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        match letters.as_str() {
            "abuse" | "spam" | "bulkmessaging" | "trap" => Self::Spam,
            "fraud" | "phishing" | "phishingsite" | "socialengineering" => Self::Fraud,
            "virus" | "malware" | "malwaredistribution" => Self::Malware,
            "botnet" | "bot" | "infectedhost" | "compromisedserver" | "compromisedsystem" => {
                Self::Infected
            }
            "loginattack" | "portscan" | "ddos" | "scraping" | "sqlinjection"
            | "vulnerabilityscan" | "reconnaissance" | "hacking" => Self::Attack,
            "optout" | "optoutlist" => Self::OptOut,
            "notspam" => Self::NotSpam,
            "authfailure" => Self::AuthFailure,
            _ => Self::Other,
        }
    }
}

/// What a complaint's time is the time of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeOf {
    /// What is complained about.
    Incident,
    /// The report: nothing better was said.
    Report,
}

/// A report in our form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// The form that it came in.
    pub form: Form,
    /// What it is about.
    pub kind: Kind,
    /// The sender's own word for that.
    pub stated_kind: Option<String>,
    /// The address complained about.
    pub source: Option<IpAddr>,
    /// Its port, which tells subscribers behind one address apart.
    pub source_port: Option<u16>,
    /// When.
    #[serde(serialize_with = "moment")]
    pub time: Option<Timestamp>,
    /// What happened then.
    pub time_of: Option<TimeOf>,
    /// Who complains.
    pub reporter: Option<String>,
    /// How many incidents it stands for.
    pub incidents: u64,
    /// What is missing or makes no sense, as sentences.
    pub missing: Vec<String>,
}

impl Complaint {
    fn new(form: Form) -> Self {
        Self {
            form,
            kind: Kind::Other,
            stated_kind: None,
            source: None,
            source_port: None,
            time: None,
            time_of: None,
            reporter: None,
            incidents: 1,
            missing: Vec::new(),
        }
    }

    fn lacks(&mut self, field: &str) {
        self.missing.push(format!("`{field}` is missing"));
    }

    /// Says what the report is about.
    fn state_kind(&mut self, field: &str, stated: Option<&str>) {
        match stated {
            Some(stated) => {
                self.kind = Kind::of(stated);
                self.stated_kind = Some(printable(stated));
            }
            None => self.lacks(field),
        }
    }

    /// Takes the address complained about, alone or in brackets.
    fn state_source(&mut self, field: &str, stated: Option<&str>) {
        let Some(stated) = stated else {
            return self.lacks(field);
        };
        let word = stated.split_whitespace().next().unwrap_or_default();
        let bare = word.trim_start_matches('[').trim_end_matches(']');
        let bare = bare.strip_prefix("IPv6:").unwrap_or(bare);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.source = Some(address.to_canonical()),
            Err(_) => {
                let stated = printable(stated);
                self.missing
                    .push(format!("`{field}` \"{stated}\" is no address"));
            }
        }
    }

    /// Takes the time of the incident if it can be read, else that of the report.
    fn state_time(&mut self, field: &str, stated: Option<&str>, report: Option<Timestamp>) {
        let incident = stated.and_then(time);
        match (stated, incident) {
            (None, _) => self.lacks(field),
            (Some(stated), None) => {
                let stated = printable(stated);
                let why = format!("`{field}` \"{stated}\" is no date with a time zone");
                self.missing.push(why);
            }
            (Some(_), Some(_)) => {}
        }
        self.time = incident.or(report);
        self.time_of = match (incident, report) {
            (Some(_), _) => Some(TimeOf::Incident),
            (None, Some(_)) => Some(TimeOf::Report),
            (None, None) => None,
        };
    }
}

/// Why something is no report.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// Beyond [`OCTETS_MAX`].
    #[error("it has {0} octets; reports of more than {OCTETS_MAX} are not read")]
    TooLarge(usize),
    /// JSON that is broken.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// JSON of something else.
    #[error(
        "it is JSON, but no XARF: it has neither `xarf_version` (version 4) nor `Version` and \
         `Report` (version 3)"
    )]
    NotXarf,
    /// A message without a report in it, or no message at all.
    #[error(
        "it is neither ARF nor XARF: a message with a part of type message/feedback-report or a \
         JSON document is expected"
    )]
    NotAReport,
    /// Messages in messages in messages.
    #[error("messages are nested in it too often; reports hold one")]
    TooDeep,
}

/// Reads a report; a JSON document may hold several.
///
/// # Errors
///
/// If it is none.
pub fn read(octets: &[u8]) -> Result<Vec<Complaint>, Unreadable> {
    if octets.len() > OCTETS_MAX {
        return Err(Unreadable::TooLarge(octets.len()));
    }
    let text = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => xarf::read(text, None),
        _ => mail::read(octets),
    }
}

/// A moment as mail (RFC 5322) or JSON (RFC 3339) write it. It must say its time zone.
fn time(text: &str) -> Option<Timestamp> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true);
    let text = text.trim();
    parser
        .parse_timestamp(text)
        .ok()
        .or_else(|| text.parse().ok())
}

/// A text that does no harm on a terminal, and isn't endless.
fn printable(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let text: String = text.trim().chars().take(TEXT_MAX).map(plain).collect();
    text.trim_end().to_owned()
}

fn moment<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests;
