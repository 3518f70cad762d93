//! What the operations ask of a device: to launch a kernel on tensors, and to convolve if it has a library for that.

use std::ffi::c_void;

use candle_core::{Result, Tensor};

use super::shape::Shape;
use crate::Precision;

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub(crate) enum Arg<'a> {
    /// The elements of a contiguous tensor, read or written.
    Tensor(&'a Tensor),
    /// In the place of a tensor that is not there.
    Missing,
    U32(u32),
    F32(f32),
    /// A structure by value.
    Bytes(&'a [u8]),
}

/// Which of a convolution's three products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    Forward,
    BackwardInput,
    BackwardWeight,
}

/// Maps and weight of a convolution, channels last; the one its [`Pass`] names is written.
pub(crate) struct Operands<'a> {
    pub x: &'a Tensor,
    pub weight: &'a Tensor,
    pub y: &'a Tensor,
}

/// A device.
pub(crate) trait Engine: Send + Sync + std::fmt::Debug {
    /// The element that stands for maps and their gradients in candle's graph: always the same one, which costs nothing.
    fn token(&self) -> Tensor;

    /// Runs a kernel of `kernels/` after all earlier ones, and does not wait for it.
    fn launch(&self, kernel: &str, grid: [u32; 3], block: [u32; 3], args: &[Arg<'_>]) -> Result<()>;

    /// Where a tensor's elements are for kernels.
    fn address(&self, tensor: &Tensor) -> Result<u64>;

    /// Convolves with the device's library; `false` if it has no algorithm for this shape.
    fn convolve(&self, pass: Pass, shape: &Shape, precision: Precision, operands: &Operands<'_>) -> Result<bool>;
}

/// Hands `run` a pointer to every argument, as `cuLaunchKernel` takes them.
pub(super) fn with_pointers<R>(
    args: &[Arg<'_>],
    address: impl Fn(&Tensor) -> Result<u64>,
    run: impl FnOnce(&mut [*mut c_void]) -> Result<R>,
) -> Result<R> {
    let mut values = Vec::with_capacity(args.len());
    for arg in args {
        values.push(match arg {
            Arg::Tensor(tensor) => address(tensor)?,
            Arg::U32(value) => u64::from(*value),
            Arg::F32(value) => u64::from(value.to_bits()),
            Arg::Missing | Arg::Bytes(_) => 0,
        });
    }
    let mut pointers: Vec<*mut c_void> = args
        .iter()
        .zip(&mut values)
        .map(|(arg, value)| match arg {
            Arg::Bytes(bytes) => bytes.as_ptr().cast_mut().cast(),
            _ => std::ptr::from_mut(value).cast(),
        })
        .collect();
    run(&mut pointers)
}
