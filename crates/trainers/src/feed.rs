use std::{
    sync::{
        Arc,
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
};

use candle_core::Device;

use crate::TrainError;

/// Threads that make batches in turn: while one sends its batch to the device, the other makes the next. Both spread
/// their images over all cores.
const WORKERS: usize = 2;
/// Batches of each that may lie ready beside the one that it is making.
const READY: usize = 1;

/// When batches are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// When they are asked for: on the CPU, whose cores the step itself can use.
    InLine,
    /// Before, by threads of their own, so that a GPU does not wait.
    Ahead,
}

impl Pace {
    /// The pace that suits steps on this device.
    pub fn of(device: &Device) -> Self {
        if device.is_cpu() { Self::InLine } else { Self::Ahead }
    }
}

type Make<B> = dyn Fn(usize) -> Result<B, TrainError> + Send + Sync;

/// Gives the batch of a step: the same one whenever it was made.
pub(crate) struct Feed<B> {
    make: Arc<Make<B>>,
    pace: Pace,
    steps: usize,
    ahead: Option<Ahead<B>>,
}

impl<B: Send + 'static> Feed<B> {
    /// `make` gives the batch of each step below `steps`, and nothing but the step decides what it is.
    pub fn new(
        make: impl Fn(usize) -> Result<B, TrainError> + Send + Sync + 'static,
        steps: usize,
        pace: Pace,
    ) -> Self {
        Self {
            make: Arc::new(make),
            pace,
            steps,
            ahead: None,
        }
    }

    /// The batch of a step; quick if it is the one after the last.
    pub fn take(&mut self, step: usize) -> Result<B, TrainError> {
        if self.pace == Pace::InLine || step >= self.steps {
            return (self.make)(step);
        }
        let ahead = match &mut self.ahead {
            Some(ahead) if ahead.next == step => ahead,
            other => other.insert(Ahead::start(&self.make, step..self.steps)?),
        };
        ahead.take()
    }
}

/// Threads that make one batch after the other, in turn.
struct Ahead<B> {
    workers: Vec<Worker<B>>,
    first: usize,
    next: usize,
}

impl<B: Send + 'static> Ahead<B> {
    fn start(make: &Arc<Make<B>>, steps: std::ops::Range<usize>) -> Result<Self, TrainError> {
        let (first, next) = (steps.start, steps.start);
        let workers = (first..first + WORKERS)
            .map(|first| Worker::start(make.clone(), (first..steps.end).step_by(WORKERS)))
            .collect::<Result<_, _>>()?;
        Ok(Self { workers, first, next })
    }

    fn take(&mut self) -> Result<B, TrainError> {
        let turn = (self.next - self.first) % WORKERS;
        self.next += 1;
        self.workers[turn].take()
    }
}

/// A thread that makes batches, and ends when nobody wants them any more.
struct Worker<B> {
    /// `None` only while it is dropped.
    batches: Option<Receiver<Result<B, TrainError>>>,
    thread: Option<JoinHandle<()>>,
}

impl<B: Send + 'static> Worker<B> {
    fn start(make: Arc<Make<B>>, steps: impl Iterator<Item = usize> + Send + 'static) -> Result<Self, TrainError> {
        let (send, batches) = sync_channel(READY);
        let run = move || {
            for step in steps {
                let batch = make(step);
                let failed = batch.is_err();
                if send.send(batch).is_err() || failed {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("htl-batches".into()).spawn(run);
        Ok(Self {
            batches: Some(batches),
            thread: Some(thread.map_err(candle_core::Error::from)?),
        })
    }

    fn take(&mut self) -> Result<B, TrainError> {
        if let Some(batch) = self.batches.as_ref().and_then(|batches| batches.recv().ok()) {
            return batch;
        }
        // It gave fewer batches than it has steps: it panicked, or is asked again after an error.
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        Err(candle_core::Error::Msg("no batch follows one that could not be made".into()).into())
    }
}

impl<B> Drop for Worker<B> {
    fn drop(&mut self) {
        // The thread finds nobody to send to, and ends with the batch that it is making.
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // A panic there was either passed on already, or concerns a batch that nobody wanted.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn counted(pace: Pace, steps: usize) -> (Feed<usize>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = made.clone();
        let make = move |step: usize| {
            counter.fetch_add(1, SeqCst);
            Ok(step * step)
        };
        (Feed::new(make, steps, pace), made)
    }

    #[test]
    fn both_paces_give_every_batch_in_order() {
        for pace in [Pace::InLine, Pace::Ahead] {
            let (mut feed, made) = counted(pace, 20);
            let batches: Vec<usize> = (3..20).map(|step| feed.take(step).unwrap()).collect();
            assert_eq!(batches, (3..20).map(|step| step * step).collect::<Vec<_>>());
            assert_eq!(made.load(SeqCst), 17);
        }
    }

    /// Steps may be asked for in any order, also such as the training does not have.
    #[test]
    fn a_jump_starts_again_there() {
        let (mut feed, _) = counted(Pace::Ahead, 50);
        for step in [0, 1, 7, 8, 2, 49, 50, 0] {
            assert_eq!(feed.take(step).unwrap(), step * step);
        }
    }

    /// No more than a few batches are held, and dropping the feed waits for the threads.
    #[test]
    fn the_threads_stay_a_few_batches_ahead_and_end() {
        let (mut feed, made) = counted(Pace::Ahead, 1000);
        feed.take(0).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(made.load(SeqCst) <= 1 + WORKERS * (READY + 1));
        let weak = Arc::downgrade(&made);
        drop((feed, made));
        assert!(weak.upgrade().is_none(), "a thread still holds what makes batches");
    }

    #[test]
    fn errors_arrive_at_their_step_as_they_are() {
        let make = |step| match step {
            2 => Err(TrainError::NobodyAttended { scores: "s.csv".into() }),
            _ => Ok(step),
        };
        let mut feed = Feed::new(make, 9, Pace::Ahead);
        assert_eq!((feed.take(0).unwrap(), feed.take(1).unwrap()), (0, 1));
        assert!(matches!(feed.take(2), Err(TrainError::NobodyAttended { .. })));
        assert_eq!(feed.take(3).unwrap(), 3);
        assert!(feed.take(4).is_err());
    }

    #[test]
    #[should_panic(expected = "no such image")]
    fn a_panic_arrives_too() {
        let mut feed = Feed::<usize>::new(
            |step| if step == 1 { panic!("no such image") } else { Ok(step) },
            9,
            Pace::Ahead,
        );
        feed.take(0).unwrap();
        feed.take(1).unwrap();
    }
}
