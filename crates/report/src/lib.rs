//! What a localization experiment found, in forms that people read.
//!
//! [`Report::of_run`] reads the folder of a run, [`results()`] only its numbers; [`markdown_table`] makes the tables of a README,
//! [`overlay()`] draws outlines of masks over an image, [`PanelMaker`] keeps such pictures, and [`render`] makes one HTML page
//! that holds everything.
//!
//! ```
//! use htl_report::{Arm, Metrics, Report, Results, Setting, render};
//!
//! let jaccard = |v: f64| Metrics::from([("jaccard".to_owned(), v)]);
//! let mut setting = Setting::default();
//! setting.arms.insert("baseline".into(), Arm::new([(0, jaccard(0.78)), (1, jaccard(0.80))]));
//! let mut results = Results::default();
//! results.settings.insert("supervised".into(), setting);
//! let page = render(&Report { title: "One arm".into(), results, ..Report::default() })?;
//! assert!(page.contains("The baseline reaches Jaccard 0.790 (mean of 2 seeds)."));
//! # Ok::<(), htl_report::ReportError>(())
//! ```
mod arm_table;
mod axis;
mod campaign;
mod contrasts;
mod error;
mod errors;
mod markdown;
mod numbers;
mod overlay;
mod page;
mod panels;
mod referral;
mod report;
mod run;
mod summary;
mod weak;
mod words;

pub use campaign::{CampaignRow, best_forms, campaign_rows, write_campaign};
pub use error::ReportError;
pub use errors::{ErrorTenth, ScoreErrors};
pub use htl_mining::{AttributeTest, Coefficient, RegressionTest, Reliability};
pub use htl_vocabulary::results::{
    Arm, Contrast, Dataset, Gain, HtlSet, Metrics, PRIMARY_METRIC, PrimaryGain, Results, SIGNIFICANT_DIGITS,
    SeedResult, Setting, Subset, SubsetGain, Weak, WorstGroup, round_significant,
};
pub use htl_vocabulary::{Estimate, ForgettingRow, PerformanceRow, RateRow};
pub use markdown::markdown_table;
pub use numbers::results;
pub use overlay::{Colour, MAX_SCALE, overlay};
pub use panels::{Outline, PanelMaker, Picture};
pub use report::{
    CurvePoint, DrawnOutline, GalleryItem, Panel, QualityTable, RateTable, ReferralTable, Report, render,
};

/// The README's example, run as a test.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
