//! What a training tells while it runs: the [`Observer`] trait and the observers that come with it.

mod event_file;
mod history_csv;
mod log;
mod observer;
mod progress;
mod tensorboard;

pub use history_csv::HistoryCsv;
pub use log::EpochLog;
pub use observer::{End, Epoch, Observer, Observers, Started, Step};
pub use progress::{ProgressBar, on_progress};
pub use tensorboard::TensorBoard;
