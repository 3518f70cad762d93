use super::{Measure, Need, Score, flag};
use crate::classes::{modal_class, vote_distance};

pub(super) const CLASS_PIE: Score = Score {
    key: "class_pie",
    label: "Class exemplar",
    about: "1: the modal class of dense and sparse classifiers differs (ties go to the larger class id)",
    needs: &[Need::Classes, Need::Sparse],
    of: Measure::Classes(|context| flag(modal_class(&context.dense) != modal_class(context.sparse.as_ref()?))),
};

pub(super) const CLASS_DISAGREEMENT: Score = Score {
    key: "class_disagreement",
    label: "Class disagreement",
    about: "half the sum of absolute differences between the class votes of the dense and the sparse seeds",
    needs: &[Need::Classes, Need::Sparse],
    of: Measure::Classes(|context| Some(vote_distance(&context.dense, context.sparse.as_ref()?))),
};

pub(super) const CLASS_SHAM: Score = Score {
    key: "class_sham",
    label: "Class sham disagreement",
    about: "`class_disagreement` of the dense and the sham population",
    needs: &[Need::Classes, Need::Sham],
    of: Measure::Classes(|context| Some(vote_distance(&context.dense, context.sham.as_ref()?))),
};
