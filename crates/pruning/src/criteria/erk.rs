use super::{Criterion, Needs, Scope, magnitude};

pub(super) static ERK_MAGNITUDE: Criterion = Criterion {
    name: "erk-magnitude",
    about: "smallest absolute value within each tensor, tensors keeping shares proportional to the sum of their dimensions over the product (Erdős-Rényi kernel), so that 1x1, depthwise and first layers keep most",
    reference: "Evci et al. 2020, \"Rigging the lottery: making all tickets winners\" (golden test of the shares)",
    scope: Scope::ErdosRenyiKernel,
    needs: Needs::Weights,
    scores: |context| magnitude::scores(context),
};
