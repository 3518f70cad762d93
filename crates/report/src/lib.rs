//! Tables, figures and one self-contained HTML page for a pruning-assisted localization experiment.
mod axis;
mod error;
mod files;
mod markdown;
mod overlay;
mod page;
mod rates;
mod report;
mod results;
mod summary;
mod words;

pub use error::ReportError;
pub use markdown::markdown_table;
pub use overlay::{Colour, MAX_SCALE, overlay};
pub use rates::{RATE_COLUMNS, RateRow, read_rates, write_rates};
pub use report::{CurvePoint, GalleryItem, Panel, RateTable, Report, render};
pub use results::{
    Arm, Dataset, Gain, HtlSet, Metrics, PRIMARY_METRIC, Results, SIGNIFICANT_DIGITS, SeedResult, Setting,
    round_significant,
};
