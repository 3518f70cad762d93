//! How many launches a step is made of: each costs the host some microseconds, and small ones the device as much.

use candle_core::{Tensor, Var};

use super::values;
use crate::gpu::emulated::{engine, everywhere as on, launched};
use crate::optim::{AdamW, AdamWParams};
use crate::{Activation, Conv2dParams, Features, Norm, Precision, bce_with_logits, soft_dice};

fn var(dims: &[usize], seed: u64) -> Var {
    Var::from_tensor(&values(dims, seed)).unwrap()
}

#[test]
fn a_block() {
    let Some(engine) = engine() else { return };
    let x = values(&[2, 8, 4, 4], 1);
    let (weight, gamma, beta) = (var(&[8, 8, 3, 3], 2), var(&[8], 3), var(&[8], 4));
    let (norm, same) = (Norm::Batch { eps: 1e-5 }, Conv2dParams::same(3));
    let block = |x: &Features| {
        let (maps, _) = x
            .conv_norm(&weight, &gamma, &beta, &norm, same, Activation::Relu)
            .unwrap();
        maps
    };
    let x = on(&engine, || Features::with_precision(&x, Precision::Bf16).unwrap());
    let (maps, forward) = launched(|| block(&block(&x)));
    // Two blocks: the second has to give the first its gradient.
    assert_eq!(
        forward[..5],
        [
            "to_channels_last_bf16",
            "conv_forward_bf16",
            "norm_moments_bf16_pack",
            "norm_finish_bf16",
            "norm_apply_bf16_pack"
        ]
    );
    assert_eq!(forward.len(), 10);
    let loss = maps.into_tensor().unwrap().sum_all().unwrap();
    let (_, backward) = launched(|| loss.backward().unwrap());
    // The gradient's layout, then each block.
    assert_eq!(
        backward[1..7],
        [
            "norm_gradient_sums_bf16_pack",
            "norm_gradient_finish",
            "norm_gradient_bf16_pack",
            "conv_backward_input_bf16",
            "conv_backward_weight_bf16",
            "from_channels_last_bf16",
        ]
    );
    assert_eq!(backward.len(), 1 + 6 + 5);
}

#[test]
fn losses() {
    let Some(engine) = engine() else { return };
    let (logits, target) = (var(&[4, 1, 9, 9], 1), values(&[4, 1, 9, 9], 2).abs().unwrap());
    for loss in [bce_with_logits, soft_dice] {
        let (loss, forward) = launched(|| on(&engine, || loss(&logits, &target, None).unwrap()));
        assert_eq!(forward.len(), 2);
        let (_, backward) = launched(|| loss.sum_all().unwrap().backward().unwrap());
        assert_eq!(backward.len(), 2);
    }
}

/// All parameters of a network in a launch for every 64, the norm of all gradients in as many and one.
#[test]
fn an_optimiser() {
    let Some(engine) = engine() else { return };
    let vars: Vec<_> = (0..70)
        .map(|at| (format!("p{at}"), var(&[3, 1 + at], at as u64)))
        .collect();
    let loss = vars.iter().map(|(_, var)| var.sum_all().unwrap());
    let loss: Tensor = loss.reduce(|a, b| (a + b).unwrap()).unwrap();
    let mut optimiser = on(&engine, || AdamW::new(vars.clone(), AdamWParams::default())).unwrap();
    let mut gradients = loss.backward().unwrap();
    let (_, kernels) = launched(|| on(&engine, || optimiser.step_clipped(&mut gradients, 1e-3, 5.0).unwrap()));
    assert_eq!(kernels, ["square_sums", "square_sums", "clip_finish", "adamw", "adamw"]);
}
