use candle_core::{Tensor, Var};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Batch statistics, running statistics updated (momentum 0.1, unbiased variance), gradients tracked.
    Train,
    /// Running statistics, gradients tracked: for saliency, or for scores from gradients of a finished network.
    Gradients,
    /// Running statistics, nothing tracked: the result carries no graph, and memory is freed as the pass goes on.
    Evaluate,
    /// Batch statistics, nothing tracked; the running statistics become the mean of those of the batches so far, which is how
    /// they are estimated anew for a network whose weights were changed (PyTorch: reset, then `momentum=None`).
    Recalibrate {
        /// Batches that came before this one.
        before: u32,
    },
}

impl Mode {
    /// The mode of [`candle_core::ModuleT`]'s flag.
    #[must_use]
    pub fn from_train(train: bool) -> Self {
        if train { Self::Train } else { Self::Evaluate }
    }

    /// The variable as this mode uses it.
    pub(crate) fn tensor(self, var: &Var) -> Tensor {
        match self {
            Self::Train | Self::Gradients => var.as_tensor().clone(),
            Self::Evaluate | Self::Recalibrate { .. } => var.as_detached_tensor(),
        }
    }

    /// The network's input as this mode uses it: tracked or not.
    #[must_use]
    pub fn input(self, input: &Tensor) -> Tensor {
        match self {
            Self::Train | Self::Gradients => input.clone(),
            Self::Evaluate | Self::Recalibrate { .. } => input.detach(),
        }
    }
}
