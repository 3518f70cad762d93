//! The kernels on the CPU, compiled by the host's C++ compiler: what tests run without a device.

use std::cell::RefCell;
use std::ffi::c_void;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};
use libloading::Library;

use super::engine::{Arg, Engine, Operands, Pass, with_pointers};
use super::shape::Shape;
use crate::Precision;

type Launch = unsafe extern "C" fn(*const u32, *const u32, *mut *mut c_void);

/// One host thread as the device; it has no library of convolutions.
#[derive(Debug)]
pub(super) struct Emulated {
    token: Tensor,
    kernels: Library,
    /// The kernels' fibres are global.
    running: Mutex<()>,
}

/// The engine, or `None` where no C++ compiler is found; every test that asks then prints one line which begins with
/// `skipped: `.
pub(super) fn engine() -> Option<Arc<dyn Engine>> {
    static ENGINE: OnceLock<std::result::Result<Arc<Emulated>, String>> = OnceLock::new();
    match ENGINE.get_or_init(compile) {
        Ok(engine) => Some(engine.clone()),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

thread_local! {
    static LAUNCHED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CHOSEN: RefCell<Option<Arc<dyn Engine>>> = const { RefCell::new(None) };
}

/// What stands in for this thread's CPU, if anything does.
pub(super) fn chosen() -> Option<Arc<dyn Engine>> {
    CHOSEN.with_borrow(Clone::clone)
}

/// Runs `f` with `engine` in the place of this thread's CPU.
pub(super) fn everywhere<R>(engine: &Arc<dyn Engine>, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<dyn Engine>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CHOSEN.set(self.0.take());
        }
    }
    let _restore = Restore(CHOSEN.replace(Some(engine.clone())));
    f()
}

/// What `f` gives, and the kernels that it launched.
pub(super) fn launched<R>(f: impl FnOnce() -> R) -> (R, Vec<String>) {
    LAUNCHED.take();
    let result = f();
    (result, LAUNCHED.take())
}

fn compile() -> std::result::Result<Arc<Emulated>, String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gpu/kernels/all.cu");
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("kernels.so");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let status = Command::new(&compiler)
        .args([
            "-std=c++17",
            "-O1",
            "-fPIC",
            "-shared",
            // Its checks of jumps know nothing of fibres.
            "-U_FORTIFY_SOURCE",
            "-Wno-unknown-pragmas",
            "-x",
            "c++",
        ])
        .arg(&sources)
        .arg("-o")
        .arg(&library)
        .status();
    match status {
        Ok(status) => assert!(status.success(), "the kernels do not compile as C++"),
        Err(error) => return Err(format!("no C++ compiler `{compiler}` ({error})")),
    }
    // SAFETY: the library was just made of our sources; it has no code that runs on loading.
    let kernels = unsafe { Library::new(&library) }.unwrap();
    Ok(Arc::new(Emulated {
        token: Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap(),
        kernels,
        running: Mutex::new(()),
    }))
}

impl Engine for Emulated {
    fn token(&self) -> Tensor {
        self.token.clone()
    }

    fn launch(&self, kernel: &str, grid: [u32; 3], block: [u32; 3], args: &[Arg<'_>]) -> Result<()> {
        let name = format!("launch_{kernel}");
        // SAFETY: the sources export kernels by this name with this type.
        let launch = unsafe { self.kernels.get::<Launch>(name.as_bytes()) }
            .map_err(|e| candle_core::Error::Msg(format!("no kernel `{kernel}`: {e}")))?;
        LAUNCHED.with_borrow_mut(|kernels| kernels.push(kernel.to_owned()));
        let running = self.running.lock().unwrap();
        with_pointers(args, address, |pointers| {
            // SAFETY: the arguments are those of the kernel, as on a device.
            unsafe { launch(grid.as_ptr(), block.as_ptr(), pointers.as_mut_ptr()) };
            Ok(())
        })?;
        drop(running);
        Ok(())
    }

    fn address(&self, tensor: &Tensor) -> Result<u64> {
        address(tensor)
    }

    fn convolve(&self, _: Pass, _: &Shape, _: Precision, operands: &Operands<'_>) -> Result<bool> {
        // There is no library, but what one would be given can be looked at.
        for tensor in [operands.x, operands.weight, operands.y] {
            address(tensor)?;
        }
        Ok(false)
    }
}

/// Where a tensor's elements begin.
fn address(tensor: &Tensor) -> Result<u64> {
    assert!(tensor.is_contiguous());
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        panic!("the tensor is not on the CPU");
    };
    let from = layout.start_offset();
    Ok(match storage {
        CpuStorage::F32(values) => values[from..].as_ptr() as u64,
        CpuStorage::BF16(values) => values[from..].as_ptr() as u64,
        CpuStorage::U32(values) => values[from..].as_ptr() as u64,
        CpuStorage::U8(values) => values[from..].as_ptr() as u64,
        other => panic!(
            "no kernel takes {:?}",
            candle_core::backend::BackendStorage::dtype(other)
        ),
    })
}
