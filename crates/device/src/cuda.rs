use candle_core::{CudaDevice, cuda_backend::cudarc::driver::sys};

/// Readies a device for long rows of steps on its one stream.
pub fn prepare(device: &CudaDevice) {
    // Candle records and waits for events with every tensor that a kernel reads or writes, for the sake of other streams.
    // SAFETY: tensors are made, used and freed in the order of the one stream that this device was opened with; where
    // htl-trainers copies by another one, it waits for events of its own.
    unsafe { device.disable_event_tracking() };
}

/// The most bytes of tensors and workspaces in use at one time.
pub fn peak_bytes(device: &CudaDevice) -> Option<u64> {
    let mut bytes = 0u64;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the attribute is a 64-bit number, which the driver writes.
    unsafe { sys::cuMemPoolGetAttribute(pool(device)?, attribute, (&raw mut bytes).cast()) }
        .result()
        .ok()?;
    Some(bytes)
}

/// The pool that candle's tensors come from.
fn pool(device: &CudaDevice) -> Option<sys::CUmemoryPool> {
    let stream = device.cuda_stream();
    let context = stream.context();
    context.bind_to_thread().ok()?;
    let mut pool = std::ptr::null_mut();
    // SAFETY: the context keeps its device open, and the driver writes one pointer.
    unsafe { sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()) }
        .result()
        .ok()?;
    Some(pool)
}
