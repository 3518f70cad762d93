//! The engine of a CUDA device: kernels compiled ahead, and cuDNN.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaModule, DevicePtr, result, sys};
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice, DeviceId};
use candle_core::{DType, Device, Result, Storage, Tensor};

use super::cudnn::Cudnn;
use super::engine::{Arg, Engine, Operands, Pass, with_pointers};
use super::shape::Shape;
use crate::Precision;

/// What `build.rs` compiled of `kernels/`.
const KERNELS: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));

/// A CUDA device with its kernels.
pub(crate) struct Cuda {
    device: CudaDevice,
    token: Tensor,
    module: Arc<CudaModule>,
    functions: Mutex<HashMap<String, CudaFunction>>,
    cudnn: Mutex<Cudnn>,
}

impl std::fmt::Debug for Cuda {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cuda({:?})", self.device)
    }
}

fn poisoned<G>(_: PoisonError<G>) -> candle_core::Error {
    candle_core::Error::Msg("htl-ops: another thread panicked while it used the CUDA device".into()).bt()
}

fn driver(what: &'static str) -> impl Fn(result::DriverError) -> candle_core::Error {
    move |error| candle_core::Error::Msg(format!("htl-ops: {what}: {error:?}")).bt()
}

/// The engine of a device: made once, then shared.
///
/// # Errors
/// If the kernels cannot be loaded, or cuDNN is missing.
pub(super) fn engine(device: &CudaDevice) -> Result<Arc<dyn Engine>> {
    static ENGINES: OnceLock<Mutex<HashMap<DeviceId, Arc<Cuda>>>> = OnceLock::new();
    let mut engines = ENGINES.get_or_init(Mutex::default).lock().map_err(poisoned)?;
    if let Some(engine) = engines.get(&device.id()) {
        return Ok(engine.clone());
    }
    let engine = Arc::new(Cuda::new(device)?);
    engines.insert(device.id(), engine.clone());
    Ok(engine)
}

impl Cuda {
    fn new(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        let module = stream.context().load_module(KERNELS.into()).map_err(driver(
            "the kernels were not taken by the CUDA driver (580 or later is needed)",
        ))?;
        keep_memory(device)?;
        Ok(Self {
            device: device.clone(),
            token: Tensor::zeros(1, DType::F32, &Device::Cuda(device.clone()))?,
            module,
            functions: Mutex::default(),
            cudnn: Mutex::new(Cudnn::open(stream.cu_stream().cast())?),
        })
    }

    /// Makes the device the calling thread's.
    fn bind(&self) -> Result<()> {
        let stream = self.device.cuda_stream();
        stream
            .context()
            .bind_to_thread()
            .map_err(driver("the device's context"))
    }

    fn function(&self, kernel: &str) -> Result<CudaFunction> {
        let mut functions = self.functions.lock().map_err(poisoned)?;
        if let Some(function) = functions.get(kernel) {
            return Ok(function.clone());
        }
        let function = self
            .module
            .load_function(kernel)
            .map_err(|e| candle_core::Error::Msg(format!("htl-ops: no kernel `{kernel}`: {e:?}")).bt())?;
        functions.insert(kernel.to_owned(), function.clone());
        Ok(function)
    }
}

/// Where a tensor's elements begin.
pub(super) fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(candle_core::Error::Msg("htl-ops: a tensor of a kernel is not on the CUDA device".into()).bt());
    };
    if !layout.is_contiguous() {
        return Err(candle_core::Error::RequiresContiguous { op: "htl-ops" }.bt());
    }
    let stream = storage.device.cuda_stream();
    let (base, size) = match &storage.slice {
        CudaStorageSlice::F32(slice) => (slice.device_ptr(&stream).0, 4),
        CudaStorageSlice::BF16(slice) => (slice.device_ptr(&stream).0, 2),
        CudaStorageSlice::U32(slice) => (slice.device_ptr(&stream).0, 4),
        CudaStorageSlice::U8(slice) => (slice.device_ptr(&stream).0, 1),
        _ => {
            let dtype = tensor.dtype();
            return Err(candle_core::Error::UnsupportedDTypeForOp(dtype, "htl-ops kernel").bt());
        }
    };
    Ok(base + (layout.start_offset() * size) as u64)
}

/// Freed memory stays with the process: by default the driver gives it back at every synchronisation.
fn keep_memory(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    let context = stream.context();
    if !context.has_async_alloc() {
        return Ok(());
    }
    let failed = |status: sys::CUresult| driver("memory pool")(result::DriverError(status));
    let mut pool = std::ptr::null_mut();
    let mut threshold = u64::MAX;
    // SAFETY: the driver writes a handle, and reads eight bytes for this attribute.
    unsafe {
        let status = sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device());
        if status != sys::CUresult::CUDA_SUCCESS {
            return Err(failed(status));
        }
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        let status = sys::cuMemPoolSetAttribute(pool, attribute, std::ptr::from_mut(&mut threshold).cast());
        if status != sys::CUresult::CUDA_SUCCESS {
            return Err(failed(status));
        }
    }
    Ok(())
}

impl Engine for Cuda {
    fn token(&self) -> Tensor {
        self.token.clone()
    }

    fn launch(&self, kernel: &str, grid: [u32; 3], block: [u32; 3], args: &[Arg<'_>]) -> Result<()> {
        let function = self.function(kernel)?;
        let stream = self.device.cuda_stream();
        self.bind()?;
        let [grid, block] = [grid, block].map(|[x, y, z]| (x, y, z));
        with_pointers(args, address, |pointers| {
            // SAFETY: the arguments are those of the kernel (the tests run every call site on the CPU), and candle frees
            // tensors in the order of the stream.
            unsafe { result::launch_kernel(function.cu_function(), grid, block, 0, stream.cu_stream(), pointers) }
                .map_err(|e| candle_core::Error::Msg(format!("htl-ops: kernel `{kernel}`: {e:?}")).bt())
        })
    }

    fn address(&self, tensor: &Tensor) -> Result<u64> {
        address(tensor)
    }

    fn convolve(&self, pass: Pass, shape: &Shape, precision: Precision, operands: &Operands<'_>) -> Result<bool> {
        let addresses = [operands.x, operands.weight, operands.y].map(address);
        let [x, weight, y] = addresses;
        self.bind()?;
        let mut cudnn = self.cudnn.lock().map_err(poisoned)?;
        cudnn.convolve(&self.device, pass, shape, precision, [x?, weight?, y?])
    }
}
