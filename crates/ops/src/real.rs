//! The number types the kernels are written for.

use candle_core::{CpuStorage, DType, DeviceLocation, Layout, Storage, StorageRef, Tensor, WithDType};

use crate::OpsError;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`: the number types of the kernels. Sealed.
pub trait Real: WithDType + Default + std::ops::Neg<Output = Self> + std::iter::Sum + sealed::Sealed {
    /// Natural exponential, accurate to about one unit in the last place.
    fn exp(self) -> Self;
    /// `ln(1 + self)` for values in [0, 1].
    fn ln_1p_unit(self) -> Self;
    /// Natural logarithm of a positive number that is not subnormal.
    fn ln_normal(self) -> Self;
    /// The least positive number that is not subnormal.
    const LEAST_NORMAL: f64;
    /// Square root.
    fn sqrt(self) -> Self;
    /// The larger of the two.
    fn maximum(self, other: Self) -> Self;
    /// The smaller of the two.
    fn minimum(self, other: Self) -> Self;
    /// Absolute value.
    fn abs(self) -> Self;
    /// The free list of buffers of this type.
    #[doc(hidden)]
    fn pool() -> &'static crate::buffer::Pool<Self>;
    /// This slice as `f32`, if it is.
    #[doc(hidden)]
    fn as_f32(data: &[Self]) -> Option<&[f32]>;
    /// This slice as `f32`, if it is.
    #[doc(hidden)]
    fn as_f32_mut(data: &mut [Self]) -> Option<&mut [f32]>;
}

impl Real for f32 {
    #[inline(always)]
    fn exp(self) -> Self {
        crate::math::exp(self)
    }
    #[inline(always)]
    fn ln_1p_unit(self) -> Self {
        crate::math::ln_1p_unit(self)
    }
    #[inline(always)]
    fn ln_normal(self) -> Self {
        crate::math::ln_normal(self)
    }
    const LEAST_NORMAL: f64 = f32::MIN_POSITIVE as f64;
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }
    fn pool() -> &'static crate::buffer::Pool<Self> {
        static POOL: crate::buffer::Pool<f32> = crate::buffer::Pool::new();
        &POOL
    }
    fn as_f32(data: &[Self]) -> Option<&[f32]> {
        Some(data)
    }
    fn as_f32_mut(data: &mut [Self]) -> Option<&mut [f32]> {
        Some(data)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln_1p_unit(self) -> Self {
        f64::ln_1p(self)
    }
    #[inline(always)]
    fn ln_normal(self) -> Self {
        f64::ln(self)
    }
    const LEAST_NORMAL: f64 = f64::MIN_POSITIVE;
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        if self > other { self } else { other }
    }
    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        if self < other { self } else { other }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }
    fn pool() -> &'static crate::buffer::Pool<Self> {
        static POOL: crate::buffer::Pool<f64> = crate::buffer::Pool::new();
        &POOL
    }
    fn as_f32(_: &[Self]) -> Option<&[f32]> {
        None
    }
    fn as_f32_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
}

/// Runs an expression with a type alias chosen by data type.
macro_rules! by_dtype {
    ($dtype:expr, $op:expr, $t:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $t = f32;
                $body
            }
            candle_core::DType::F64 => {
                type $t = f64;
                $body
            }
            other => Err(candle_core::Error::UnsupportedDTypeForOp(other, $op).bt()),
        }
    };
}
pub(crate) use by_dtype;

/// The elements of a contiguous storage.
pub(crate) fn elements<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    let data = T::cpu_storage_as_slice(storage)?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&data[from..to]),
        None => Err(candle_core::Error::RequiresContiguous { op: "htl-ops" }.bt()),
    }
}

/// A tensor's storage, held readable.
pub(crate) struct Reading<'a> {
    storage: StorageRef<'a>,
    layout: &'a Layout,
}

impl<'a> Reading<'a> {
    pub(crate) fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self { storage, layout }
    }

    pub(crate) fn get<T: Real>(&self) -> candle_core::Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(cpu) => elements(cpu, self.layout),
            _ => Err(candle_core::Error::Msg("htl-ops: the tensor is not on the CPU".into()).bt()),
        }
    }
}

/// Checks that a tensor is a non-empty f32 or f64 tensor of four dimensions and returns them.
pub(crate) fn dims4(op: &'static str, argument: &'static str, tensor: &Tensor) -> Result<[usize; 4], OpsError> {
    let dims = tensor.dims();
    let &[a, b, c, d] = dims else {
        return Err(OpsError::Rank {
            op,
            argument,
            expected: "[batch, channels, height, width]",
            found: dims.to_vec(),
        });
    };
    check_real(op, argument, tensor)?;
    Ok([a, b, c, d])
}

/// Checks the type and that there is at least one element.
pub(crate) fn check_real(op: &'static str, argument: &'static str, tensor: &Tensor) -> Result<(), OpsError> {
    if tensor.elem_count() == 0 {
        return Err(OpsError::Empty {
            op,
            argument,
            shape: tensor.dims().to_vec(),
        });
    }
    if !matches!(tensor.dtype(), DType::F32 | DType::F64) {
        return Err(OpsError::DType {
            op,
            argument,
            expected: "f32 or f64",
            found: tensor.dtype(),
        });
    }
    Ok(())
}

/// Checks that a tensor lies where the other inputs do.
pub(crate) fn check_device(
    op: &'static str,
    argument: &'static str,
    tensor: &Tensor,
    like: &Tensor,
) -> Result<(), OpsError> {
    if tensor.device().same_device(like.device()) {
        return Ok(());
    }
    let place = |tensor: &Tensor| match tensor.device().location() {
        DeviceLocation::Cpu => "the CPU".to_owned(),
        DeviceLocation::Cuda { gpu_id } => format!("CUDA device {gpu_id}"),
        DeviceLocation::Metal { gpu_id } => format!("Metal device {gpu_id}"),
    };
    Err(OpsError::Device {
        op,
        argument,
        expected: place(like),
        found: place(tensor),
    })
}

/// Checks that `tensor` has exactly `expected` as its shape, and the type and device of `like`.
pub(crate) fn check_shape(
    op: &'static str,
    argument: &'static str,
    tensor: &Tensor,
    expected: &[usize],
    like: &Tensor,
) -> Result<(), OpsError> {
    if tensor.dims() != expected {
        return Err(OpsError::Shape {
            op,
            argument,
            expected: expected.to_vec(),
            found: tensor.dims().to_vec(),
        });
    }
    if tensor.dtype() != like.dtype() {
        let expected = if like.dtype() == DType::F32 {
            "f32, as the other inputs"
        } else {
            "f64, as the other inputs"
        };
        return Err(OpsError::DType {
            op,
            argument,
            expected,
            found: tensor.dtype(),
        });
    }
    check_device(op, argument, tensor, like)?;
    check_real(op, argument, tensor)
}
