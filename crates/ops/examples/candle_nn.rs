//! A small classifier: layers, parameters and optimiser from candle-nn, the operations from here.
//!
//! ```text
//! cargo run --release -p htl-ops --example candle_nn
//! ```
//! The images show stripes that lie or stand; two classes, learned in sixty steps.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Init, Module, Optimizer, VarBuilder, VarMap};
use htl_ops::{Activation, Conv2dParams, adaptive_avg_pool2d, conv2d, cross_entropy, group_norm};

/// `count` images `[count, 1, 16, 16]` of stripes, and whether they stand (1) or lie (0).
fn stripes(count: usize) -> Result<(Tensor, Tensor)> {
    let pixel = |i: usize| {
        let (image, y, x) = (i / 256, i / 16 % 16, i % 16);
        let along = if image % 2 == 1 { x } else { y };
        (along as f32 * 1.3 + image as f32).sin()
    };
    let images = Tensor::from_iter((0..count * 256).map(pixel), &Device::Cpu)?.reshape((count, 1, 16, 16))?;
    let labels = Tensor::from_iter((0..count as u32).map(|i| i % 2), &Device::Cpu)?;
    Ok((images, labels))
}

/// Trains and returns the loss before and after.
fn train() -> Result<(f32, f32)> {
    let (images, labels) = stripes(32)?;
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let filter = candle_nn::conv2d(1, 8, 3, Default::default(), vb.pp("filter"))?;
    let scale = vb.get_with_hints(8, "norm.weight", Init::Const(1.0))?;
    let head = candle_nn::linear(8, 2, vb.pp("head"))?;
    let loss = || -> Result<Tensor> {
        let x = conv2d(&images, filter.weight(), filter.bias(), Conv2dParams::same(3))?;
        let x = group_norm(&x, 8, Some(&scale), None, 1e-5, Activation::Relu)?;
        let x = adaptive_avg_pool2d(&x, (1, 1))?.flatten_from(1)?;
        cross_entropy(&head.forward(&x)?, &labels)?.mean_all()
    };
    let mut optimiser = AdamW::new_lr(parameters.all_vars(), 0.05)?;
    let before = loss()?.to_scalar()?;
    for _ in 0..60 {
        optimiser.backward_step(&loss()?)?;
    }
    Ok((before, loss()?.to_scalar()?))
}

fn main() -> Result<()> {
    let (before, after) = train()?;
    println!("loss before {before:.3}, after {after:.3}");
    Ok(())
}

#[test]
fn the_loss_falls() {
    let (before, after) = train().unwrap();
    assert!(after < 0.5 * before, "loss before {before}, after {after}");
}
