/// What can go wrong between a network and its results, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// A network whose maps are no numbers.
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
    /// From the data.
    #[error(transparent)]
    Data(#[from] htl_datasets::DatasetError),
    /// From the networks and checkpoints.
    #[error(transparent)]
    Model(#[from] htl_models::ModelError),
    /// From the metrics.
    #[error(transparent)]
    Metric(#[from] htl_metrics::MetricError),
    /// From the operations.
    #[error(transparent)]
    Ops(#[from] htl_ops::OpsError),
    /// From candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
