//! Every operation composed of candle's primitives, as it runs on devices without kernels of ours, against the CPU kernels:
//! values and gradients of all inputs, `f64` and `f32`.
//!
//! The compositions run on the CPU, or where `HTL_OPS_TEST_DEVICE=metal|cuda` says (with the cargo feature of that name):
//! `HTL_OPS_TEST_DEVICE=metal cargo test -p htl-ops --features metal --test portable`.

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use common::{config, device, difference, dtypes, like, numbers, scattered, values};
use htl_ops::portable::everywhere;
use htl_ops::*;
use proptest::prelude::*;

/// Results, then the gradients of all inputs for a weighted sum of the first result.
fn run(inputs: &[Tensor], dtype: DType, device: &Device, f: &impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap().to_device(device).unwrap()).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let mut all = f(&tensors).unwrap();
    let cotangent = like(&values(all[0].dims(), 77), &all[0]);
    let sum = (&all[0] * cotangent).unwrap().sum_all().unwrap();
    let grads = sum.backward().unwrap();
    all.extend(vars.iter().map(|v| grads.get(v).expect("a gradient").clone()));
    all.iter().map(Tensor::detach).collect()
}

fn agree(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
    for (dtype, bound) in dtypes(1e-10, 1e-5) {
        let ours = run(inputs, dtype, &Device::Cpu, &f);
        let composed = everywhere(|| run(inputs, dtype, &device(), &f));
        assert_eq!(ours.len(), composed.len());
        for (i, (ours, composed)) in ours.iter().zip(&composed).enumerate() {
            let difference = difference(composed, ours);
            assert!(difference < bound, "{dtype:?}, tensor {i}: {difference:e}");
        }
    }
}

/// As [`agree`] for operations with one result.
fn agree1(inputs: &[Tensor], f: impl Fn(&[Tensor]) -> std::result::Result<Tensor, OpsError>) {
    agree(inputs, |t| Ok(vec![f(t)?]));
}

fn with_statistics((y, statistics): (Tensor, Option<BatchStatistics>)) -> Vec<Tensor> {
    let statistics = statistics.map(|s| [s.mean, s.var]);
    std::iter::once(y).chain(statistics.into_iter().flatten()).collect()
}

fn norms(channels: usize, x: &Tensor, seed: u64) -> [Norm; 2] {
    let cast = |t: Tensor| like(&t, x);
    [
        Norm::Batch { eps: 1e-3 },
        Norm::Running {
            mean: cast(values(&[channels], seed)),
            var: cast((values(&[channels], seed + 1).abs().unwrap() + 0.5).unwrap()),
            eps: 1e-3,
        },
    ]
}

type Loss<'a> = &'a dyn Fn(&Tensor, &Tensor, Option<&Tensor>) -> std::result::Result<Tensor, OpsError>;

const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

/// Values of a few levels only: many ties.
fn levels(shape: &[usize], seed: u64) -> Tensor {
    let steps = (values(shape, seed) * 2.0).unwrap();
    steps.round().unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn convolutions(
        batch in 1usize..3, groups in 1usize..4, cig in 1usize..4, cog in 1usize..4,
        kh in 1usize..5, kw in 1usize..5, stride in 1usize..4, padding in 0usize..5, dilation in 1usize..4,
        extra_h in 0usize..6, extra_w in 0usize..6, seed in 1u64..1000,
    ) {
        let (h, w) = (dilation * (kh - 1) + 1 + extra_h, dilation * (kw - 1) + 1 + extra_w);
        let inputs = [
            values(&[batch, groups * cig, h, w], seed),
            values(&[groups * cog, cig, kh, kw], seed + 1),
            values(&[groups * cog], seed + 2),
        ];
        let params = Conv2dParams { stride, padding, dilation, groups };
        agree1(&inputs, |t| conv2d(&scattered(&t[0])?, &t[1], Some(&t[2]), params));
        agree1(&inputs[..2], |t| conv2d(&t[0], &scattered(&t[1])?, None, params));
    }

    #[test]
    fn depthwise_convolutions(
        batch in 1usize..3, channels in 2usize..5, multiplier in 1usize..3, kh in 1usize..6, kw in 1usize..6,
        stride in 1usize..4, padding in 0usize..4, dilation in 1usize..3, extra_h in 0usize..9, extra_w in 0usize..9,
        seed in 1u64..1000,
    ) {
        let (h, w) = (dilation * (kh - 1) + 1 + extra_h, dilation * (kw - 1) + 1 + extra_w);
        let inputs = [
            values(&[batch, channels, h, w], seed),
            values(&[channels * multiplier, 1, kh, kw], seed + 1),
        ];
        let params = Conv2dParams { stride, padding, dilation, groups: channels };
        agree1(&inputs, |t| conv2d(&scattered(&t[0])?, &t[1], None, params));
    }

    #[test]
    fn transposed_convolutions(
        batch in 1usize..3, groups in 1usize..4, cig in 1usize..4, cog in 1usize..4,
        kh in 1usize..4, kw in 1usize..4, stride in 1usize..4, padding in 0usize..3, dilation in 1usize..4,
        output_padding in 0usize..3, extra_h in 0usize..4, extra_w in 0usize..4, seed in 1u64..1000,
    ) {
        let output_padding = output_padding.min(stride.max(dilation) - 1);
        let (h, w) = (1 + 2 * padding + extra_h, 1 + 2 * padding + extra_w);
        let inputs = [
            values(&[batch, groups * cig, h, w], seed),
            values(&[groups * cig, cog, kh, kw], seed + 1),
            values(&[groups * cog], seed + 2),
        ];
        let params = ConvTranspose2dParams { stride, padding, output_padding, dilation, groups };
        agree1(&inputs, |t| conv_transpose2d(&scattered(&t[0])?, &scattered(&t[1])?, Some(&t[2]), params));
        agree1(&inputs[..2], |t| conv_transpose2d(&t[0], &t[1], None, params));
    }

    #[test]
    fn normalisation(
        batch in 1usize..4, groups in 1usize..4, channels in 1usize..4, h in 1usize..6, w in 2usize..6,
        seed in 1u64..1000,
    ) {
        let channels = groups * channels;
        // Wide enough that Relu6 cuts some.
        let inputs = [
            values(&[batch, channels, h, w], seed),
            (values(&[channels], seed + 1) * 8.0).unwrap(),
            (values(&[channels], seed + 2) * 4.0).unwrap(),
        ];
        for activation in ACTIVATIONS {
            for which in 0..2 {
                agree(&inputs, |t| {
                    let norm = &norms(channels, &t[0], seed)[which];
                    Ok(with_statistics(batch_norm(&scattered(&t[0])?, &t[1], &t[2], norm, activation)?))
                });
            }
            agree1(&inputs, |t| group_norm(&t[0], groups, Some(&t[1]), Some(&t[2]), 1e-3, activation));
            agree1(&inputs[..1], |t| group_norm(&t[0], groups, None, None, 1e-3, activation));
        }
        for axes in 1..4 {
            let shape = &[batch, channels, h, w][4 - axes..];
            let inputs = [inputs[0].clone(), values(shape, seed + 3), values(shape, seed + 4)];
            agree1(&inputs, |t| layer_norm(&t[0], axes, Some(&t[1]), Some(&t[2]), 1e-3));
            agree1(&inputs[..1], |t| layer_norm(&scattered(&t[0])?, axes, None, None, 1e-3));
        }
    }

    #[test]
    fn pooling(
        batch in 1usize..3, channels in 1usize..4, kernel in 1usize..5, stride in 1usize..4, padding in 0usize..3,
        extra_h in 0usize..7, extra_w in 0usize..7, oh in 1usize..9, ow in 1usize..9, seed in 1u64..1000,
    ) {
        let shape = [batch, channels, kernel + extra_h, kernel + extra_w];
        let padding = padding.min(kernel / 2);
        for x in [values(&shape, seed), levels(&shape, seed)] {
            let x = [x];
            agree1(&x, |t| max_pool2d(&scattered(&t[0])?, kernel, stride, padding));
            agree1(&x, |t| avg_pool2d(&scattered(&t[0])?, kernel, stride, padding));
            agree1(&x, |t| adaptive_max_pool2d(&scattered(&t[0])?, (oh, ow)));
            agree1(&x, |t| adaptive_avg_pool2d(&scattered(&t[0])?, (oh, ow)));
            agree1(&x, |t| global_avg_pool2d(&scattered(&t[0])?));
        }
    }

    #[test]
    fn upsampling(
        batch in 1usize..3, low in 1usize..4, high in 1usize..4, h in 1usize..7, w in 1usize..7,
        oh in 1usize..15, ow in 1usize..15, seed in 1u64..1000,
    ) {
        let inputs = [values(&[batch, low, h, w], seed), values(&[batch, high, 2 * h, 2 * w], seed + 1)];
        agree1(&inputs[..1], |t| upsample_nearest2d(&scattered(&t[0])?, (oh, ow)));
        for corners in [Corners::Aligned, Corners::HalfPixel] {
            agree1(&inputs[..1], |t| upsample_bilinear2d(&scattered(&t[0])?, (oh, ow), corners));
        }
        agree1(&inputs, |t| upsample_concat(&scattered(&t[0])?, &scattered(&t[1])?));
    }

    #[test]
    fn blocks(
        batch in 1usize..3, cin in 1usize..4, cout in 1usize..4, half in 0usize..3, h in 2usize..7, w in 2usize..7,
        seed in 1u64..1000,
    ) {
        let kernel = 2 * half + 1;
        let inputs = [
            values(&[batch, cin, h, w], seed),
            values(&[cout, cin, kernel, kernel], seed + 1),
            values(&[cout], seed + 2),
            values(&[cout], seed + 3),
        ];
        let params = Conv2dParams { stride: 1 + half, padding: half, ..Conv2dParams::default() };
        let joined = [
            inputs[0].clone(),
            values(&[batch, 2, 2 * h, 2 * w], seed + 4),
            values(&[cout, cin + 2, kernel, kernel], seed + 5),
            inputs[2].clone(),
            inputs[3].clone(),
        ];
        for which in 0..2 {
            let norm = |t: &[Tensor]| norms(cout, &t[0], seed + 6)[which].clone();
            agree(&inputs, |t| {
                Ok(with_statistics(conv_norm_relu(&scattered(&t[0])?, &t[1], &t[2], &t[3], &norm(t))?))
            });
            for activation in ACTIVATIONS {
                agree(&inputs, |t| {
                    Ok(with_statistics(conv_norm(&t[0], &t[1], &t[2], &t[3], &norm(t), params, activation)?))
                });
            }
            agree(&joined, |t| {
                let (x, skip) = (scattered(&t[0])?, scattered(&t[1])?);
                Ok(with_statistics(upsample_concat_conv_norm_relu(&x, &skip, &t[2], &t[3], &t[4], &norm(t))?))
            });
        }
    }

    #[test]
    fn losses(
        batch in 1usize..4, h in 1usize..7, w in 1usize..30, classes in 1usize..6, alpha in 0.05f64..1.0,
        beta in 0.05f64..1.0, gamma in 0.5f64..3.0, smooth in 0.1f64..2.0, seed in 1u64..1000,
    ) {
        let shape = [batch, 1, h, w];
        let logits = [(values(&shape, seed) * 6.0).unwrap()];
        let soft = values(&shape, seed + 1).abs().unwrap();
        let hard = soft.ge(0.5).unwrap().to_dtype(DType::F64).unwrap();
        let weights = values(&shape, seed + 2).abs().unwrap();
        for (target, weights) in [(&soft, None), (&hard, None), (&soft, Some(&weights)), (&hard, Some(&weights))] {
            let with = |f: Loss| {
                agree1(&logits, |t| {
                    let weights = weights.map(|w| like(w, &t[0]));
                    f(&scattered(&t[0])?, &scattered(&like(target, &t[0]))?, weights.as_ref())
                });
            };
            with(&|z, t, w| bce_with_logits(z, t, w));
            with(&|z, t, w| soft_dice(z, t, w));
            for gamma in [1.0, gamma] {
                with(&|z, t, w| tversky(z, t, w, TverskyParams { alpha, beta, gamma, smooth }));
            }
            for params in [
                FocalParams { alpha: Some(alpha), gamma },
                FocalParams { alpha: None, gamma: 2.0 },
                FocalParams { alpha: Some(alpha), gamma: 0.0 },
            ] {
                with(&|z, t, w| focal_with_logits(z, t, w, params));
            }
        }
        let logits = [values(&[batch, classes], seed)];
        let labels: Vec<u32> = (0..batch).map(|i| ((seed as usize + 3 * i) % classes) as u32).collect();
        let labels = Tensor::from_vec(labels, batch, &Device::Cpu).unwrap();
        agree1(&logits, |t| cross_entropy(&t[0], &labels.to_device(t[0].device())?));
    }
}

/// Logits far out, and images without a lesion in truth or prediction.
#[test]
fn losses_at_their_limits() {
    let z = Tensor::new(
        &[[-200.0, 200.0, 30.0, -30.0, 0.0], [-800.0; 5], [800.0; 5]],
        &Device::Cpu,
    )
    .unwrap();
    let truth = Tensor::new(&[[0.0, 1.0, 0.0, 1.0, 1.0], [0.0; 5], [1.0; 5]], &Device::Cpu).unwrap();
    let z = &[z];
    let plain = TverskyParams {
        smooth: 0.0,
        ..TverskyParams::default()
    };
    for gamma in [0.75, 1.0, 2.0] {
        agree1(z, |t| {
            tversky(&t[0], &like(&truth, &t[0]), None, TverskyParams { gamma, ..plain })
        });
    }
    let truth = |t: &[Tensor]| like(&truth, &t[0]);
    agree1(z, |t| bce_with_logits(&t[0], &truth(t), None));
    agree1(z, |t| soft_dice(&t[0], &truth(t), None));
    agree1(z, |t| focal_with_logits(&t[0], &truth(t), None, FocalParams::default()));
    let labels = Tensor::new(&[1u32, 0, 4], &Device::Cpu).unwrap();
    agree1(z, |t| cross_entropy(&t[0], &labels.to_device(t[0].device())?));
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
    agree1(&[least], |t| max_pool2d(&t[0], 3, 2, 1));
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

/// A network with a pooled, a joined and a twice added map.
#[test]
fn features() {
    let inputs = [
        values(&[2, 2, 8, 6], 1),
        values(&[3, 2, 3, 3], 2),
        values(&[3, 3, 3, 3], 3),
        values(&[3, 6, 3, 3], 4),
        values(&[3], 5),
        values(&[3], 6),
        values(&[1, 3, 1, 1], 7),
        values(&[1], 8),
    ];
    agree(&inputs, |t| {
        let norm = Norm::Batch { eps: 1e-3 };
        let block = |x: &Features, weight: &Tensor| {
            x.conv_norm(weight, &t[4], &t[5], &norm, Conv2dParams::same(3), Activation::Relu)
        };
        let (skip, first) = block(&Features::of(&scattered(&t[0])?)?, &t[1])?;
        let (low, _) = block(&skip.max_pool(2, 2, 0)?, &t[2])?;
        let (joined, last) = low.upsample_concat_conv_norm_relu(&skip, &t[3], &t[4], &t[5], &norm)?;
        let sum = joined.add(&skip)?.add(&skip)?;
        let y = sum.conv(&t[6], Some(&t[7]), Conv2dParams::default())?.into_tensor()?;
        let mut all = vec![y];
        all.extend([first, last].into_iter().flatten().flat_map(|s| [s.mean, s.var]));
        Ok(all)
    });
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
