//! What `f32` costs: outputs and gradients of every family against the same operation in `f64`.
//!
//! `cargo test --release -p htl-ops --test precision -- --nocapture` prints the largest errors, each relative to the
//! largest value of its tensor.

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::values;
use htl_ops::*;

/// Errors of output and gradients on inputs that `f32` holds exactly; fails above `bound`.
fn compare(name: &str, bound: f64, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Tensor) {
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.to_dtype(DType::F32).unwrap()).collect();
    let run = |dtype: DType| {
        let vars: Vec<Var> = inputs
            .iter()
            .map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let y = f(&tensors);
        let cotangent = values(y.dims(), 77)
            .to_dtype(DType::F32)
            .unwrap()
            .to_dtype(dtype)
            .unwrap();
        let grads = (&y * cotangent).unwrap().sum_all().unwrap().backward().unwrap();
        let mut all = vec![y.detach()];
        all.extend(vars.iter().map(|v| grads.get(v).unwrap().clone()));
        all.into_iter()
            .map(|t| {
                let t = t.to_dtype(DType::F64).unwrap();
                t.flatten_all().unwrap().to_vec1::<f64>().unwrap()
            })
            .collect::<Vec<_>>()
    };
    let errors: Vec<f64> = run(DType::F32)
        .iter()
        .zip(&run(DType::F64))
        .map(|(single, double)| {
            let largest = double.iter().fold(f64::MIN_POSITIVE, |m, v| m.max(v.abs()));
            single.iter().zip(double).fold(0f64, |m, (a, b)| m.max((a - b).abs())) / largest
        })
        .collect();
    println!(
        "{name}: {}",
        errors.iter().map(|e| format!("{e:.1e}")).collect::<Vec<_>>().join(" ")
    );
    assert!(errors.iter().all(|&e| e < bound), "{name}: {errors:?}");
}

#[test]
fn convolutions() {
    let bias = values(&[32], 3);
    for (stride, padding, groups, k) in [(1, 1, 1, 3), (2, 1, 1, 3), (1, 1, 4, 3), (1, 0, 1, 1)] {
        let inputs = [
            values(&[4, 64, 17, 16], 1),
            values(&[32, 64 / groups, k, k], 2),
            bias.clone(),
        ];
        let params = Conv2dParams {
            stride,
            padding,
            groups,
            ..Conv2dParams::default()
        };
        let name = format!("conv2d, window {k}, stride {stride}, groups {groups}");
        compare(&name, 5e-6, &inputs, |t| {
            conv2d(&t[0], &t[1], Some(&t[2]), params).unwrap()
        });
        let inputs = [
            values(&[4, 64, 17, 16], 1),
            values(&[64, 32 / groups, k, k], 2),
            bias.clone(),
        ];
        let params = ConvTranspose2dParams {
            stride,
            padding,
            groups,
            ..ConvTranspose2dParams::default()
        };
        let name = format!("conv_transpose2d, window {k}, stride {stride}, groups {groups}");
        compare(&name, 5e-6, &inputs, |t| {
            conv_transpose2d(&t[0], &t[1], Some(&t[2]), params).unwrap()
        });
    }
}

#[test]
fn normalisations() {
    let (gamma, beta) = (values(&[32], 2), values(&[32], 3));
    let x = values(&[4, 32, 33, 32], 1);
    for (what, x) in [("around 0", x.clone()), ("around 100", (x + 100.0).unwrap())] {
        let inputs = [x.clone(), gamma.clone(), beta.clone()];
        compare(&format!("group_norm, {what}"), 1e-6, &inputs, |t| {
            group_norm(&t[0], 8, Some(&t[1]), Some(&t[2]), 1e-5, Activation::None).unwrap()
        });
        compare(&format!("layer_norm, {what}"), 1e-6, &inputs, |t| {
            layer_norm(&t[0], 1, Some(&t[1]), Some(&t[2]), 1e-5).unwrap()
        });
        compare(&format!("batch_norm, {what}"), 1e-4, &inputs, |t| {
            batch_norm(&t[0], &t[1], &t[2], &Norm::Batch { eps: 1e-5 }, Activation::None)
                .unwrap()
                .0
        });
    }
}

#[test]
fn pooling_and_upsampling() {
    let x = [(values(&[4, 8, 65, 63], 1) + 0.5).unwrap()];
    compare("max_pool2d", 1e-6, &x, |t| max_pool2d(&t[0], 3, 2, 1).unwrap());
    compare("avg_pool2d", 1e-6, &x, |t| avg_pool2d(&t[0], 3, 2, 1).unwrap());
    compare("global_avg_pool2d", 1e-6, &x, |t| global_avg_pool2d(&t[0]).unwrap());
    compare("adaptive_avg_pool2d to 7 x 7", 1e-6, &x, |t| {
        adaptive_avg_pool2d(&t[0], (7, 7)).unwrap()
    });
    compare("adaptive_avg_pool2d to 1 x 1", 1e-6, &x, |t| {
        adaptive_avg_pool2d(&t[0], (1, 1)).unwrap()
    });
    compare("adaptive_max_pool2d to 7 x 7", 1e-6, &x, |t| {
        adaptive_max_pool2d(&t[0], (7, 7)).unwrap()
    });
    compare("upsample_nearest2d to 130 x 126", 1e-6, &x, |t| {
        upsample_nearest2d(&t[0], (130, 126)).unwrap()
    });
    for corners in [Corners::HalfPixel, Corners::Aligned] {
        compare(
            &format!("upsample_bilinear2d to 128 x 100, {corners:?}"),
            1e-5,
            &x,
            |t| upsample_bilinear2d(&t[0], (128, 100), corners).unwrap(),
        );
    }
}

/// Predictions that are unsure, and predictions that are mostly right, whose losses and gradients are small.
#[test]
fn losses() {
    for (what, scale) in [("unsure", 4.0), ("mostly right", 20.0)] {
        let logits = (values(&[4, 1, 64, 64], 1) * scale).unwrap();
        let target = logits.ge(1.0).unwrap();
        let target = |t: &Tensor| target.to_dtype(t.dtype()).unwrap();
        let logits = [logits];
        compare(&format!("bce_with_logits, {what}"), 1e-6, &logits, |t| {
            bce_with_logits(&t[0], &target(&t[0]), None).unwrap()
        });
        compare(&format!("soft_dice, {what}"), 1e-5, &logits, |t| {
            soft_dice(&t[0], &target(&t[0]), None).unwrap()
        });
        for gamma in [1.0, 0.75] {
            let params = TverskyParams {
                gamma,
                ..TverskyParams::default()
            };
            compare(&format!("tversky, exponent {gamma}, {what}"), 1e-6, &logits, |t| {
                tversky(&t[0], &target(&t[0]), None, params).unwrap()
            });
        }
        for (alpha, gamma) in [(Some(0.25), 2.0), (None, 1.5)] {
            compare(
                &format!("focal_with_logits, gamma {gamma}, {what}"),
                1e-6,
                &logits,
                |t| focal_with_logits(&t[0], &target(&t[0]), None, FocalParams { alpha, gamma }).unwrap(),
            );
        }
    }
    let labels = Tensor::from_iter((0..64u32).map(|i| i % 10), &Device::Cpu).unwrap();
    let logits = [(values(&[64, 10], 1) * 5.0).unwrap()];
    compare("cross_entropy", 1e-6, &logits, |t| {
        cross_entropy(&t[0], &labels).unwrap()
    });
}
