//! Gradients of convolutions and blocks against central differences in `f64`.

mod common;

use candle_core::{DType, Tensor};
use common::{check, config, scattered, values, var};
use htl_ops::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn convolution(
        batch in 1usize..3, groups in 1usize..3, cig in 1usize..4, cog in 1usize..4,
        kh in 1usize..4, kw in 1usize..4, stride in 1usize..3, padding in 0usize..3, dilation in 1usize..3,
        extra_h in 0usize..5, extra_w in 0usize..5, seed in 1u64..1000,
    ) {
        let (h, w) = (dilation * (kh - 1) + 1 + extra_h, dilation * (kw - 1) + 1 + extra_w);
        let x = var(&[batch, groups * cig, h, w], seed);
        let weight = var(&[groups * cog, cig, kh, kw], seed + 1);
        let bias = var(&[groups * cog], seed + 2);
        let params = Conv2dParams { stride, padding, dilation, groups };
        check(&[&x, &weight, &bias], |t| Ok(conv2d(&scattered(&t[0])?, &t[1], Some(&t[2]), params)?));
    }

    #[test]
    fn depthwise_convolution(
        batch in 1usize..3, channels in 2usize..5, multiplier in 1usize..3, kh in 1usize..6, kw in 1usize..6,
        stride in 1usize..4, padding in 0usize..4, dilation in 1usize..3, extra_h in 0usize..9, extra_w in 0usize..9,
        seed in 1u64..1000,
    ) {
        let (h, w) = (dilation * (kh - 1) + 1 + extra_h, dilation * (kw - 1) + 1 + extra_w);
        let x = var(&[batch, channels, h, w], seed);
        let weight = var(&[channels * multiplier, 1, kh, kw], seed + 1);
        let params = Conv2dParams { stride, padding, dilation, groups: channels };
        check(&[&x, &weight], |t| Ok(conv2d(&scattered(&t[0])?, &t[1], None, params)?));
    }

    #[test]
    fn transposed_convolution(
        batch in 1usize..3, groups in 1usize..3, cig in 1usize..4, cog in 1usize..4,
        kh in 1usize..4, kw in 1usize..4, stride in 1usize..4, padding in 0usize..3, dilation in 1usize..4,
        output_padding in 0usize..3, extra_h in 0usize..4, extra_w in 0usize..4, seed in 1u64..1000,
    ) {
        let output_padding = output_padding.min(stride.max(dilation) - 1);
        // Large enough that the padding leaves something.
        let (h, w) = (1 + 2 * padding + extra_h, 1 + 2 * padding + extra_w);
        let x = var(&[batch, groups * cig, h, w], seed);
        let weight = var(&[groups * cig, cog, kh, kw], seed + 1);
        let bias = var(&[groups * cog], seed + 2);
        let params = ConvTranspose2dParams { stride, padding, output_padding, dilation, groups };
        check(&[&x, &weight, &bias], |t| {
            Ok(conv_transpose2d(&scattered(&t[0])?, &scattered(&t[1])?, Some(&t[2]), params)?)
        });
    }

    /// The transposed convolution of a cotangent is the gradient of the convolution's input.
    #[test]
    fn transposed_convolution_is_the_adjoint(
        batch in 1usize..3, cin in 1usize..4, cout in 1usize..4, k in 1usize..4, stride in 1usize..4,
        padding in 0usize..3, dilation in 1usize..3, extra_h in 0usize..6, extra_w in 0usize..6, seed in 1u64..1000,
    ) {
        let window = dilation * (k - 1) + 1;
        let x = var(&[batch, cin, window + extra_h, window + extra_w], seed);
        let weight = values(&[cout, cin, k, k], seed + 1);
        let y = conv2d(&x, &weight, None, Conv2dParams { stride, padding, dilation, groups: 1 }).unwrap();
        let cotangent = values(y.dims(), seed + 2);
        let grads = (&y * &cotangent).unwrap().sum_all().unwrap().backward().unwrap();
        // The rows that no window reaches are the output padding; it may differ along the axes, so look at one of them.
        let over = |size: usize| (size + 2 * padding - window) % stride;
        prop_assume!(over(window + extra_h) == over(window + extra_w));
        let output_padding = over(window + extra_h);
        let params = ConvTranspose2dParams { stride, padding, output_padding, dilation, groups: 1 };
        let back = conv_transpose2d(&cotangent, &weight, None, params).unwrap();
        let expected = grads.get(&x).unwrap();
        prop_assert_eq!(back.dims(), expected.dims());
        prop_assert_eq!(back.flatten_all().unwrap().to_vec1::<f64>().unwrap(),
            expected.flatten_all().unwrap().to_vec1::<f64>().unwrap());
    }

    #[test]
    fn block(
        batch in 1usize..3, cin in 1usize..4, cout in 1usize..4, half in 0usize..3, h in 2usize..7, w in 2usize..7,
        seed in 1u64..1000,
    ) {
        let kernel = 2 * half + 1;
        let x = var(&[batch, cin, h, w], seed);
        let weight = var(&[cout, cin, kernel, kernel], seed + 1);
        let (gamma, beta) = (var(&[cout], seed + 2), var(&[cout], seed + 3));
        let running = Norm::Running {
            mean: values(&[cout], seed + 4),
            var: (values(&[cout], seed + 5).abs().unwrap() + 0.5).unwrap(),
            eps: 1e-3,
        };
        for norm in [&Norm::Batch { eps: 1e-3 }, &running] {
            check(&[&x, &weight, &gamma, &beta], |t| {
                Ok(conv_norm_relu(&scattered(&t[0])?, &t[1], &t[2], &t[3], norm)?.0)
            });
        }
        let params = Conv2dParams { stride: 1 + half, padding: half, ..Conv2dParams::default() };
        for activation in [Activation::None, Activation::Relu6] {
            check(&[&x, &weight, &gamma, &beta], |t| {
                Ok(conv_norm(&t[0], &t[1], &t[2], &t[3], &running, params, activation)?.0)
            });
        }
        let skip = var(&[batch, 2, 2 * h, 2 * w], seed + 6);
        let weight = var(&[cout, cin + 2, kernel, kernel], seed + 7);
        for norm in [&Norm::Batch { eps: 1e-3 }, &running] {
            check(&[&x, &skip, &weight, &gamma, &beta], |t| {
                let (x, skip) = (scattered(&t[0])?, scattered(&t[1])?);
                Ok(upsample_concat_conv_norm_relu(&x, &skip, &t[2], &t[3], &t[4], norm)?.0)
            });
        }
    }
}

/// Inputs that need no gradient get none, and nothing breaks.
#[test]
fn untracked_inputs_are_skipped() {
    let x = values(&[1, 2, 4, 4], 1);
    let w = var(&[3, 2, 3, 3], 2);
    let y = conv2d(&x, &w, None, Conv2dParams::same(3)).unwrap();
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&x).is_none() && grads.get(&w).is_some());
    assert_eq!(x.dtype(), DType::F64);
}

/// A network of features, with a skip that has three consumers and a residual connection, has the gradients of tensors.
#[test]
fn features_add_up_over_their_consumers() {
    let norm = Norm::Batch { eps: 1e-3 };
    let vars = [
        var(&[2, 2, 8, 6], 1),
        var(&[3, 2, 3, 3], 2),
        var(&[3, 3, 3, 3], 3),
        var(&[3, 6, 3, 3], 4),
        var(&[3], 5),
        var(&[3], 6),
        var(&[1, 3, 1, 1], 7),
    ];
    check(&vars.each_ref(), |t| {
        let block = |x: &Features, weight: &Tensor| {
            x.conv_norm(weight, &t[4], &t[5], &norm, Conv2dParams::same(3), Activation::Relu)
                .map(|(maps, _)| maps)
        };
        let skip = block(&Features::of(&scattered(&t[0])?)?, &t[1])?;
        let low = block(&skip.max_pool(2, 2, 0)?, &t[2])?;
        let (joined, _) = low.upsample_concat_conv_norm_relu(Some(&skip), &t[3], &t[4], &t[5], &norm)?;
        let sum = joined.add(&skip)?.add(&skip)?;
        Ok(sum.conv(&t[6], None, Conv2dParams::default())?.into_tensor()?)
    });
}

/// What ResNets and decoders need besides: an activation behind a residual sum, a map doubled without a skip connection.
#[test]
fn sums_with_activations_and_doubled_maps() {
    let norm = Norm::Batch { eps: 1e-3 };
    let vars = [
        var(&[2, 3, 4, 6], 1),
        var(&[2, 3, 4, 6], 2),
        var(&[4, 3, 3, 3], 3),
        var(&[4], 4),
        var(&[4], 5),
    ];
    for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
        check(&vars.each_ref(), |t| {
            let (a, b) = (
                Features::of(&scattered(&t[0])?)?,
                Features::of(&(scattered(&t[1])? * 2.0)?)?,
            );
            let sum = a.add_activated(&b, activation)?;
            let (doubled, _) = sum
                .add(&a)?
                .upsample_concat_conv_norm_relu(None, &t[2], &t[3], &t[4], &norm)?;
            Ok(doubled.into_tensor()?)
        });
    }
}
