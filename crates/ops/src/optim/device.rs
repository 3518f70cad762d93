//! Parameters that a CUDA device's kernels can update together.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Var};

use crate::gpu::{Engine, cuda_engine};

/// The engine of the CUDA device that all of these lie on, f32 and contiguous; nothing for others.
pub(super) fn engine<'a>(vars: impl Iterator<Item = &'a Var>) -> Result<Option<Arc<dyn Engine>>> {
    let mut found = None;
    for var in vars {
        let Device::Cuda(device) = var.device() else {
            return Ok(None);
        };
        let same = found.is_none_or(|other: &candle_core::CudaDevice| other.id() == device.id());
        if var.dtype() != DType::F32 || !var.is_contiguous() || !same {
            return Ok(None);
        }
        found = Some(device);
    }
    found.map(cuda_engine).transpose()
}
