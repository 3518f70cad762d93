//! Steps of optimisers. Variables are overwritten, state is replaced.

use candle_core::{DType, Result, Tensor, Var};

use super::sum_keep;

/// AdamW with the constants `[keep, beta1, beta2, size, correction, eps]`; returns mean and square.
pub(crate) fn adamw(var: &Var, gradient: &Tensor, [mean, square]: [&Tensor; 2], c: [f64; 6]) -> Result<[Tensor; 2]> {
    let [keep, b1, b2, size, correction, eps] = c;
    // In the numbers of the parameter, as the kernel has it.
    let rest = |b: f64| match var.dtype() {
        DType::F32 => f64::from(1.0 - b as f32),
        _ => 1.0 - b,
    };
    let (p, gradient) = (var.as_detached_tensor(), gradient.detach());
    let mean = (mean + (&gradient - mean)?.affine(rest(b1), 0.0)?)?;
    let square = (square.affine(b2, 0.0)? + gradient.sqr()?.affine(rest(b2), 0.0)?)?;
    let root = square.sqrt()?.affine(correction, eps)?;
    var.set(&(p.affine(keep, 0.0)? - (mean.affine(size, 0.0)? / root)?)?)?;
    Ok([mean, square])
}

/// SGD with momentum; returns the velocity.
pub(crate) fn sgd(var: &Var, gradient: &Tensor, velocity: &Tensor, [lr, momentum, decay]: [f64; 3]) -> Result<Tensor> {
    let p = var.as_detached_tensor();
    let pull = (gradient.detach() + p.affine(decay, 0.0)?)?;
    let velocity = (velocity.affine(momentum, 0.0)? + pull)?;
    var.set(&(p - velocity.affine(lr, 0.0)?)?)?;
    Ok(velocity)
}

/// One step of an exponential moving average.
pub(crate) fn follow(average: &Var, value: &Tensor, rate: f64) -> Result<()> {
    let a = average.as_detached_tensor();
    average.set(&(&a + (value.detach() - &a)?.affine(rate, 0.0)?)?)
}

/// Sum of squares, one element.
pub(crate) fn square_sum(t: &Tensor) -> Result<Tensor> {
    let axes: Vec<usize> = (0..t.rank()).rev().collect();
    sum_keep(&t.detach().sqr()?, &axes)?.reshape(1)
}
