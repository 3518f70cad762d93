//! Pruning for candle networks: which weights go, and what is left.
//!
//! A [`Criterion`] ranks every prunable weight, [`PruneParams`] say how many go, a [`MaskSet`] remembers the answer and
//! keeps zeros zero through further training. Any network will do: what is needed of it is a list of
//! (name, [`Var`](candle_core::Var)).
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use htl_pruning::{Criterion, PruneParams, WeightSet};
//!
//! let weight = Var::from_tensor(&Tensor::randn(0f32, 1., (8, 3, 3, 3), &Device::Cpu)?)?;
//! let network = [("conv.weight".to_string(), weight)];
//!
//! let params = PruneParams::new(Criterion::GLOBAL_MAGNITUDE).sparsity(0.9).check()?;
//! let masks = params.masks(&WeightSet::from_vars(&network))?;
//! masks.apply(&network)?; // and again after every optimiser step
//! assert_eq!(masks.zeros(), 194); // round(0.9 * 216)
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Prunable** are the convolution and linear weights: tensors of rank 4 or 2 whose name is `weight` or ends in
//! `.weight`. Biases, normalisation parameters and running statistics never are, and the caller may exclude more by
//! name ([`PruneParams::exclude`]), for example the last layer. Sparsity is always counted: zeros over masked weights.
mod allocation;
mod channels;
mod choose;
mod criteria;
mod dose;
mod error;
mod mask;
mod mask_set;
mod needs;
mod params;
mod search;
mod weights;

pub use channels::{
    CHANNEL_CRITERIA, ChannelCriterion, ChannelParams, ChannelScope, ChannelValidParams, FilterGroup, Filters,
};
pub use criteria::{CRITERIA, Context, Criterion, Measurements, Scope};
pub use error::PruneError;
pub use mask::Mask;
pub use mask_set::{LayerSparsity, MaskSet};
pub use needs::Needs;
pub use params::{PruneParams, PruneValidParams};
pub use search::{FoundSparsity, SparsitySearch};
pub use weights::WeightSet;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
