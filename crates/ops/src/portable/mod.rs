//! The same operations as compositions of candle's own primitives: what runs where there is no kernel of ours.
//!
//! Values come from primitives, gradients are written out by hand and attached to candle's graph: that
//! keeps fewer tensors alive than candle's own backward pass, and stays clear of those of its gradients that are wrong
//! (maxima share theirs among ties, ReLU's is 1 at 0, the weight's gradient of a convolution takes a path on Metal that
//! reads a strided weight as if it were contiguous). Only primitives that have an `f32` kernel on every device are used.

// The operations that candle gets wrong are wrong backward only, and nothing here goes backward through them.
#![allow(clippy::disallowed_methods)]

pub(crate) mod conv;
pub(crate) mod counts;
pub(crate) mod graph;
pub(crate) mod grid;
pub(crate) mod loss;
pub(crate) mod norm;
pub(crate) mod optim;
pub(crate) mod pool;
pub(crate) mod resize;

use std::cell::Cell;

use candle_core::{DType, Device, Result, Shape, Tensor};

thread_local! {
    static EVERYWHERE: Cell<bool> = const { Cell::new(false) };
}

/// Whether an operation on this tensor is composed: always but on the CPU.
pub(crate) fn takes(tensor: &Tensor) -> bool {
    !tensor.device().is_cpu() || EVERYWHERE.get()
}

/// Runs `f` with every operation of this thread composed, on the CPU too. For tests: the compositions are what runs on
/// other devices, and a test may have none.
pub fn everywhere<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            EVERYWHERE.set(self.0);
        }
    }
    let _restore = Restore(EVERYWHERE.replace(true));
    f()
}

/// A tensor full of one number.
pub(crate) fn full(value: f64, shape: impl Into<Shape>, like: &Tensor) -> Result<Tensor> {
    match like.dtype() {
        DType::F64 => Tensor::full(value, shape, like.device()),
        _ => Tensor::full(value as f32, shape, like.device())?.to_dtype(like.dtype()),
    }
}

/// Numbers of the host as a tensor like another.
fn from_host(values: Vec<f64>, shape: impl Into<Shape>, like: &Tensor) -> Result<Tensor> {
    match like.dtype() {
        DType::F64 => Tensor::from_vec(values, shape, like.device()),
        // By the host: not every device knows `f64`.
        dtype => {
            let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)?
                .to_dtype(dtype)?
                .to_device(like.device())
        }
    }
}

/// Sums over these axes, which stay as 1. One after the other: a sum of sums loses less than one long sum.
fn sum_keep(t: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let mut sum = t.clone();
    for &axis in axes {
        if sum.dims()[axis] > 1 {
            sum = sum.sum_keepdim(axis)?;
        }
    }
    Ok(sum)
}
