//! Where judged batches end: counted, compared, written out. Batches come in order of arrival.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    ReplayError, batch::Batch, compare::Comparison, outfile::Pending, summary::source_text,
    tally::Tally,
};
use crate::{
    engine::{Action, Direction, Frame, Verdict},
    io::capture::Writer,
    policy::{Member, Policy},
    wire,
};

/// Captures to write, by what happened to the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// What crossed.
    pub forwarded: Option<PathBuf>,
    /// What was dropped, reset or redirected, each with its verdict as a packet comment.
    pub dropped: Option<PathBuf>,
}

/// Takes judged batches in.
pub struct Sink {
    policy: Arc<Policy>,
    other: Option<Arc<Policy>>,
    tally: Tally,
    comparison: Comparison,
    forwarded: Option<Capture>,
    dropped: Option<Capture>,
    /// Reused from comment to comment.
    comment: String,
}

impl Sink {
    /// Begins the output captures.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn new(
        policy: Arc<Policy>,
        other: Option<Arc<Policy>>,
        outputs: &Outputs,
    ) -> Result<Self, ReplayError> {
        Ok(Self {
            policy,
            other,
            tally: Tally::default(),
            comparison: Comparison::default(),
            forwarded: outputs
                .forwarded
                .as_deref()
                .map(Capture::create)
                .transpose()?,
            dropped: outputs
                .dropped
                .as_deref()
                .map(Capture::create)
                .transpose()?,
            comment: String::new(),
        })
    }

    /// Takes one batch in.
    ///
    /// # Errors
    /// An output capture cannot be written on.
    pub fn absorb(&mut self, batch: &Batch) -> Result<(), ReplayError> {
        self.tally.absorb(&batch.judgements, batch.number, |frame| {
            batch.time(usize::from(frame))
        });
        if self.other.is_some() {
            self.compare(batch);
        }
        if self.forwarded.is_some() || self.dropped.is_some() {
            self.write(batch)?;
        }
        Ok(())
    }

    /// Puts the output captures in their places; what was counted and compared.
    ///
    /// # Errors
    /// An output capture cannot be finished.
    pub fn finish(self) -> Result<(Tally, Option<Comparison>), ReplayError> {
        for capture in [self.forwarded, self.dropped].into_iter().flatten() {
            capture.finish()?;
        }
        Ok((self.tally, self.other.map(|_| self.comparison)))
    }

    fn compare(&mut self, batch: &Batch) {
        let Some(other) = &self.other else { return };
        let verdicts = batch.judgements.verdicts.iter().zip(&batch.others.verdicts);
        for (index, (ours, theirs)) in verdicts.enumerate() {
            self.comparison
                .count(batch.number + index as u64, ours, theirs, || {
                    let frame = batch.frame(index);
                    let ours = member(&self.policy, &frame, ours.direction);
                    let known = ours.or_else(|| member(other, &frame, theirs.direction));
                    known.map(|member| member.key)
                });
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), ReplayError> {
        for (index, verdict) in batch.judgements.verdicts.iter().enumerate() {
            let record = batch.record(index);
            if verdict.action == Action::Forward {
                if let Some(capture) = &mut self.forwarded {
                    capture.writer.write(&record, None)?;
                }
            } else if let Some(capture) = &mut self.dropped {
                let frame = batch.frame(index);
                put_comment(&mut self.comment, &self.policy, verdict, &frame);
                capture.writer.write(&record, Some(&self.comment))?;
            }
        }
        Ok(())
    }
}

/// Whose frame it is: its outermost source's if it leaves, its outermost destination's if it
/// comes in.
pub fn member<'a>(
    policy: &'a Policy,
    frame: &Frame<'_>,
    direction: Direction,
) -> Option<Member<'a>> {
    let (source, destination) = wire::endpoints(frame.bytes, frame.link)?;
    let address = match direction {
        Direction::Outbound => source,
        Direction::Inbound => destination,
    };
    policy.member(address)
}

/// `lychgate: drop limit_exceeded (class residential, source 203.0.113.66)`. The source is the
/// subscriber, or else the outermost address that could be read; of an inbound frame, the
/// subscriber it is for is told instead.
fn put_comment(comment: &mut String, policy: &Policy, verdict: &Verdict, frame: &Frame<'_>) {
    let action = match verdict.action {
        Action::Forward => "forward",
        Action::Drop => "drop",
        Action::Reset => "reset",
        Action::Redirect => "redirect",
    };
    let class = verdict
        .class
        .map(|class| ("class", policy.class(class).name.clone()));
    let key = member(policy, frame, verdict.direction).map(|member| source_text(member.key));
    let address = match verdict.direction {
        Direction::Outbound => {
            let source = || wire::endpoints(frame.bytes, frame.link).map(|(source, _)| source);
            key.or_else(|| source().map(|source| source.to_string()))
                .map(|text| ("source", text))
        }
        Direction::Inbound => key.map(|text| ("subscriber", text)),
    };
    comment.clear();
    // Writing to a string cannot fail.
    let _ = write!(comment, "lychgate: {action} {}", verdict.reason.name());
    for (index, (what, text)) in [class, address].into_iter().flatten().enumerate() {
        let _ = write!(
            comment,
            "{}{what} {text}",
            if index == 0 { " (" } else { ", " }
        );
    }
    if comment.contains('(') {
        comment.push(')');
    }
}

/// A capture being written, which appears when it is whole.
struct Capture {
    writer: Writer,
    path: PathBuf,
    pending: Pending,
}

impl Capture {
    fn create(path: &Path) -> Result<Self, ReplayError> {
        let output = |cause| ReplayError::output(path, cause);
        let (file, pending) = Pending::create(path).map_err(output)?;
        let writer = Writer::from_write(&path.display().to_string(), file)?;
        Ok(Self {
            writer,
            path: path.to_owned(),
            pending,
        })
    }

    fn finish(self) -> Result<(), ReplayError> {
        self.writer.finish()?;
        self.pending
            .commit()
            .map_err(|cause| ReplayError::output(&self.path, cause))
    }
}
