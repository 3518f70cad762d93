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

/// Room that an algorithm may ask for. PyTorch's benchmark mode sets no limit; larger ones were not seen to win for 3 x 3.
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

type Find = unsafe extern "C" fn(
    Handle,
    Descriptor,
    *const c_void,
    Descriptor,
    *const c_void,
    Descriptor,
    Descriptor,
    *mut c_void,
    c_int,
    *mut c_int,
    *mut Performance,
    *mut c_void,
    usize,
) -> c_int;

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

/// What was found once for a shape.
struct Plan {
    /// Of x, weight and y.
    descriptors: [Descriptor; 3],
    convolution: Descriptor,
    /// Algorithm and its workspace; `None` if cuDNN has none.
    algorithm: Option<(c_int, usize)>,
}

/// An open cuDNN on one stream.
pub(super) struct Cudnn {
    library: Library,
    handle: Handle,
    plans: HashMap<(Pass, Shape, Precision), Plan>,
    /// One for all, as large as any needed so far.
    workspace: Option<Tensor>,
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
        let s = [
            shape.batch,
            shape.cin,
            shape.h,
            shape.w,
            shape.cout,
            shape.kh,
            shape.kw,
            shape.oh,
            shape.ow,
            shape.stride,
            shape.padding,
            shape.dilation,
            shape.groups,
        ]
        .map(|v| v as c_int);
        let [n, cin, h, w, cout, kh, kw, oh, ow, stride, padding, dilation, groups] = s;
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
            type SetOne = unsafe extern "C" fn(Descriptor, c_int) -> c_int;
            for (name, value) in [
                ("cudnnSetConvolutionMathType", math),
                ("cudnnSetConvolutionGroupCount", groups),
            ] {
                let set: SetOne = self.function(name)?;
                self.check(name, set(convolution, value))?;
            }
        }
        Ok(([x, weight, y], convolution))
    }

    /// The fastest algorithm that gives the same bits every time, by trying them.
    fn plan(
        &mut self,
        device: &CudaDevice,
        pass: Pass,
        shape: &Shape,
        precision: Precision,
        [x, weight, y]: [*mut c_void; 3],
    ) -> Result<Plan> {
        let ([xd, wd, yd], convolution) = self.describe(shape, precision)?;
        let room = self.room(device, MOST_WORKSPACE)?;
        let mut found = [Performance::default(); ALGORITHMS];
        let mut count = 0;
        let name = match pass {
            Pass::Forward => "cudnnFindConvolutionForwardAlgorithmEx",
            Pass::BackwardInput => "cudnnFindConvolutionBackwardDataAlgorithmEx",
            Pass::BackwardWeight => "cudnnFindConvolutionBackwardFilterAlgorithmEx",
        };
        let [(ad, a), (bd, b), (cd, c)] = match pass {
            Pass::Forward => [(xd, x), (wd, weight), (yd, y)],
            Pass::BackwardInput => [(wd, weight), (yd, y), (xd, x)],
            Pass::BackwardWeight => [(xd, x), (yd, y), (wd, weight)],
        };
        // SAFETY: the three functions have this signature in cudnn_cnn.h; pointers and sizes are those described.
        let status = unsafe {
            let find: Find = self.function(name)?;
            let (most, room) = (ALGORITHMS as c_int, room as *mut c_void);
            find(
                self.handle,
                ad,
                a,
                bd,
                b,
                convolution,
                cd,
                c,
                most,
                &mut count,
                found.as_mut_ptr(),
                room,
                MOST_WORKSPACE,
            )
        };
        let usable = found[..usize::try_from(count).unwrap_or(0).min(ALGORITHMS)]
            .iter()
            .filter(|p| status == SUCCESS && p.status == SUCCESS && p.memory <= MOST_WORKSPACE)
            .filter(|p| p.determinism == DETERMINISTIC)
            // Each algorithm is also tried with cuDNN's default mathematics, which rounds f32 to TF32.
            .filter(|p| precision != Precision::F32 || p.math == FMA_MATH)
            .min_by(|p, q| p.time.total_cmp(&q.time));
        let algorithm = usable.map(|p| (p.algorithm, p.memory, p.math));
        if let Some((_, _, math)) = algorithm {
            // SAFETY: the signature is that of cudnn_cnn.h.
            unsafe {
                const MATH: &str = "cudnnSetConvolutionMathType";
                let set: unsafe extern "C" fn(Descriptor, c_int) -> c_int = self.function(MATH)?;
                self.check(MATH, set(convolution, math))?;
            }
        }
        Ok(Plan {
            descriptors: [xd, wd, yd],
            convolution,
            algorithm: algorithm.map(|(algorithm, memory, _)| (algorithm, memory)),
        })
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
        if !self.plans.contains_key(&key) {
            let plan = self.plan(device, pass, shape, precision, pointers)?;
            self.plans.insert(key, plan);
            // Trying needs much more room than the winners.
            self.workspace = None;
        }
        let Some((algorithm, memory)) = self.plans.get(&key).and_then(|plan| plan.algorithm) else {
            return Ok(false);
        };
        let room = if memory > 0 {
            self.room(device, memory)? as *mut c_void
        } else {
            null_mut()
        };
        let Some(plan) = self.plans.get(&key) else {
            return Ok(false);
        };
        let ([xd, wd, yd], [x, weight, y]) = (plan.descriptors, pointers);
        let (one, zero) = (1f32, 0f32);
        let (one, zero) = (std::ptr::from_ref(&one).cast(), std::ptr::from_ref(&zero).cast());
        // SAFETY: as in `plan`; the order of the algorithm and the convolution's descriptor is that of cudnn_cnn.h.
        unsafe {
            let (name, [(ad, a), (bd, b), (cd, c)]) = match pass {
                Pass::Forward => ("cudnnConvolutionForward", [(xd, x), (wd, weight), (yd, y)]),
                Pass::BackwardInput => ("cudnnConvolutionBackwardData", [(wd, weight), (yd, y), (xd, x)]),
                Pass::BackwardWeight => ("cudnnConvolutionBackwardFilter", [(xd, x), (yd, y), (wd, weight)]),
            };
            let convolve: Convolve = self.function(name)?;
            let convolution = plan.convolution;
            let status = convolve(
                self.handle,
                one,
                ad,
                a,
                bd,
                b,
                convolution,
                algorithm,
                room,
                memory,
                zero,
                cd,
                c,
            );
            self.check(name, status)?;
        }
        Ok(true)
    }
}
