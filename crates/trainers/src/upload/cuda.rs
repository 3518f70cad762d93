//! Copies from page-locked memory, on a stream of their own.
//!
//! On the stream that computes, a copy would wait for the steps given to it before, and the steps after it for the copy.
//! So values go into buffers that are kept for the purpose; what is left for the computing stream is a copy within the
//! device, which takes microseconds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::cuda_backend::{
    CudaStorage, WrapErr,
    cudarc::driver::{CudaEvent, CudaSlice, CudaStream, PinnedHostSlice},
};
use candle_core::{CudaDevice, Result, Storage, Tensor, op::BackpropOp};

#[derive(Clone)]
pub(crate) struct Uploads {
    device: CudaDevice,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    copies: Option<Arc<CudaStream>>,
    /// Where the copy that is being made starts; as large as the largest so far.
    pinned: Option<PinnedHostSlice<f32>>,
    /// Buffers whose values have been taken, or are about to be.
    free: Vec<Buffer>,
}

/// Memory on the device, and when its values have been copied from it.
struct Buffer {
    values: CudaSlice<f32>,
    taken: Option<CudaEvent>,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // It is freed in the order of the copying stream, so that has to wait for the other. What failed, failed before:
        // with the driver in that state every later call says so.
        if let Some(taken) = &self.taken {
            let _ = self.values.stream().wait(taken);
        }
    }
}

/// Values in a buffer on the device.
pub(crate) struct Staged {
    buffer: Buffer,
    dims: (usize, usize, usize, usize),
    home: Uploads,
}

impl Uploads {
    pub fn to(device: &CudaDevice) -> Self {
        Self {
            device: device.clone(),
            shared: Arc::default(),
        }
    }

    /// What is behind the lock is whole between any two statements, so another thread's panic spoils nothing.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the values are on the device.
    pub fn stage(&self, values: &[f32], dims: (usize, usize, usize, usize)) -> Result<Staged> {
        let mut shared = self.shared();
        let computing = self.device.cuda_stream();
        let copies = match &shared.copies {
            Some(copies) => copies.clone(),
            None => shared.copies.insert(computing.context().new_stream().w()?).clone(),
        };
        if shared.pinned.as_ref().is_none_or(|pinned| pinned.len() < values.len()) {
            // SAFETY: only the part that has been written is read.
            let pinned = unsafe { computing.context().alloc_pinned_with_flags(values.len(), 0) }.w()?;
            shared.pinned = Some(pinned);
        }
        let fits = |buffer: &Buffer| buffer.values.len() == values.len();
        let mut buffer = match shared.free.iter().position(fits) {
            Some(at) => shared.free.swap_remove(at),
            None => Buffer {
                // SAFETY: written below, before anything reads it.
                values: unsafe { copies.alloc(values.len()) }.w()?,
                taken: None,
            },
        };
        if let Some(taken) = buffer.taken.take() {
            copies.wait(&taken).w()?;
        }
        if let Some(pinned) = &mut shared.pinned {
            let pinned = &mut pinned.as_mut_slice().w()?[..values.len()];
            pinned.copy_from_slice(values);
            copies.memcpy_htod(&*pinned, &mut buffer.values).w()?;
        }
        // The values have arrived, and the page-locked memory can be written again.
        copies.synchronize().w()?;
        drop(shared);
        Ok(Staged {
            buffer,
            dims,
            home: self.clone(),
        })
    }
}

impl Staged {
    /// A tensor of the values, in the order of the computing stream; the buffer goes back.
    pub fn tensor(self) -> Result<Tensor> {
        let Self { mut buffer, dims, home } = self;
        let computing = home.device.cuda_stream();
        let values = computing.clone_dtod(&buffer.values).w()?;
        buffer.taken = Some(computing.record_event(None).w()?);
        home.shared().free.push(buffer);
        let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(values, home.device.clone()));
        Ok(Tensor::from_storage(storage, dims, BackpropOp::none(), false))
    }
}
