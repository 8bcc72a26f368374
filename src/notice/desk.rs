//! Whose address is it, and how does that subscriber's case stand? Asked of the running box through
//! its control socket, or of the store where none runs.
//!
//! A visitor is known by the address alone, and is told about the subscriber whose address that is to
//! the policy. Of what the box answers, only what a [`Standing`] holds goes any further: no name, no
//! staff, no audit trail.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::bail;
use ipnet::IpNet;
use jiff::Timestamp;

use crate::{
    control::{
        casebook::{Reply, Request, Subject},
        counter,
    },
    policy::{Policy, steps::Scope},
    remedy::{Ahead, Case, Finding, SELF_RELEASES_MAX, Stage},
};

/// What the audit trail says of a customer's release.
const WHY: &str = "told on the notice page that everything is clean";
/// How long the page says thank you.
const THANKS_SECONDS: i64 = 86_400;

/// The way to the cases.
#[derive(Debug)]
pub struct Desk {
    policy: Arc<Policy>,
    /// The control socket, if it isn't the policy's; then no store is opened.
    socket: Option<PathBuf>,
    /// The box answers one after the other anyway, and the store has one reader.
    turn: Mutex<()>,
}

/// How a visitor stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// The address is no subscriber's.
    Elsewhere,
    /// Nothing is held against the subscriber.
    Clear,
    /// A case was closed within the last day.
    Cleared,
    /// The subscriber was told, or is quarantined.
    Held(Held),
}

/// A case, as far as the subscriber is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    /// What a form is about: it changes whenever the case does.
    pub case: String,
    /// What is taken away; `None`: nothing yet.
    pub scope: Option<Scope>,
    /// When the quarantine ends, or begins.
    pub turns: Option<Timestamp>,
    /// Since when it stands so.
    pub since: Timestamp,
    /// What was found last.
    pub finding: Option<Finding>,
    /// How often the customer may still end it.
    pub left: u32,
}

impl Desk {
    /// Asks the box of a policy, at another control socket than the policy's if one is given.
    ///
    /// # Errors
    ///
    /// The policy names no store.
    pub fn new(policy: Arc<Policy>, socket: Option<PathBuf>) -> anyhow::Result<Self> {
        if policy.keeping().is_none() && socket.is_none() {
            bail!(
                "the policy names no store, so there are no cases to tell of; \
                 add [store] path = \"/var/lib/lychgate/cases.redb\" to it"
            );
        }
        Ok(Self {
            policy,
            socket,
            turn: Mutex::new(()),
        })
    }

    /// Under what a visitor's requests are counted: the subscriber. Strangers cost nothing.
    pub(super) fn account(&self, address: IpAddr) -> Option<IpNet> {
        self.policy.member(address).map(|member| member.key)
    }

    /// How the visitor with this address stands.
    ///
    /// # Errors
    ///
    /// Neither box nor store answers.
    pub(super) fn standing(&self, address: IpAddr) -> anyhow::Result<Standing> {
        if !self.policy.is_subscriber(address) {
            return Ok(Standing::Elsewhere);
        }
        let who = address.to_string();
        match self.ask(&Request::Subject { who })? {
            Reply::Subject(subject) => Ok(standing(&subject, Timestamp::now())),
            // The box has another policy by now.
            Reply::Refused { .. } => Ok(Standing::Elsewhere),
            other => bail!("the box answered {other:?}"),
        }
    }

    /// Ends the case of the visitor with this address, as the customer. Whether it was ended.
    ///
    /// # Errors
    ///
    /// Neither box nor store answers.
    pub(super) fn release(&self, address: IpAddr) -> anyhow::Result<bool> {
        let request = Request::Release {
            who: address.to_string(),
            by: None,
            why: WHY.to_owned(),
        };
        match self.ask(&request)? {
            Reply::Done { .. } => Ok(true),
            Reply::Refused { .. } => Ok(false),
            other => bail!("the box answered {other:?}"),
        }
    }

    /// Writes down that the visitor with this address has read the notice: the box then lets plain
    /// HTTP cross again, unless the policy says otherwise.
    ///
    /// # Errors
    ///
    /// Neither box nor store answers, or they can't write it down.
    pub(super) fn read(&self, address: IpAddr) -> anyhow::Result<()> {
        let who = address.to_string();
        match self.ask(&Request::Read { who })? {
            Reply::Done { .. } => Ok(()),
            Reply::Refused { why } => bail!(why),
            other => bail!("the box answered {other:?}"),
        }
    }

    fn ask(&self, request: &Request) -> anyhow::Result<Reply> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.socket {
            Some(socket) => counter::ask_box(socket, request),
            None => counter::ask(&self.policy, request),
        }
    }
}

fn standing(subject: &Subject, now: Timestamp) -> Standing {
    let Some(case) = &subject.case else {
        return Standing::Clear;
    };
    match case.stage {
        // A suspect was not told anything yet.
        Stage::Suspect => Standing::Clear,
        Stage::Released if now.as_second() - case.since.as_second() < THANKS_SECONDS => {
            Standing::Cleared
        }
        Stage::Released => Standing::Clear,
        Stage::Notified | Stage::Quarantined { .. } => Standing::Held(Held::new(case)),
    }
}

impl Held {
    fn new(case: &Case) -> Self {
        let turns = match (case.stage, case.ahead.first()) {
            (Stage::Quarantined { expires, .. }, _) => Some(expires),
            (_, Some(Ahead::Quarantine { .. })) => case.due,
            _ => None,
        };
        Self {
            case: format!(
                "{} {} {}",
                case.subscriber.id(),
                case.since,
                case.stage.name()
            ),
            scope: case.scope(),
            turns,
            since: case.since,
            finding: case.last_finding.clone(),
            left: SELF_RELEASES_MAX.saturating_sub(case.self_releases),
        }
    }
}
