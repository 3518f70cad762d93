//! Every path of feature maps, in sizes that a network has: the statistics of a batch are then well known, and a GPU's tensor
//! cores take part where channels are multiples of eight.

use super::{Judge, Kinks};
use crate::common::{like, values};
use candle_core::{Result, Tensor};
use htl_ops::*;

const HEIGHT: usize = 24;
const WIDTH: usize = 20;

/// Channels in and out, kernel, and the rest.
const CONVOLUTIONS: [(usize, usize, usize, Conv2dParams); 9] = [
    (3, 16, 3, params(1, 1, 1, 1)),
    (16, 32, 3, params(1, 1, 1, 1)),
    (32, 32, 3, params(2, 1, 1, 1)),
    (16, 24, 1, params(1, 0, 1, 1)),
    (24, 24, 3, params(1, 1, 1, 24)),
    (16, 16, 3, params(1, 2, 2, 1)),
    (8, 12, 3, params(1, 1, 1, 4)),
    (3, 64, 7, params(2, 3, 1, 1)),
    (5, 7, 3, params(1, 1, 1, 1)),
];

const fn params(stride: usize, padding: usize, dilation: usize, groups: usize) -> Conv2dParams {
    Conv2dParams {
        stride,
        padding,
        dilation,
        groups,
    }
}

fn maps(channels: usize, shrunk: usize, seed: u64) -> Tensor {
    values(&[4, channels, HEIGHT / shrunk, WIDTH / shrunk], seed)
}

/// Weights of a size at which maps stay about as large as they are.
fn weight(cout: usize, cin: usize, kernel: usize, seed: u64) -> Tensor {
    let fan_in = (cin * kernel * kernel) as f64;
    (values(&[cout, cin, kernel, kernel], seed) * (6.0 / fan_in).sqrt()).unwrap()
}

fn around_one(channels: usize, seed: u64) -> Tensor {
    values(&[channels], seed).affine(0.5, 1.0).unwrap()
}

fn results((y, statistics): (Features, Option<BatchStatistics>)) -> Result<Vec<Tensor>> {
    let statistics = statistics.map(|s| [s.mean, s.var]).into_iter().flatten();
    Ok(std::iter::once(y.into_tensor()?).chain(statistics).collect())
}

pub fn convolutions(judge: &impl Judge) {
    for (cin, cout, kernel, params) in CONVOLUTIONS {
        let inputs = [
            maps(cin, 1, 1),
            weight(cout, cin / params.groups, kernel, 2),
            values(&[cout], 3),
        ];
        let what = format!("convolution {cin} to {cout}, {kernel}x{kernel}, {params:?}");
        judge.agree_on_maps(&what, Kinks::None, &inputs, |t| {
            Ok(vec![
                judge.features(&t[0])?.conv(&t[1], Some(&t[2]), params)?.into_tensor()?,
            ])
        });
        judge.agree_on_maps(&what, Kinks::None, &inputs[..2], |t| {
            Ok(vec![judge.features(&t[0])?.conv(&t[1], None, params)?.into_tensor()?])
        });
    }
}

pub fn blocks(judge: &impl Judge) {
    for (cin, cout, kernel, params) in CONVOLUTIONS {
        let inputs = [
            maps(cin, 1, 4),
            weight(cout, cin / params.groups, kernel, 5),
            around_one(cout, 6),
            values(&[cout], 7),
        ];
        let running = [values(&[cout], 8), around_one(cout, 9)];
        for activation in super::ACTIVATIONS {
            let kinks = match activation {
                Activation::None => Kinks::None,
                _ => Kinks::Some,
            };
            for batch in [true, false] {
                let what = format!("block {cin} to {cout}, {kernel}x{kernel}, {params:?}, {activation:?}, {batch}");
                judge.agree_on_maps(&what, kinks, &inputs, |t| {
                    let norm = match batch {
                        true => Norm::Batch { eps: 1e-5 },
                        false => Norm::Running {
                            mean: like(&running[0], &t[0]),
                            var: like(&running[1], &t[0]),
                            eps: 1e-5,
                        },
                    };
                    let x = judge.features(&t[0])?;
                    results(x.conv_norm(&t[1], &t[2], &t[3], &norm, params, activation)?)
                });
            }
        }
    }
}

pub fn pooling(judge: &impl Judge) {
    for channels in [16, 5] {
        for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1)] {
            let what = format!("max pooling of {channels} channels, {kernel}x{kernel} by {stride}");
            judge.agree_on_maps(&what, Kinks::Some, &[maps(channels, 1, 10)], |t| {
                Ok(vec![
                    judge
                        .features(&t[0])?
                        .max_pool(kernel, stride, padding)?
                        .into_tensor()?,
                ])
            });
        }
    }
}

pub fn joins(judge: &impl Judge) {
    for (low, high, cout) in [(16, 8, 16), (3, 5, 7)] {
        let inputs = [
            maps(low, 2, 11),
            maps(high, 1, 12),
            weight(cout, low + high, 3, 13),
            around_one(cout, 14),
            values(&[cout], 15),
        ];
        judge.agree_on_maps(&format!("join of {low} and {high}"), Kinks::Some, &inputs, |t| {
            let (low, skip) = (judge.features(&t[0])?, judge.features(&t[1])?);
            let norm = Norm::Batch { eps: 1e-5 };
            results(low.upsample_concat_conv_norm_relu(Some(&skip), &t[2], &t[3], &t[4], &norm)?)
        });
        let alone = [
            maps(low, 2, 11),
            weight(cout, low, 3, 13),
            around_one(cout, 14),
            values(&[cout], 15),
        ];
        judge.agree_on_maps(&format!("{low} doubled"), Kinks::Some, &alone, |t| {
            let norm = Norm::Batch { eps: 1e-5 };
            results(
                judge
                    .features(&t[0])?
                    .upsample_concat_conv_norm_relu(None, &t[1], &t[2], &t[3], &norm)?,
            )
        });
    }
}

pub fn sums(judge: &impl Judge) {
    let inputs = [maps(16, 1, 16), maps(16, 1, 17)];
    judge.agree_on_maps("sum", Kinks::None, &inputs, |t| {
        let (a, b) = (judge.features(&t[0])?, judge.features(&t[1])?);
        Ok(vec![a.add(&b)?.add(&a)?.into_tensor()?])
    });
    for activation in [Activation::Relu, Activation::Relu6] {
        let what = format!("sum and {activation:?}");
        judge.agree_on_maps(&what, Kinks::Some, &inputs, |t| {
            let (a, b) = (judge.features(&t[0])?, judge.features(&t[1])?);
            Ok(vec![a.add_activated(&b, activation)?.add(&a)?.into_tensor()?])
        });
    }
}

/// A small U-Net's parts: entry, blocks, pooling, joining, a residual sum, the last convolution.
pub fn network(judge: &impl Judge) {
    let width = 8;
    let mut inputs = vec![maps(3, 1, 18)];
    for (at, (cin, cout)) in [
        (3, width),
        (width, 2 * width),
        (2 * width, 2 * width),
        (3 * width, width),
    ]
    .into_iter()
    .enumerate()
    {
        let seed = 20 + 3 * at as u64;
        inputs.extend([
            weight(cout, cin, 3, seed),
            around_one(cout, seed + 1),
            values(&[cout], seed + 2),
        ]);
    }
    inputs.extend([weight(1, width, 1, 40), values(&[1], 41)]);
    judge.agree_on_maps("network", Kinks::Some, &inputs, |t| {
        let norm = Norm::Batch { eps: 1e-5 };
        let block = |x: &Features, at: usize| {
            let same = Conv2dParams::same(3);
            let (y, _) = x.conv_norm(&t[at], &t[at + 1], &t[at + 2], &norm, same, Activation::Relu)?;
            Ok::<_, OpsError>(y)
        };
        let top = block(&judge.features(&t[0])?, 1)?;
        let deep = block(&top.max_pool(2, 2, 0)?, 4)?;
        let deep = deep.add(&block(&deep, 7)?)?;
        let (joined, _) = deep.upsample_concat_conv_norm_relu(Some(&top), &t[10], &t[11], &t[12], &norm)?;
        let logits = joined.conv(&t[13], Some(&t[14]), Conv2dParams::default())?;
        Ok(vec![logits.into_tensor()?])
    });
}
