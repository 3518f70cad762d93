//! Training of localizers and classifiers: supervised, semi-supervised and weakly-supervised, with attention to hard
//! samples.
//!
//! A [`TrainConfig`] says everything that determines a training; [`train`] reads the data folder, runs the steps and
//! writes a checkpoint, its state and a history. An interrupted training continues where it stopped, bit for bit. A
//! [`Trainer`] runs the same loop on samples in memory and anybody's network.
//!
//! ```
//! use htl_trainers::TrainConfig;
//!
//! let config = TrainConfig {
//!     setting: "supervised".into(),
//!     data: "data-manifest/embedded".into(),
//!     image_steps: 6000,
//!     ..TrainConfig::default()
//! }
//! .check()?;
//! assert_eq!(config.steps(), 375);
//! // htl_trainers::train(&config, &candle_core::Device::Cpu, "out/first".as_ref(), &mut (), &StopFlag::default())?;
//! # Ok::<(), htl_trainers::TrainError>(())
//! ```
mod attention;
mod batches;
mod box_targets;
mod config;
mod dynamics;
mod error;
mod feed;
mod files;
mod finite;
mod fit;
mod inputs;
mod judge;
mod keep;
mod losses;
mod mask_loss;
mod network_choice;
mod objective;
pub mod observe;
mod pruned_copy;
mod pseudo;
mod recipe;
mod samples;
mod schedule;
mod start;
mod state;
mod stop;
mod train;
mod trainer;
mod upload;
mod weight_average;

pub use attention::{AttendedSet, Attention, Dose, Suspects};
pub use batches::{MaskBatch, MaskBatches};
pub use config::{TrainConfig, ValidTrainConfig};
pub use dynamics::{Dynamics, DynamicsParams};
pub use error::TrainError;
pub use htl_vocabulary::{DynamicsRow, HistoryRow, read_dynamics, read_history};
pub use judge::{Judgement, judge_classes, judge_masks};
pub use keep::Keep;
pub use mask_loss::MaskLoss;
pub use network_choice::NetworkChoice;
pub use objective::{BoxTargets, Boxes, FilterRule, Labeller, Leaves, MeanTeacher, TeacherFilter};
pub use pseudo::{LeaveOut, PixelRule, PseudoMasks};
pub use recipe::Recipe;
pub use schedule::Schedule;
pub use start::network_sparsity;
pub use stop::StopFlag;
pub use train::{Outcome, train, validation};
pub use trainer::{Trainer, TrainerParams, TrainerValidParams};

/// The settings that a [`TrainConfig`] may name.
pub fn settings() -> impl Iterator<Item = htl_vocabulary::Setting> {
    objective::OBJECTIVES.iter().map(|objective| objective.setting())
}

/// Name and description of every form of attention that an [`Attention`] may name.
pub fn attention_forms() -> impl Iterator<Item = (&'static str, &'static str)> {
    attention::FORMS.iter().map(|form| (form.key(), form.about()))
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
