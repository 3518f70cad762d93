//! The numbers of features on a CUDA device.

/// In which numbers [`Features`](crate::Features) on a CUDA device are kept and convolved.
///
/// Parameters, statistics, reductions, losses and the gradients of parameters are `f32` tensors in all of them; a convolution's
/// weight gradient leaves it in the maps' numbers, as it does in PyTorch's autocast. On the CPU features have the type of
/// their tensor, and only [`Precision::F32`] is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Full single precision.
    #[default]
    F32,
    /// Maps in `f32`; convolutions round their inputs to ten bits of fraction, and add in `f32`.
    Tf32,
    /// Maps in bfloat16; convolutions add in `f32`.
    Bf16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}
