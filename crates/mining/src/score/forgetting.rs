//! Pruning without further training: the forgetting curve, and what stands in for it as a control.
use super::{ImageContext, Measure, Need, Score, flag};
use crate::column;
use crate::forgetting::Damage;

const CURVE: &[Need] = &[Need::Curve];
const CLASS_CURVE: &[Need] = &[Need::Classes, Need::Curve];

fn area(context: &ImageContext, damage: Damage) -> Option<f64> {
    context.forgetting?.areas[damage as usize]
}

fn exemplar(context: &ImageContext, at: usize) -> Option<f64> {
    flag(context.forgetting?.exemplar[at]?)
}

pub(super) const FORGETTING: Score = Score {
    key: column::FORGETTING,
    label: "Forgetting",
    about: "1 - area under IoU(dense, pruned) over sparsity, pruned without further training, normalisation statistics re-estimated, mean over seeds",
    needs: CURVE,
    of: Measure::Maps(|context| area(context, Damage::Pruned)),
};

pub(super) const BOUNDARY_FORGETTING: Score = Score {
    key: "boundary_forgetting",
    label: "Boundary forgetting",
    about: "`forgetting` by the distance between outlines, in units of 2 % of the image diagonal",
    needs: CURVE,
    of: Measure::Maps(|context| context.forgetting?.boundaries[Damage::Pruned as usize]),
};

pub(super) const FORGETTING_RAW: Score = Score {
    key: column::FORGETTING_RAW,
    label: "Forgetting, statistics kept",
    about: "`forgetting` with the normalisation statistics of the dense network",
    needs: CURVE,
    of: Measure::Maps(|context| area(context, Damage::PrunedRaw)),
};

pub(super) const BOUNDARY_FORGETTING_RAW: Score = Score {
    key: "boundary_forgetting_raw",
    label: "Boundary forgetting, statistics kept",
    about: "`forgetting_raw` by the distance between outlines, in units of 2 % of the image diagonal",
    needs: CURVE,
    of: Measure::Maps(|context| context.forgetting?.boundaries[Damage::PrunedRaw as usize]),
};

pub(super) const FORGETTING_RANDOM: Score = Score {
    key: "forgetting_random",
    label: "Forgetting by random pruning",
    about: "`forgetting` with as large a part of the sum of squares taken away at random: a sham of the same dose",
    needs: CURVE,
    of: Measure::Maps(|context| area(context, Damage::RandomlyPruned)),
};

pub(super) const FORGETTING_RANDOM_RAW: Score = Score {
    key: "forgetting_random_raw",
    label: "Forgetting by random pruning, statistics kept",
    about: "`forgetting_random` with the normalisation statistics of the dense network",
    needs: CURVE,
    of: Measure::Maps(|context| area(context, Damage::RandomlyPrunedRaw)),
};

pub(super) const FORGETTING_NOISE: Score = Score {
    key: column::FORGETTING_NOISE,
    label: "Forgetting by noise",
    about: "`forgetting` with weight noise as large as what pruning takes away: a sham of the same dose",
    needs: CURVE,
    of: Measure::Maps(|context| area(context, Damage::Noised)),
};

pub(super) const FORGETTING_NOISE_RAW: Score = Score {
    key: column::FORGETTING_NOISE_RAW,
    label: "Forgetting by noise, statistics kept",
    about: "`forgetting_noise` with the normalisation statistics of the dense network",
    needs: CURVE,
    of: Measure::Maps(|context| area(context, Damage::NoisedRaw)),
};

pub(super) const LOST_EARLY: Score = Score {
    key: "lost_early",
    label: "Lost early",
    about: "1 - the sparsity at which IoU(dense, pruned) falls under 0.5, mean over seeds; 0 where it never does",
    needs: CURVE,
    of: Measure::Maps(|context| Some(1.0 - context.forgetting?.lost_at?)),
};

pub(super) const PIE_30: Score = Score {
    key: "pie_30",
    label: "Exemplar at 30 %",
    about: "1: IoU of the modal masks of dense and pruned networks (sparsity 0.3, no further training) under 0.5",
    needs: CURVE,
    of: Measure::Maps(|context| exemplar(context, 0)),
};

pub(super) const PIE_50: Score = Score {
    key: "pie_50",
    label: "Exemplar at 50 %",
    about: "`pie_30` at sparsity 0.5",
    needs: CURVE,
    of: Measure::Maps(|context| exemplar(context, 1)),
};

pub(super) const PIE_70: Score = Score {
    key: "pie_70",
    label: "Exemplar at 70 %",
    about: "`pie_30` at sparsity 0.7",
    needs: CURVE,
    of: Measure::Maps(|context| exemplar(context, 2)),
};

pub(super) const PIE_90: Score = Score {
    key: "pie_90",
    label: "Exemplar at 90 %",
    about: "`pie_30` at sparsity 0.9",
    needs: CURVE,
    of: Measure::Maps(|context| exemplar(context, 3)),
};

pub(super) const CLASS_FORGETTING: Score = Score {
    key: "class_forgetting",
    label: "Class forgetting",
    about: "half the sum of absolute differences between the class probabilities of dense and pruned networks, mean over sparsities and seeds",
    needs: CLASS_CURVE,
    of: Measure::Classes(|context| Some(context.forgetting?.change)),
};

pub(super) const CLASS_ORDER_LOST: Score = Score {
    key: "class_order_lost",
    label: "Lost order of classes",
    about: "1 - Spearman's correlation, across classes, of the mean probabilities before pruning and at sparsity 0.9 (Holste et al. 2023)",
    needs: CLASS_CURVE,
    of: Measure::Classes(|context| context.forgetting?.order_lost),
};
