//! The fields of a `message/feedback-report` (RFC 5965 §3, RFC 6692).

use mail_parser::MessageParser;

use super::{Complaint, Form, mail::Envelope, printable};

/// Reads the fields.
pub(super) fn read(contents: &[u8], envelope: &Envelope) -> Complaint {
    let mut octets = contents.trim_ascii_start().to_vec();
    octets.extend_from_slice(b"\r\n\r\n");
    let parser = MessageParser::new().default_header_text();
    let fields = parser.parse_headers(&octets);
    let find = |name: &str| {
        let mut headers = fields.iter().flat_map(|fields| fields.headers());
        headers
            .find(|header| header.name().eq_ignore_ascii_case(name))
            .and_then(|header| header.value().as_text())
            .map(str::trim)
            .filter(|text| !text.is_empty())
    };
    let mut complaint = Complaint::new(Form::Arf);
    complaint.state_kind("Feedback-Type", find("Feedback-Type"));
    for field in ["User-Agent", "Version"] {
        if find(field).is_none() {
            complaint.lacks(field);
        }
    }
    complaint.state_source("Source-IP", find("Source-IP"));
    complaint.source_port = find("Source-Port").and_then(|port| port.parse().ok());
    let arrival = find("Arrival-Date").or_else(|| find("Received-Date"));
    complaint.state_time("Arrival-Date", arrival, envelope.sent);
    if let Some(stated) = find("Incidents") {
        match stated.parse() {
            Ok(incidents) => complaint.incidents = incidents,
            Err(_) => {
                let stated = printable(stated);
                complaint
                    .missing
                    .push(format!("`Incidents` \"{stated}\" is no number"));
            }
        }
    }
    complaint.reporter = envelope.from.clone();
    if complaint.reporter.is_none() {
        complaint.lacks("From");
    }
    complaint
}
