//! A message → the report in it.

use jiff::Timestamp;
use mail_parser::{Message, MessageParser, MimeHeaders};

use super::{Complaint, Unreadable, arf, printable, xarf};

/// How often a message may name the types that nest messages. The parser keeps each within the one
/// around it, so their depth is what its memory and our stack have to bear.
pub(super) const NESTED_MAX: usize = 500;

/// What the message itself says of the report in it.
pub(super) struct Envelope {
    pub(super) from: Option<String>,
    pub(super) sent: Option<Timestamp>,
}

impl Envelope {
    fn of(message: &Message<'_>) -> Self {
        let from = message.from().and_then(|from| from.first());
        Self {
            from: from.and_then(|from| from.address()).map(printable),
            sent: message
                .date()
                .and_then(|date| Timestamp::from_second(date.to_timestamp()).ok()),
        }
    }
}

/// Reads the report that a message carries: XARF if there is one, else ARF.
pub(super) fn read(octets: &[u8]) -> Result<Vec<Complaint>, Unreadable> {
    if nestings(octets) > NESTED_MAX {
        return Err(Unreadable::TooDeep);
    }
    let message = MessageParser::default()
        .parse(octets)
        .ok_or(Unreadable::NotAReport)?;
    let envelope = Envelope::of(&message);
    let mut damage = Unreadable::NotAReport;
    for part in message.parts.iter().filter(|part| !part.is_multipart()) {
        let is_json = part.content_type().is_some_and(|kind| {
            kind.subtype()
                .is_some_and(|subtype| subtype.eq_ignore_ascii_case("json"))
        });
        let is_named = part
            .attachment_name()
            .is_some_and(|name| name.to_ascii_lowercase().ends_with(".json"));
        if is_json || is_named {
            match xarf::read(part.contents(), Some(&envelope)) {
                Ok(complaints) => return Ok(complaints),
                Err(why) => damage = why,
            }
        }
    }
    let report = message.parts.iter().find(|part| {
        part.content_type().is_some_and(|kind| {
            kind.ctype().eq_ignore_ascii_case("message")
                && kind
                    .subtype()
                    .is_some_and(|subtype| subtype.eq_ignore_ascii_case("feedback-report"))
        })
    });
    match report {
        Some(part) => Ok(vec![arf::read(part.contents(), &envelope)]),
        None => Err(damage),
    }
}

/// How often types are named that make the parser nest.
fn nestings(octets: &[u8]) -> usize {
    const TYPES: [&[u8]; 3] = [b"rfc822", b"global", b"digest"];
    let names = |window: &[u8]| TYPES.iter().any(|name| window.eq_ignore_ascii_case(name));
    octets.windows(6).filter(|window| names(window)).count()
}
