use thiserror::Error;

/// What can go wrong when scoring, with what a person needs to put it right.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MetricError {
    /// A buffer does not hold height x width values.
    #[error("{what} of {height}x{width} pixels needs {expected} values, found {found}")]
    Size {
        /// What the buffer is (mask, map, image).
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// Number of values that fit.
        expected: usize,
        /// Number of values given.
        found: usize,
    },
    /// Height or width is zero.
    #[error("{what} has no pixels ({height}x{width}); both sides must be at least 1")]
    NoPixels {
        /// What the buffer is.
        what: &'static str,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// A mask holds something other than 0 and 1.
    #[error(
        "a mask holds only 0 and 1, found {found} at row {row}, column {column}; \
         binarise 8-bit pixels with Mask::from_luma and probabilities with Mask::from_probabilities"
    )]
    MaskValue {
        /// Row of the first offending pixel.
        row: usize,
        /// Column of the first offending pixel.
        column: usize,
        /// Its value.
        found: u8,
    },
    /// Prediction and truth have different sizes.
    #[error(
        "prediction is {}x{} pixels but the truth is {}x{} (height x width): resize the probabilities \
         to the truth's size before binarising",
        prediction.0, prediction.1, truth.0, truth.1
    )]
    Shape {
        /// Height and width of the prediction.
        prediction: (usize, usize),
        /// Height and width of the truth.
        truth: (usize, usize),
    },
    /// Two lists that belong together differ in length.
    #[error("{what}: expected {expected} values, found {found}")]
    Length {
        /// Which list.
        what: String,
        /// Length that would fit.
        expected: usize,
        /// Length found.
        found: usize,
    },
    /// Nothing to compute on.
    #[error("{what} is empty: there is nothing to score")]
    Empty {
        /// Which input.
        what: &'static str,
    },
    /// Run lengths that are of no mask.
    #[error("run lengths are not those of a mask: {reason}")]
    RunLengths {
        /// What is wrong.
        reason: String,
    },
    /// A table cannot be read.
    #[error("{reason}")]
    Table {
        /// Where and what.
        reason: String,
    },
    /// A table is not valid CSV.
    #[error("not a readable CSV table: {0}")]
    Csv(#[from] csv::Error),
    /// A value is NaN or infinite.
    #[error("{what}: value number {index} (from 0) is {found}, expected a finite number")]
    NotFinite {
        /// Which input.
        what: String,
        /// Position in that input.
        index: usize,
        /// The value.
        found: f64,
    },
    /// A value lies outside the range it must have.
    #[error("{what}: found {found}, expected {expected}")]
    Range {
        /// Which value or parameter.
        what: &'static str,
        /// What was given.
        found: f64,
        /// What is allowed, in words.
        expected: &'static str,
    },
    /// A metric has a value that it cannot take.
    #[error("`{metric}`: found {found}, expected a value in [{low}, {high}]")]
    Value {
        /// The metric's key.
        metric: &'static str,
        /// What was given.
        found: f64,
        /// Smallest value there is.
        low: f64,
        /// Largest value there is.
        high: f64,
    },
    /// An image id occurs twice.
    #[error("image `{image_id}` occurs twice in {what}; keep one row per image")]
    DuplicateImage {
        /// The id.
        image_id: String,
        /// Where.
        what: &'static str,
    },
    /// Results and baseline are not about the same images.
    #[error(
        "results and baseline are about different images: {missing} of the baseline's images are missing \
         (first: {}), {unknown} images are not in the baseline (first: {}); evaluate the same split, or \
         make a new baseline",
        first_missing.as_deref().unwrap_or("none"), first_unknown.as_deref().unwrap_or("none")
    )]
    OtherImages {
        /// Images of the baseline that have no result.
        missing: usize,
        /// The first of them.
        first_missing: Option<String>,
        /// Results that the baseline does not know.
        unknown: usize,
        /// The first of them.
        first_unknown: Option<String>,
    },
    /// A seed occurs twice.
    #[error("seed {seed} is given twice; every run has a seed of its own")]
    DuplicateSeed {
        /// The seed.
        seed: u64,
    },
    /// A baseline of too few runs to judge anything.
    #[error(
        "the baseline has {found} run(s): {least} are needed to tell worse from chance, {good} or more to find small \
         losses; train more seeds, evaluate each, and give all of them to --results with --update"
    )]
    BaselineRuns {
        /// Runs of the baseline.
        found: usize,
        /// Fewest that are judged with.
        least: usize,
        /// As many as there should be.
        good: usize,
    },
    /// The means of a baseline do not follow from its images.
    #[error("the means of the baseline are not those of its images: the file was edited; make it anew with --update")]
    BaselineMean,
    /// A baseline calls a change for the worse one for the better.
    #[error("the baseline has `{metric}` improve in the wrong direction; make it anew with --update")]
    BaselineDirection {
        /// The metric.
        metric: &'static str,
    },
    /// A band in which every result would pass.
    #[error(
        "a band of {band} judges nothing: `{metric}` has a range of {range}; lower --floor, or give runs that vary less"
    )]
    BaselineBand {
        /// The metric.
        metric: &'static str,
        /// Half width of the band.
        band: f64,
        /// Distance of the metric's best and worst value.
        range: f64,
    },
    /// The baseline file is of another version of the format.
    #[error("baseline has format version {found}, this program reads version {expected}; make a new one with --update")]
    BaselineVersion {
        /// Version in the file.
        found: u32,
        /// Version understood.
        expected: u32,
    },
}

/// Checks that `values` holds `height * width` values and at least one.
pub(crate) fn check_size(what: &'static str, height: usize, width: usize, found: usize) -> Result<(), MetricError> {
    if height == 0 || width == 0 {
        return Err(MetricError::NoPixels { what, height, width });
    }
    let expected = height.saturating_mul(width);
    if expected == found {
        Ok(())
    } else {
        Err(MetricError::Size {
            what,
            height,
            width,
            expected,
            found,
        })
    }
}

/// Checks that every value is finite.
pub(crate) fn check_finite(what: &str, values: &[f64]) -> Result<(), MetricError> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(index) => Err(MetricError::NotFinite {
            what: what.to_string(),
            index,
            found: values[index],
        }),
    }
}

/// Checks that every value of a map is a finite number.
pub(crate) fn check_finite_f32(what: &str, values: &[f32]) -> Result<(), MetricError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(MetricError::NotFinite {
            what: what.to_string(),
            index,
            found: f64::from(values[index]),
        }),
    }
}

/// Checks that every value of a probability or score map lies in [0, 1].
pub(crate) fn check_unit(what: &'static str, values: &[f32]) -> Result<(), MetricError> {
    match values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
        None => Ok(()),
        Some(&found) => Err(MetricError::Range {
            what,
            found: f64::from(found),
            expected: "a value in [0, 1]",
        }),
    }
}
