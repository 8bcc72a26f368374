use proptest::prelude::*;

use super::*;

/// A feedback report in a message of three parts; `fields` are lines.
fn arf(fields: &str) -> String {
    let fields = fields.replace('\n', "\r\n");
    format!(
        "From: FBL <fbl@mail.example>\r\n\
         Date: Mon, 30 Nov 2026 13:00:00 +1300\r\n\
         Subject: FW: Earn money\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report;\r\n\
         \x20boundary=\"part\"\r\n\r\n\
         --part\r\nContent-Type: text/plain; charset=\"US-ASCII\"\r\n\r\nAn abuse report.\r\n\
         --part\r\nContent-Type: message/feedback-report\r\n\r\n{fields}\r\n\
         --part\r\nContent-Type: message/rfc822\r\nContent-Disposition: inline\r\n\r\n\
         From: <spammer@example.net>\r\nSubject: Earn money\r\n\r\nSpam\r\n--part--\r\n"
    )
}

const FIELDS: &str = "Feedback-Type: abuse\nUser-Agent: SomeGenerator/1.0\nVersion: 1\n\
    Source-IP: 203.0.113.66\nArrival-Date: Thu, 8 Mar 2026 14:00:00 EDT\n";

fn only(octets: &[u8]) -> Complaint {
    let mut complaints = read(octets).expect("a report");
    assert_eq!(complaints.len(), 1);
    complaints.remove(0)
}

fn at(text: &str) -> Option<Timestamp> {
    Some(text.parse().expect("a moment"))
}

#[test]
fn an_arf_report_is_read_whole() {
    let complaint = only(arf(FIELDS).as_bytes());
    assert_eq!(complaint.form, Form::Arf);
    assert_eq!(complaint.kind, Kind::Spam);
    assert_eq!(complaint.stated_kind.as_deref(), Some("abuse"));
    assert_eq!(complaint.source, Some("203.0.113.66".parse().unwrap()));
    assert_eq!(complaint.time, at("2026-03-08T18:00:00Z"));
    assert_eq!(complaint.time_of, Some(TimeOf::Incident));
    assert_eq!(complaint.reporter.as_deref(), Some("fbl@mail.example"));
    assert_eq!(complaint.incidents, 1);
    assert_eq!(complaint.missing, [""; 0]);
}

#[test]
fn times_with_zones_are_one_moment() {
    for (text, moment) in [
        ("Mon, 30 Nov 2026 23:59:59 +1300", "2026-11-30T10:59:59Z"),
        ("30 Nov 2026 02:59:59 -0800", "2026-11-30T10:59:59Z"),
        ("Mon, 30 Nov 2026 10:59:59 GMT", "2026-11-30T10:59:59Z"),
        // The wrong day of the week is no reason to lose a report.
        ("Fri, 30 Nov 2026 10:59:59 +0000", "2026-11-30T10:59:59Z"),
        ("2026-11-30T11:59:59+01:00", "2026-11-30T10:59:59Z"),
    ] {
        assert_eq!(time(text), at(moment), "{text}");
    }
    for text in [
        "2026-11-30T11:59:59",
        "yesterday",
        "",
        "99 Nov 2026 00:00:00 +0000",
    ] {
        assert_eq!(time(text), None, "{text}");
    }
}

#[test]
fn folded_fields_and_those_in_any_case_are_read() {
    let fields = "feedback-type:\n abuse\nUSER-AGENT: x\nversion: 1\nSource-Ip:\n\t203.0.113.66\n\
        received-date: Mon, 30 Nov 2026\n 10:59:59 +0000\nIncidents: 17\nSource-Port: 4711\n";
    let complaint = only(arf(fields).as_bytes());
    assert_eq!(complaint.missing, [""; 0]);
    assert_eq!(complaint.kind, Kind::Spam);
    assert_eq!(complaint.time, at("2026-11-30T10:59:59Z"));
    assert_eq!(
        (complaint.incidents, complaint.source_port),
        (17, Some(4711))
    );
}

#[test]
fn an_ipv6_source_is_read_with_and_without_brackets() {
    for text in [
        "2001:db8::66",
        "[2001:db8::66]",
        "[IPv6:2001:db8::66]",
        "2001:DB8:0::66 (port 5)",
    ] {
        let fields = FIELDS.replace("203.0.113.66", text);
        let complaint = only(arf(&fields).as_bytes());
        assert_eq!(
            complaint.source,
            Some("2001:db8::66".parse().unwrap()),
            "{text}"
        );
    }
}

#[test]
fn what_is_missing_in_a_report_is_named() {
    let complaint = only(arf("X-Nothing: here\n").as_bytes());
    let said = [
        "Feedback-Type",
        "User-Agent",
        "Version",
        "Source-IP",
        "Arrival-Date",
    ];
    assert_eq!(
        complaint.missing,
        said.map(|field| format!("`{field}` is missing"))
    );
    assert_eq!(complaint.kind, Kind::Other);
    // The message has a date all the same.
    assert_eq!(complaint.time, at("2026-11-30T00:00:00Z"));
    assert_eq!(complaint.time_of, Some(TimeOf::Report));
}

#[test]
fn what_makes_no_sense_in_a_report_is_named() {
    let fields = "Feedback-Type: abuse\nUser-Agent: x\nVersion: 1\nSource-IP: mail.example\n\
        Arrival-Date: 2026-11-30 10:00\nIncidents: many\n";
    assert_eq!(
        only(arf(fields).as_bytes()).missing,
        [
            "`Source-IP` \"mail.example\" is no address",
            "`Arrival-Date` \"2026-11-30 10:00\" is no date with a time zone",
            "`Incidents` \"many\" is no number"
        ]
    );
}

#[test]
fn a_report_that_is_encoded_is_read() {
    for (encoding, body) in [
        (
            "base64",
            "RmVlZGJhY2stVHlwZTogYWJ1c2UNClNvdXJjZS1JUDogMjAzLjAuMTEzLjY2DQo=",
        ),
        (
            "quoted-printable",
            "Feedback-Type: ab=75se\r\nSource-IP: 203.0.113.=\r\n66\r\n",
        ),
    ] {
        let part = format!(
            "message/feedback-report\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n{body}"
        );
        let message = arf("@").replace("message/feedback-report\r\n\r\n@", &part);
        let complaint = only(message.as_bytes());
        assert_eq!(complaint.kind, Kind::Spam, "{encoding}");
        assert_eq!(
            complaint.source,
            Some("203.0.113.66".parse().unwrap()),
            "{encoding}"
        );
    }
}

const XARF_3: &str = r#"{"Version": "3", "Disclosure": true,
    "ReporterInfo": {"ReporterOrg": "Example", "ReporterOrgEmail": "reports@example.com"},
    "Report": {"ReportClass": "Activity", "ReportType": "Spam", "Date": "2026-02-05T14:17:10+01:00",
        "SourceIp": "203.0.113.66", "SourcePort": 54321, "DestinationPort": 25}}"#;

const XARF_4: &str = r#"{"xarf_version": "4.2.0", "report_id": "550e8400-e29b-41d4-a716-446655440000",
    "timestamp": "2026-02-05T13:17:10Z", "source_identifier": "203.0.113.66", "source_port": 54321,
    "reporter": {"org": "Example", "contact": "reports@example.com", "domain": "example.com"},
    "category": "messaging", "type": "spam", "protocol": "smtp", "smtp_from": "a@b.example"}"#;

#[test]
fn both_versions_of_xarf_say_the_same() {
    for (text, form) in [(XARF_3, Form::Xarf3), (XARF_4, Form::Xarf4)] {
        let complaint = only(text.as_bytes());
        assert_eq!(complaint.form, form);
        assert_eq!(complaint.kind, Kind::Spam);
        assert_eq!(complaint.source, Some("203.0.113.66".parse().unwrap()));
        assert_eq!(complaint.source_port, Some(54321));
        assert_eq!(complaint.time, at("2026-02-05T13:17:10Z"));
        assert_eq!(complaint.reporter.as_deref(), Some("reports@example.com"));
        assert_eq!(complaint.missing, [""; 0]);
    }
    let both = format!("[{XARF_3},{XARF_4}]");
    assert_eq!(read(both.as_bytes()).unwrap().len(), 2);
}

#[test]
fn other_spellings_of_xarf_3_name_the_source_too() {
    for source in [
        r#""SourceIP": "203.0.113.66""#,
        r#""Source": "203.0.113.66""#,
        r#""Source": {"Type": "ip-address", "Value": "203.0.113.66"}"#,
        r#""Source": {"IP": "203.0.113.66", "Port": 25}"#,
    ] {
        let text = XARF_3.replace(r#""SourceIp": "203.0.113.66""#, source);
        assert_eq!(
            only(text.as_bytes()).source,
            Some("203.0.113.66".parse().unwrap()),
            "{source}"
        );
    }
}

#[test]
fn xarf_in_a_message_comes_before_what_the_message_says() {
    let message = arf("Feedback-Type: xarf\nUser-Agent: x\nVersion: 1\n").replace(
        "message/rfc822\r\nContent-Disposition: inline\r\n\r\n",
        &format!("application/json; name=xarf.json\r\n\r\n{XARF_4}\r\n--part\r\n\r\n"),
    );
    assert_eq!(only(message.as_bytes()).form, Form::Xarf4);
}

#[test]
fn missing_fields_of_xarf_are_named() {
    let complaint =
        only(br#"{"xarf_version": "4.0.0", "timestamp": 5, "source_identifier": "a.example"}"#);
    assert_eq!(
        complaint.missing,
        [
            "`type` is missing",
            "`category` is missing",
            "`source_identifier` \"a.example\" is no address",
            "`timestamp` is missing",
            "`reporter` is missing"
        ]
    );
}

#[test]
fn what_is_no_report_is_told_apart() {
    assert_eq!(read(b""), Err(Unreadable::NotAReport));
    assert_eq!(
        read(b"From: a@b.example\r\n\r\nHello\r\n"),
        Err(Unreadable::NotAReport)
    );
    assert_eq!(read(b"{}"), Err(Unreadable::NotXarf));
    assert_eq!(read(b"[{}]"), Err(Unreadable::NotXarf));
    assert!(matches!(read(b"{\"a\":"), Err(Unreadable::NotJson(_))));
    assert_eq!(
        read(&vec![b'a'; OCTETS_MAX + 1]),
        Err(Unreadable::TooLarge(OCTETS_MAX + 1))
    );
}

#[test]
fn messages_nested_a_hundred_thousand_times_are_refused() {
    let deep = "Content-Type: message/rfc822\r\n\r\n".repeat(100_000);
    assert_eq!(read(deep.as_bytes()), Err(Unreadable::TooDeep));
    let allowed = "Content-Type: message/rfc822\r\n\r\n".repeat(mail::NESTED_MAX);
    assert_eq!(read(allowed.as_bytes()), Err(Unreadable::NotAReport));
    let json = "[".repeat(100_000);
    assert!(matches!(read(json.as_bytes()), Err(Unreadable::NotJson(_))));
}

#[test]
fn a_report_cannot_write_on_the_terminal() {
    let fields = FIELDS.replace("abuse", "\x1b[2Jabuse\x07");
    let complaint = only(arf(&fields).as_bytes());
    let shown = format!("{complaint:?}{:?}", complaint.stated_kind);
    assert!(
        !complaint.stated_kind.unwrap().contains(char::is_control),
        "{shown}"
    );
    let endless = FIELDS.replace("abuse", &"a".repeat(10_000));
    let complaint = only(arf(&endless).as_bytes());
    assert_eq!(complaint.stated_kind.unwrap().len(), TEXT_MAX);
}

fn statement(source: &str) -> Statement {
    Statement {
        source: source.parse().unwrap(),
        attempts: 431,
        destinations: Some(420),
        since: "2026-11-30T09:00:00Z".parse().unwrap(),
        until: "2026-11-30T10:00:00Z".parse().unwrap(),
        reporter: Reporter::new("abuse@isp.example", Some("Café ISP")).unwrap(),
        recipient: Some(Reporter::new("abuse@other.example", None).unwrap()),
        now: "2026-11-30T10:00:05Z".parse().unwrap(),
        id: 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef,
    }
}

#[test]
fn what_is_written_is_read_back() {
    for source in ["192.0.2.7", "2001:db8::7"] {
        let statement = statement(source);
        let arf = only(&write_arf(&statement).unwrap());
        assert_eq!((arf.form, arf.kind), (Form::Arf, Kind::Spam));
        let xarf = only(&write_xarf(&statement).unwrap());
        assert_eq!((xarf.form, xarf.kind), (Form::Xarf4, Kind::Infected));
        for complaint in [arf, xarf] {
            assert_eq!(complaint.missing, [""; 0]);
            assert_eq!(complaint.source, Some(statement.source));
            assert_eq!(complaint.time, Some(statement.until));
            assert_eq!(complaint.time_of, Some(TimeOf::Incident));
            assert_eq!(complaint.incidents, 431);
            assert_eq!(complaint.reporter.as_deref(), Some("abuse@isp.example"));
        }
    }
}

#[test]
fn an_arf_report_has_the_three_parts_that_rfc_5965_asks_for() {
    let octets = write_arf(&statement("192.0.2.7")).unwrap();
    let message = mail_parser::MessageParser::default()
        .parse(&octets)
        .unwrap();
    let kinds: Vec<_> = message
        .parts
        .iter()
        .map(|part| {
            use mail_parser::MimeHeaders;
            let kind = part.content_type().expect("a type");
            format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "multipart/report",
            "text/plain",
            "message/feedback-report",
            "text/rfc822-headers"
        ]
    );
    let text = String::from_utf8(octets).expect("mail is ASCII");
    assert!(text.is_ascii(), "names are encoded");
    assert!(
        text.contains("report-type=\"feedback-report\"")
            || text.contains("report-type=feedback-report")
    );
    assert!(text.contains("\r\nTo: <abuse@other.example>\r\n"), "{text}");
    assert!(text.lines().all(|line| line.len() <= 998));
}

#[test]
fn an_xarf_report_has_what_its_schema_requires() {
    let octets = write_xarf(&statement("192.0.2.7")).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&octets).unwrap();
    for field in [
        "xarf_version",
        "report_id",
        "timestamp",
        "reporter",
        "sender",
        "source_identifier",
        "category",
        "type",
        "compromise_evidence",
    ] {
        assert!(!value[field].is_null(), "{field}");
    }
    for field in ["org", "contact", "domain"] {
        assert!(value["sender"][field].is_string(), "{field}");
    }
    assert_eq!(value["report_id"], "01234567-89ab-4def-8123-456789abcdef");
}

#[test]
fn who_cannot_be_a_reporter_is_refused() {
    for email in [
        "",
        "abuse",
        "@isp.example",
        "a@",
        "a b@isp.example",
        "a@isp.example\r\nBcc: b@c",
    ] {
        assert_eq!(
            Reporter::new(email, None),
            Err(BadReporter::Email(email.to_owned()))
        );
    }
    for org in ["", "  ", "a\r\nBcc: b", &"x".repeat(201)] {
        assert_eq!(
            Reporter::new("a@isp.example", Some(org)),
            Err(BadReporter::Org)
        );
    }
}

/// Found by the damaged reports below: the parser lost the multipart around the nested message.
#[test]
fn a_nested_message_that_outlives_its_multipart_is_read_past() {
    let whole = arf(FIELDS);
    let nested = whole
        .find("\r\n\r\nFrom: <spammer")
        .expect("a nested message");
    let tail = &whole[whole
        .rfind("-part\r\nContent-Type: message/rfc822")
        .expect("its part")..];
    let octets = format!("{}\r\n {}{tail}", &whole[..nested], &whole[nested + 2..]);
    assert_eq!(only(octets.as_bytes()).form, Form::Arf);
}

/// A report with some octets of it changed, cut or doubled.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let whole = prop_oneof![
        Just(arf(FIELDS).into_bytes()),
        Just(XARF_3.as_bytes().to_vec()),
        Just(XARF_4.as_bytes().to_vec()),
        Just(write_arf(&statement("192.0.2.7")).unwrap()),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..8);
    (whole, changes).prop_map(|(mut octets, changes)| {
        for (index, octet, change) in changes {
            if octets.is_empty() {
                break;
            }
            let at = index.index(octets.len());
            match change {
                0 => octets[at] = octet,
                1 => octets.truncate(at),
                2 => octets.insert(at, octet),
                _ => octets.extend_from_within(at..),
            }
        }
        octets
    })
}

proptest! {
    #[test]
    fn no_octets_make_reading_panic(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = read(&octets);
    }

    #[test]
    fn damaged_reports_are_read_or_refused_and_print_no_control_characters(octets in damaged()) {
        for complaint in read(&octets).into_iter().flatten() {
            let texts = complaint.missing.iter().chain(&complaint.stated_kind).chain(&complaint.reporter);
            for text in texts {
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
            }
        }
    }
}
