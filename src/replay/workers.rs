//! One worker or many, the same verdicts: batches are judged, and reach the sink, in the order in
//! which they were filled. Only decoding and reading run side by side.

use std::{sync::mpsc, thread};

use super::{ReplayError, batch::Batch, input::Input, sink::Sink, turns::Turns};
use crate::{engine::Engine, io::capture::Progress};

/// Batches on their way per worker: one being judged, one waiting.
const BATCHES_PER_WORKER: usize = 2;

/// The policy's engine and, if another policy is compared, that one's.
pub struct Judge {
    /// Gives the verdicts that count.
    pub engine: Engine,
    /// Gives those that are compared with them.
    pub other: Option<Engine>,
}

impl Judge {
    /// Judges a batch; `turn` waits until all earlier batches have been judged.
    fn judge(&mut self, batch: &mut Batch, turn: impl FnOnce()) {
        let (frames, judgements, others) = batch.parts();
        self.engine.process_in_turn(&frames, judgements, turn);
        if let Some(other) = &mut self.other {
            other.process(&frames, others);
        }
    }
}

/// Told after every batch how far reading has come.
pub type Watch<'a> = &'a mut dyn FnMut(Progress);

/// Reads, judges and absorbs on this thread.
///
/// # Errors
/// An output cannot be written.
pub fn alone(
    input: &mut Input,
    judge: &mut Judge,
    sink: &mut Sink,
    watch: Watch<'_>,
) -> Result<(), ReplayError> {
    let mut batch = Batch::default();
    loop {
        input.fill(&mut batch);
        if batch.is_empty() {
            return Ok(());
        }
        judge.judge(&mut batch, || ());
        sink.absorb(&batch)?;
        watch(input.progress());
    }
}

/// Reads and absorbs on this thread and deals the batches to one thread per judge.
///
/// # Errors
/// An output cannot be written.
pub fn together(
    input: &mut Input,
    judges: &mut [Judge],
    sink: &mut Sink,
    watch: Watch<'_>,
) -> Result<(), ReplayError> {
    let turns = Turns::default();
    let stride = judges.len();
    thread::scope(|scope| {
        let turns = &turns;
        let hire = |(index, judge)| {
            let (give, given) = mpsc::channel();
            let (hand_back, take_back) = mpsc::channel();
            scope.spawn(move || {
                work(
                    judge,
                    (index as u64..).step_by(stride),
                    turns,
                    &given,
                    &hand_back,
                )
            });
            (give, take_back)
        };
        let workers: Vec<_> = judges.iter_mut().enumerate().map(hire).collect();
        deal(input, &workers, sink, watch)
    })
}

/// Judges every batch that is given, each in its turn.
fn work(
    judge: &mut Judge,
    numbers: impl Iterator<Item = u64>,
    turns: &Turns,
    given: &mpsc::Receiver<Batch>,
    hand_back: &mpsc::Sender<Batch>,
) {
    for (number, mut batch) in numbers.zip(given) {
        let turn = turns.take(number);
        judge.judge(&mut batch, || turn.wait());
        drop(turn);
        if hand_back.send(batch).is_err() {
            return;
        }
    }
}

/// Deals batches round robin and collects them in the same order. The batches go round: a bounded
/// number of them, however long the capture is. A worker that is gone has panicked, which the
/// scope passes on.
fn deal(
    input: &mut Input,
    workers: &[(mpsc::Sender<Batch>, mpsc::Receiver<Batch>)],
    sink: &mut Sink,
    watch: Watch<'_>,
) -> Result<(), ReplayError> {
    let mut spare: Vec<_> = (0..workers.len() * BATCHES_PER_WORKER)
        .map(|_| Batch::default())
        .collect();
    let (mut dealt, mut collected) = (0, 0);
    loop {
        let mut batch = match spare.pop() {
            Some(batch) => batch,
            None => {
                let Ok(batch) = workers[collected % workers.len()].1.recv() else {
                    return Ok(());
                };
                collected += 1;
                sink.absorb(&batch)?;
                batch
            }
        };
        input.fill(&mut batch);
        if batch.is_empty() {
            break;
        }
        watch(input.progress());
        if workers[dealt % workers.len()].0.send(batch).is_err() {
            return Ok(());
        }
        dealt += 1;
    }
    for index in collected..dealt {
        let Ok(batch) = workers[index % workers.len()].1.recv() else {
            return Ok(());
        };
        sink.absorb(&batch)?;
    }
    Ok(())
}
