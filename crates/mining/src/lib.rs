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
//! assert_eq!(top(&table, column::DISAGREEMENT, 0.5, 0)?.ids, ["hard"]);
//! # Ok::<(), htl_mining::MiningError>(())
//! ```
#[cfg(feature = "candle")]
mod adaptive;
mod analysis;
mod attribute;
mod attributes;
mod choose;
mod classes;
mod clustering;
pub mod column;
#[cfg(feature = "candle")]
mod comparison;
mod correlate;
#[cfg(feature = "candle")]
mod curve_builder;
mod curve_table;
mod detection;
mod dynamics;
mod error;
mod features;
mod forgetting;
#[cfg(feature = "candle")]
mod gradients;
mod halves;
mod knockoff;
mod map_kind;
mod metadata;
mod overlap;
mod params;
#[cfg(feature = "candle")]
mod population;
#[cfg(feature = "candle")]
mod population_file;
mod query;
mod rank;
mod reliability;
mod score;
mod select;
mod skin_tone;
mod table;
mod view;

#[cfg(feature = "candle")]
pub use adaptive::{adaptive, split_statistics};
pub use analysis::{
    Adjustment, AttributeTest, COVARIATES, ClusterKeys, Coefficient, Cohort, Covariate, Demographics, Detectable,
    GROUP_METRICS, GroupMetric, HARD, LEAST_SHOWN, LEAST_TESTED, Performance, PermutationP, Permutations,
    RegressionTest, Regressions, TwoByTwo, clusters, demographics, detectable, forgetting_by_group, mantel_haenszel,
    power, regressions, stratified_p, westfall_young, wilson,
};
pub use attribute::{AGE_BANDS, Attribute, Scale, UNKNOWN, age_band};
pub use attributes::{
    ATTRIBUTES, AttributeRow, Group, Levels, Source, Subject, attribute_named, group_attributes, group_columns,
    group_levels,
};
pub use choose::{FoldChoice, default_score};
pub use classes::{ClassPopulation, class_scores, modal_class};
pub use clustering::{Clusters, clusters_of};
#[cfg(feature = "candle")]
pub use comparison::{Comparison, Contrast, Truth, TruthError, scores};
pub use correlate::{Correlation, mean_ranks, spearman};
#[cfg(feature = "candle")]
pub use curve_builder::CurveBuilder;
pub use curve_table::{CurveKind, CurveTable};
pub use detection::{auroc, average_precision};
pub use dynamics::dynamics_scores;
pub use error::{MiningError, Result};
pub use features::FeatureTable;
pub use forgetting::{
    CLASS_SPARSITY, ClassForgetting, Damage, EXEMPLAR_SPARSITIES, Forgetting, ForgettingCurves, check_sparsities,
};
#[cfg(feature = "candle")]
pub use gradients::{gradient_norms, gradient_scores};
pub use halves::SeedHalves;
/// Names that tables have for columns of ours, and spellings that were taken for one.
pub use htl_vocabulary::{ColumnName, MergedSpelling};
pub use htl_vocabulary::{Estimate, RateRow, write_rates};
pub use knockoff::{LEAST_SEEDS, knockoff_threshold, relative_statistics};
pub use map_kind::MapKind;
pub use metadata::{ColumnChoice, Metadata};
pub use overlap::entropy;
pub use params::{ScoreParams, ScoreValidParams};
#[cfg(feature = "candle")]
pub use population::Population;
#[cfg(feature = "candle")]
pub use population_file::Encoding;
pub use query::{QueryRule, query, query_balanced};
pub use rank::{Grade, MOST_TIED, Ranking, Tie, hashed_uniform, rank};
pub use reliability::{Reliability, read_reliability, write_reliability};
pub use score::{
    CLASS_COLUMNS, ClassContext, DYNAMICS_SCORE_COLUMNS, DynamicsContext, Errors, GRADIENT_COLUMNS, ImageContext,
    Input, Measure, Need, SCORE_COLUMNS, SCORES, Score, score_named,
};
pub use select::{Outcome, Selection, random_like, top};
pub use skin_tone::{SKIN_TONES, skin_tone};
pub use table::{HTL_COLUMN, KEY_COLUMNS, ScoreRow, ScoreTable};
pub use view::{Disagreement, View};

/// The example of the README, run as a test.
#[cfg(all(doctest, feature = "candle"))]
#[doc = include_str!("../README.md")]
struct Readme;
