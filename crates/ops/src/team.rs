//! Threads that stay awake between the loops of a training step.
//!
//! A step is some hundred short loops, and waking a sleeping thread (on a virtual machine: a sleeping core) can take as
//! long as the loop itself. Workers therefore watch for the next loop for a fraction of a millisecond before they sleep. The
//! calling thread works along; a loop that begins while another one runs is not shared.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a worker watches for the next loop before it sleeps.
const AWAKE: Duration = Duration::from_micros(400);
/// Rounds of waiting before a thread offers its core to others.
const PATIENT: u32 = 2000;

/// Workers of the open loop are counted in the low bits of the state.
const OPEN: u64 = 1 << 16;
const GENERATION: u64 = 1 << 17;

#[derive(Clone, Copy)]
struct Loop {
    task: *const (dyn Fn(usize) + Sync),
    count: usize,
    /// Indices that are taken at a time.
    batch: usize,
    /// Workers that may take part.
    helpers: usize,
}

struct Worker {
    thread: Thread,
    asleep: Arc<AtomicBool>,
}

/// A value alone in its cache lines: what some threads watch must not lie beside what others count.
#[repr(align(128))]
struct Alone<T>(T);

impl<T> std::ops::Deref for Alone<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// The process's workers; they are started when a loop first wants them.
pub(crate) struct Team {
    workers: Mutex<Vec<Worker>>,
    /// Generation of the loop, whether it is open to workers, and how many are in it.
    state: Alone<AtomicU64>,
    next: Alone<AtomicUsize>,
    current: UnsafeCell<Option<Loop>>,
    panicked: AtomicBool,
}

// SAFETY: `current` is written only by the holder of `workers` while the state is closed and empty, and read only by workers
// that have entered the open state, which the writer waits for before it returns.
unsafe impl Sync for Team {}

static TEAM: Team = Team {
    workers: Mutex::new(Vec::new()),
    state: Alone(AtomicU64::new(0)),
    next: Alone(AtomicUsize::new(0)),
    current: UnsafeCell::new(None),
    panicked: AtomicBool::new(false),
};

/// Calls `task(i)` for every `i < count` on up to `threads` threads, the caller's among them.
pub(crate) fn run(count: usize, threads: usize, task: &(dyn Fn(usize) + Sync)) {
    let mut workers = match TEAM.workers.try_lock() {
        Ok(workers) => workers,
        Err(TryLockError::Poisoned(workers)) => workers.into_inner(),
        // The team is at work for another thread, or for the loop that this one is part of.
        Err(TryLockError::WouldBlock) => return (0..count).for_each(task),
    };
    let helpers = (threads - 1).min(count - 1);
    while workers.len() < helpers {
        match start(workers.len()) {
            Some(worker) => workers.push(worker),
            None => break,
        }
    }
    let helpers = helpers.min(workers.len());
    // SAFETY: only the lifetime is changed; `Closing` waits until no worker holds the reference any more.
    let task = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync)>(task) };
    let batch = (count / (8 * threads)).max(1);
    let current = Loop {
        task,
        count,
        batch,
        helpers,
    };
    // SAFETY: this thread holds the workers' lock, and the last loop's `Closing` has left the state closed and empty.
    unsafe { *TEAM.current.get() = Some(current) };
    TEAM.next.store(0, Ordering::Relaxed);
    TEAM.panicked.store(false, Ordering::Relaxed);
    let generation = TEAM.state.load(Ordering::Relaxed) / GENERATION + 1;
    TEAM.state.store((generation * GENERATION) | OPEN, Ordering::SeqCst);
    let closing = Closing;
    for worker in &workers[..helpers] {
        if worker.asleep.swap(false, Ordering::SeqCst) {
            worker.thread.unpark();
        }
    }
    TEAM.work(current);
    drop(closing);
    if TEAM.panicked.swap(false, Ordering::Relaxed) {
        panic!("a thread of htl-ops panicked; its message stands above");
    }
}

/// Ends the loop, also when the caller's own share panics: waits for the workers that are still in it.
struct Closing;

impl Drop for Closing {
    fn drop(&mut self) {
        TEAM.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut rounds = 0;
        while !TEAM.state.load(Ordering::Acquire).is_multiple_of(OPEN) {
            wait(&mut rounds);
        }
    }
}

fn wait(rounds: &mut u32) {
    *rounds = rounds.saturating_add(1);
    if *rounds < PATIENT {
        spin_loop();
    } else {
        thread::yield_now();
    }
}

fn start(index: usize) -> Option<Worker> {
    let asleep = Arc::new(AtomicBool::new(false));
    let own = asleep.clone();
    let handle = thread::Builder::new()
        .name(format!("htl-ops-{index}"))
        .spawn(move || TEAM.serve(index, &own))
        .ok()?;
    Some(Worker {
        thread: handle.thread().clone(),
        asleep,
    })
}

impl Team {
    fn work(&self, current: Loop) {
        // SAFETY: the task is alive until `Closing` has seen every worker leave.
        let task = unsafe { &*current.task };
        loop {
            let first = self.next.fetch_add(current.batch, Ordering::Relaxed);
            if first >= current.count {
                return;
            }
            for index in first..(first + current.batch).min(current.count) {
                task(index);
            }
        }
    }

    fn serve(&self, index: usize, asleep: &AtomicBool) {
        let mut seen = 0;
        loop {
            seen = self.next_loop(seen, asleep);
            let mut state = self.state.load(Ordering::Relaxed);
            let entered = loop {
                if state / GENERATION != seen || state & OPEN == 0 {
                    break false;
                }
                match self
                    .state
                    .compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
                {
                    Ok(_) => break true,
                    Err(now) => state = now,
                }
            };
            if !entered {
                continue;
            }
            // SAFETY: this worker has entered the open state, so the loop stays as it is until it leaves.
            let current = unsafe { *self.current.get() };
            if let Some(current) = current.filter(|current| index < current.helpers)
                && catch_unwind(AssertUnwindSafe(|| self.work(current))).is_err()
            {
                self.panicked.store(true, Ordering::Relaxed);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for an open loop that is not `seen`, and returns its generation.
    fn next_loop(&self, seen: u64, asleep: &AtomicBool) -> u64 {
        let fresh = |state: u64| state & OPEN != 0 && state / GENERATION != seen;
        let mut since = Instant::now();
        let mut rounds = 0u32;
        loop {
            let state = self.state.load(Ordering::Acquire);
            if fresh(state) {
                return state / GENERATION;
            }
            rounds = rounds.wrapping_add(1);
            if !rounds.is_multiple_of(64) || since.elapsed() < AWAKE {
                spin_loop();
                continue;
            }
            asleep.store(true, Ordering::SeqCst);
            if !fresh(self.state.load(Ordering::SeqCst)) {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
            since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_visited_once() {
        for round in 0..2000 {
            let count = 2 + round % 97;
            let visits: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
            run(count, 2 + round % 4, &|i| {
                visits[i].fetch_add(1, Ordering::Relaxed);
                if round % 50 == 0 && i == 0 {
                    // Long enough that workers fall asleep.
                    thread::sleep(Duration::from_millis(1));
                }
            });
            assert!(visits.iter().all(|v| v.load(Ordering::Relaxed) == 1), "round {round}");
        }
    }

    #[test]
    fn loops_inside_of_loops_and_beside_loops_are_done() {
        let total = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        run(4, 3, &|_| {
                            run(5, 3, &|_| {
                                total.fetch_add(1, Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 3 * 200 * 20);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_team_lives_on() {
        let outcome = catch_unwind(|| {
            run(64, 2, &|i| assert!(i != 40, "planted"));
        });
        assert!(outcome.is_err());
        // On every thread at once.
        assert!(catch_unwind(|| run(64, 2, &|_| panic!("planted"))).is_err());
        let total = AtomicUsize::new(0);
        run(64, 2, &|_| {
            total.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(total.load(Ordering::Relaxed), 64);
    }
}
