//! What every operation is asked, whoever compares: `portable.rs` compositions with the CPU's kernels, `agreement.rs` a GPU
//! with the CPU.

// Every test file uses some of this.
#![allow(dead_code)]

pub mod augment;
pub mod maps;
pub mod optim;

use crate::common::{config, like, numbers, scattered, values};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};
use htl_ops::*;
use proptest::prelude::*;

/// Compares two ways to compute the same.
pub trait Judge {
    /// Compares the results of `f` and the gradients of all inputs, which come in `f64` on the CPU.
    fn agree(&self, what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>);

    /// As [`Judge::agree`] for operations with one result.
    fn agree1(&self, what: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> std::result::Result<Tensor, OpsError>) {
        self.agree(what, inputs, |t| Ok(vec![f(t)?]));
    }

    /// As [`Judge::agree`] for feature maps large enough for their statistics to be well known.
    fn agree_on_maps(&self, what: &str, kinks: Kinks, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Vec<Tensor>>) {
        let _ = kinks;
        self.agree(what, inputs, f);
    }

    /// Feature maps of a tensor, in the numbers that are compared.
    fn features(&self, x: &Tensor) -> std::result::Result<Features, OpsError> {
        Features::of(x)
    }
}

/// Whether a gradient can jump where values differ by a rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinks {
    /// At a ReLU's zero, or where another element becomes the largest.
    Some,
    None,
}

/// How gradients are computed.
pub type Backward = fn(&Tensor) -> Result<GradStore>;

/// Results, then the gradients of all inputs for a weighted sum of the first result.
pub fn run(
    inputs: &[Tensor],
    dtype: DType,
    device: &Device,
    backward: Backward,
    f: &impl Fn(&[Tensor]) -> Result<Vec<Tensor>>,
) -> Result<Vec<Tensor>> {
    let placed = inputs
        .iter()
        .map(|t| Var::from_tensor(&t.to_dtype(dtype)?.to_device(device)?));
    let vars: Vec<Var> = placed.collect::<Result<_>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let mut all = f(&tensors)?;
    let cotangent = like(&values(all[0].dims(), 77), &all[0]);
    let grads = backward(&(&all[0] * cotangent)?.sum_all()?)?;
    for (index, var) in vars.iter().enumerate() {
        let missing = || candle_core::Error::Msg(format!("input {index} has no gradient"));
        all.push(grads.get(var).ok_or_else(missing)?.clone());
    }
    Ok(all.iter().map(Tensor::detach).collect())
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

pub const ACTIVATIONS: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Relu6];

/// Values of a few levels only: many ties.
fn levels(shape: &[usize], seed: u64) -> Tensor {
    let steps = (values(shape, seed) * 2.0).unwrap();
    steps.round().unwrap()
}

pub fn convolutions(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..3, groups in 1usize..4, cig in 1usize..4, cog in 1usize..4,
        kh in 1usize..5, kw in 1usize..5, stride in 1usize..4, padding in 0usize..5, dilation in 1usize..4,
        extra_h in 0usize..6, extra_w in 0usize..6, seed in 1u64..1000,
    )| {
        let (h, w) = (dilation * (kh - 1) + 1 + extra_h, dilation * (kw - 1) + 1 + extra_w);
        let inputs = [
            values(&[batch, groups * cig, h, w], seed),
            values(&[groups * cog, cig, kh, kw], seed + 1),
            values(&[groups * cog], seed + 2),
        ];
        let params = Conv2dParams { stride, padding, dilation, groups };
        judge.agree1("convolutions", &inputs, |t| conv2d(&scattered(&t[0])?, &t[1], Some(&t[2]), params));
        judge.agree1("convolutions", &inputs[..2], |t| conv2d(&t[0], &scattered(&t[1])?, None, params));
    });
}

pub fn depthwise_convolutions(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..3, channels in 2usize..5, multiplier in 1usize..3, kh in 1usize..6, kw in 1usize..6,
        stride in 1usize..4, padding in 0usize..4, dilation in 1usize..3, extra_h in 0usize..9, extra_w in 0usize..9,
        seed in 1u64..1000,
    )| {
        let (h, w) = (dilation * (kh - 1) + 1 + extra_h, dilation * (kw - 1) + 1 + extra_w);
        let inputs = [
            values(&[batch, channels, h, w], seed),
            values(&[channels * multiplier, 1, kh, kw], seed + 1),
        ];
        let params = Conv2dParams { stride, padding, dilation, groups: channels };
        judge.agree1("depthwise_convolutions", &inputs, |t| conv2d(&scattered(&t[0])?, &t[1], None, params));
    });
}

pub fn transposed_convolutions(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..3, groups in 1usize..4, cig in 1usize..4, cog in 1usize..4,
        kh in 1usize..4, kw in 1usize..4, stride in 1usize..4, padding in 0usize..3, dilation in 1usize..4,
        output_padding in 0usize..3, extra_h in 0usize..4, extra_w in 0usize..4, seed in 1u64..1000,
    )| {
        let output_padding = output_padding.min(stride.max(dilation) - 1);
        let (h, w) = (1 + 2 * padding + extra_h, 1 + 2 * padding + extra_w);
        let inputs = [
            values(&[batch, groups * cig, h, w], seed),
            values(&[groups * cig, cog, kh, kw], seed + 1),
            values(&[groups * cog], seed + 2),
        ];
        let params = ConvTranspose2dParams { stride, padding, output_padding, dilation, groups };
        judge.agree1("transposed_convolutions", &inputs, |t| conv_transpose2d(&scattered(&t[0])?, &scattered(&t[1])?, Some(&t[2]), params));
        judge.agree1("transposed_convolutions", &inputs[..2], |t| conv_transpose2d(&t[0], &t[1], None, params));
    });
}

pub fn normalisation(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..4, groups in 1usize..4, channels in 1usize..4, h in 1usize..6, w in 2usize..6,
        seed in 1u64..1000,
    )| {
        let channels = groups * channels;
        // Wide enough that Relu6 cuts some.
        let inputs = [
            values(&[batch, channels, h, w], seed),
            (values(&[channels], seed + 1) * 8.0).unwrap(),
            (values(&[channels], seed + 2) * 4.0).unwrap(),
        ];
        for activation in ACTIVATIONS {
            for which in 0..2 {
                judge.agree("normalisation", &inputs, |t| {
                    let norm = &norms(channels, &t[0], seed)[which];
                    Ok(with_statistics(batch_norm(&scattered(&t[0])?, &t[1], &t[2], norm, activation)?))
                });
            }
            judge.agree1("normalisation", &inputs, |t| group_norm(&t[0], groups, Some(&t[1]), Some(&t[2]), 1e-3, activation));
            judge.agree1("normalisation", &inputs[..1], |t| group_norm(&t[0], groups, None, None, 1e-3, activation));
        }
        for axes in 1..4 {
            let shape = &[batch, channels, h, w][4 - axes..];
            let inputs = [inputs[0].clone(), values(shape, seed + 3), values(shape, seed + 4)];
            judge.agree1("normalisation", &inputs, |t| layer_norm(&t[0], axes, Some(&t[1]), Some(&t[2]), 1e-3));
            judge.agree1("normalisation", &inputs[..1], |t| layer_norm(&scattered(&t[0])?, axes, None, None, 1e-3));
        }
    });
}

pub fn pooling(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..3, channels in 1usize..4, kernel in 1usize..5, stride in 1usize..4, padding in 0usize..3,
        extra_h in 0usize..7, extra_w in 0usize..7, oh in 1usize..9, ow in 1usize..9, seed in 1u64..1000,
    )| {
        let shape = [batch, channels, kernel + extra_h, kernel + extra_w];
        let padding = padding.min(kernel / 2);
        for x in [values(&shape, seed), levels(&shape, seed)] {
            let x = [x];
            judge.agree1("pooling", &x, |t| max_pool2d(&scattered(&t[0])?, kernel, stride, padding));
            judge.agree1("pooling", &x, |t| avg_pool2d(&scattered(&t[0])?, kernel, stride, padding));
            judge.agree1("pooling", &x, |t| adaptive_max_pool2d(&scattered(&t[0])?, (oh, ow)));
            judge.agree1("pooling", &x, |t| adaptive_avg_pool2d(&scattered(&t[0])?, (oh, ow)));
            judge.agree1("pooling", &x, |t| global_avg_pool2d(&scattered(&t[0])?));
        }
    });
}

pub fn upsampling(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..3, low in 1usize..4, high in 1usize..4, h in 1usize..7, w in 1usize..7,
        oh in 1usize..15, ow in 1usize..15, seed in 1u64..1000,
    )| {
        let inputs = [values(&[batch, low, h, w], seed), values(&[batch, high, 2 * h, 2 * w], seed + 1)];
        judge.agree1("upsampling", &inputs[..1], |t| upsample_nearest2d(&scattered(&t[0])?, (oh, ow)));
        for corners in [Corners::Aligned, Corners::HalfPixel] {
            judge.agree1("upsampling", &inputs[..1], |t| upsample_bilinear2d(&scattered(&t[0])?, (oh, ow), corners));
        }
        judge.agree1("upsampling", &inputs, |t| upsample_concat(&scattered(&t[0])?, &scattered(&t[1])?));
    });
}

pub fn blocks(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..3, cin in 1usize..4, cout in 1usize..4, half in 0usize..3, h in 2usize..7, w in 2usize..7,
        seed in 1u64..1000,
    )| {
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
            judge.agree("blocks", &inputs, |t| {
                Ok(with_statistics(conv_norm_relu(&scattered(&t[0])?, &t[1], &t[2], &t[3], &norm(t))?))
            });
            for activation in ACTIVATIONS {
                judge.agree("blocks", &inputs, |t| {
                    Ok(with_statistics(conv_norm(&t[0], &t[1], &t[2], &t[3], &norm(t), params, activation)?))
                });
            }
            judge.agree("blocks", &joined, |t| {
                let (x, skip) = (scattered(&t[0])?, scattered(&t[1])?);
                Ok(with_statistics(upsample_concat_conv_norm_relu(&x, &skip, &t[2], &t[3], &t[4], &norm(t))?))
            });
        }
    });
}

pub fn losses(judge: &impl Judge) {
    proptest!(config(), |(
        batch in 1usize..4, h in 1usize..7, w in 1usize..30, classes in 1usize..6, alpha in 0.05f64..1.0,
        beta in 0.05f64..1.0, gamma in 0.5f64..3.0, smooth in 0.1f64..2.0, seed in 1u64..1000,
    )| {
        let shape = [batch, 1, h, w];
        let logits = [(values(&shape, seed) * 6.0).unwrap()];
        let soft = values(&shape, seed + 1).abs().unwrap();
        let hard = soft.ge(0.5).unwrap().to_dtype(DType::F64).unwrap();
        let weights = values(&shape, seed + 2).abs().unwrap();
        for (target, weights) in [(&soft, None), (&hard, None), (&soft, Some(&weights)), (&hard, Some(&weights))] {
            let with = |f: Loss| {
                judge.agree1("losses", &logits, |t| {
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
        judge.agree1("losses", &logits, |t| cross_entropy(&t[0], &labels.to_device(t[0].device())?));
    });
}

/// Logits far out, and images without a lesion in truth or prediction.
pub fn losses_at_their_limits(judge: &impl Judge) {
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
        judge.agree1("losses at their limits", z, |t| {
            tversky(&t[0], &like(&truth, &t[0]), None, TverskyParams { gamma, ..plain })
        });
    }
    let truth = |t: &[Tensor]| like(&truth, &t[0]);
    judge.agree1("losses at their limits", z, |t| bce_with_logits(&t[0], &truth(t), None));
    judge.agree1("losses at their limits", z, |t| soft_dice(&t[0], &truth(t), None));
    judge.agree1("losses at their limits", z, |t| {
        focal_with_logits(&t[0], &truth(t), None, FocalParams::default())
    });
    let labels = Tensor::new(&[1u32, 0, 4], &Device::Cpu).unwrap();
    judge.agree1("losses at their limits", z, |t| {
        cross_entropy(&t[0], &labels.to_device(t[0].device())?)
    });
}

/// A network with a pooled, a joined and a twice added map.
pub fn features(judge: &impl Judge) {
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
    judge.agree("features", &inputs, |t| {
        let norm = Norm::Batch { eps: 1e-3 };
        let block = |x: &Features, weight: &Tensor| {
            x.conv_norm(weight, &t[4], &t[5], &norm, Conv2dParams::same(3), Activation::Relu)
        };
        let (skip, first) = block(&judge.features(&scattered(&t[0])?)?, &t[1])?;
        let (low, _) = block(&skip.max_pool(2, 2, 0)?, &t[2])?;
        let (joined, last) = low.upsample_concat_conv_norm_relu(Some(&skip), &t[3], &t[4], &t[5], &norm)?;
        let (doubled, _) = low.upsample_concat_conv_norm_relu(None, &t[2], &t[4], &t[5], &norm)?;
        let sum = joined
            .add(&skip)?
            .add_activated(&skip, Activation::Relu6)?
            .add_activated(&doubled, Activation::Relu)?;
        let y = sum.conv(&t[6], Some(&t[7]), Conv2dParams::default())?.into_tensor()?;
        let mut all = vec![y];
        all.extend([first, last].into_iter().flatten().flat_map(|s| [s.mean, s.var]));
        Ok(all)
    });
}

/// Pixels of two masks, in images of any size.
pub fn counts(device: &Device) -> Vec<Vec<f64>> {
    let count = |shape: &[usize]| {
        let [map, truth] = [1, 2].map(|seed| {
            let values = values(shape, seed).to_dtype(DType::F32).unwrap();
            values.to_device(device).unwrap()
        });
        numbers(&overlap_counts(&map, &truth, 0.25).unwrap())
    };
    [vec![3, 1, 5, 7], vec![2, 1, 96, 80], vec![1, 4096]]
        .map(|shape| count(&shape))
        .into()
}

/// Running statistics after two batches.
pub fn running_statistics(device: &Device) -> Vec<Tensor> {
    let place = |t: Tensor| t.to_dtype(DType::F32).unwrap().to_device(device).unwrap();
    let [mean, var] = [1, 2].map(|seed| Var::from_tensor(&place(values(&[5], seed))).unwrap());
    for seed in [3, 4] {
        let x = place(values(&[2, 5, 4, 3], seed));
        let one = place(Tensor::ones(5, DType::F64, &Device::Cpu).unwrap());
        let (_, statistics) = batch_norm(&x, &one, &one, &Norm::Batch { eps: 1e-5 }, Activation::Relu).unwrap();
        statistics.unwrap().update_running(&mean, &var, 0.1).unwrap();
    }
    vec![mean.as_detached_tensor(), var.as_detached_tensor()]
}
