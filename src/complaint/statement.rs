//! What we report about a source to the network that it belongs to.
//!
//! Lychgate reads headers of connections, never mail. So a statement holds counts, and no message:
//! the part of an ARF report that should be one says so.

use std::{io, net::IpAddr};

use jiff::Timestamp;
use mail_builder::{
    MessageBuilder,
    encoders::base64::base64_encode,
    headers::{content_type::ContentType, raw::Raw},
    mime::{BodyPart, MimePart},
};
use mail_parser::decoders::base64::base64_decode;
use serde_json::{Value, json};
use thiserror::Error;

/// Who reports: an address, and the organisation behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    email: String,
    domain: String,
    org: String,
}

/// Why somebody can't be a reporter.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadReporter {
    /// Not like an address.
    #[error("\"{0}\" is no mail address: write one like abuse@example.net")]
    Email(String),
    /// Not one line of text.
    #[error("an organisation's name is one line of 1 to 200 characters")]
    Org,
}

impl Reporter {
    /// A reporter with this address; the organisation is called by its domain unless it has a name.
    ///
    /// # Errors
    ///
    /// If the address or the name can't stand in a report.
    pub fn new(email: &str, org: Option<&str>) -> Result<Self, BadReporter> {
        let wrong = || BadReporter::Email(email.to_owned());
        let (local, domain) = email.rsplit_once('@').ok_or_else(wrong)?;
        let plain = |c: char| c.is_ascii_graphic() && !"<>\"(),;:\\[]@".contains(c);
        let fine = |text: &str| !text.is_empty() && text.len() <= 200 && text.chars().all(plain);
        if !fine(local) || !fine(domain) {
            return Err(wrong());
        }
        let org = org.unwrap_or(domain).trim();
        if org.is_empty() || org.chars().count() > 200 || org.contains(char::is_control) {
            return Err(BadReporter::Org);
        }
        Ok(Self {
            email: email.to_owned(),
            domain: domain.to_owned(),
            org: org.to_owned(),
        })
    }
}

/// What was seen of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The address complained about.
    pub source: IpAddr,
    /// Connection attempts to port 25.
    pub attempts: u64,
    /// To so many different destinations, if that was counted.
    pub destinations: Option<u64>,
    /// From when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who reports.
    pub reporter: Reporter,
    /// Whom to, if it is known.
    pub recipient: Option<Reporter>,
    /// When the report is made.
    pub now: Timestamp,
    /// What tells this report from every other one: random.
    pub id: u128,
}

impl Statement {
    fn sentence(&self) -> String {
        let destinations = self
            .destinations
            .map(|count| format!(" to {count} different destinations"))
            .unwrap_or_default();
        format!(
            "{} made {} SMTP connection attempts (TCP port 25){destinations} from {} to {}.",
            self.source, self.attempts, self.since, self.until
        )
    }
}

/// Media type of the counts in an XARF report's evidence.
pub(super) const COUNTS_TYPE: &str = "application/json";

/// The attempts that our own evidence counts.
pub(super) fn counted(payload: &str) -> Option<u64> {
    let octets = base64_decode(payload.as_bytes())?;
    let counts: Value = serde_json::from_slice(&octets).ok()?;
    counts["attempts"].as_u64()
}

/// Writes a statement as XARF 4: a botnet's member that sends spam, which asks for no message.
///
/// # Errors
///
/// None that writing to memory can have.
pub fn write_xarf(statement: &Statement) -> io::Result<Vec<u8>> {
    let contact = json!({
        "org": statement.reporter.org,
        "contact": statement.reporter.email,
        "domain": statement.reporter.domain,
    });
    let counts = json!({
        "attempts": statement.attempts,
        "destinations": statement.destinations,
        "since": statement.since.to_string(),
        "until": statement.until.to_string(),
    });
    let payload = base64_encode(counts.to_string().as_bytes())?;
    let report = json!({
        "xarf_version": "4.2.0",
        "report_id": uuid(statement.id),
        "timestamp": statement.until.to_string(),
        "reporter": contact,
        "sender": contact,
        "source_identifier": statement.source.to_string(),
        "category": "infrastructure",
        "type": "botnet",
        "compromise_evidence": statement.sentence(),
        "bot_capabilities": ["spam"],
        "evidence_source": "traffic_analysis",
        "evidence": [{
            "content_type": COUNTS_TYPE,
            "description": "Counts of SMTP connection attempts",
            "payload": String::from_utf8_lossy(&payload),
        }],
    });
    let mut octets = serde_json::to_vec_pretty(&report)?;
    octets.push(b'\n');
    Ok(octets)
}

/// A random UUID (RFC 9562, version 4) of these bits.
fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    groups.join("-")
}

/// Writes a statement as an ARF report (RFC 5965): a message that can be sent as it is.
///
/// # Errors
///
/// None that writing to memory can have.
pub fn write_arf(statement: &Statement) -> io::Result<Vec<u8>> {
    let person = format!(
        "This is an abuse report about {}.\r\n\r\n{}\r\n\
         No message was read: only the headers of connections were counted.\r\n",
        statement.source,
        statement.sentence(),
    );
    let zulu = jiff::fmt::rfc2822::DateTimePrinter::new();
    let date = |time: &Timestamp| zulu.timestamp_to_string(time).map_err(io::Error::other);
    let fields = format!(
        "Feedback-Type: abuse\r\nUser-Agent: Lychgate/{}\r\nVersion: 1\r\n\
         Source-IP: {}\r\nArrival-Date: {}\r\nIncidents: {}\r\n",
        env!("CARGO_PKG_VERSION"),
        statement.source,
        date(&statement.until)?,
        statement.attempts,
    );
    let headers = format!(
        "Date: {}\r\nComments: Nothing is known of the messages. Connection attempts were counted.\r\n",
        date(&statement.until)?,
    );
    let part = |kind: &'static str, text: String| {
        MimePart::new(kind, BodyPart::Binary(text.into_bytes().into())).transfer_encoding("7bit")
    };
    let report = MimePart::new(
        ContentType::new("multipart/report").attribute("report-type", "feedback-report"),
        vec![
            MimePart::new("text/plain", person),
            part("message/feedback-report", fields),
            part("text/rfc822-headers", headers),
        ],
    );
    let reporter = &statement.reporter;
    let mut message = MessageBuilder::new()
        .from((reporter.org.as_str(), reporter.email.as_str()))
        .date(statement.now.as_second())
        .message_id(format!("{:032x}@{}", statement.id, reporter.domain))
        .subject(format!("Abuse report about {}", statement.source))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .body(report);
    if let Some(recipient) = &statement.recipient {
        message = message.to(recipient.email.as_str());
    }
    message.write_to_vec()
}
