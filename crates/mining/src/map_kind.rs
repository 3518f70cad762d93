use htl_metrics::MapCut;
use serde::{Deserialize, Serialize};

/// What the numbers of a map mean; all of them are in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapKind {
    /// Lesion probabilities.
    Probability,
    /// Class activations, each map scaled to [0, 1] by its own minimum and maximum; a constant map is all zero.
    ClassActivation,
}

impl MapKind {
    /// Where such a map becomes a mask, the same as in evaluation: [`MapCut::PROBABILITY`] or [`MapCut::CLASS_MAP`].
    pub fn cut(self) -> MapCut {
        match self {
            Self::Probability => MapCut::PROBABILITY,
            Self::ClassActivation => MapCut::CLASS_MAP,
        }
    }
}
