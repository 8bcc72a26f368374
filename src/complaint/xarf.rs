//! XARF documents: version 4, and versions before it.

use serde_json::Value;

use super::{
    Complaint, Form, Unreadable,
    mail::Envelope,
    printable,
    statement::{COUNTS_TYPE, counted},
};

/// Reads a document, or an array of them.
pub(super) fn read(
    octets: &[u8],
    envelope: Option<&Envelope>,
) -> Result<Vec<Complaint>, Unreadable> {
    let value: Value = serde_json::from_slice(octets)
        .map_err(|error| Unreadable::NotJson(printable(&error.to_string())))?;
    match &value {
        Value::Array(documents) => documents
            .iter()
            .map(|document| one(document, envelope))
            .collect(),
        _ => Ok(vec![one(&value, envelope)?]),
    }
}

fn one(document: &Value, envelope: Option<&Envelope>) -> Result<Complaint, Unreadable> {
    let mut complaint = if document["xarf_version"].is_string() {
        version_4(document, envelope)
    } else if !document["Version"].is_null() && document["Report"].is_object() {
        version_3(document, envelope)
    } else {
        return Err(Unreadable::NotXarf);
    };
    complaint.reporter = complaint
        .reporter
        .or_else(|| envelope.and_then(|envelope| envelope.from.clone()));
    if complaint.reporter.is_none() {
        complaint.lacks("reporter");
    }
    Ok(complaint)
}

/// The first of these that is a text with something in it.
fn first<'a>(values: impl IntoIterator<Item = &'a Value>) -> Option<&'a str> {
    let mut texts = values.into_iter().filter_map(Value::as_str);
    texts.find(|text| !text.trim().is_empty())
}

fn port(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|port| *port > 0)
}

fn version_4(document: &Value, envelope: Option<&Envelope>) -> Complaint {
    let mut complaint = Complaint::new(Form::Xarf4);
    complaint.state_kind("type", first([&document["type"]]));
    // The category was called class in drafts.
    if first([&document["category"], &document["class"]]).is_none() {
        complaint.lacks("category");
    }
    complaint.state_source("source_identifier", first([&document["source_identifier"]]));
    complaint.source_port = port(&document["source_port"]);
    let sent = envelope.and_then(|envelope| envelope.sent);
    complaint.state_time("timestamp", first([&document["timestamp"]]), sent);
    let reporter = &document["reporter"];
    let names = [&reporter["contact"], &reporter["org"], &reporter["domain"]];
    complaint.reporter = first(names).map(printable);
    let evidence = document["evidence"].as_array().into_iter().flatten();
    let counts = evidence.filter(|item| item["content_type"] == COUNTS_TYPE);
    let mut counts = counts.filter_map(|item| counted(item["payload"].as_str()?));
    complaint.incidents = counts.next().unwrap_or(1);
    complaint
}

fn version_3(document: &Value, envelope: Option<&Envelope>) -> Complaint {
    let mut complaint = Complaint::new(Form::Xarf3);
    let report = &document["Report"];
    complaint.state_kind("ReportType", first([&report["ReportType"]]));
    let source = &report["Source"];
    let addresses = [
        &report["SourceIp"],
        &report["SourceIP"],
        &source["Value"],
        &source["IP"],
        &source["Ip"],
        source,
    ];
    complaint.state_source("SourceIp", first(addresses));
    complaint.source_port = port(&report["SourcePort"]).or_else(|| port(&source["Port"]));
    let sent = envelope.and_then(|envelope| envelope.sent);
    complaint.state_time("Date", first([&report["Date"]]), sent);
    let reporter = &document["ReporterInfo"];
    let names = [
        &reporter["ReporterOrgEmail"],
        &reporter["ReporterContactEmail"],
        &reporter["ReporterOrg"],
        &reporter["ReporterOrgDomain"],
    ];
    complaint.reporter = first(names).map(printable);
    complaint
}
