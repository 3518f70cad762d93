use super::{ImageContext, Measure, Need, Score, flag};
use crate::column;

/// An empty consensus is no opinion about the label.
fn has_opinion(context: &ImageContext) -> bool {
    context.dense.consensus_mask.area() > 0
}

pub(super) const DENSE_ERROR: Score = Score {
    key: column::DENSE_ERROR,
    label: "Error",
    about: "1 - IoU of the dense consensus mask and the truth",
    needs: &[Need::Truth],
    of: Measure::Maps(|context| context.errors.map(|errors| errors.dense)),
};

pub(super) const IOU_DROP: Score = Score {
    key: "iou_drop",
    label: "Drop of IoU",
    about: "IoU with the truth of the dense less that of the sparse consensus mask",
    needs: &[Need::Sparse, Need::Truth],
    of: Measure::Maps(|context| context.errors?.iou_drop),
};

/// Points to the label rather than to the image: the seeds agree with each other and not with it.
pub(super) const LABEL_CONFLICT: Score = Score {
    key: "label_conflict",
    label: "Conflict with the label",
    about: "mean 1 - IoU of the dense seeds' masks and the truth, times the seeds' agreement (1 - `dense_spread`); blank where the dense consensus is empty",
    needs: &[Need::Truth, Need::Seeds],
    of: Measure::Maps(|context| {
        let conflict = context.errors?.seeds * (1.0 - context.spread?);
        has_opinion(context).then_some(conflict)
    }),
};

pub(super) const SUSPECT_LABEL: Score = Score {
    key: column::SUSPECT_LABEL,
    label: "Suspected label error",
    about: "1: the dense seeds agree (spread at most 0.2) and contradict the label (error at least 0.5)",
    needs: &[Need::Truth, Need::Seeds],
    of: Measure::Maps(|context| {
        let agree = context.spread? <= context.params.suspect_max_spread;
        let contradict = context.errors?.dense >= context.params.suspect_min_error;
        flag(agree && contradict && has_opinion(context))
    }),
};
