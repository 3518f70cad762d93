//! Gradients of normalisations against central differences in `f64`.

mod common;

use candle_core::{DType, Device, Tensor};
use common::{check, config, scattered, values, var};
use htl_ops::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn normalisation(batch in 1usize..4, c in 1usize..4, h in 1usize..6, w in 2usize..6, seed in 1u64..1000) {
        let x = var(&[batch, c, h, w], seed);
        let (gamma, beta) = (var(&[c], seed + 1), var(&[c], seed + 2));
        let running = Norm::Running {
            mean: values(&[c], seed + 3),
            var: (values(&[c], seed + 4).abs().unwrap() + 0.5).unwrap(),
            eps: 1e-3,
        };
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            for norm in [&Norm::Batch { eps: 1e-3 }, &running] {
                check(&[&x, &gamma, &beta], |t| {
                    Ok(batch_norm(&scattered(&t[0])?, &t[1], &t[2], norm, activation)?.0)
                });
            }
        }
    }

    #[test]
    fn layer_normalisation(
        batch in 1usize..40, a in 1usize..5, b in 2usize..6, axes in 1usize..4, seed in 1u64..1000,
    ) {
        let x = var(&[batch, a, b], seed);
        let shape = &[batch, a, b][3 - axes..];
        let (gamma, beta) = (var(shape, seed + 1), var(shape, seed + 2));
        let eps = 1e-3;
        check(&[&x, &gamma, &beta], |t| Ok(layer_norm(&scattered(&t[0])?, axes, Some(&t[1]), Some(&t[2]), eps)?));
        check(&[&x, &gamma], |t| Ok(layer_norm(&t[0], axes, Some(&t[1]), None, eps)?));
        check(&[&x, &beta], |t| Ok(layer_norm(&t[0], axes, None, Some(&t[1]), eps)?));
        check(&[&x], |t| Ok(layer_norm(&scattered(&t[0])?, axes, None, None, eps)?));
    }

    #[test]
    fn group_normalisation(
        batch in 1usize..4, groups in 1usize..4, per_group in 1usize..4, h in 1usize..5, w in 2usize..6,
        seed in 1u64..1000,
    ) {
        let c = groups * per_group;
        let x = var(&[batch, c, h, w], seed);
        let (gamma, beta) = (var(&[c], seed + 1), var(&[c], seed + 2));
        let eps = 1e-3;
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            check(&[&x, &gamma, &beta], |t| {
                Ok(group_norm(&scattered(&t[0])?, groups, Some(&t[1]), Some(&t[2]), eps, activation)?)
            });
        }
        check(&[&x], |t| Ok(group_norm(&t[0], groups, None, None, eps, Activation::None)?));
        // Other ranks: [batch, channels] and [batch, channels, length].
        let x = var(&[batch, 2 * c], seed);
        check(&[&x], |t| Ok(group_norm(&scattered(&t[0])?, groups, None, None, eps, Activation::None)?));
        let x = var(&[batch, c, w], seed);
        check(&[&x, &gamma], |t| {
            Ok(group_norm(&scattered(&t[0])?, groups, Some(&t[1]), None, eps, Activation::Relu)?)
        });
    }
}

/// Frozen parameters get no gradient, and those that are not frozen the same as before.
#[test]
fn frozen_parameters_are_skipped() {
    let numbers = |t: Option<&Tensor>| t.map(|t| t.flatten_all().unwrap().to_vec1::<f64>().unwrap());
    let (x, gamma, beta) = (var(&[3, 4, 5], 1), var(&[5], 2), var(&[5], 3));
    let run = |x: &Tensor, gamma: &Tensor, beta: &Tensor| {
        let y = layer_norm(x, 1, Some(gamma), Some(beta), 1e-5).unwrap();
        (y * values(&[3, 4, 5], 4))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap()
    };
    let all = run(&x, &gamma, &beta);
    let (fixed_x, fixed_gamma, fixed_beta) = (
        x.as_detached_tensor(),
        gamma.as_detached_tensor(),
        beta.as_detached_tensor(),
    );
    let only_x = run(&x, &fixed_gamma, &fixed_beta);
    assert_eq!(numbers(only_x.get(&x)), numbers(all.get(&x)));
    assert!(only_x.get(&gamma).is_none());
    let only_gamma = run(&fixed_x, &gamma, &fixed_beta);
    assert_eq!(numbers(only_gamma.get(&gamma)), numbers(all.get(&gamma)));
    assert!(only_gamma.get(&x).is_none());
}

/// A large offset or a first value far from the others costs no accuracy in `f32`.
#[test]
fn rows_far_from_zero_keep_their_digits() {
    let spread = values(&[2, 8, 16, 16], 1);
    let outlier = Tensor::cat(
        &[
            &Tensor::full(200f64, (2, 8, 1, 16), &Device::Cpu).unwrap(),
            &spread.narrow(2, 0, 15).unwrap(),
        ],
        2,
    )
    .unwrap();
    for (what, x) in [("offset", (&spread + 1000.0).unwrap()), ("outlier", outlier)] {
        // What f32 can hold of it, so that only the operation's own error counts.
        let single = x.to_dtype(DType::F32).unwrap();
        let double = single.to_dtype(DType::F64).unwrap();
        for (name, ours, exact) in [
            (
                "group_norm",
                group_norm(&single, 4, None, None, 1e-5, Activation::None).unwrap(),
                group_norm(&double, 4, None, None, 1e-5, Activation::None).unwrap(),
            ),
            (
                "layer_norm",
                layer_norm(&single, 2, None, None, 1e-5).unwrap(),
                layer_norm(&double, 2, None, None, 1e-5).unwrap(),
            ),
        ] {
            let error = (ours.to_dtype(DType::F64).unwrap() - exact).unwrap().abs().unwrap();
            let error = error.flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
            assert!(error < 2e-6, "{name}, {what}: error {error:e}");
        }
    }
}

/// A network that diverged must show it: the activation behind a normalisation keeps NaN, as PyTorch's do.
#[test]
fn nan_stays_nan() {
    let x = Tensor::new(&[[[[f32::NAN, 1.0, 2.0]]]], &Device::Cpu).unwrap();
    let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        let batch = batch_norm(&x, &one, &one, &Norm::Batch { eps: 1e-5 }, activation)
            .unwrap()
            .0;
        let group = group_norm(&x, 1, None, None, 1e-5, activation).unwrap();
        for y in [batch, group] {
            let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(y.iter().all(|v| v.is_nan()), "{activation:?}: {y:?}");
        }
    }
}
