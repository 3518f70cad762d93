//! Batches on their way from the host to the device: one copy per tensor, away from what the device computes.

#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{Device, Tensor};

use crate::TrainError;

/// Destination of batches.
#[derive(Clone)]
pub(crate) enum Uploads {
    /// Straight into tensors of the device.
    Plain(Device),
    /// By a stream of copies, beside the device's own.
    #[cfg(feature = "cuda")]
    Cuda(cuda::Uploads),
}

/// Values that have left the host, or need no more than a copy within the device to be a tensor.
pub(crate) enum Staged {
    Tensor(Tensor),
    #[cfg(feature = "cuda")]
    Cuda(cuda::Staged),
}

impl Uploads {
    pub fn to(device: &Device) -> Self {
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Self::Cuda(cuda::Uploads::to(device)),
            _ => Self::Plain(device.clone()),
        }
    }

    /// Sends values on their way; waits until they have arrived, where the thread that makes batches can wait.
    pub fn stage(&self, values: Vec<f32>, dims: (usize, usize, usize, usize)) -> Result<Staged, TrainError> {
        match self {
            Self::Plain(device) => Ok(Staged::Tensor(Tensor::from_vec(values, dims, device)?)),
            #[cfg(feature = "cuda")]
            Self::Cuda(uploads) => Ok(Staged::Cuda(uploads.stage(&values, dims)?)),
        }
    }
}

impl Staged {
    /// The tensor; call it on the thread that computes.
    pub fn tensor(self) -> Result<Tensor, TrainError> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            #[cfg(feature = "cuda")]
            Self::Cuda(staged) => Ok(staged.tensor()?),
        }
    }
}
