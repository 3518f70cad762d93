//! Hard-to-learn samples: which they are, and who they are.
//!
//! A [`Population`] holds the maps of several seeds of one network. [`scores`] compares the dense population with its
//! pruned copy (and a sham) image by image, [`top`] or [`adaptive`] selects the HTL set, [`random_like`] draws its
//! control, [`query`] spends a label budget, and [`demographics`] asks whom the hard images show.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use htl_mining::{Comparison, Population, ScoreParams, column, scores, top};
//!
//! let ids = vec!["easy".to_string(), "hard".to_string()];
//! let dense = Tensor::new(&[[[0.9f32, 0.1]], [[0.9, 0.1]]], &Device::Cpu)?; // [images, height, width]
//! let sparse = Tensor::new(&[[[0.8f32, 0.2]], [[0.1, 0.9]]], &Device::Cpu)?;
//! let dense = Population::new(ids.clone(), vec![dense])?;
//! let sparse = Population::new(ids, vec![sparse])?;
//! let table = scores(&Comparison::new(&dense, &sparse), &ScoreParams::default().check()?)?;
//! assert_eq!(top(&table, column::DISAGREEMENT, 0.5)?.ids, ["hard"]);
//! # Ok::<(), htl_mining::MiningError>(())
//! ```
mod adaptive;
mod adjust;
mod attribute;
mod classes;
pub mod column;
mod contingency;
mod correlate;
mod error;
mod files;
mod metadata;
mod overlap;
mod params;
mod population;
mod population_file;
mod query;
mod rank;
mod rates;
mod scores;
mod select;
mod table;

pub use adaptive::{AdaptiveParams, LEAST_SEEDS, adaptive, knockoff_threshold, split_statistics};
pub use adjust::Adjustment;
pub use attribute::{AGE_BANDS, Attribute, UNKNOWN, age_band};
pub use classes::{ClassPopulation, class_scores, modal_class};
pub use column::SCORE_COLUMNS;
pub use contingency::{Estimate, TwoByTwo, wilson};
pub use correlate::{Correlation, correlate, spearman};
pub use error::{MiningError, Result};
pub use metadata::{ColumnReading, MOST_LEVELS, Metadata, read_column};
pub use params::{ScoreParams, ScoreValidParams};
pub use population::{MapKind, Population};
pub use population_file::Encoding;
pub use query::{QueryRule, query};
pub use rank::rank;
pub use rates::{RATE_COLUMNS, RateRow, demographics, write_rates};
pub use scores::{Comparison, Truth, scores};
pub use select::{Outcome, RandomPool, Selection, random_like, top, weights};
pub use table::{HTL_COLUMN, KEY_COLUMNS, ScoreRow, ScoreTable};

/// The example of the README, run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
