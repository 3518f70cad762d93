//! The numbers of features on a CUDA device.

use crate::OpsError;

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

impl Precision {
    /// Every precision, from the most exact.
    pub const ALL: [Self; 3] = [Self::F32, Self::Tf32, Self::Bf16];
}

impl std::str::FromStr for Precision {
    type Err = OpsError;

    fn from_str(name: &str) -> Result<Self, OpsError> {
        let found = Self::ALL.into_iter().find(|precision| precision.to_string() == name);
        found.ok_or_else(|| OpsError::UnknownPrecision { name: name.into() })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precisions_are_known_by_their_names() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        let said = "f16".parse::<Precision>().unwrap_err().to_string();
        assert!(said.contains("f16") && said.contains("tf32"), "{said}");
    }
}
