//! Every operation composed of candle's primitives, as it runs on devices without kernels of ours, against the CPU kernels:
//! values and gradients of all inputs, `f64` and `f32`.
//!
//! The compositions run on the CPU, or where `HTL_OPS_TEST_DEVICE=metal|cuda` says (with the cargo feature of that name):
//! `HTL_OPS_TEST_DEVICE=metal cargo test -p htl-ops --features metal --test portable`.

mod cases;
mod common;

use candle_core::{Device, Result, Tensor, Var};
use cases::{ACTIVATIONS, Judge, run};
use common::{device, difference, dtypes, numbers, values};
use htl_ops::portable::everywhere;
use htl_ops::*;

/// The compositions against the CPU's kernels.
struct Compositions;

impl Judge for Compositions {
    fn agree(&self, what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
        for (dtype, bound) in dtypes(1e-10, 1e-5) {
            let ours = run(inputs, dtype, &Device::Cpu, Tensor::backward, &f).unwrap();
            let composed = everywhere(|| run(inputs, dtype, &device(), Tensor::backward, &f)).unwrap();
            assert_eq!(ours.len(), composed.len());
            for (i, (ours, composed)) in ours.iter().zip(&composed).enumerate() {
                let difference = difference(composed, ours);
                assert!(difference < bound, "{what}, {dtype:?}, tensor {i}: {difference:e}");
            }
        }
    }
}

#[test]
fn convolutions() {
    cases::convolutions(&Compositions);
}

#[test]
fn depthwise_convolutions() {
    cases::depthwise_convolutions(&Compositions);
}

#[test]
fn transposed_convolutions() {
    cases::transposed_convolutions(&Compositions);
}

#[test]
fn normalisation() {
    cases::normalisation(&Compositions);
}

#[test]
fn pooling() {
    cases::pooling(&Compositions);
}

#[test]
fn upsampling() {
    cases::upsampling(&Compositions);
}

#[test]
fn blocks() {
    cases::blocks(&Compositions);
}

#[test]
fn losses() {
    cases::losses(&Compositions);
}

#[test]
fn losses_at_their_limits() {
    cases::losses_at_their_limits(&Compositions);
}

#[test]
fn feature_maps() {
    cases::maps::convolutions(&Compositions);
    cases::maps::blocks(&Compositions);
    cases::maps::pooling(&Compositions);
    cases::maps::joins(&Compositions);
    cases::maps::sums(&Compositions);
    cases::maps::network(&Compositions);
}

/// NaN wins a maximum and stays NaN behind an activation; a window of nothing but the least number has a maximum.
#[test]
fn numbers_that_are_not_finite() {
    let mut data = numbers(&values(&[1, 1, 7, 6], 3));
    (data[8], data[20], data[29]) = (f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    let x = Tensor::from_vec(data, (1, 1, 7, 6), &Device::Cpu).unwrap();
    let same = |f: &dyn Fn(&Tensor) -> Tensor| {
        let place = |t: &Tensor, device: &Device| t.to_dtype(dtypes(0.0, 0.0)[0].0).unwrap().to_device(device).unwrap();
        let (ours, composed) = (f(&place(&x, &Device::Cpu)), everywhere(|| f(&place(&x, &device()))));
        assert_eq!(format!("{:?}", numbers(&ours)), format!("{:?}", numbers(&composed)));
    };
    for (kernel, stride, padding) in [(2, 2, 0), (3, 1, 1), (3, 2, 1), (2, 1, 1)] {
        same(&|x| max_pool2d(x, kernel, stride, padding).unwrap());
    }
    same(&|x| adaptive_max_pool2d(x, (3, 4)).unwrap());
    same(&|x| upsample_nearest2d(x, (9, 5)).unwrap());
    for activation in ACTIVATIONS {
        same(&|x| {
            let one = Tensor::ones(1, x.dtype(), x.device()).unwrap();
            let norm = Norm::Running {
                mean: one.zeros_like().unwrap(),
                var: one.clone(),
                eps: 0.0,
            };
            batch_norm(x, &one, &one, &norm, activation).unwrap().0
        });
    }
    let least = Tensor::full(f64::NEG_INFINITY, (1, 1, 4, 4), &Device::Cpu).unwrap();
    Compositions.agree1("the least number", &[least], |t| max_pool2d(&t[0], 3, 2, 1));
}

/// The gradient is 0 at both kinks.
#[test]
fn kinks() {
    let x = Tensor::new(&[[[[-1f32, 0.0, 0.5, 6.0, 7.0]]]], &device()).unwrap();
    let one = Tensor::ones(1, x.dtype(), x.device()).unwrap();
    let zero = one.zeros_like().unwrap();
    for (activation, expected) in [
        (Activation::None, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (Activation::Relu, [0.0, 0.0, 1.0, 1.0, 1.0]),
        (Activation::Relu6, [0.0, 0.0, 1.0, 0.0, 0.0]),
    ] {
        let x = Var::from_tensor(&x).unwrap();
        let norm = Norm::Running {
            mean: zero.clone(),
            var: one.clone(),
            eps: 0.0,
        };
        let (y, _) = everywhere(|| batch_norm(&x, &one, &zero, &norm, activation)).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(numbers(grads.get(&x).unwrap()), expected);
    }
}

#[test]
fn features() {
    cases::features(&Compositions);
}

/// Features of both kinds do not mix, and nothing breaks.
#[test]
fn features_of_two_kinds_are_refused() {
    let x = values(&[1, 2, 4, 4], 1);
    let (own, composed) = (Features::of(&x).unwrap(), everywhere(|| Features::of(&x).unwrap()));
    assert!(own.add(&composed).is_err() && composed.add(&own).is_err());
}

/// Inputs that need no gradient get none.
#[test]
fn untracked_inputs_are_skipped() {
    let (x, weight) = (
        values(&[1, 2, 4, 4], 1),
        Var::from_tensor(&values(&[3, 2, 3, 3], 2)).unwrap(),
    );
    let y = everywhere(|| conv2d(&x, &weight, None, Conv2dParams::same(3))).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none() && grads.get(&weight).is_some());
    let y = everywhere(|| conv2d(&x, &weight.as_detached_tensor(), None, Conv2dParams::same(3))).unwrap();
    assert!(!y.track_op());
}
