//! Cases as they go, moment by moment.

use proptest::prelude::*;

use super::*;
use crate::policy::steps::{EXPIRES_DEFAULT, StepAction};

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// What the worked example in the documentation says: tell at once, quarantine a day later.
const STEPS: [Step; 2] = [
    Step {
        action: StepAction::Notify,
        grace: Duration::ZERO,
    },
    Step {
        action: StepAction::Quarantine {
            scope: Scope::Mail,
            expires: EXPIRES_DEFAULT,
        },
        grace: DAY,
    },
];

const NORMAL: Treatment<'_> = Treatment {
    steps: &STEPS,
    exempt: false,
};

fn at(after: Duration) -> Timestamp {
    later(
        Timestamp::from_second(1_700_000_000).expect("a moment"),
        after,
    )
}

fn zombie() -> Subscriber {
    Subscriber {
        name: None,
        prefix: "203.0.113.66/32".parse().expect("a prefix"),
    }
}

fn finding(time: Timestamp) -> Finding {
    Finding {
        detector: "outcomes".to_owned(),
        time,
        attempts: 21,
        destinations: 20,
        conclusive: true,
        evidence: serde_json::Map::new(),
    }
}

/// Applies what a finding at `after` changes, and says which acts that was.
fn find(remedy: &mut Remedy, treatment: Treatment<'_>, after: Duration) -> Vec<Act> {
    let found = remedy.found(&zombie(), &finding(at(after)), treatment, at(after));
    found.map_or_else(Vec::new, |change| act(remedy, change))
}

fn wait(remedy: &mut Remedy, until: Duration) -> Vec<Act> {
    let due = remedy.due(at(until));
    due.into_iter()
        .flat_map(|change| act(remedy, change))
        .collect()
}

fn act(remedy: &mut Remedy, change: Change) -> Vec<Act> {
    let acts = change.records.iter().map(|record| record.act).collect();
    remedy.apply(change);
    acts
}

fn stage(remedy: &Remedy) -> Stage {
    remedy.of(&zombie()).expect("a case").1.stage
}

fn customer(remedy: &mut Remedy, after: Duration) -> Result<(), Refusal> {
    let change = remedy.release(&zombie(), &Releaser::Customer, "cleaned", at(after))?;
    remedy.apply(change);
    Ok(())
}

fn staff(remedy: &mut Remedy, after: Duration) -> Result<(), Refusal> {
    let by = Releaser::Staff("anna".to_owned());
    let change = remedy.release(&zombie(), &by, "called", at(after))?;
    remedy.apply(change);
    Ok(())
}

#[test]
fn a_zombie_is_told_at_once_and_quarantined_when_the_grace_is_over() {
    let mut remedy = Remedy::default();
    let acts = find(&mut remedy, NORMAL, Duration::ZERO);
    assert_eq!(acts, [Act::Suspected, Act::Notified]);
    assert_eq!(remedy.next(), Some(at(DAY)));
    assert_eq!(wait(&mut remedy, DAY - HOUR), []);
    assert_eq!(stage(&remedy), Stage::Notified);
    assert_eq!(wait(&mut remedy, DAY), [Act::Quarantined]);
    let restricted = remedy.restricted();
    let restricted: Vec<_> = restricted
        .map(|(case, scope)| (&case.subscriber, scope))
        .collect();
    assert_eq!(restricted, [(&zombie(), Scope::Mail)]);
    assert_eq!(remedy.next(), Some(at(DAY + EXPIRES_DEFAULT)));
}

#[test]
fn a_quarantine_ends_after_thirty_days_and_says_why() {
    let mut remedy = Remedy::default();
    find(&mut remedy, NORMAL, Duration::ZERO);
    wait(&mut remedy, DAY);
    assert_eq!(wait(&mut remedy, 30 * DAY), []);
    let [change] = &remedy.due(at(31 * DAY))[..] else {
        panic!("one change")
    };
    let record = &change.records[0];
    assert_eq!((record.act, &record.who), (Act::Released, &Who::Expiry));
    assert_eq!(record.why, "the quarantine was until 2023-12-15T22:13:20Z");
}

#[test]
fn who_cleans_up_within_the_grace_is_never_quarantined() {
    let mut remedy = Remedy::default();
    find(&mut remedy, NORMAL, Duration::ZERO);
    customer(&mut remedy, HOUR).expect("released");
    assert_eq!(remedy.next(), None);
    assert_eq!(wait(&mut remedy, 99 * DAY), []);
}

#[test]
fn what_was_seen_before_a_release_opens_no_new_case() {
    let mut remedy = Remedy::default();
    find(&mut remedy, NORMAL, Duration::ZERO);
    customer(&mut remedy, HOUR).expect("released");
    let old = finding(at(HOUR / 2));
    let late = at(2 * HOUR);
    assert_eq!(remedy.found(&zombie(), &old, NORMAL, late), None);
    let acts = find(&mut remedy, NORMAL, 2 * HOUR);
    assert_eq!(acts, [Act::Suspected, Act::Notified]);
}

#[test]
fn twice_the_customer_may_end_it_then_only_staff() {
    let mut remedy = Remedy::default();
    for round in 0..2 {
        find(&mut remedy, NORMAL, round * DAY);
        customer(&mut remedy, round * DAY + HOUR).expect("released");
    }
    find(&mut remedy, NORMAL, 2 * DAY);
    let third = customer(&mut remedy, 2 * DAY + HOUR);
    assert_eq!(third, Err(Refusal::TooOften));
    staff(&mut remedy, 2 * DAY + HOUR).expect("staff always can");
    // Whoever talked to staff begins anew.
    find(&mut remedy, NORMAL, 3 * DAY);
    customer(&mut remedy, 3 * DAY + HOUR).expect("released");
}

#[test]
fn a_box_that_was_off_still_gives_the_whole_grace() {
    let steps = [
        Step {
            grace: HOUR,
            ..STEPS[0]
        },
        STEPS[1],
    ];
    let treatment = Treatment {
        steps: &steps,
        exempt: false,
    };
    let mut remedy = Remedy::default();
    assert_eq!(
        find(&mut remedy, treatment, Duration::ZERO),
        [Act::Suspected]
    );
    assert_eq!(wait(&mut remedy, 7 * DAY), [Act::Notified]);
    assert_eq!(remedy.next(), Some(at(8 * DAY)));
}

#[test]
fn a_complaint_alone_never_quarantines() {
    let mut remedy = Remedy::default();
    let complaint = Finding {
        detector: "complaint".to_owned(),
        conclusive: false,
        ..finding(at(Duration::ZERO))
    };
    let now = at(Duration::ZERO);
    let change = remedy.found(&zombie(), &complaint, NORMAL, now);
    act(&mut remedy, change.expect("a case"));
    assert_eq!(stage(&remedy), Stage::Notified);
    assert_eq!(wait(&mut remedy, 99 * DAY), []);
    // Traffic that says the same is enough, after the grace.
    assert_eq!(find(&mut remedy, NORMAL, 100 * DAY), [Act::Found]);
    assert_eq!(wait(&mut remedy, 101 * DAY), [Act::Quarantined]);
}

#[test]
fn the_exempt_get_a_case_and_no_step() {
    let exempt = Treatment {
        exempt: true,
        ..NORMAL
    };
    let mut remedy = Remedy::default();
    assert_eq!(find(&mut remedy, exempt, Duration::ZERO), [Act::Suspected]);
    assert_eq!(remedy.next(), None);
    let change = remedy.quarantine(&zombie(), Scope::Mail, DAY, ("anna", "abuse"), at(HOUR));
    assert_eq!(act(&mut remedy, change), [Act::Quarantined]);
}

#[test]
fn staff_quarantine_whom_no_detector_found_and_for_as_long_as_they_say() {
    let mut remedy = Remedy::default();
    let order = |remedy: &Remedy, lasting, after| {
        remedy.quarantine(
            &zombie(),
            Scope::Mail,
            lasting,
            ("anna", "abuse"),
            at(after),
        )
    };
    let change = order(&remedy, 9 * DAY, Duration::ZERO);
    act(&mut remedy, change);
    assert_eq!(remedy.next(), Some(at(9 * DAY)));
    // A finding meanwhile is written down and begins no steps.
    assert_eq!(find(&mut remedy, NORMAL, HOUR), [Act::Found]);
    assert_eq!(remedy.next(), Some(at(9 * DAY)));
    let change = order(&remedy, 2 * DAY, DAY);
    act(&mut remedy, change);
    assert_eq!(remedy.next(), Some(at(3 * DAY)));
}

#[test]
fn a_detector_that_repeats_itself_fills_no_audit_trail() {
    let mut remedy = Remedy::default();
    find(&mut remedy, NORMAL, Duration::ZERO);
    for minute in 1..60 {
        assert_eq!(
            find(&mut remedy, NORMAL, minute * Duration::from_secs(60)),
            []
        );
    }
    assert_eq!(find(&mut remedy, NORMAL, HOUR), [Act::Found]);
}

#[test]
fn what_cannot_be_ended_says_so() {
    let mut remedy = Remedy::default();
    assert_eq!(staff(&mut remedy, HOUR), Err(Refusal::NoCase));
    find(&mut remedy, NORMAL, Duration::ZERO);
    staff(&mut remedy, HOUR).expect("released");
    let refusal = staff(&mut remedy, 2 * HOUR).expect_err("closed");
    assert_eq!(
        refusal.to_string(),
        "the case is closed already: released 2023-11-14T23:13:20Z"
    );
}

#[test]
fn a_case_stays_with_the_subscriber_who_gets_a_name() {
    let mut remedy = Remedy::default();
    find(&mut remedy, NORMAL, Duration::ZERO);
    let named = Subscriber {
        name: Some("ACME".to_owned()),
        ..zombie()
    };
    let by = Releaser::Staff("anna".to_owned());
    let change = remedy.release(&named, &by, "called", at(HOUR));
    assert_eq!(change.expect("it is known").id, "203.0.113.66/32");
}

#[test]
fn a_case_is_the_same_after_it_was_written_and_read() {
    let mut remedy = Remedy::default();
    find(&mut remedy, NORMAL, Duration::ZERO);
    for until in [HOUR, DAY] {
        wait(&mut remedy, until);
        let (_, case) = remedy.of(&zombie()).expect("a case");
        let text = serde_json::to_string(case).expect("JSON");
        let back: Case = serde_json::from_str(&text).expect("a case");
        assert_eq!(&back, case, "{text}");
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Found { conclusive: bool },
    Customer,
    Staff,
    Order,
    Read,
    Nothing,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => any::<bool>().prop_map(|conclusive| Happening::Found { conclusive }),
        1 => Just(Happening::Customer),
        1 => Just(Happening::Staff),
        1 => Just(Happening::Order),
        1 => Just(Happening::Read),
        4 => Just(Happening::Nothing),
    ]
}

/// What happens at a moment, as changes.
fn happen(remedy: &Remedy, happening: &Happening, now: Timestamp) -> Option<Change> {
    match happening {
        Happening::Found { conclusive } => {
            let finding = Finding {
                conclusive: *conclusive,
                ..finding(now)
            };
            remedy.found(&zombie(), &finding, NORMAL, now)
        }
        Happening::Customer => remedy.release(&zombie(), &Releaser::Customer, "", now).ok(),
        Happening::Staff => {
            let by = Releaser::Staff("anna".to_owned());
            remedy.release(&zombie(), &by, "", now).ok()
        }
        Happening::Order => {
            Some(remedy.quarantine(&zombie(), Scope::Mail, 5 * DAY, ("anna", ""), now))
        }
        Happening::Read => remedy.read(&zombie(), now),
        Happening::Nothing => None,
    }
}

proptest! {
    /// Whatever happens: automatic quarantine only after the customer was told and had the grace,
    /// with a conclusive finding; release only by whom the rules name; the audit trail tells all.
    #[test]
    fn no_order_of_events_breaks_the_rules(
        steps in prop::collection::vec((0_u64..40 * 3_600, happening()), 1..60),
    ) {
        let mut remedy = Remedy::default();
        let mut after = Duration::ZERO;
        let mut told: Option<Timestamp> = None;
        let mut by_customer = 0;
        let mut last = None;
        for (pause, happening) in steps {
            after += Duration::from_secs(pause);
            let now = at(after);
            let mut changes = remedy.due(now);
            for change in &changes {
                remedy.apply(change.clone());
            }
            changes.extend(happen(&remedy, &happening, now));
            for change in changes {
                prop_assert!(!change.records.is_empty());
                for record in &change.records {
                    match (record.act, &record.who) {
                        (Act::Notified, _) => told = Some(now),
                        (Act::Quarantined, Who::Policy) => {
                            let told = told.expect("told before");
                            prop_assert!(later(told, DAY) <= now);
                            prop_assert!(change.case.conclusive);
                        }
                        (Act::Released, Who::Customer) => {
                            by_customer += 1;
                            prop_assert!(by_customer <= SELF_RELEASES_MAX);
                        }
                        (Act::Released, Who::Staff { .. }) => by_customer = 0,
                        (Act::Released, who) => prop_assert_eq!(who, &Who::Expiry),
                        _ => {}
                    }
                    if record.act == Act::Released {
                        told = None;
                    }
                    // Whatever is new has not been read yet.
                    let is_read = change.case.read.is_some();
                    prop_assert!(is_read == (record.act == Act::Read) || record.act == Act::Found);
                    last = Some(record.stage);
                }
                remedy.apply(change);
            }
            if let Some((_, case)) = remedy.of(&zombie()) {
                prop_assert_eq!(Some(case.stage), last, "audit trail and case agree");
                prop_assert_eq!(case.next().is_some_and(|next| next <= now), false);
            }
        }
    }
}
