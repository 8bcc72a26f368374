//! The judging stage: attempts are charged in order.

use super::{
    Action, Effect, Engine, Frame, Judgements, Reason,
    stage::{Staged, StagedRuling},
};
use crate::{
    policy::{Excess, Fallback},
    source::{Admission, Limit, Meter, Recalled, Source, VERDICTS_MAX},
};

const _: () = assert!(
    Reason::COUNT <= VERDICTS_MAX,
    "a recent attempt must hold any reason"
);

impl Engine {
    /// Decides every staged attempt and completes its verdict.
    pub(super) fn judge(&mut self, frames: &[Frame<'_>], judgements: &mut Judgements) {
        for (staged, attempt) in self.staged.iter().zip(&mut judgements.attempts) {
            let frame = &frames[usize::from(attempt.frame)];
            let (reason, retransmission) = self.decide(staged, frame.time);
            let terms = self.terms(attempt.class);
            let refused = reason.effect() != Effect::Forward;
            let verdict = &mut judgements.verdicts[usize::from(attempt.frame)];
            verdict.reason = reason;
            verdict.observed = refused && terms.observe;
            verdict.action = match (refused && !terms.observe, terms.excess) {
                (false, _) => Action::Forward,
                (true, Excess::Drop) => Action::Drop,
                (true, Excess::Reset) => Action::Reset,
            };
            attempt.admitted = !refused;
            attempt.retransmission = retransmission;
            if refused && !retransmission && self.leasing.is_some() {
                judgements.leases.extend(self.lease(frame, attempt, staged));
            }
        }
    }

    /// Why an attempt is admitted or refused, and whether that was decided for an earlier SYN.
    #[inline]
    fn decide(&self, staged: &Staged, now: u64) -> (Reason, bool) {
        let place = match self.sources.recall(staged.fingerprint, now) {
            Recalled::First(verdict) => return (Reason::ALL[usize::from(verdict)], true),
            Recalled::New(place) => place,
        };
        if let Some(reason) = self.refused_in_kernel(staged, now) {
            place.keep(reason as u8);
            return (reason, true);
        }
        let reason = match staged.ruling {
            StagedRuling::Decided(reason) => reason,
            StagedRuling::Charge {
                source,
                limit,
                meter,
            } => self.charge(source, limit, meter, now),
        };
        place.keep(reason as u8);
        if reason.effect() == Effect::Forward {
            self.note_let_through(staged, now);
        }
        (reason, false)
    }

    #[inline]
    fn charge(&self, source: Source, limit: Limit, meter: Meter, now: u64) -> Reason {
        match (self.sources.admit(source, limit, now), meter) {
            (Admission::Admitted, Meter::Relay) => Reason::Relayed,
            (Admission::Admitted, _) => Reason::Admitted,
            (Admission::Refused, Meter::Smtp) => Reason::LimitExceeded,
            (Admission::Refused, Meter::Submission) => Reason::SubmissionLimitExceeded,
            (Admission::Refused, Meter::Relay) => Reason::RelayLimitExceeded,
            (Admission::Full, _) => match self.policy.full() {
                Fallback::Forward => Reason::TableFullForwarded,
                Fallback::Drop => Reason::TableFull,
            },
        }
    }
}
