//! Operations on a device with kernels of its own: maps `[batch, height, width, channels]` in f32 or bfloat16.
//!
//! They are written against an [`Engine`]: CUDA, or in tests a stand-in that runs the same kernels, compiled by the host's
//! compiler, on the CPU. `kernels/` holds their source.

mod augment;
mod block;
mod conv;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod cudnn;
#[cfg(test)]
mod emulated;
// Without an engine nothing reads what one is given.
#[cfg_attr(not(any(test, feature = "cuda")), allow(dead_code))]
mod engine;
mod join;
mod loss;
mod map;
mod norm;
mod optim;
mod pool;
mod resize;
mod row_norm;
mod shape;
#[cfg(test)]
mod tests;

pub(crate) use augment::{Scale, Set, augment};
pub(crate) use block::{Block, Gradients};
pub(crate) use conv::{Convolution, add_bias, backward_bias};
pub(crate) use engine::Engine;
pub(crate) use join::{backward_low as join_backward_low, backward_skip as join_backward_skip, join};
pub(crate) use loss::{mask_sums, pixel_loss};
pub(crate) use map::Map;
pub(crate) use norm::{Affine, Normalised};
pub(crate) use optim::{Entry, Moments, adamw, clip, follow, sgd};
pub(crate) use pool::{pool, pool_backward};
pub(crate) use resize::{Positions, resize};
pub(crate) use row_norm::{Rows, row_norm};
pub(crate) use shape::Shape;

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

/// The engine of a tensor's device; nothing for a device without kernels, and for numbers that they do not take.
pub(crate) fn engine_of(tensor: &Tensor) -> Result<Option<Arc<dyn Engine>>> {
    match tensor.dtype() {
        DType::F32 => engine_at(tensor.device()),
        _ => Ok(None),
    }
}

/// The engine of a device; nothing for one without kernels.
pub(crate) fn engine_at(device: &Device) -> Result<Option<Arc<dyn Engine>>> {
    #[cfg(test)]
    if let Some(engine) = emulated::chosen() {
        return Ok(Some(engine));
    }
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => cuda::engine(device).map(Some),
        _ => Ok(None),
    }
}

/// The engine that serves all of these tensors; nothing if one of them has none, another device, or is not contiguous.
pub(crate) fn engine_of_all<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Result<Option<Arc<dyn Engine>>> {
    let mut tensors = tensors.into_iter();
    let Some(first) = tensors.next() else {
        return Ok(None);
    };
    let alike = |t: &Tensor| t.is_contiguous() && t.dtype() == first.dtype() && t.device().same_device(first.device());
    if alike(first) && tensors.all(alike) {
        return engine_of(first);
    }
    Ok(None)
}
