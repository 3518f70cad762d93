//! Public operations with the engine in the CPU's place, against the CPU's own: values and all gradients.

use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::{difference, plain, values};
use crate::gpu::emulated::{engine, everywhere as on};
use crate::gpu::engine::Engine;
use crate::{
    Activation, Conv2dParams, ConvTranspose2dParams, Corners, FocalParams, Norm, TverskyParams, avg_pool2d, batch_norm,
    bce_with_logits, conv_transpose2d, conv2d, focal_with_logits, group_norm, layer_norm, max_pool2d, overlap_counts,
    soft_dice, tversky, upsample_bilinear2d, upsample_concat, upsample_nearest2d,
};

/// Runs an operation on variables both ways.
#[track_caller]
fn assert_same(engine: &Arc<dyn Engine>, what: &str, inputs: &[Var], operation: impl Fn(&[Var]) -> Tensor) {
    let run = || {
        let y = operation(inputs);
        let grad = values(y.dims(), 99);
        let gradients = (&y * &grad).unwrap().sum_all().unwrap().backward().unwrap();
        (y, gradients)
    };
    let ((found, gradients), (expected, expected_gradients)) = (on(engine, run), run());
    let off = difference(&found, &expected);
    assert!(off < 2e-5, "{what}: off by {off}");
    for (at, input) in inputs.iter().enumerate() {
        let off = difference(gradients.get(input).unwrap(), expected_gradients.get(input).unwrap());
        assert!(off < 2e-4, "{what}, gradient {at}: off by {off}");
    }
}

fn var(dims: &[usize], seed: u64) -> Var {
    Var::from_tensor(&values(dims, seed)).unwrap()
}

#[test]
fn convolutions() {
    let Some(engine) = engine() else { return };
    let inputs = [var(&[2, 4, 6, 7], 1), var(&[6, 2, 3, 3], 2), var(&[6], 3)];
    assert_same(&engine, "conv2d", &inputs, |v| {
        conv2d(&v[0], &v[1], Some(&v[2]), plain(2, 1, 1, 2)).unwrap()
    });
    assert_same(&engine, "without bias", &inputs[..2], |v| {
        conv2d(&v[0], &v[1], None, plain(1, 0, 2, 2)).unwrap()
    });
    for (weight, params) in [
        (
            [4, 3, 3, 3],
            ConvTranspose2dParams {
                stride: 2,
                padding: 1,
                output_padding: 1,
                ..Default::default()
            },
        ),
        (
            [4, 1, 2, 2],
            ConvTranspose2dParams {
                groups: 4,
                ..Default::default()
            },
        ),
        (
            [4, 3, 3, 3],
            ConvTranspose2dParams {
                dilation: 2,
                output_padding: 1,
                groups: 2,
                ..Default::default()
            },
        ),
    ] {
        let inputs = [
            var(&[2, 4, 5, 4], 4),
            var(&weight, 5),
            var(&[weight[1] * params.groups], 6),
        ];
        assert_same(&engine, "conv_transpose2d", &inputs, |v| {
            conv_transpose2d(&v[0], &v[1], Some(&v[2]), params).unwrap()
        });
        assert_same(&engine, "without bias", &inputs[..2], |v| {
            conv_transpose2d(&v[0], &v[1], None, params).unwrap()
        });
    }
}

#[test]
fn normalisation() {
    let Some(engine) = engine() else { return };
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        let inputs = [var(&[3, 8, 4, 5], 1), var(&[8], 2), var(&[8], 3)];
        let batch = Norm::Batch { eps: 1e-5 };
        assert_same(&engine, "batch_norm", &inputs, |v| {
            batch_norm(&v[0], &v[1], &v[2], &batch, activation).unwrap().0
        });
        let running = Norm::Running {
            mean: values(&[8], 4),
            var: values(&[8], 5).sqr().unwrap(),
            eps: 1e-3,
        };
        assert_same(&engine, "running", &inputs, |v| {
            batch_norm(&v[0], &v[1], &v[2], &running, activation).unwrap().0
        });
    }
}

#[test]
fn normalisation_of_rows() {
    let Some(engine) = engine() else { return };
    // Rows shorter and longer than a block of threads; a mean far from 0.
    for (dims, groups) in [([3, 6, 4, 5], 2), ([2, 4, 20, 19], 1), ([2, 3, 5, 1], 3)] {
        let x = Var::from_tensor(&(values(&dims, 1) + 7.0).unwrap()).unwrap();
        let inputs = [x, var(&[dims[1]], 2), var(&[dims[1]], 3)];
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            assert_same(&engine, "group_norm", &inputs, |v| {
                group_norm(&v[0], groups, Some(&v[1]), Some(&v[2]), 1e-5, activation).unwrap()
            });
        }
        let inputs = [inputs[0].clone(), var(&dims[2..], 4), var(&dims[2..], 5)];
        if dims[3] > 1 {
            assert_same(&engine, "layer_norm", &inputs, |v| {
                layer_norm(&v[0], 2, Some(&v[1]), Some(&v[2]), 1e-5).unwrap()
            });
        }
        assert_same(&engine, "without parameters", &inputs[..1], |v| {
            layer_norm(&v[0], 3, None, None, 1e-5).unwrap()
        });
    }
}

#[test]
fn pooling_and_joining() {
    let Some(engine) = engine() else { return };
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 0)] {
        let inputs = [var(&[2, 3, 7, 6], 1)];
        assert_same(&engine, "max", &inputs, |v| {
            max_pool2d(&v[0], kernel, stride, padding).unwrap()
        });
        assert_same(&engine, "average", &inputs, |v| {
            avg_pool2d(&v[0], kernel, stride, padding).unwrap()
        });
    }
    let inputs = [var(&[2, 3, 4, 3], 2), var(&[2, 5, 8, 6], 3)];
    assert_same(&engine, "upsample_concat", &inputs, |v| {
        upsample_concat(&v[0], &v[1]).unwrap()
    });
}

#[test]
fn resizing() {
    let Some(engine) = engine() else { return };
    for (h, w, size) in [
        (5, 7, (10, 14)),
        (8, 6, (3, 5)),
        (4, 9, (1, 1)),
        (1, 1, (4, 3)),
        (6, 5, (7, 31)),
    ] {
        let inputs = [var(&[2, 3, h, w], 1)];
        assert_same(&engine, "nearest", &inputs, |v| {
            upsample_nearest2d(&v[0], size).unwrap()
        });
        for corners in [Corners::HalfPixel, Corners::Aligned] {
            assert_same(&engine, "bilinear", &inputs, |v| {
                upsample_bilinear2d(&v[0], size, corners).unwrap()
            });
        }
    }
}

#[test]
fn losses() {
    let Some(engine) = engine() else { return };
    // More pixels than one block of threads goes over.
    let dims = [3, 1, 37, 61];
    let logits = [Var::from_tensor(&(values(&dims, 1) * 6.0).unwrap()).unwrap()];
    let target = (values(&dims, 2) * 0.5).unwrap().affine(1.0, 0.5).unwrap();
    let weights = values(&dims, 3).abs().unwrap();
    for weights in [None, Some(&weights)] {
        assert_same(&engine, "bce", &logits, |v| {
            bce_with_logits(&v[0], &target, weights).unwrap()
        });
        assert_same(&engine, "dice", &logits, |v| {
            soft_dice(&v[0], &target, weights).unwrap()
        });
        for alpha in [None, Some(0.25)] {
            let params = FocalParams { alpha, gamma: 2.0 };
            assert_same(&engine, "focal", &logits, |v| {
                focal_with_logits(&v[0], &target, weights, params).unwrap()
            });
        }
        for gamma in [1.0, 0.75, 1.5] {
            let params = TverskyParams {
                alpha: 0.3,
                beta: 0.7,
                gamma,
                smooth: 1.0,
            };
            assert_same(&engine, "tversky", &logits, |v| {
                tversky(&v[0], &target, weights, params).unwrap()
            });
        }
    }
}

/// Nothing in either mask, sure of it: a slope of 0 over 0.
#[test]
fn losses_at_their_edges() {
    let Some(engine) = engine() else { return };
    let logits = [Var::from_tensor(&values(&[2, 40], 1).affine(0.0, -200.0).unwrap()).unwrap()];
    let target = values(&[2, 40], 2).affine(0.0, 0.0).unwrap();
    let params = TverskyParams {
        alpha: 0.5,
        beta: 0.5,
        gamma: 0.75,
        smooth: 0.0,
    };
    assert_same(&engine, "tversky", &logits, |v| {
        tversky(&v[0], &target, None, params).unwrap()
    });
    assert_same(&engine, "dice", &logits, |v| soft_dice(&v[0], &target, None).unwrap());
    assert_same(&engine, "focal", &logits, |v| {
        focal_with_logits(&v[0], &target, None, FocalParams::default()).unwrap()
    });
}

#[test]
fn counts() {
    let Some(engine) = engine() else { return };
    let (map, truth) = (values(&[3, 1, 50, 41], 1), values(&[3, 1, 50, 41], 2));
    let run = || overlap_counts(&map, &truth, 0.25).unwrap().to_vec2::<u32>().unwrap();
    assert_eq!(on(&engine, run), run());
}

#[test]
fn same_padding_keeps_the_size() {
    let Some(engine) = engine() else { return };
    let inputs = [var(&[1, 2, 5, 5], 1), var(&[3, 2, 3, 3], 2)];
    assert_same(&engine, "same", &inputs, |v| {
        conv2d(&v[0], &v[1], None, Conv2dParams::same(3)).unwrap()
    });
}
