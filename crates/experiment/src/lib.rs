//! The experiment as data: settings, arms and profiles in, a [`plan::Plan`] out, and engines that run it.
//!
//! Nothing here trains: a stage of a plan is a call of `htl`, or a small join of tables. So a plan can be printed, compared,
//! sent to a cluster, and run stage by stage.
//!
//! ```
//! use htl_experiment::design::{DataOf, design};
//! use htl_experiment::plan::{Base, Kind};
//! use htl_experiment::{Extras, Profile};
//! use htl_vocabulary::results::Dataset;
//!
//! let base = Base { data: "my-data".into(), data_sha256: "…".into(), program: "…".into(), device: "cpu".into() };
//! let dataset = Dataset { name: "mine".into(), train: 240, val: 40, test: 120 };
//! let data = DataOf { shown: "my-data".into(), given: None, dataset, extras: Extras { metadata: true, labels: true } };
//! let experiment = design(&Profile::named("smoke")?, base, data);
//! let first = experiment.plan.stage("supervised/baseline-0").unwrap();
//! assert_eq!((first.kind, first.needs.len()), (Kind::Train, 0));
//! # Ok::<(), htl_experiment::ExperimentError>(())
//! ```
pub mod campaign;
mod data;
mod data_state;
pub mod design;
pub mod engine;
mod error;
pub mod plan;
mod profile;
mod reproduce;
mod run_stage;
mod status;
mod workplace;

pub use data::{Extras, data_sha256};
pub use error::ExperimentError;
pub use profile::{PROFILES, Precision, Profile};
pub use reproduce::{Engine, Made, Reproduce, cores, plan, reproduce, time_limit, usual_jobs};
pub use run_stage::run_stage;
pub use status::{StageState, State, Status, status};
