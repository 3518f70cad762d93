//! Backward passes that take a parameter's gradient as it is.

use std::cell::RefCell;

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use crate::OpsError;

/// A variable and a part of its gradient.
type Part = (Tensor, Tensor);

thread_local! {
    // Candle hands nothing of the caller's to an operation's backward pass.
    static PARTS: RefCell<Option<Vec<Part>>> = const { RefCell::new(None) };
}

/// As [`Tensor::backward`], with less work: candle writes zeros for every tensor that receives a gradient and adds to them in
/// a new tensor; here the gradients that operations on [`Features`](crate::Features) give to variables are taken as they
/// are. On a GPU this spares two launches for each parameter.
///
/// # Errors
/// Those of the operations' backward passes.
pub fn backward(loss: &Tensor) -> Result<GradStore, OpsError> {
    struct Collecting(Option<Vec<Part>>);
    impl Drop for Collecting {
        fn drop(&mut self) {
            PARTS.set(self.0.take());
        }
    }
    let collecting = Collecting(PARTS.replace(Some(Vec::new())));
    let mut gradients = loss.backward()?;
    let parts = PARTS.take().unwrap_or_default();
    drop(collecting);
    for (variable, part) in parts {
        let sum = match gradients.remove(&variable) {
            Some(other) => (other + part)?,
            None => part,
        };
        gradients.insert(&variable, sum);
    }
    Ok(gradients)
}

/// Keeps a gradient for [`backward`], if that is running and `input` is a variable; else gives it back, for candle.
pub(crate) fn keep(input: &Tensor, gradient: Option<Tensor>) -> Option<Tensor> {
    if !input.is_variable() {
        return gradient;
    }
    PARTS.with_borrow_mut(|parts| match parts {
        Some(parts) => {
            parts.extend(gradient.map(|gradient| (input.clone(), gradient)));
            None
        }
        None => gradient,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Conv2dParams, Features, Norm};
    use candle_core::{DType, Device, Var};

    /// The same gradients, of variables used once, twice, and beside the features too.
    #[test]
    fn gradients_are_candles() {
        let var = |dims: &[usize]| Var::randn(0f32, 1.0, dims, &Device::Cpu).unwrap();
        let (x, w, b) = (var(&[2, 4, 6, 6]), var(&[4, 4, 3, 3]), var(&[4]));
        let (gamma, beta, alone) = (var(&[4]), var(&[4]), var(&[3]));
        let (norm, same) = (Norm::Batch { eps: 1e-5 }, Conv2dParams::same(3));
        let maps = Features::of(&x).unwrap();
        let (maps, _) = maps
            .conv_norm(&w, &gamma, &beta, &norm, same, Activation::Relu)
            .unwrap();
        let maps = maps.conv(&w, Some(&b), same).unwrap();
        let loss = maps.into_tensor().unwrap().sqr().unwrap().mean_all().unwrap();
        let beside = (w.sqr().unwrap().sum_all().unwrap() + alone.sum_all().unwrap()).unwrap();
        let loss = (loss + beside).unwrap();
        let (found, expected) = (backward(&loss).unwrap(), loss.backward().unwrap());
        for variable in [&x, &w, &b, &gamma, &beta, &alone] {
            let (a, b) = (found.get(variable).unwrap(), expected.get(variable).unwrap());
            assert_eq!((a.dims(), a.dtype()), (b.dims(), DType::F32));
            let off = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            assert!(off.to_scalar::<f32>().unwrap() < 1e-5);
        }
        // Nothing is kept for the next one.
        assert!(PARTS.with_borrow(Option::is_none));
    }
}
