//! Names of the score columns that this crate computes; in every one higher = harder.

/// 1 - IoU of the modal masks of the dense and the sparse population; 1 where both are empty.
pub const DISAGREEMENT: &str = "disagreement";
/// 1 - soft IoU (sum of minima / sum of maxima) of the consensus maps; 1 where both are empty.
pub const SOFT_DISAGREEMENT: &str = "soft_disagreement";
/// Mean distance between the outlines of the modal masks, in bands; see [`crate::ScoreParams::band`].
pub const BOUNDARY_DISAGREEMENT: &str = "boundary_disagreement";
/// [`DISAGREEMENT`] of the dense and the sham population.
pub const SHAM: &str = "sham";
/// [`SOFT_DISAGREEMENT`] of the dense and the sham population.
pub const SOFT_SHAM: &str = "soft_sham";
/// [`BOUNDARY_DISAGREEMENT`] of the dense and the sham population.
pub const BOUNDARY_SHAM: &str = "boundary_sham";
/// [`DISAGREEMENT`] less [`SHAM`]: what pruning adds beyond more training.
pub const EXCESS: &str = "excess";
/// [`SOFT_DISAGREEMENT`] less [`SOFT_SHAM`].
pub const SOFT_EXCESS: &str = "soft_excess";
/// [`BOUNDARY_DISAGREEMENT`] less [`BOUNDARY_SHAM`].
pub const BOUNDARY_EXCESS: &str = "boundary_excess";
/// Mean pairwise 1 - IoU among the dense seeds' masks (seed variance); blank with one seed.
pub const DENSE_SPREAD: &str = "dense_spread";
/// Mean binary entropy of the dense consensus map, in bits per pixel; blank for class activations.
pub const ENTROPY: &str = "entropy";
/// 1: pruning-identified exemplar, IoU of the modal masks under the threshold.
pub const PIE: &str = "pie";
/// 1: the consensus (or the modal mask) is empty in dense and sparse. Ranks hardest.
pub const BOTH_EMPTY: &str = "both_empty";
/// 1 - IoU(dense consensus mask, truth).
pub const DENSE_ERROR: &str = "dense_error";
/// IoU(dense consensus mask, truth) - IoU(sparse consensus mask, truth).
pub const IOU_DROP: &str = "iou_drop";
/// Mean 1 - IoU(dense seed's mask, truth) times the seeds' agreement (1 - [`DENSE_SPREAD`]): points to the label.
/// Blank where the dense consensus is empty: no opinion about the label.
pub const LABEL_CONFLICT: &str = "label_conflict";
/// 1: dense seeds agree with each other and contradict the label; see [`crate::ScoreParams`].
pub const SUSPECT_LABEL: &str = "suspect_label";
/// 1: the modal class of dense and sparse classifiers differs (ties go to the larger class id).
pub const CLASS_PIE: &str = "class_pie";
/// Half the sum of absolute differences between the class votes of the dense and the sparse seeds, in [0, 1].
pub const CLASS_DISAGREEMENT: &str = "class_disagreement";
/// [`CLASS_DISAGREEMENT`] of the dense and the sham population.
pub const CLASS_SHAM: &str = "class_sham";
/// W of the knockoff+ selection; see [`crate::split_statistics`].
pub const KNOCKOFF_W: &str = "knockoff_w";

/// Score columns of [`crate::scores`], in the order in which they are written.
pub const SCORE_COLUMNS: [&str; 17] = [
    DISAGREEMENT,
    SOFT_DISAGREEMENT,
    BOUNDARY_DISAGREEMENT,
    SHAM,
    SOFT_SHAM,
    BOUNDARY_SHAM,
    EXCESS,
    SOFT_EXCESS,
    BOUNDARY_EXCESS,
    DENSE_SPREAD,
    ENTROPY,
    PIE,
    BOTH_EMPTY,
    DENSE_ERROR,
    IOU_DROP,
    LABEL_CONFLICT,
    SUSPECT_LABEL,
];
