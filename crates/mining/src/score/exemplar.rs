use super::{Measure, Need, Score, flag};
use crate::column;

pub(super) const PIE: Score = Score {
    key: "pie",
    label: "Pruning-identified exemplar",
    about: "1: pruning-identified exemplar, IoU of the modal masks under 0.5",
    needs: &[Need::Sparse],
    of: Measure::Maps(|context| flag(context.disagreement?.modal_iou < context.params.pie_iou)),
};

pub(super) const BOTH_EMPTY: Score = Score {
    key: column::BOTH_EMPTY,
    label: "Empty in both",
    about: "1: the consensus (or the modal mask) is empty in dense and sparse; ranks hardest",
    needs: &[],
    of: Measure::Maps(|context| flag(context.is_empty())),
};
