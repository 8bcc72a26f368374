//! What reading a report must hold for any octets: it ends, without a panic; a complaint can be
//! written as JSON, and none of its texts can act on a terminal.

use lychgate::complaint;

/// Panics where the property is broken.
pub fn holds(octets: &[u8]) {
    let Ok(complaints) = complaint::read(octets) else {
        return;
    };
    for complaint in complaints {
        assert!(complaint.time.is_some() == complaint.time_of.is_some());
        let texts = complaint.missing.iter().chain(&complaint.stated_kind);
        for text in texts.chain(&complaint.reporter) {
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }
}
