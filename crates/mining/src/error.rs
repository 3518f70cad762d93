use std::path::{Path, PathBuf};

/// What can go wrong while mining, with what a person needs to act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MiningError {
    /// A table of metadata cannot be used.
    #[error(transparent)]
    Table(#[from] htl_vocabulary::TableError),
    /// A population without networks or without images.
    #[error("a population needs at least one map tensor and one image, found {seeds} tensors and {images} ids")]
    EmptyPopulation {
        /// Map tensors given.
        seeds: usize,
        /// Image ids given.
        images: usize,
    },
    /// One seed's maps do not have the shape of the ids and of the first seed.
    #[error("maps of seed {seed} have shape {found:?}, expected [images, height, width] = {expected:?}")]
    MapShape {
        /// Position of the tensor in the population.
        seed: usize,
        /// Its shape.
        found: Vec<usize>,
        /// The shape wanted.
        expected: Vec<usize>,
    },
    /// Maps that are not floating-point numbers.
    #[error("maps of seed {seed} are {found}, expected floating point: probabilities in [0, 1], not masks or bytes")]
    MapType {
        /// Position of the tensor in the population.
        seed: usize,
        /// Its element type.
        found: String,
    },
    /// A value outside [0, 1].
    #[error("map of image `{image_id}`, seed {seed}, holds {found}, expected {expected}")]
    MapValue {
        /// The image.
        image_id: String,
        /// Position of the tensor in the population.
        seed: usize,
        /// The first offending value.
        found: f32,
        /// What would have been right.
        expected: &'static str,
    },
    /// An image id twice where it must be unique.
    #[error("image id `{image_id}` occurs twice in {place}: ids must be unique")]
    DuplicateId {
        /// The id.
        image_id: String,
        /// Where.
        place: String,
    },
    /// An image that one side has and the other lacks.
    #[error(
        "image `{image_id}` is missing from {place}: both sides must hold the same images (matched by id, not by order)"
    )]
    MissingId {
        /// The id.
        image_id: String,
        /// The side that lacks it.
        place: String,
    },
    /// Populations of different map size or kind.
    #[error("{left} and {right} cannot be compared: {left_is} against {right_is}")]
    Incomparable {
        /// First population.
        left: String,
        /// Second population.
        right: String,
        /// Size or kind of the first.
        left_is: String,
        /// Size or kind of the second.
        right_is: String,
    },
    /// The true mask of an image cannot be read.
    #[error("truth of image `{image_id}`: {source}")]
    Truth {
        /// The image.
        image_id: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A parameter outside its range.
    #[error("{name} must be {expected}, found {found}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
    /// A score column that the table does not have.
    #[error("no score column `{column}`, the table has: {}", known.join(", "))]
    NoColumn {
        /// The column asked for.
        column: String,
        /// The columns there are.
        known: Vec<String>,
    },
    /// A column without a single value.
    #[error("score column `{column}` has no value in any of the {rows} rows, nothing can be ranked by it")]
    NothingScored {
        /// The column.
        column: String,
        /// Rows looked at.
        rows: usize,
    },
    /// A photograph that cannot be measured.
    #[error("the photograph of `{image_id}` cannot be measured: {source}")]
    Photograph {
        /// The image.
        image_id: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Features that are none.
    #[error("features of images: {problem}")]
    Features {
        /// What is wrong.
        problem: String,
    },
    /// A loss without a gradient.
    #[error(
        "the loss of sample {sample} depends on none of the variables: give the network's own variables, and a forward pass that tracks gradients"
    )]
    NoGradient {
        /// Number of the sample, from 0.
        sample: usize,
    },
    /// A training without judgements of its images.
    #[error("the dynamics of training {training} have no rows: train with `htl train --dynamics`")]
    NoDynamics {
        /// Its place among those given, from 1.
        training: usize,
    },
    /// A score that does not tell any image from any other.
    #[error(
        "all {images} images have the same `{column}`{}: nothing tells hard from easy. Two populations that are equal, or \
         networks that find nothing, look like this",
        empty_words(*empty)
    )]
    AllTied {
        /// The score.
        column: String,
        /// Images ranked.
        images: usize,
        /// How many of them are empty in both populations.
        empty: usize,
    },
    /// A cut through a tie of many images.
    #[error(
        "the cut runs through {tied} of {images} images with the same `{column}`{}: chance would choose {selected} of them. \
         Networks that find nothing look like this; train them longer, take another score, or another share",
        empty_words(*empty)
    )]
    TiedCut {
        /// The score.
        column: String,
        /// Images of the score that the cut runs through.
        tied: usize,
        /// How many of them would be selected.
        selected: usize,
        /// Images ranked.
        images: usize,
        /// How many images are empty in both populations.
        empty: usize,
    },
    /// Rows of several settings or folds where one is needed.
    #[error(
        "the score table holds {}: choose one with --setting and --fold (a row without a fold is in-sample: --fold none)",
        found.join(", ")
    )]
    SeveralTables {
        /// Settings and folds of the table.
        found: Vec<String>,
    },
    /// No row of a setting or fold.
    #[error("the score table has no row of {asked}; it holds {}", found.join(", "))]
    NoSuchTable {
        /// What was asked for.
        asked: String,
        /// Settings and folds of the table.
        found: Vec<String>,
    },
    /// A median of zero, by which nothing can be divided.
    #[error(
        "more than half of the images have no disagreement between the dense and the {population} population: adaptive \
         selection has no scale to compare pruning with the sham by"
    )]
    NoScale {
        /// `sparse` or `sham`.
        population: &'static str,
    },
    /// Too few seeds for adaptive selection.
    #[error("adaptive selection needs at least 4 dense seeds, found {found}: train more, or select the top share")]
    TooFewSeeds {
        /// Dense seeds.
        found: usize,
    },
    /// Adaptive selection without a sparse population.
    #[error("adaptive selection compares pruned with dense networks: give a sparse population")]
    NoSparse,
    /// Adaptive selection without a sham population.
    #[error(
        "adaptive selection compares pruning with a sham of equal training: give a sham population, or select the top fraction"
    )]
    NoSham,
    /// Populations whose seeds should correspond but do not in number.
    #[error(
        "{place} has {found} seeds and the dense population {expected}: adaptive selection needs one per dense seed, in the same order"
    )]
    SeedCount {
        /// The population.
        place: &'static str,
        /// Its seeds.
        found: usize,
        /// Dense seeds.
        expected: usize,
    },
    /// More images asked for than there are.
    #[error("{what}: {asked} images asked for, but only {available} are available")]
    TooFewImages {
        /// What was to be done.
        what: &'static str,
        /// Images asked for.
        asked: usize,
        /// Images there are.
        available: usize,
    },
    /// Two lists that should have equal length.
    #[error("{what}: {found} values for {expected} images")]
    Length {
        /// What was given.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length wanted.
        expected: usize,
    },
    /// A table that cannot be read at one place.
    #[error("{}, row {row}, column `{column}`: {problem}", path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// Line in the file, the header being line 1.
        row: u64,
        /// The column.
        column: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A table whose header lacks a column or has one twice.
    #[error("{}, header: {problem}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file that is not a CSV table at all.
    #[error("{}: {source}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// A file that is not a population.
    #[error("{}: not a population file: {problem}", path.display())]
    PopulationFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file that cannot be written; the message names it.
    #[error(transparent)]
    Write(std::io::Error),
    /// A file that cannot be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An error of the masks.
    #[error(transparent)]
    Metric(#[from] htl_metrics::MetricError),
    /// An error of candle.
    #[cfg(feature = "candle")]
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl MiningError {
    /// What a file that cannot be read becomes.
    pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Self + Copy {
        move |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    /// What a file that is no CSV becomes.
    pub(crate) fn csv(path: &Path) -> impl Fn(csv::Error) -> Self + Copy {
        move |source| Self::Csv {
            path: path.to_owned(),
            source,
        }
    }
}

/// Result with a [`MiningError`].
pub type Result<T> = std::result::Result<T, MiningError>;

/// How many images are empty in both populations, for a message.
fn empty_words(empty: usize) -> String {
    match empty {
        0 => String::new(),
        count => format!(" ({count} of them are empty in both populations)"),
    }
}
