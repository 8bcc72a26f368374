//! A replay's findings made up for tests: an evening with a few zombies.

use crate::{
    detect::{Evidence, Finding, Flag},
    engine::{Direction, Reason},
    policy::{ClassId, steps::Scope},
    replay::{
        CaptureSpan, CounterRow, Detection, FlaggedRow, FrameTotals, ReasonTally, Series,
        ServiceTally, SourceRow, SourceTally, StepRow, Summary,
    },
};

const SECOND: u64 = 1_000_000_000;
/// 2026-11-22 18:00 UTC.
const START: u64 = 1_795_370_400 * SECOND;

/// Three hundred subscribers over ten minutes, one in 25 a zombie.
pub fn summary() -> Summary {
    let sources: Vec<_> = (0..300).map(source).collect();
    let attempts =
        sources
            .iter()
            .map(|row| row.tally.all())
            .fold(ServiceTally::default(), |mut sum, all| {
                sum.add(all);
                sum
            });
    let mut reasons: Vec<_> = Reason::ALL
        .iter()
        .map(|reason| (*reason, ReasonTally::default()))
        .collect();
    let mut set = |reason: Reason, tally| reasons[reason as usize].1 = tally;
    set(
        Reason::NotMail,
        ReasonTally {
            forwarded: 1_212_345,
            ..Default::default()
        },
    );
    set(
        Reason::Admitted,
        ReasonTally {
            forwarded: attempts.admitted,
            ..Default::default()
        },
    );
    set(
        Reason::LimitExceeded,
        ReasonTally {
            dropped: attempts.refused,
            ..Default::default()
        },
    );
    set(
        Reason::TinyFragment,
        ReasonTally {
            dropped: 41,
            ..Default::default()
        },
    );
    let counters = vec![
        counter(Reason::NotMail, None, 1_212_345),
        counter(Reason::Admitted, Some("residential"), attempts.admitted),
        counter(Reason::LimitExceeded, Some("residential"), attempts.refused),
        counter(Reason::TinyFragment, None, 41),
    ];
    let forwarded = 1_212_345 + attempts.admitted;
    let dropped = attempts.refused + 41;
    Summary {
        policy: "isp.toml".to_owned(),
        capture: CaptureSpan {
            files: vec!["evening.pcapng.zst".to_owned()],
            first: Some(START),
            last: Some(START + 600 * SECOND),
            clamped: 0,
            damage: vec![],
        },
        frames: FrameTotals {
            total: forwarded + dropped,
            forwarded,
            dropped,
            ..Default::default()
        },
        reasons,
        counters,
        sources,
        series: series(),
        first_refusal: Some(4_711),
        detection: Some(detection()),
        comparison: None,
    }
}

fn detection() -> Detection {
    let time = START + 90 * SECOND;
    let flag = Flag {
        key: "203.0.113.28/32".parse().unwrap(),
        class: 0,
        detector: Finding::Outcomes,
        time,
        attempts: 21,
        destinations: 20,
        evidence: Evidence {
            answered: 2,
            silent: 11,
            ..Evidence::default()
        },
    };
    let day = 86_400 * SECOND;
    Detection {
        observed: 31,
        unproven: 1_200,
        full: 0,
        flagged: vec![FlaggedRow {
            flag,
            class: "residential".to_owned(),
            name: Some("Bäckerei <Mehl & Söhne>".to_owned()),
            steps: vec![
                StepRow {
                    step: "notify",
                    time,
                    quarantine: None,
                },
                StepRow {
                    step: "quarantine",
                    time: time + day,
                    quarantine: Some((Scope::Mail, time + 31 * day)),
                },
            ],
        }],
    }
}

fn source(index: u16) -> SourceRow {
    let zombie = index % 25 == 3;
    let (admitted, refused) = if zombie {
        (100 + u64::from(index), 40 * u64::from(index))
    } else {
        (1 + u64::from(index % 9), 0)
    };
    let smtp = ServiceTally {
        syn_frames: admitted + refused,
        attempts: admitted + refused,
        admitted,
        refused,
    };
    let class = ClassId(0);
    let tally = SourceTally {
        class,
        smtp,
        submission: ServiceTally::default(),
        relayed: 0,
        first: START,
        last: START,
    };
    let key = match index % 5 {
        0 => format!("2001:db8:2{index:02x}::/56"),
        _ => format!("203.0.113.{}/32", index % 256),
    };
    SourceRow {
        key: key.parse().unwrap(),
        class: "residential".to_owned(),
        name: (index == 28).then(|| "Bäckerei <Mehl & Söhne>".to_owned()),
        tally,
    }
}

fn series() -> Series {
    let mut series = Series::new(240);
    for second in 0..600 {
        let wave = 6 + (second / 7 % 5) + if (200..420).contains(&second) { 20 } else { 0 };
        for index in 0..wave {
            series.count(START + second * SECOND, index < 8);
        }
    }
    series
}

fn counter(reason: Reason, class: Option<&str>, frames: u64) -> CounterRow {
    CounterRow {
        reason,
        direction: Direction::Outbound,
        class: class.map(str::to_owned),
        frames,
    }
}
