use std::path::PathBuf;

/// Errors of training; messages say what to do about them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// Weights that the encoder cannot begin with.
    #[error("{path}: no weights for this encoder: {message}", path = path.display())]
    Pretrained {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The configuration file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    ConfigRead {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration is not valid TOML, or has an unknown key or a value of another type.
    #[error("{path}: {message}")]
    ConfigSyntax {
        /// The file, or the `--set` argument.
        path: String,
        /// What the parser says, with the key and what was expected.
        message: String,
    },
    /// A parameter is outside its range.
    #[error("configuration key `{key}`: {message}, found {found}")]
    Parameter {
        /// The key, dotted as in the file.
        key: &'static str,
        /// What is allowed.
        message: String,
        /// What was given.
        found: String,
    },
    /// The device does not have the precision.
    #[error("configuration key `precision`: {precision} needs --device cuda, but this training is to run on {device}")]
    Precision {
        /// The precision asked for.
        precision: htl_ops::Precision,
        /// The device.
        device: &'static str,
    },
    /// Images and targets in memory do not belong together.
    #[error(
        "images {images:?} and targets {targets:?}: expected as many targets as images, [n, ...] each, and at least one"
    )]
    Samples {
        /// Shape of the images.
        images: Vec<usize>,
        /// Shape of the targets.
        targets: Vec<usize>,
    },
    /// Outputs of a network and labels do not belong together.
    #[error(
        "outputs {outputs:?} cannot be judged against labels {labels:?}: expected masks of the outputs' shape, or [n, classes] and [n] class numbers under it"
    )]
    Judged {
        /// Shape of the outputs.
        outputs: Vec<usize>,
        /// Shape of the labels.
        labels: Vec<usize>,
    },
    /// Not as many judgements as samples.
    #[error("{found} judgements of {expected} samples: judge every sample, in the order of the ids")]
    Judgements {
        /// Judgements given.
        found: usize,
        /// Samples there are.
        expected: usize,
    },
    /// The network's outputs for a training image are not finite.
    #[error("the network's outputs for `{image_id}` are not finite after epoch {epoch}: lower `learning_rate`")]
    NotJudged {
        /// The image.
        image_id: String,
        /// The epoch, from 1.
        epoch: usize,
    },
    /// No sample is left to train on.
    #[error("{data}: no training sample {what}; check the split column and the files named in the configuration")]
    NothingToTrainOn {
        /// The data folder.
        data: PathBuf,
        /// What the samples would need.
        what: &'static str,
    },
    /// The checkpoint to start from is of another network.
    #[error("{path} holds a {found}, but the configuration asks for a {expected}: set `width` and `setting` to match")]
    OtherNetwork {
        /// The checkpoint.
        path: PathBuf,
        /// What the configuration describes.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// Attention would reach no training image.
    #[error("{scores}: none of its selected images is trained on; is it the table of another split or data folder?")]
    NobodyAttended {
        /// The score table.
        scores: PathBuf,
    },
    /// The checkpoint to start from tells other classes apart.
    #[error(
        "{path} knows the classes {found:?}, the data folder's diagnoses are {expected:?}: start from a checkpoint of the same classes"
    )]
    OtherClasses {
        /// The checkpoint.
        path: PathBuf,
        /// The data folder's.
        expected: Vec<String>,
        /// The checkpoint's.
        found: Vec<String>,
    },
    /// A list of labelled ids names an image without the label.
    #[error(
        "{path}: `{image_id}` is listed but is not an image {what} in {data}; add what is missing, or take the id off the list"
    )]
    NoLabel {
        /// The list.
        path: PathBuf,
        /// The id.
        image_id: String,
        /// The label it would need.
        what: &'static str,
        /// The data folder.
        data: PathBuf,
    },
    /// A list of ids names one that the training split does not have.
    #[error("{path}: image `{image_id}` is not in the training split of {data}")]
    UnknownId {
        /// The list.
        path: PathBuf,
        /// The id.
        image_id: String,
        /// The data folder.
        data: PathBuf,
    },
    /// Another process, or another training of this one, is writing into the folder.
    #[error("{path}: another training is writing there: wait for it or end it, or choose another --out")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds the state of a run with another configuration.
    #[error("{path} holds a run with another configuration: choose another --out, or remove it")]
    OtherRun {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds a training that was made from other data, weights, labels or scores than its configuration names
    /// now.
    #[error(
        "{path} holds a training of this configuration, but {what}: remove the folder to train again, or choose another --out"
    )]
    ChangedInputs {
        /// The folder.
        path: PathBuf,
        /// What changed.
        what: String,
    },
    /// A finished training's folder holds a checkpoint that is not its own.
    #[error(
        "{path} is not the checkpoint of the training that finished here: move it away, then run again to restore the right one"
    )]
    ForeignCheckpoint {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The checkpoint to start from holds unusable weights.
    #[error("{path}: {problem}; start from another checkpoint")]
    BrokenInit {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A weight became infinite or not a number.
    #[error("weight `{name}` is not finite after step {step}: lower `learning_rate`")]
    NotFinite {
        /// The weight.
        name: String,
        /// Gradient steps done.
        step: usize,
    },
    /// The final weights are unusable; no checkpoint was written.
    #[error(
        "the trained network is unusable ({problem}), no checkpoint was written: remove {path} and lower `learning_rate`"
    )]
    BrokenResult {
        /// The training's folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The loss became infinite or not a number.
    #[error("the loss is {loss} at step {step}: lower `learning_rate`")]
    Diverged {
        /// The optimiser step.
        step: usize,
        /// The loss.
        loss: f32,
    },
    /// A file cannot be written; the message names it.
    #[error("{0}")]
    Write(std::io::Error),
    /// The saved state of an unfinished run cannot be used.
    #[error("{path}: {message}; remove the folder to start again")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// From the data.
    #[error(transparent)]
    Data(#[from] htl_datasets::DatasetError),
    /// From the networks and checkpoints.
    #[error(transparent)]
    Model(#[from] htl_models::ModelError),
    /// From inference: validation, maps of a teacher.
    #[error(transparent)]
    Inference(#[from] htl_inference::InferenceError),
    /// From pruning.
    #[error(transparent)]
    Prune(#[from] htl_pruning::PruneError),
    /// From score tables.
    #[error(transparent)]
    Mining(#[from] htl_mining::MiningError),
    /// From the metrics.
    #[error(transparent)]
    Metric(#[from] htl_metrics::MetricError),
    /// From the operations.
    #[error(transparent)]
    Ops(#[from] htl_ops::OpsError),
    /// From files whose formats several crates share.
    #[error(transparent)]
    Format(#[from] htl_vocabulary::FormatError),
    /// From candle.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
