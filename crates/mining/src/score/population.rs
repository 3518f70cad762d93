use super::{Measure, Need, Score};
use crate::column;
use crate::overlap::entropy;

pub(super) const DENSE_SPREAD: Score = Score {
    key: column::DENSE_SPREAD,
    label: "Seed variance",
    about: "mean pairwise 1 - IoU among the dense seeds' masks (seed variance)",
    needs: &[Need::Seeds],
    of: Measure::Maps(|context| context.spread),
};

pub(super) const ENTROPY: Score = Score {
    key: "entropy",
    label: "Entropy",
    about: "mean binary entropy of the dense consensus map, in bits per pixel",
    needs: &[Need::Probabilities],
    of: Measure::Maps(|context| Some(entropy(&context.dense.consensus))),
};
