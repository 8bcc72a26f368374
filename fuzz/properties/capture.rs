//! What reading must hold for any octets: it ends, without a panic; every record is within its
//! bounds; an error is said once, has a place within what was read and is the last thing said;
//! and what was read, written and read again is the same.

use std::io::{self, Cursor, Write};
use std::sync::{Arc, Mutex};

use lychgate::io::capture::{CAPTURED_MAX, Reader, Record, Writer};

/// Panics where the property is broken.
pub fn holds(octets: &[u8]) {
    let sink = Sink::default();
    let mut writer = Writer::from_write("copy.pcapng", sink.clone()).expect("a sink takes all");
    let mut digests = Vec::new();
    let Ok(mut reader) = Reader::from_read("input", Cursor::new(octets.to_vec())) else {
        return;
    };
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                assert!(record.bytes.len() <= CAPTURED_MAX);
                assert!(record.bytes.len() <= record.wire_length as usize);
                writer
                    .write(&record, Some("why"))
                    .expect("a sink takes all");
                digests.push(digest(&record));
            }
            Ok(None) => break,
            Err(error) => {
                assert!(error.offset().is_some(), "{error}");
                assert!(reader.next().is_ok_and(|record| record.is_none()));
                break;
            }
        }
    }
    assert!(reader.progress().read <= octets.len() as u64);
    writer.finish().expect("a sink takes all");
    assert_eq!(digests_of(sink), digests);
}

fn digests_of(sink: Sink) -> Vec<Digest> {
    let octets = sink.0.lock().expect("no panic while writing").clone();
    let mut reader = Reader::from_read("copy", Cursor::new(octets)).expect("written whole");
    let mut digests = Vec::new();
    while let Some(record) = reader.next().expect("written whole") {
        digests.push(digest(&record));
    }
    digests
}

/// Enough of a record to know it again.
type Digest = (u64, lychgate::wire::Link, u32, Vec<u8>);

fn digest(record: &Record<'_>) -> Digest {
    (
        record.time,
        record.link,
        record.wire_length,
        record.bytes.to_vec(),
    )
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic while writing").write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
