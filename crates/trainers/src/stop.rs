use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A request to end a training early; clones share it.
///
/// The training saves its state at the next step boundary and returns; started again, it continues as if it had never
/// been interrupted.
///
/// ```
/// let stop = htl_trainers::StopFlag::default();
/// let elsewhere = stop.clone();
/// elsewhere.stop();
/// assert!(stop.is_set());
/// ```
#[derive(Debug, Clone, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks the training to end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Returns whether the training was asked to end.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The flag itself, for a signal handler to set.
    #[must_use]
    pub fn shared(&self) -> Arc<AtomicBool> {
        self.0.clone()
    }
}
