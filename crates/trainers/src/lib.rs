//! Training of localizers and classifiers: supervised, semi-supervised and weakly-supervised, with attention to hard
//! samples.
//!
//! A [`TrainConfig`] says everything that determines a training; [`train`] reads the data folder, runs the steps and
//! writes a checkpoint, its state and a history. An interrupted training goes on where it stopped, bit for bit.
//!
//! ```
//! use htl_trainers::{Setting, TrainConfig};
//!
//! let config = TrainConfig {
//!     setting: Setting::Supervised,
//!     data: "data-manifest/embedded".into(),
//!     image_steps: 6000,
//!     ..TrainConfig::default()
//! }
//! .check()?;
//! assert_eq!(config.steps(), 375);
//! // htl_trainers::train(&config, &candle_core::Device::Cpu, "out/first".as_ref(), &mut |done, all| ())?;
//! # Ok::<(), htl_trainers::TrainError>(())
//! ```
mod attention;
mod batches;
mod box_targets;
mod config;
mod error;
mod feed;
mod files;
mod finite;
mod fit;
mod inputs;
mod losses;
mod objective;
pub mod observe;
mod plant;
mod samples;
mod schedule;
mod state;
mod stop;
mod train;
mod upload;

pub use batches::{MaskBatch, MaskBatches};
pub use config::{
    AttendedSet, Attention, AttentionForm, BoxTargets, Boxes, MeanTeacher, Setting, Suspects, TrainConfig,
    ValidTrainConfig,
};
pub use error::TrainError;
pub use files::read_ids;
pub use htl_vocabulary::{HistoryRow, read_history};
#[doc(hidden)]
pub use plant::Plant;
pub use samples::validation;
pub use stop::StopFlag;
pub use train::{Outcome, train};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
