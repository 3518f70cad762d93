use std::path::PathBuf;

use htl_datasets::Split;

/// What can go wrong between a network and its results, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// A network whose maps are not finite numbers.
    #[error(
        "image `{image_id}`: the network's {what} holds {found}: its weights are damaged or its training diverged; \
         use another checkpoint"
    )]
    NotFinite {
        /// The first image with such a value.
        image_id: String,
        /// `localization map` or `class logits`.
        what: &'static str,
        /// The value.
        found: f32,
    },
    /// A localizer where a classifier is needed.
    #[error("this needs a predictor that tells classes apart: give the checkpoint of a classifier")]
    NoClasses,
    /// Networks of one population that are not built alike.
    #[error("{path} is a {found}, but the population's first is a {expected}", path = path.display())]
    OtherArchitecture {
        /// The checkpoint that differs.
        path: PathBuf,
        /// What the first checkpoint holds.
        expected: String,
        /// What this one holds.
        found: String,
    },
    /// Networks that see images of different sizes.
    #[error("{path} sees images of {found} pixels a side, but the first network of {expected}", path = path.display())]
    OtherSize {
        /// The checkpoint that differs.
        path: PathBuf,
        /// What the first network sees.
        expected: usize,
        /// What this one sees.
        found: usize,
    },
    /// Predictors that cannot be one ensemble.
    #[error("member {member} of the ensemble {what} than its first: give networks that answer the same question")]
    OtherMember {
        /// Its place, from 1.
        member: usize,
        /// How it differs, before "than its first".
        what: &'static str,
    },
    /// What is given for images and is none.
    #[error(
        "images have to be bytes on the CPU, u8 [batch, 3, height, width] without an empty side; found {dtype} {shape:?}: \
         htl_inference::picture makes them of a photograph"
    )]
    NotImages {
        /// Its shape.
        shape: Vec<usize>,
        /// Type of its numbers.
        dtype: &'static str,
    },
    /// Tiles of a size that makes no sense.
    #[error("tiles must be from 32 to 8192 pixels of the photograph a side, found {found}")]
    TileSide {
        /// The side.
        found: usize,
    },
    /// Tiles that overlap too much, or less than not at all.
    #[error("the overlap of tiles must be in [0, 0.9], found {found}")]
    TileOverlap {
        /// The share.
        found: f64,
    },
    /// Tiles for a classifier.
    #[error(
        "tiles need a localizer: class activation maps are scaled image by image, so those of two tiles do not compare; \
         leave tiles out or give the checkpoint of a localizer"
    )]
    TilesOfClassMaps,
    /// Pruned networks that cannot be matched with dense ones.
    #[error("there are {sparse} sparse networks for {dense} dense ones: give one for each, in the same order")]
    SparseCount {
        /// Dense networks.
        dense: usize,
        /// Sparse networks.
        sparse: usize,
    },
    /// Nothing to estimate normalisation statistics on.
    #[error("there is no training image to estimate the normalisation statistics of pruned networks on")]
    NoTrainingImages,
    /// No network at all.
    #[error("give at least one checkpoint")]
    NoCheckpoints,
    /// Two populations of different images.
    #[error("image {image_id} is missing")]
    OtherImages {
        /// The first image that only one of them has.
        image_id: String,
    },
    /// A split without a mask.
    #[error("{data}: no image of the split `{split}` has a mask to evaluate against", data = data.display())]
    NoMasks {
        /// The data folder.
        data: PathBuf,
        /// The split.
        split: Split,
    },
    /// An image without a mask among those that need one.
    #[error("image {image_id}: no mask")]
    NoMask {
        /// The image.
        image_id: String,
    },
    /// Maps of an image that the data folder does not have.
    #[error("image {image_id}: there are maps of it, and the data folder does not have it")]
    UnknownImage {
        /// The image.
        image_id: String,
    },
    /// An image that a metric cannot take.
    #[error("{path}: {source}", path = path.display())]
    Image {
        /// The image file.
        path: PathBuf,
        /// Why.
        source: htl_metrics::MetricError,
    },
    /// A trivial predictor that this crate cannot make.
    #[error("no predictor `{found}` is known")]
    UnknownPredictor {
        /// Its key.
        found: &'static str,
    },
    /// From the data.
    #[error(transparent)]
    Data(#[from] htl_datasets::DatasetError),
    /// From the networks and checkpoints.
    #[error(transparent)]
    Model(#[from] htl_models::ModelError),
    /// From the metrics.
    #[error(transparent)]
    Metric(#[from] htl_metrics::MetricError),
    /// From populations.
    #[error(transparent)]
    Mining(#[from] htl_mining::MiningError),
    /// From pruning.
    #[error(transparent)]
    Pruning(#[from] htl_pruning::PruneError),
    /// From the operations.
    #[error(transparent)]
    Ops(#[from] htl_ops::OpsError),
    /// From candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
