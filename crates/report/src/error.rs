use std::path::PathBuf;

use htl_metrics::MetricError;
use htl_mining::MiningError;
use htl_vocabulary::FormatError;

/// What can go wrong while a run's tables are read, outlines are drawn or the page is rendered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file of the run does not follow its format, or could not be read or written.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A file could not be written; the reason names it.
    #[error(transparent)]
    NotWritten(std::io::Error),
    /// A score table of the run cannot be used.
    #[error(transparent)]
    Scores(#[from] MiningError),
    /// A file could not be read, written or deleted.
    #[error("{}: cannot {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done: `read`, `write`, `delete`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Results per image cannot be read.
    #[error("{}: {source}", path.display())]
    PerImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<MetricError>,
    },
    /// A `summary.json` lacks a metric.
    #[error("{}: `{metric}` is missing", path.display())]
    NoMetric {
        /// The file.
        path: PathBuf,
        /// The metric.
        metric: &'static str,
    },
    /// A `summary.json` holds a metric outside its range.
    #[error("{}: {source}", path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The metric, its value there and its range.
        source: Box<MetricError>,
    },
    /// Two arms cannot be compared image by image.
    #[error("{setting}: `{method}` and `{control}` were evaluated on different images")]
    DifferentImages {
        /// The setting.
        setting: String,
        /// The first arm.
        method: String,
        /// The second arm.
        control: String,
    },
    /// A paired gain cannot be computed.
    #[error("{setting}: gain of `{method}` over `{control}`: {source}")]
    Gain {
        /// The setting.
        setting: String,
        /// The first arm.
        method: String,
        /// The second arm.
        control: String,
        /// What is wrong.
        source: Box<MetricError>,
    },
    /// The worst group of an arm cannot be found.
    #[error("{setting}: worst group of `{arm}`: {source}")]
    WorstGroup {
        /// The setting.
        setting: String,
        /// The arm.
        arm: String,
        /// What is wrong.
        source: Box<MetricError>,
    },
    /// A buffer's length does not fit the shape it came with.
    #[error("{what} of {height} x {width} pixels needs {expected} bytes, found {found}")]
    Buffer {
        /// `image` or `mask`.
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Bytes the shape asks for.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// An overlay's magnification is not usable.
    #[error("overlay scale must be from 1 to 16, found {found}")]
    Scale {
        /// The scale given.
        found: usize,
    },
    /// An image could not be encoded.
    #[error("cannot encode the overlay: {0}")]
    Image(#[from] image::ImageError),
    /// The page's template failed: a defect of this crate.
    #[error("cannot render the report: {0}")]
    Template(#[from] minijinja::Error),
}
