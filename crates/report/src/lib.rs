//! What a localization experiment found, in forms that people read.
//!
//! [`Results`] is `results.json`, [`RateRow`] a line of `demographics.csv`, [`markdown_table`] the table of a README,
//! [`overlay()`] draws outlines of masks over an image, and [`render`] makes one HTML page that holds everything.
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
mod axis;
mod error;
mod files;
mod markdown;
mod overlay;
mod page;
mod panels;
mod rates;
mod report;
mod results;
mod summary;
mod words;

pub use error::ReportError;
pub use markdown::markdown_table;
pub use overlay::{Colour, MAX_SCALE, overlay};
pub use panels::{MaskSet, mask_panels};
pub use rates::{RATE_COLUMNS, RateRow, read_rates, write_rates};
pub use report::{CurvePoint, GalleryItem, Panel, RateTable, Report, render};
pub use results::{
    Arm, Dataset, Gain, HtlSet, Metrics, PRIMARY_METRIC, Results, SIGNIFICANT_DIGITS, SeedResult, Setting,
    round_significant,
};

/// The README's example, run as a test.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
