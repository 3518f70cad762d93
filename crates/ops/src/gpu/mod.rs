//! Features on a device with kernels of its own: maps `[batch, height, width, channels]` in f32 or bfloat16.
//!
//! The operations are written against an [`Engine`]: CUDA, or in tests a stand-in that runs the same kernels, compiled by
//! the host's compiler, on the CPU. `kernels/` holds their source.

mod augment;
mod block;
mod conv;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod cudnn;
#[cfg(test)]
mod emulated;
mod engine;
mod join;
mod map;
mod optim;
mod pool;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use augment::{Scale, Set, augment};
pub(crate) use block::{Affine, Block, Gradients};
pub(crate) use conv::{Convolution, add_bias, backward_bias};
#[cfg(feature = "cuda")]
pub(crate) use cuda::engine as cuda_engine;
pub(crate) use engine::Engine;
pub(crate) use join::{backward_low as join_backward_low, backward_skip as join_backward_skip, join};
pub(crate) use map::Map;
pub(crate) use optim::{Entry, Moments, adamw, clip};
pub(crate) use pool::{max_pool, max_pool_backward};
pub(crate) use shape::Shape;
