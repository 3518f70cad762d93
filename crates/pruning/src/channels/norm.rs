use super::{ChannelCriterion, ChannelScope};

pub(super) static STRUCTURED_L2: ChannelCriterion = ChannelCriterion {
    name: "structured-l2",
    about: "whole channels, out of every layer that has them: smallest sum of squares of the weights that make, scale and see them, within each group of channels that go together",
    reference: "`GroupMagnitudeImportance` of Torch-Pruning 1.6 (golden test); Fang et al. 2023, \"DepGraph\"",
    scope: ChannelScope::Group,
    scores: |group, _| group.sums(2),
};

pub(super) static STRUCTURED_L1: ChannelCriterion = ChannelCriterion {
    name: "structured-l1",
    about: "the same with absolute values instead of squares",
    reference: "`GroupMagnitudeImportance(p=1)` of Torch-Pruning 1.6 (golden test)",
    scope: ChannelScope::Group,
    scores: |group, _| group.sums(1),
};

pub(super) static STRUCTURED_GLOBAL_L2: ChannelCriterion = ChannelCriterion {
    name: "structured-global-l2",
    about: "whole channels by sums of squares, each relative to the mean of its group, over all groups together",
    reference: "Torch-Pruning's `global_pruning=True` with its default normalisation",
    scope: ChannelScope::All,
    scores: |group, _| group.sums(2),
};
