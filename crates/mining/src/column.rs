//! Names of score columns that programs ask for; all of them are in [`SCORES`](crate::SCORES).

/// 1 - IoU of the modal masks of the dense and the sparse population.
pub const DISAGREEMENT: &str = "disagreement";
/// [`DISAGREEMENT`] of the dense and the sham population.
pub const SHAM: &str = "sham";
/// 1: the consensus (or the modal mask) is empty in dense and sparse. Ranks hardest.
pub const BOTH_EMPTY: &str = "both_empty";
/// 1 - IoU of the dense consensus mask and the truth.
pub const DENSE_ERROR: &str = "dense_error";
/// 1 - IoU of a pseudo-mask and the truth: known to ceilings only.
pub const TRUE_ERROR: &str = "true_error";
/// 1: dense seeds agree with each other and contradict the label.
pub const SUSPECT_LABEL: &str = "suspect_label";
/// 1 - area under IoU(dense, pruned) over sparsity, without further training.
pub const FORGETTING: &str = "forgetting";
/// [`FORGETTING`] with the normalisation statistics of the dense network.
pub const FORGETTING_RAW: &str = "forgetting_raw";
/// [`FORGETTING_RAW`] by weight noise of the same size.
pub const FORGETTING_NOISE_RAW: &str = "forgetting_noise_raw";
/// [`FORGETTING`] by weight noise of the same size.
pub const FORGETTING_NOISE: &str = "forgetting_noise";
/// Mean pairwise 1 - IoU among the dense seeds' masks.
pub const DENSE_SPREAD: &str = "dense_spread";
/// The statistic of adaptive selection.
pub const KNOCKOFF_W: &str = "knockoff_w";
