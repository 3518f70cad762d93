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
    /// Pinned buffers not in use by a copy.
    pinned: Vec<Pinned>,
    /// Buffers whose values have been taken, or are about to be.
    free: Vec<Buffer>,
}

type Pinned = PinnedHostSlice<f32>;

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

    /// Waits until the values are on the device. Nothing is locked meanwhile: the computing thread gives buffers back.
    pub fn stage(&self, values: &[f32], dims: (usize, usize, usize, usize)) -> Result<Staged> {
        let (copies, pinned, free) = self.place(values.len())?;
        let mut pinned = match pinned {
            Some(pinned) => pinned,
            // SAFETY: it is written before it is read.
            None => unsafe { copies.context().alloc_pinned_with_flags(values.len(), 0) }.w()?,
        };
        let mut buffer = match free {
            Some(buffer) => buffer,
            None => Buffer {
                // SAFETY: it is written before it is read.
                values: unsafe { copies.alloc(values.len()) }.w()?,
                taken: None,
            },
        };
        if let Some(taken) = buffer.taken.take() {
            copies.wait(&taken).w()?;
        }
        pinned.as_mut_slice().w()?.copy_from_slice(values);
        copies.memcpy_htod(&pinned, &mut buffer.values).w()?;
        // Then the values have arrived, and the page-locked memory can be written again.
        copies.synchronize().w()?;
        self.shared().pinned.push(pinned);
        Ok(Staged {
            buffer,
            dims,
            home: self.clone(),
        })
    }

    /// The copying stream, and a pinned and a device buffer of this length, if any are free.
    fn place(&self, len: usize) -> Result<(Arc<CudaStream>, Option<Pinned>, Option<Buffer>)> {
        let mut shared = self.shared();
        let copies = match &shared.copies {
            Some(copies) => copies.clone(),
            None => {
                let new = self.device.cuda_stream().context().new_stream().w()?;
                shared.copies.insert(new).clone()
            }
        };
        let at = shared.pinned.iter().position(|pinned| pinned.len() == len);
        let pinned = at.map(|at| shared.pinned.swap_remove(at));
        let at = shared.free.iter().position(|buffer| buffer.values.len() == len);
        Ok((copies, pinned, at.map(|at| shared.free.swap_remove(at))))
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
