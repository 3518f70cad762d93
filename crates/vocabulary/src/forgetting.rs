use serde::{Deserialize, Serialize};

/// How much of one group of images networks still know when their weights are taken away, a row of `forgetting.csv`: one point
/// of a group's forgetting curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ForgettingRow {
    /// What was done to the weights: `pruned-raw`, `pruned`, `noised`, ...
    pub damage: String,
    /// What is compared: `iou` of the masks, or `classes`, the common part of the class probabilities.
    pub measure: String,
    /// The attribute; blank for all images together.
    pub attribute: String,
    /// The level.
    pub level: String,
    /// Images of that level.
    pub n: u64,
    /// Lesions or patients that they show.
    pub clusters: u64,
    /// Share of the weights that is gone.
    pub sparsity: f64,
    /// Mean agreement of networks with their damaged copies, in [0, 1]; `None` for groups that are counted only.
    pub agreement: Option<f64>,
    /// Lower end of its 95 % interval over images; the networks are these.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
}
