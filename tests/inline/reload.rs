//! Another policy for a box in the wire, while traffic goes on.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{
    PATIENT, STEERINGS,
    place::{BUSINESS, DEAF, Place, SERVER, ZOMBIE},
};

const RESIDENTIAL: &str =
    "[class.residential]\nsmtp = { limit = { connections = 3, window = \"10m\" } }";

/// The policy with something else in the place of the residential class's limit.
fn with_residential(smtp: &'static str) -> impl FnOnce(String) -> String {
    move |text| {
        assert!(text.contains(RESIDENTIAL), "{text}");
        text.replace(RESIDENTIAL, &format!("[class.residential]\nsmtp = {smtp}"))
    }
}

fn knocks(place: &Place, who: &str, count: &str) -> u64 {
    let result = place.client(&["attempts", who, SERVER, count]).finish();
    result["connected"].as_u64().unwrap()
}

#[test]
fn who_was_refused_is_let_through_after_a_reload_and_who_is_quarantined_is_not() {
    for steer in STEERINGS {
        let Some(place) = Place::new() else { return };
        place.keep_cases("");
        let summary = format!("{}/inline-reload.json", env!("CARGO_TARGET_TMPDIR"));
        let arguments = ["--steer", steer, "--json", &summary];
        let inline = place.start_box(&[&arguments[..], &PATIENT].concat());
        assert_eq!(knocks(&place, ZOMBIE, "10"), 3, "steer {steer}");
        // In the kernel's hands, where that is steered so.
        let deaf = place.client(&["knock", DEAF, SERVER, "10"]).finish();
        assert_eq!(deaf, json!({"connected": 3}));
        place.staff(&["add", BUSINESS]);
        // For those who have had three, two more; and nothing is left of the old leases.
        place.rewrite(|text| text.replace("connections = 3,", "connections = 5,"));
        let (reloaded, said) = place.reload();
        assert!(reloaded, "{said}");
        assert!(
            said.contains("class residential: smtp: 3 in 10m → 5 in 10m"),
            "{said}"
        );
        assert_eq!(knocks(&place, ZOMBIE, "10"), 2, "steer {steer}");
        let deaf = place.client(&["knock", DEAF, SERVER, "10"]).finish();
        assert_eq!(deaf, json!({"connected": 2}), "steer {steer}");
        assert_eq!(
            knocks(&place, BUSINESS, "2"),
            0,
            "quarantined before and after"
        );
        place.staff(&["release", BUSINESS]);
        assert_eq!(knocks(&place, BUSINESS, "2"), 2);
        inline.signal(Signal::TERM);
        assert!(inline.ended_well());
        let summary: Value = serde_json::from_slice(&fs::read(&summary).unwrap()).unwrap();
        assert_eq!(summary["reloads"], 1);
        assert_eq!(
            summary["reasons"]["admitted"], 10,
            "counts go on: {summary}"
        );
        assert_eq!(summary["breaches"], 0);
    }
}

#[test]
fn a_wrong_policy_changes_nothing_and_a_hangup_reloads_a_right_one() {
    let Some(place) = Place::new() else { return };
    let told = format!("{}/inline-reload-events.json", env!("CARGO_TARGET_TMPDIR"));
    let _ = fs::remove_file(&told);
    place.keep_cases(&format!("[events]\njson = \"{told}\"\n"));
    let inline = place.start_box(&[&["--steer", "mail"], &PATIENT[..]].concat());
    assert_eq!(knocks(&place, ZOMBIE, "10"), 3);
    // What a box cannot change is refused by the box.
    place.rewrite(|text| {
        text.replace("capacity = 1024", "capacity = 2048") + "[ports]\nring = 512\n"
    });
    let (reloaded, said) = place.reload();
    assert!(!reloaded);
    for named in ["[sources] capacity", "[ports] ring", "restart the box"] {
        assert!(said.contains(named), "{said}");
    }
    place.await_event(&told, "policy_refused", 1);
    assert_eq!(knocks(&place, ZOMBIE, "5"), 0, "the one before is in force");
    // What is no policy is refused, too.
    place.rewrite(|text| text.replace("excess = \"drop\"", "excess = \"dorp\""));
    let (reloaded, said) = place.reload();
    assert!(!reloaded && said.contains("dorp"), "{said}");
    inline.signal(Signal::HUP);
    place.await_event(&told, "policy_refused", 2);
    assert_eq!(knocks(&place, ZOMBIE, "5"), 0, "the one before is in force");
    // All of it put right, and more: the box is told by a signal.
    place.rewrite(|text| {
        let text = text.replace("excess = \"dorp\"", "excess = \"drop\"");
        let text = text.replace("capacity = 2048", "capacity = 1024");
        with_residential("\"allow\"")(text.replace("[ports]\nring = 512\n", ""))
    });
    inline.signal(Signal::HUP);
    place.await_event(&told, "policy_reloaded", 1);
    assert_eq!(knocks(&place, ZOMBIE, "5"), 5);
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
}

#[test]
fn no_frame_is_lost_in_reloads_under_load() {
    const COUNT: u64 = 1500;
    let Some(place) = Place::new() else { return };
    place.keep_cases("");
    let path = format!("{}/inline-reload-load.json", env!("CARGO_TARGET_TMPDIR"));
    let arguments = ["--steer", "all", "--json", &path];
    let inline = place.start_box(&[&arguments[..], &PATIENT].concat());
    let mut stream = place.client(&["stream", ZOMBIE, SERVER, &COUNT.to_string()]);
    assert_eq!(stream.line(), "under way");
    for _ in 0..5 {
        place.rewrite(with_residential("\"allow\""));
        assert!(place.reload().0);
        place.rewrite(|text| text.replace("[class.residential]\nsmtp = \"allow\"", RESIDENTIAL));
        assert!(place.reload().0);
    }
    let result = stream.finish();
    assert_eq!(result["doubled"], 0, "{result}");
    inline.signal(Signal::TERM);
    assert!(inline.ended_well());
    let summary: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(summary["reloads"], 10);
    // The box's own counts: what the client's machine loses is not its business.
    let outbound = &summary["directions"]["outbound"];
    assert!(
        outbound["received"]["frames"].as_u64() >= Some(COUNT),
        "{outbound}"
    );
    assert_eq!(
        outbound["received"]["frames"],
        outbound["forwarded"]["frames"]
    );
    assert_eq!(outbound["rx_missed"], 0, "{outbound}");
    for bypass in ["bypass_no_socket", "bypass_stale"] {
        // Before the box ran, perhaps, and while it ended: those are not of the stream.
        let crossed = summary["kernel"][bypass]["outbound"].as_u64().unwrap();
        assert!(crossed < 10, "{bypass}: {crossed}");
    }
    assert_eq!(summary["breaches"], 0);
}
