//! A record against the addresses that should pass.

use ipnet::IpNet;

use super::{
    Addresses, LOOKUPS_MAX, OCTETS_ADVISED,
    read::{Mechanism, Outcome, Record},
};

/// Addresses that should pass and don't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// What the record says of them instead.
    pub outcome: Outcome,
    /// The fewest prefixes that hold them.
    pub prefixes: Vec<IpNet>,
}

/// What a record and a policy disagree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Who should pass and doesn't.
    pub lacks: Vec<Lack>,
    /// Who passes and shouldn't.
    pub beyond: Vec<IpNet>,
    /// Terms that need the DNS: what they match is not known here.
    pub not_judged: Vec<String>,
    /// Terms behind `all`, which no receiver looks at.
    pub never_reached: Vec<String>,
    /// What else is wrong or unwise about the record.
    pub advice: Vec<String>,
}

impl Comparison {
    /// Whether record and policy agree, as far as is judged.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.lacks.is_empty() && self.beyond.is_empty()
    }
}

/// Says where a record differs from what the policy wants: these addresses, and no others.
#[must_use]
pub fn compare(record: &Record, wanted: &Addresses) -> Comparison {
    let mut told: [Addresses; 4] = Default::default();
    let mut seen = Addresses::default();
    let mut comparison = Comparison::default();
    let mut ended = false;
    for term in &record.terms {
        if ended {
            comparison.never_reached.push(term.text.clone());
            continue;
        }
        let matched = match term.mechanism {
            Mechanism::AsksDns => {
                comparison.not_judged.push(term.text.clone());
                continue;
            }
            Mechanism::Addresses(prefix) => [prefix].into_iter().collect(),
            Mechanism::All => {
                ended = true;
                Addresses::everything()
            }
        };
        let own = &mut told[term.outcome as usize];
        *own = own.union(&matched.minus(&seen));
        seen = seen.union(&matched);
    }
    match (&record.redirect, ended) {
        (Some(redirect), true) => comparison.never_reached.push(redirect.clone()),
        (Some(redirect), false) => comparison.not_judged.push(redirect.clone()),
        (None, _) => {}
    }
    let neutral = &mut told[Outcome::Neutral as usize];
    *neutral = neutral.union(&Addresses::everything().minus(&seen));
    for outcome in Outcome::ALL {
        let lacking = wanted.both(&told[outcome as usize]);
        if outcome != Outcome::Pass && !lacking.is_empty() {
            comparison.lacks.push(Lack {
                outcome,
                prefixes: lacking.prefixes(),
            });
        }
    }
    comparison.beyond = told[Outcome::Pass as usize].minus(wanted).prefixes();
    advise(record, ended, &mut comparison.advice);
    comparison
}

fn advise(record: &Record, ends_in_all: bool, advice: &mut Vec<String>) {
    let asking = record
        .terms
        .iter()
        .filter(|term| term.mechanism == Mechanism::AsksDns)
        .count();
    let lookups = asking + usize::from(record.redirect.is_some());
    if lookups > LOOKUPS_MAX {
        advice.push(format!(
            "it takes {lookups} look-ups; receivers refuse a record that takes more than \
             {LOOKUPS_MAX} (RFC 7208 §4.6.4)"
        ));
    }
    let all = record
        .terms
        .iter()
        .find(|term| term.mechanism == Mechanism::All);
    match all.map(|all| all.outcome) {
        Some(Outcome::Pass) => {
            advice.push("`+all` lets everybody send: end it in `-all` or `~all`".into());
        }
        Some(Outcome::Neutral) => {
            advice.push("`?all` says nothing of anybody else: end it in `-all` or `~all`".into());
        }
        _ if !ends_in_all && record.redirect.is_none() => {
            advice.push("it has no end: add `-all` or `~all`".into());
        }
        _ => {}
    }
    if record.terms.iter().any(|term| {
        term.text
            .trim_start_matches(['+', '-', '~', '?'])
            .to_ascii_lowercase()
            .starts_with("ptr")
    }) {
        advice.push("`ptr` is slow and should not be used (RFC 7208 §5.5)".into());
    }
    if record.text.len() > OCTETS_ADVISED {
        advice.push(format!(
            "it has {} octets; beyond {OCTETS_ADVISED} with its name some answers don't fit a DNS \
             packet (RFC 7208 §3.4)",
            record.text.len()
        ));
    }
}
