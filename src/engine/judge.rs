//! The judging stage: attempts are charged in order.

use super::{
    Action, Direction, Effect, Engine, Frame, Judgements, Reason,
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

/// How many attempts ahead of the one that is judged it is known where a source is not.
const ATTEMPTS_AHEAD: usize = 8;

impl Engine {
    /// Decides every staged attempt, completes its verdict and counts it.
    pub(super) fn judge(&mut self, frames: &[Frame<'_>], judgements: &mut Judgements) {
        let mut told = 0;
        let staged = std::mem::take(&mut self.staged);
        let mut ahead = staged.iter();
        for staged in ahead.by_ref().take(ATTEMPTS_AHEAD) {
            self.prefetch_further(staged);
        }
        for (index, staged) in staged.iter().enumerate() {
            if let Some(staged) = ahead.next() {
                self.prefetch_further(staged);
            }
            if !self.watched.is_empty() {
                let frame = judgements.attempts[index].frame;
                told = self.tell(told, frame.into(), frames, judgements);
            }
            let attempt = &mut judgements.attempts[index];
            let frame = &frames[usize::from(attempt.frame)];
            let (reason, retransmission) = self.decide(staged, index, frame.time);
            attempt.retransmission = retransmission;
            let verdict = &mut judgements.verdicts[usize::from(attempt.frame)];
            verdict.reason = reason;
            self.counters
                .add(reason, Direction::Outbound, Some(attempt.class), 1);
            if reason.effect() != Effect::Forward {
                attempt.admitted = false;
                let terms = self.terms(attempt.class);
                verdict.observed = terms.observe;
                verdict.action = match (terms.observe, terms.excess) {
                    (true, _) => Action::Forward,
                    (false, Excess::Drop) => Action::Drop,
                    (false, Excess::Reset) => Action::Reset,
                };
                if !retransmission && self.leasing.is_some() {
                    judgements.leases.extend(self.lease(frame, attempt, staged));
                }
            }
        }
        self.staged = staged;
        self.tell(told, frames.len(), frames, judgements);
    }

    #[inline(always)]
    fn prefetch_further(&self, staged: &Staged) {
        if let StagedRuling::Charge { source, .. } = staged.ruling {
            self.sources.prefetch_further(source);
        }
    }

    /// Why an attempt is admitted or refused, and whether that was decided for an earlier SYN.
    #[inline(always)]
    fn decide(&self, staged: &Staged, attempt: usize, now: u64) -> (Reason, bool) {
        let place = match self.sources.recall(staged.fingerprint, now) {
            Recalled::First(verdict) => return (Reason::ALL[usize::from(verdict)], true),
            Recalled::New(place) => place,
        };
        if let Some(reason) = self.refused_in_kernel(attempt, now) {
            place.keep(reason as u8);
            return (reason, true);
        }
        let reason = match &staged.ruling {
            StagedRuling::Decided(reason) => *reason,
            StagedRuling::Charge {
                source,
                limit,
                meter,
            } => self.charge(*source, *limit, *meter, now),
        };
        place.keep(reason as u8);
        if self.leasing.is_some() && reason.effect() == Effect::Forward {
            self.note_let_through(attempt, now);
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
