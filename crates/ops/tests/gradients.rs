//! Every gradient against central differences in `f64`, over random shapes, options and layouts.

use candle_core::{DType, Device, Result, Tensor, Var};
use htl_ops::*;
use proptest::prelude::*;

/// Deterministic values in (-1, 1) without ties.
fn values(shape: &[usize], seed: u64) -> Tensor {
    let n: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let data: Vec<f64> = (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// A variable with these values and a way to see it that is not contiguous (transposed in memory).
fn var(shape: &[usize], seed: u64) -> Var {
    Var::from_tensor(&values(shape, seed)).unwrap()
}

/// Compares `d Σ r·f / d input` with central differences for every variable, `r` random.
fn check(vars: &[&Var], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let tensors = |_: ()| vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>();
    let out = f(&tensors(())).unwrap();
    let r = values(out.dims(), 99);
    let objective = |inputs: &[Tensor]| -> Result<Tensor> { (f(inputs)? * &r)?.sum_all() };
    let grads = objective(&tensors(())).unwrap().backward().unwrap();
    for (index, var) in vars.iter().enumerate() {
        let analytic = grads
            .get(var)
            .expect("a gradient")
            .flatten_all()
            .unwrap()
            .to_vec1::<f64>()
            .unwrap();
        assert_eq!(grads.get(var).unwrap().dims(), var.dims());
        let base = var.as_tensor().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let count = base.len();
        // All elements of small inputs, a spread of large ones.
        for i in (0..count).step_by((count / 24).max(1)) {
            let shifted = |delta: f64| {
                let mut data = base.clone();
                data[i] += delta;
                let mut inputs: Vec<Tensor> = vars.iter().map(|v| v.as_detached_tensor()).collect();
                inputs[index] = Tensor::from_vec(data, var.shape(), &Device::Cpu).unwrap();
                objective(&inputs).unwrap().to_scalar::<f64>().unwrap()
            };
            // A kink between the two points (a ReLU's, a maximum's) is not an error: nearer points have none between them.
            let steps = [(1e-5, 1e-6), (1e-8, 1e-4)];
            let numeric = steps.map(|(step, _)| (shifted(step) - shifted(-step)) / (2.0 * step));
            let agrees = steps
                .iter()
                .zip(numeric)
                .any(|(&(_, tolerance), numeric)| (numeric - analytic[i]).abs() < tolerance * (1.0 + numeric.abs()));
            assert!(
                agrees,
                "input {index} element {i}: numeric {numeric:?}, analytic {}",
                analytic[i]
            );
        }
    }
}

/// The same values, not contiguous in memory.
fn scattered(t: &Tensor) -> Result<Tensor> {
    let t = t.transpose(2, 3)?.contiguous()?.transpose(2, 3)?;
    assert!(!t.is_contiguous() || t.dims()[2] == 1 || t.dims()[3] == 1);
    Ok(t)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

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
    fn pooling(
        batch in 1usize..3, c in 1usize..4, kernel in 1usize..4, stride in 1usize..4, pad in 0usize..2,
        extra_h in 0usize..6, extra_w in 0usize..6, seed in 1u64..1000,
    ) {
        let padding = pad.min(kernel / 2);
        let x = var(&[batch, c, kernel + extra_h, kernel + extra_w], seed);
        check(&[&x], |t| Ok(max_pool2d(&scattered(&t[0])?, kernel, stride, padding)?));
        check(&[&x], |t| Ok(avg_pool2d(&scattered(&t[0])?, kernel, stride, padding)?));
        check(&[&x], |t| Ok(global_avg_pool2d(&scattered(&t[0])?)?));
    }

    #[test]
    fn upsampling(
        batch in 1usize..3, c in 1usize..4, h in 1usize..6, w in 1usize..6, oh in 1usize..12, ow in 1usize..12,
        seed in 1u64..1000,
    ) {
        let x = var(&[batch, c, h, w], seed);
        let skip = var(&[batch, 2, 2 * h, 2 * w], seed + 1);
        check(&[&x], |t| Ok(upsample_nearest2d(&scattered(&t[0])?, (oh, ow))?));
        check(&[&x], |t| Ok(upsample_bilinear2d(&scattered(&t[0])?, (oh, ow), Corners::HalfPixel)?));
        check(&[&x], |t| Ok(upsample_bilinear2d(&scattered(&t[0])?, (oh, ow), Corners::Aligned)?));
        check(&[&x, &skip], |t| Ok(upsample_concat(&scattered(&t[0])?, &scattered(&t[1])?)?));
    }

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

    #[test]
    fn losses(batch in 1usize..4, h in 1usize..7, w in 1usize..30, classes in 1usize..6, seed in 1u64..1000) {
        let logits = Var::from_tensor(&(values(&[batch, 1, h, w], seed) * 4.0).unwrap()).unwrap();
        let target = values(&[batch, 1, h, w], seed + 1).abs().unwrap();
        let weights = values(&[batch, 1, h, w], seed + 2).abs().unwrap();
        for weights in [None, Some(&weights)] {
            check(&[&logits], |t| Ok(bce_with_logits(&t[0], &target, weights)?));
            check(&[&logits], |t| Ok(soft_dice(&t[0], &target, weights)?));
        }
        let logits = var(&[batch, classes], seed);
        let labels: Vec<u32> = (0..batch).map(|i| ((seed as usize + 3 * i) % classes) as u32).collect();
        let labels = Tensor::from_vec(labels, batch, &Device::Cpu).unwrap();
        check(&[&logits], |t| Ok(cross_entropy(&t[0], &labels)?));
    }
}

/// A gradient must add up over several consumers of one tensor, whatever the operation.
#[test]
fn several_consumers_add_up() {
    let x = var(&[1, 2, 4, 4], 7);
    check(&[&x], |t| {
        let a = max_pool2d(&t[0], 2, 2, 0)?;
        let b = upsample_nearest2d(&a, (4, 4))?;
        let c = upsample_concat(&a, &t[0])?.narrow(1, 0, 2)?;
        let d = upsample_bilinear2d(&a, (4, 4), Corners::HalfPixel)?;
        (b + c)? + d
    });
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
