//! cuDNN's convolutions, found when the program runs: maps and weights channels last.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use candle_core::cuda_backend::CudaDevice;
use candle_core::{DType, Result, Tensor};
use libloading::Library;

use super::engine::Pass;
use super::shape::Shape;
use crate::Precision;

/// Names under which cuDNN 9 is installed.
const LIBRARIES: [&str; 2] = ["libcudnn.so.9", "libcudnn.so"];

/// Room that an algorithm may ask for.
const MOST_WORKSPACE: usize = 1 << 30;

// Numbers of `cudnn_graph.h` and `cudnn_cnn.h`, version 9.
const FLOAT: c_int = 0;
const BFLOAT16: c_int = 9;
const CHANNELS_LAST: c_int = 1;
const CROSS_CORRELATION: c_int = 1;
const TENSOR_OP_MATH: c_int = 1;
const FMA_MATH: c_int = 3;
const DETERMINISTIC: c_int = 1;
const SUCCESS: c_int = 0;
/// `CUDNN_STATUS_NOT_SUPPORTED` and its kinds.
const NOT_SUPPORTED: std::ops::Range<c_int> = 3000..4000;
/// CUDA's default stream of each thread.
const STREAM_PER_THREAD: usize = 2;
/// More than there are algorithms of any pass.
const ALGORITHMS: usize = 16;

type Handle = *mut c_void;
type Descriptor = *mut c_void;

/// `cudnnConvolution*AlgoPerf_t`: the three passes' structures are alike.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Performance {
    algorithm: c_int,
    status: c_int,
    time: f32,
    memory: usize,
    determinism: c_int,
    math: c_int,
    reserved: [c_int; 3],
}

type Rank = unsafe extern "C" fn(
    Handle,
    Descriptor,
    Descriptor,
    Descriptor,
    Descriptor,
    c_int,
    *mut c_int,
    *mut Performance,
) -> c_int;

type Size = unsafe extern "C" fn(Handle, Descriptor, Descriptor, Descriptor, Descriptor, c_int, *mut usize) -> c_int;

type Convolve = unsafe extern "C" fn(
    Handle,
    *const c_void,
    Descriptor,
    *const c_void,
    Descriptor,
    *const c_void,
    Descriptor,
    c_int,
    *mut c_void,
    usize,
    *const c_void,
    Descriptor,
    *mut c_void,
) -> c_int;

/// The functions of a pass: ranking algorithms, the workspace of one, the convolution.
fn functions(pass: Pass) -> [&'static str; 3] {
    match pass {
        Pass::Forward => [
            "cudnnGetConvolutionForwardAlgorithm_v7",
            "cudnnGetConvolutionForwardWorkspaceSize",
            "cudnnConvolutionForward",
        ],
        Pass::BackwardInput => [
            "cudnnGetConvolutionBackwardDataAlgorithm_v7",
            "cudnnGetConvolutionBackwardDataWorkspaceSize",
            "cudnnConvolutionBackwardData",
        ],
        Pass::BackwardWeight => [
            "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
            "cudnnGetConvolutionBackwardFilterWorkspaceSize",
            "cudnnConvolutionBackwardFilter",
        ],
    }
}

/// x, weight and y in the order of a pass's functions: what is read, and last what is written.
fn ordered<T>(pass: Pass, [x, weight, y]: [T; 3]) -> [T; 3] {
    match pass {
        Pass::Forward => [x, weight, y],
        Pass::BackwardInput => [weight, y, x],
        Pass::BackwardWeight => [x, y, weight],
    }
}

/// What was chosen once for a shape.
#[derive(Clone, Copy)]
struct Plan {
    /// In the order of the pass.
    operands: [Descriptor; 3],
    convolution: Descriptor,
    algorithm: c_int,
    memory: usize,
}

/// An open cuDNN on one stream.
pub(super) struct Cudnn {
    library: Library,
    handle: Handle,
    /// Nothing where cuDNN has no algorithm.
    plans: HashMap<(Pass, Shape, Precision), Option<Plan>>,
    /// One for all, as large as any needed so far.
    workspace: Option<Tensor>,
    /// Whether calls follow each other on the device as they do here, so that they may share the workspace.
    in_order: bool,
}

// SAFETY: cuDNN's handles may be used by any one thread at a time.
unsafe impl Send for Cudnn {}

impl Cudnn {
    /// # Errors
    /// If the library is missing or does not start, with what to install.
    pub(super) fn open(stream: *mut c_void) -> Result<Self> {
        let mut why = String::new();
        for name in LIBRARIES {
            // SAFETY: NVIDIA's library may be loaded at any time.
            match unsafe { Library::new(name) } {
                Ok(library) => return Self::start(library, stream),
                Err(error) => why = error.to_string(),
            }
        }
        Err(candle_core::Error::Msg(format!(
            "cuDNN 9 was not found ({why}). Install it (the package cudnn9-cuda-13, or `pip install nvidia-cudnn-cu13`) and \
             put the folder of libcudnn.so.9 into LD_LIBRARY_PATH"
        ))
        .bt())
    }

    fn start(library: Library, stream: *mut c_void) -> Result<Self> {
        let mut cudnn = Self {
            library,
            handle: null_mut(),
            plans: HashMap::new(),
            workspace: None,
            in_order: stream as usize != STREAM_PER_THREAD,
        };
        let mut handle = null_mut();
        // SAFETY: signatures are those of cudnn_graph.h.
        unsafe {
            let create: unsafe extern "C" fn(*mut Handle) -> c_int = cudnn.function("cudnnCreate")?;
            cudnn.check("cudnnCreate", create(&mut handle))?;
            let set: unsafe extern "C" fn(Handle, *mut c_void) -> c_int = cudnn.function("cudnnSetStream")?;
            cudnn.check("cudnnSetStream", set(handle, stream))?;
        }
        cudnn.handle = handle;
        Ok(cudnn)
    }

    /// # Safety
    /// `F` must be the function's type.
    unsafe fn function<F: Copy>(&self, name: &str) -> Result<F> {
        // SAFETY: as the caller promises.
        unsafe { self.library.get::<F>(name.as_bytes()) }
            .map(|symbol| *symbol)
            .map_err(|e| candle_core::Error::Msg(format!("cuDNN lacks {name}: {e}; version 9 is needed")).bt())
    }

    fn check(&self, what: &str, status: c_int) -> Result<()> {
        if status == SUCCESS {
            return Ok(());
        }
        // SAFETY: the function returns a string that is never freed.
        let text = unsafe {
            let describe: unsafe extern "C" fn(c_int) -> *const c_char = self.function("cudnnGetErrorString")?;
            CStr::from_ptr(describe(status)).to_string_lossy().into_owned()
        };
        Err(candle_core::Error::Msg(format!("{what}: {text}")).bt())
    }

    fn describe(&self, shape: &Shape, precision: Precision) -> Result<([Descriptor; 3], Descriptor)> {
        let kind = if precision == Precision::Bf16 { BFLOAT16 } else { FLOAT };
        let math = if precision == Precision::F32 {
            FMA_MATH
        } else {
            TENSOR_OP_MATH
        };
        let [n, cin, h, w, cout, kh, kw, oh, ow, stride, padding, dilation, groups] =
            shape.fields().map(|field| field as c_int);
        let make = |name: &str| -> Result<Descriptor> {
            let mut descriptor = null_mut();
            // SAFETY: every one of these functions writes a handle.
            unsafe {
                let create: unsafe extern "C" fn(*mut Descriptor) -> c_int = self.function(name)?;
                self.check(name, create(&mut descriptor))?;
            }
            Ok(descriptor)
        };
        let maps = |channels, height, width| -> Result<Descriptor> {
            let descriptor = make("cudnnCreateTensorDescriptor")?;
            // SAFETY: the signature is that of cudnn_ops.h.
            unsafe {
                const SET: &str = "cudnnSetTensor4dDescriptor";
                type Set = unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
                let set: Set = self.function(SET)?;
                self.check(SET, set(descriptor, CHANNELS_LAST, kind, n, channels, height, width))?;
            }
            Ok(descriptor)
        };
        let (x, y) = (maps(cin, h, w)?, maps(cout, oh, ow)?);
        let weight = make("cudnnCreateFilterDescriptor")?;
        let convolution = make("cudnnCreateConvolutionDescriptor")?;
        // SAFETY: signatures are those of cudnn_ops.h and cudnn_cnn.h.
        unsafe {
            const FILTER: &str = "cudnnSetFilter4dDescriptor";
            type SetFilter = unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
            let set: SetFilter = self.function(FILTER)?;
            self.check(FILTER, set(weight, kind, CHANNELS_LAST, cout, cin / groups, kh, kw))?;
            const CONVOLUTION: &str = "cudnnSetConvolution2dDescriptor";
            type SetConvolution =
                unsafe extern "C" fn(Descriptor, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int) -> c_int;
            let set: SetConvolution = self.function(CONVOLUTION)?;
            let status = set(
                convolution,
                padding,
                padding,
                stride,
                stride,
                dilation,
                dilation,
                CROSS_CORRELATION,
                FLOAT,
            );
            self.check(CONVOLUTION, status)?;
        }
        self.set(convolution, "cudnnSetConvolutionMathType", math)?;
        self.set(convolution, "cudnnSetConvolutionGroupCount", groups)?;
        Ok(([x, weight, y], convolution))
    }

    /// Sets one number of a convolution's descriptor.
    fn set(&self, convolution: Descriptor, name: &str, value: c_int) -> Result<()> {
        // SAFETY: both functions that are called so have this signature in cudnn_cnn.h.
        let status = unsafe {
            let set: unsafe extern "C" fn(Descriptor, c_int) -> c_int = self.function(name)?;
            set(convolution, value)
        };
        self.check(name, status)
    }

    /// The algorithm that cuDNN expects to be the fastest of those that give the same bits every time, and that works. By
    /// expectation and not by trial: a trial may end differently in the next process, and a resumed training with it.
    ///
    /// The convolution is done when a plan is found.
    fn plan(
        &mut self,
        device: &CudaDevice,
        (pass, shape, precision): (Pass, Shape, Precision),
        pointers: [*mut c_void; 3],
    ) -> Result<Option<Plan>> {
        let (descriptors, convolution) = self.describe(&shape, precision)?;
        let operands = ordered(pass, descriptors);
        let [a, b, c] = operands;
        let [rank_name, size_name, _] = functions(pass);
        let mut ranked = [Performance::default(); ALGORITHMS];
        let mut count = 0;
        // SAFETY: signatures are those of cudnn_cnn.h; the three passes' functions differ in the order of operands alone.
        let (status, size) = unsafe {
            let rank: Rank = self.function(rank_name)?;
            let size: Size = self.function(size_name)?;
            let most = ALGORITHMS as c_int;
            let status = rank(self.handle, a, b, convolution, c, most, &mut count, ranked.as_mut_ptr());
            (status, size)
        };
        if !NOT_SUPPORTED.contains(&status) {
            self.check(rank_name, status)?;
        }
        let count = usize::try_from(count).unwrap_or(0).min(ALGORITHMS);
        let mut failed = Ok(());
        for candidate in &ranked[..count] {
            if status != SUCCESS || candidate.status != SUCCESS || candidate.determinism != DETERMINISTIC {
                continue;
            }
            // Not what the candidate says: cuDNN's default for f32 is TF32.
            let math = if precision == Precision::F32 {
                FMA_MATH
            } else {
                candidate.math
            };
            self.set(convolution, "cudnnSetConvolutionMathType", math)?;
            let mut memory = 0;
            // SAFETY: as above.
            let status = unsafe { size(self.handle, a, b, convolution, c, candidate.algorithm, &mut memory) };
            if status != SUCCESS || memory > MOST_WORKSPACE {
                continue;
            }
            let plan = Plan {
                operands,
                convolution,
                algorithm: candidate.algorithm,
                memory,
            };
            match self.run(device, pass, &plan, pointers) {
                Ok(SUCCESS) => return Ok(Some(plan)),
                Ok(status) if NOT_SUPPORTED.contains(&status) => {}
                Ok(status) => failed = self.check(functions(pass)[2], status),
                Err(error) => failed = Err(error),
            }
        }
        failed?;
        tracing::warn!(
            "cuDNN has no algorithm for the {pass:?} pass of {shape:?} in {precision}: a slow kernel takes its place"
        );
        Ok(None)
    }

    /// The workspace, at least so large.
    fn room(&mut self, device: &CudaDevice, bytes: usize) -> Result<u64> {
        let enough = |t: &Tensor| t.elem_count() >= bytes.div_ceil(4);
        if !self.workspace.as_ref().is_some_and(enough) {
            let device = candle_core::Device::Cuda(device.clone());
            // SAFETY: cuDNN writes before it reads.
            self.workspace = Some(unsafe { Tensor::empty(bytes.div_ceil(4).max(1), DType::F32, &device)? });
        }
        match &self.workspace {
            Some(workspace) => super::cuda::address(workspace),
            None => Ok(0),
        }
    }

    /// Convolves by a plan; gives cuDNN's status.
    fn run(&mut self, device: &CudaDevice, pass: Pass, plan: &Plan, pointers: [*mut c_void; 3]) -> Result<c_int> {
        let room = match plan.memory {
            0 => null_mut(),
            memory => self.room(device, memory)? as *mut c_void,
        };
        let ([ad, bd, cd], [a, b, c]) = (plan.operands, ordered(pass, pointers));
        let (one, zero) = (1f32, 0f32);
        let (one, zero) = (std::ptr::from_ref(&one).cast(), std::ptr::from_ref(&zero).cast());
        // SAFETY: the order of the algorithm and the convolution's descriptor is that of cudnn_cnn.h; the descriptors are
        // those of what the pointers lead to.
        let status = unsafe {
            let convolve: Convolve = self.function(functions(pass)[2])?;
            convolve(
                self.handle,
                one,
                ad,
                a,
                bd,
                b,
                plan.convolution,
                plan.algorithm,
                room,
                plan.memory,
                zero,
                cd,
                c,
            )
        };
        if !self.in_order {
            // Freed in the order of this thread's stream: another thread's convolution takes room of its own.
            self.workspace = None;
        }
        Ok(status)
    }

    /// Convolves addresses of x, weight and y; `false` if there is no algorithm.
    pub(super) fn convolve(
        &mut self,
        device: &CudaDevice,
        pass: Pass,
        shape: &Shape,
        precision: Precision,
        addresses: [u64; 3],
    ) -> Result<bool> {
        let pointers = addresses.map(|address| address as *mut c_void);
        let key = (pass, *shape, precision);
        let Some(known) = self.plans.get(&key).copied() else {
            let plan = self.plan(device, key, pointers)?;
            self.plans.insert(key, plan);
            return Ok(plan.is_some());
        };
        let Some(plan) = known else {
            return Ok(false);
        };
        let status = self.run(device, pass, &plan, pointers)?;
        self.check(functions(pass)[2], status)?;
        Ok(true)
    }
}
