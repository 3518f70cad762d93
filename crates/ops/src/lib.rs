//! Differentiable operations on candle tensors that are right and fast.
//!
//! Drop-in functions for `f32` and `f64` tensors, with the gradients that candle lacks or gets wrong, on the CPU at the speed
//! of hand-written vector code. Results are the same bits for any number of threads. On devices without kernels of ours
//! the same functions are composed of candle's primitives (`docs/devices.md`). Inside of a network, [`Features`] carry
//! the maps from operation to operation with less traffic of gradients; `docs/` has a page for each family.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use htl_ops::{Norm, bce_with_logits, conv_norm_relu, max_pool2d};
//!
//! let device = Device::Cpu;
//! let x = Tensor::randn(0f32, 1., (2, 3, 16, 16), &device)?;
//! let weight = Var::randn(0f32, 0.1, (8, 3, 3, 3), &device)?;
//! let (gamma, beta) = (Var::ones(8, candle_core::DType::F32, &device)?, Tensor::zeros(8, candle_core::DType::F32, &device)?);
//! let (features, statistics) = conv_norm_relu(&x, &weight, &gamma, &beta, &Norm::Batch { eps: 1e-5 })?;
//! let pooled = max_pool2d(&features, 2, 2, 0)?;
//! let loss = bce_with_logits(&pooled, &pooled.zeros_like()?, None)?.mean_all()?;
//! assert_eq!(loss.backward()?.get(&weight).map(|g| g.dims().to_vec()), Some(vec![8, 3, 3, 3]));
//! assert_eq!(statistics.map(|s| s.mean.dims().to_vec()), Some(vec![8]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod adaptive;
pub mod augment;
mod backward;
mod buffer;
mod conv;
mod counts;
mod cpu;
mod error;
mod features;
mod gpu;
mod loss;
mod math;
mod norm;
pub mod optim;
mod parallel;
mod phases;
mod pool;
#[doc(hidden)]
pub mod portable;
mod real;
mod row_norm;
mod team;
mod upsample;

pub use adaptive::{adaptive_avg_pool2d, adaptive_max_pool2d};
pub use backward::backward;
pub use buffer::{keep_freed_memory, release_buffers};
pub use conv::{Conv2dParams, ConvTranspose2dParams, conv_transpose2d, conv2d};
pub use counts::overlap_counts;
pub use cpu::{CPU_PATH_VARIABLE, CpuPath};
pub use error::OpsError;
pub use features::{Features, Precision, conv_norm, conv_norm_relu, upsample_concat_conv_norm_relu};
pub use loss::{FocalParams, TverskyParams, bce_with_logits, cross_entropy, focal_with_logits, soft_dice, tversky};
pub use norm::{Activation, BatchStatistics, Norm, batch_norm};
pub use pool::{avg_pool2d, global_avg_pool2d, max_pool2d};
pub use real::Real;
pub use row_norm::{group_norm, layer_norm};
pub use upsample::{Corners, upsample_bilinear2d, upsample_concat, upsample_nearest2d};
