use super::{ImageContext, Measure, Need, Score};
use crate::column;
use crate::view::Disagreement;

const SPARSE: &[Need] = &[Need::Sparse];
const SHAM_ONLY: &[Need] = &[Need::Sham];
const BOTH: &[Need] = &[Need::Sparse, Need::Sham];

/// What pruning adds beyond more training, by one measure.
fn excess(context: &ImageContext, of: fn(&Disagreement) -> f64) -> Option<f64> {
    Some(of(context.disagreement.as_ref()?) - of(context.sham_disagreement.as_ref()?))
}

pub(super) const DISAGREEMENT: Score = Score {
    key: column::DISAGREEMENT,
    label: "Disagreement",
    about: "1 - IoU of the modal masks of the dense and the sparse population; 1 where both are empty",
    needs: SPARSE,
    of: Measure::Maps(|context| Some(context.disagreement?.hard)),
};

pub(super) const SOFT_DISAGREEMENT: Score = Score {
    key: "soft_disagreement",
    label: "Soft disagreement",
    about: "1 - soft IoU (sum of minima / sum of maxima) of the consensus maps; 1 where both are empty",
    needs: SPARSE,
    of: Measure::Maps(|context| Some(context.disagreement?.soft)),
};

pub(super) const BOUNDARY_DISAGREEMENT: Score = Score {
    key: "boundary_disagreement",
    label: "Boundary disagreement",
    about: "mean distance between the outlines of the modal masks, in units of 2 % of the image diagonal",
    needs: SPARSE,
    of: Measure::Maps(|context| Some(context.disagreement?.boundary)),
};

pub(super) const SHAM: Score = Score {
    key: column::SHAM,
    label: "Sham disagreement",
    about: "`disagreement` of the dense and the sham population",
    needs: SHAM_ONLY,
    of: Measure::Maps(|context| context.sham_disagreement.map(|sham| sham.hard)),
};

pub(super) const SOFT_SHAM: Score = Score {
    key: "soft_sham",
    label: "Soft sham disagreement",
    about: "`soft_disagreement` of the dense and the sham population",
    needs: SHAM_ONLY,
    of: Measure::Maps(|context| context.sham_disagreement.map(|sham| sham.soft)),
};

pub(super) const BOUNDARY_SHAM: Score = Score {
    key: "boundary_sham",
    label: "Boundary sham disagreement",
    about: "`boundary_disagreement` of the dense and the sham population",
    needs: SHAM_ONLY,
    of: Measure::Maps(|context| context.sham_disagreement.map(|sham| sham.boundary)),
};

pub(super) const EXCESS: Score = Score {
    key: "excess",
    label: "Excess over sham",
    about: "`disagreement` less `sham`: what pruning adds beyond more training",
    needs: BOTH,
    of: Measure::Maps(|context| excess(context, |one| one.hard)),
};

pub(super) const SOFT_EXCESS: Score = Score {
    key: "soft_excess",
    label: "Soft excess over sham",
    about: "`soft_disagreement` less `soft_sham`",
    needs: BOTH,
    of: Measure::Maps(|context| excess(context, |one| one.soft)),
};

pub(super) const BOUNDARY_EXCESS: Score = Score {
    key: "boundary_excess",
    label: "Boundary excess over sham",
    about: "`boundary_disagreement` less `boundary_sham`",
    needs: BOTH,
    of: Measure::Maps(|context| excess(context, |one| one.boundary)),
};
