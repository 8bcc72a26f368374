//! Number and time behind a frame's end.
//!
//! ```text
//!  0        4        8                 16                24
//!  ┌────────┬────────┬─────────────────┬─────────────────┐
//!  │ "Lych" │ run    │ number          │ ns, monotonic   │   all big-endian
//!  └────────┴────────┴─────────────────┴─────────────────┘
//! ```
//!
//! It lies where padding lies: after the last octet that any header counts. So any frame can have
//! one (tags, IPv6, ARP, what nobody understands), no checksum changes, and a box that carries
//! frames untouched carries it too. A router takes it off. src/bpf/blast.bpf.c writes the same.

/// Octets of a stamp.
pub const STAMP_OCTETS: usize = 24;

const MAGIC: &[u8; 4] = b"Lych";

/// Number and time of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Which run of the generator sent it: a random number.
    pub run: u32,
    /// Which frame of the run it is, from 0.
    pub number: u64,
    /// When it was made, in nanoseconds of the sender's `CLOCK_MONOTONIC`.
    pub time: u64,
}

impl Stamp {
    /// Appends it to a frame.
    pub fn write(&self, frame: &mut Vec<u8>) {
        frame.extend(MAGIC);
        frame.extend(self.run.to_be_bytes());
        frame.extend(self.number.to_be_bytes());
        frame.extend(self.time.to_be_bytes());
    }

    /// The stamp of a frame, if it has one.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let stamp = frame.last_chunk::<STAMP_OCTETS>()?;
        let (magic, rest) = stamp.split_first_chunk::<4>()?;
        let (run, rest) = rest.split_first_chunk::<4>()?;
        let (number, time) = rest.split_first_chunk::<8>()?;
        (magic == MAGIC).then_some(Self {
            run: u32::from_be_bytes(*run),
            number: u64::from_be_bytes(*number),
            time: u64::from_be_bytes(*time.first_chunk()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_other_frames_have_none() {
        let stamp = Stamp {
            run: 7,
            number: u64::MAX - 1,
            time: 1 << 60,
        };
        let mut frame = vec![0xff; 60];
        assert_eq!(Stamp::read(&frame), None);
        stamp.write(&mut frame);
        assert_eq!(frame.len(), 60 + STAMP_OCTETS);
        assert_eq!(Stamp::read(&frame), Some(stamp));
        assert_eq!(Stamp::read(&frame[..70]), None);
        assert_eq!(Stamp::read(b"Lych"), None);
    }
}
