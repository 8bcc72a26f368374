//! Records a bufferful at a time.

use super::{CAPTURED_MAX, Found, Record, stream::CAPACITY};

/// A run holds at most about this many records that had to be copied together.
const COPIED_MAX: usize = 256;

/// Consecutive records together with the octets that they lie in, so that they can outlive the
/// next read and move to another thread.
///
/// Of one reader, they are what one read brought, and the reader's buffer itself changes hands:
/// nothing is copied except the beginning of the record that the read cut. Filled over and over,
/// a run allocates nothing.
#[derive(Debug, Default)]
pub struct Run {
    octets: Box<[u8]>,
    records: Vec<(usize, Found)>,
}

impl Run {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records in order, each behind the index of its reader.
    #[inline]
    pub fn records(&self) -> impl ExactSizeIterator<Item = (usize, Record<'_>)> {
        let lent = |(input, found): &(usize, Found)| (*input, found.record(&self.octets));
        self.records.iter().map(lent)
    }

    /// One record.
    ///
    /// # Panics
    ///
    /// If there are not so many.
    #[must_use]
    pub fn record(&self, index: usize) -> Record<'_> {
        self.records[index].1.record(&self.octets)
    }

    /// Drops all but the first `count` records.
    pub fn truncate(&mut self, count: usize) {
        self.records.truncate(count);
    }

    /// Its octets, to be exchanged for those that the records lie in.
    pub(super) fn octets(&mut self) -> &mut Box<[u8]> {
        if self.octets.is_empty() {
            self.octets = vec![0; CAPACITY].into_boxed_slice();
        }
        &mut self.octets
    }

    /// Adds a record that lies, or will lie, in its octets.
    #[inline]
    pub(super) fn push(&mut self, found: Found) {
        self.records.push((0, found));
    }

    /// Adds a copy of a record, unless it is [`Run::is_full`].
    pub(super) fn copy(&mut self, input: usize, record: &Record<'_>) {
        let Record {
            time,
            link,
            bytes,
            wire_length,
        } = *record;
        let (start, length) = (self.end(), bytes.len());
        self.octets()[start..start + length].copy_from_slice(bytes);
        let found = Found {
            time,
            link,
            start,
            length,
            wire_length,
        };
        self.records.push((input, found));
    }

    /// Whether there might be no room for a copy.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= COPIED_MAX || self.end() > CAPACITY - CAPTURED_MAX
    }

    /// Where the last record ends.
    fn end(&self) -> usize {
        let last = self.records.last();
        last.map_or(0, |(_, found)| found.start + found.length)
    }
}
