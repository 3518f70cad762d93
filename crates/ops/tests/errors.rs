//! Bad input gives an error that names the operation, the argument and the shapes.

use candle_core::{DType, Device, Tensor, Var};
use htl_ops::optim::{AdamW, AdamWParams, Ema, Sgd, SgdParams};
use htl_ops::*;

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
}

fn message<T>(result: std::result::Result<T, OpsError>) -> String {
    match result {
        Ok(_) => panic!("no error"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn empty_batches_are_refused_everywhere() {
    let x = zeros(&[0, 2, 4, 4]);
    let (w, c) = (zeros(&[3, 2, 3, 3]), zeros(&[3]));
    let norm = Norm::Batch { eps: 1e-5 };
    for error in [
        message(conv2d(&x, &w, None, Conv2dParams::default())),
        message(conv_norm_relu(&x, &w, &c, &c, &norm)),
        message(batch_norm(&x, &zeros(&[2]), &zeros(&[2]), &norm, Activation::None)),
        message(max_pool2d(&x, 2, 2, 0)),
        message(avg_pool2d(&x, 2, 2, 0)),
        message(global_avg_pool2d(&x)),
        message(upsample_nearest2d(&x, (8, 8))),
        message(upsample_bilinear2d(&x, (8, 8), Corners::HalfPixel)),
        message(upsample_concat(&x, &x)),
        message(bce_with_logits(&x, &x, None)),
        message(soft_dice(&x, &x, None)),
        message(conv_transpose2d(&x, &w, None, ConvTranspose2dParams::default())),
        message(adaptive_avg_pool2d(&x, (1, 1))),
        message(adaptive_max_pool2d(&x, (1, 1))),
        message(layer_norm(&x, 2, None, None, 1e-5)),
        message(group_norm(&x, 1, None, None, 1e-5, Activation::None)),
        message(tversky(&x, &x, None, TverskyParams::default())),
        message(focal_with_logits(&x, &x, None, FocalParams::default())),
    ] {
        assert!(error.contains("is empty (shape [0, 2, 4, 4])"), "{error}");
    }
}

#[test]
fn shapes_are_named() {
    let x = zeros(&[1, 2, 4, 4]);
    let error = message(conv2d(&x, &zeros(&[3, 5, 3, 3]), None, Conv2dParams::default()));
    assert!(
        error.contains("[1, 2, 4, 4]") && error.contains("[3, 5, 3, 3]"),
        "{error}"
    );
    let error = message(conv2d(&x, &zeros(&[3, 2, 5, 5]), None, Conv2dParams::default()));
    assert!(error.contains("window of 5 does not fit into 4"), "{error}");
    let error = message(conv2d(
        &x,
        &zeros(&[3, 2, 3, 3]),
        Some(&zeros(&[4])),
        Conv2dParams::default(),
    ));
    assert!(error.contains("`bias` must have shape [3], found [4]"), "{error}");
    let error = message(conv2d(
        &zeros(&[2, 4, 4]),
        &zeros(&[3, 2, 3, 3]),
        None,
        Conv2dParams::default(),
    ));
    assert!(
        error.contains("`x` must have the form [batch, channels, height, width], found shape [2, 4, 4]"),
        "{error}"
    );
    let params = Conv2dParams {
        stride: 0,
        ..Conv2dParams::default()
    };
    assert!(message(conv2d(&x, &zeros(&[3, 2, 3, 3]), None, params)).contains("`stride` must be at least 1"));
    let norm = Norm::Batch { eps: 1e-5 };
    let error = message(conv_norm_relu(
        &x,
        &zeros(&[3, 2, 2, 2]),
        &zeros(&[3]),
        &zeros(&[3]),
        &norm,
    ));
    assert!(error.contains("odd and square"), "{error}");
    assert!(message(upsample_concat(&x, &zeros(&[1, 2, 8, 9]))).contains("[1, 2, 8, 8], found [1, 2, 8, 9]"));
    assert!(message(max_pool2d(&x, 2, 2, 2)).contains("padding"));
    assert!(message(max_pool2d(&x, 9, 2, 0)).contains("window of 9"));
    let norm = Norm::Running {
        mean: zeros(&[3]),
        var: zeros(&[2]),
        eps: 1e-5,
    };
    assert!(message(batch_norm(&x, &zeros(&[2]), &zeros(&[2]), &norm, Activation::None)).contains("`mean`"));
    let norm = Norm::Batch { eps: -1.0 };
    assert!(message(batch_norm(&x, &zeros(&[2]), &zeros(&[2]), &norm, Activation::None)).contains("`eps`"));
    assert!(message(upsample_nearest2d(&x, (0, 3))).contains("(0, 3)"));
}

#[test]
fn transposed_convolutions_that_do_not_fit() {
    let (x, w) = (zeros(&[1, 4, 3, 3]), zeros(&[4, 2, 3, 3]));
    let run = |x: &Tensor, w: &Tensor, bias: Option<&Tensor>, params| message(conv_transpose2d(x, w, bias, params));
    let plain = ConvTranspose2dParams::default();
    let error = run(&x, &zeros(&[5, 2, 3, 3]), None, plain);
    assert!(
        error.contains("`weight` must have shape [4, 2, 3, 3], found [5, 2, 3, 3]"),
        "{error}"
    );
    let error = run(&x, &w, Some(&zeros(&[4])), plain);
    assert!(error.contains("`bias` must have shape [2], found [4]"), "{error}");
    let error = run(&x, &w, Some(&zeros(&[2])), ConvTranspose2dParams { groups: 2, ..plain });
    assert!(error.contains("`bias` must have shape [4], found [2]"), "{error}");
    let error = run(&x, &w, None, ConvTranspose2dParams { groups: 3, ..plain });
    assert!(
        error.contains("`groups` must be a divisor") && error.contains("[1, 4, 3, 3]"),
        "{error}"
    );
    let error = run(
        &x,
        &w,
        None,
        ConvTranspose2dParams {
            output_padding: 2,
            stride: 2,
            ..plain
        },
    );
    assert!(
        error.contains("`output_padding`") && error.contains("found 2 for stride 2"),
        "{error}"
    );
    let error = run(&x, &w, None, ConvTranspose2dParams { padding: 3, ..plain });
    assert!(error.contains("`padding`") && error.contains("cuts 6 of 5"), "{error}");
    for (name, params) in [
        ("stride", ConvTranspose2dParams { stride: 0, ..plain }),
        ("dilation", ConvTranspose2dParams { dilation: 0, ..plain }),
        ("groups", ConvTranspose2dParams { groups: 0, ..plain }),
    ] {
        let error = run(&x, &w, None, params);
        assert!(
            error.contains(&format!("`{name}` must be at least 1, found 0")),
            "{error}"
        );
    }
    // Numbers so large that sizes would wrap around.
    for params in [
        ConvTranspose2dParams {
            stride: usize::MAX,
            ..plain
        },
        ConvTranspose2dParams {
            dilation: usize::MAX,
            ..plain
        },
        ConvTranspose2dParams {
            padding: usize::MAX,
            ..plain
        },
        ConvTranspose2dParams {
            stride: usize::MAX,
            output_padding: usize::MAX - 1,
            ..plain
        },
    ] {
        run(&x, &w, None, params);
    }
}

#[test]
fn row_norms_that_do_not_fit() {
    let x = zeros(&[2, 6, 4]);
    let layer = |axes, gamma: Option<&Tensor>, eps| message(layer_norm(&x, axes, gamma, None, eps));
    for axes in [0, 4] {
        let error = layer(axes, None, 1e-5);
        assert!(
            error.contains("`axes`") && error.contains(&format!("found {axes} for shape [2, 6, 4]")),
            "{error}"
        );
    }
    let error = layer(2, Some(&zeros(&[4])), 1e-5);
    assert!(error.contains("`gamma` must have shape [6, 4], found [4]"), "{error}");
    assert!(layer(1, None, -1.0).contains("`eps`") && layer(1, None, f64::NAN).contains("`eps`"));
    let group = |x: &Tensor, groups, beta: Option<&Tensor>, eps| {
        message(group_norm(x, groups, None, beta, eps, Activation::Relu))
    };
    for groups in [0, 4] {
        let error = group(&x, groups, None, 1e-5);
        assert!(
            error.contains("`groups`") && error.contains(&format!("found {groups} for input shape [2, 6, 4]")),
            "{error}"
        );
    }
    let error = group(&x, 3, Some(&zeros(&[4])), 1e-5);
    assert!(error.contains("`beta` must have shape [6], found [4]"), "{error}");
    assert!(group(&x, 3, None, f64::INFINITY).contains("`eps`"));
    let error = group(&zeros(&[3]), 1, None, 1e-5);
    assert!(error.contains("[batch, channels, ...], found shape [3]"), "{error}");
    let halves = x.to_dtype(DType::F16).unwrap();
    assert!(message(layer_norm(&halves, 1, None, None, 1e-5)).contains("f32 or f64, found F16"));
    let doubles = zeros(&[4]).to_dtype(DType::F64).unwrap();
    assert!(layer(1, Some(&doubles), 1e-5).contains("`gamma` must be f32"));
}

#[test]
fn losses_name_their_parameters() {
    let x = zeros(&[2, 1, 4, 4]);
    let plain = TverskyParams::default();
    for (name, params) in [
        ("alpha", TverskyParams { alpha: -0.1, ..plain }),
        (
            "beta",
            TverskyParams {
                beta: f64::NAN,
                ..plain
            },
        ),
        (
            "beta",
            TverskyParams {
                alpha: 0.0,
                beta: 0.0,
                ..plain
            },
        ),
        ("gamma", TverskyParams { gamma: 0.0, ..plain }),
        (
            "smooth",
            TverskyParams {
                smooth: f64::INFINITY,
                ..plain
            },
        ),
    ] {
        let error = message(tversky(&x, &x, None, params));
        assert!(error.starts_with(&format!("tversky: `{name}` must be")), "{error}");
    }
    let plain = FocalParams::default();
    for (name, params) in [
        (
            "alpha",
            FocalParams {
                alpha: Some(1.5),
                ..plain
            },
        ),
        ("gamma", FocalParams { gamma: -1.0, ..plain }),
    ] {
        let error = message(focal_with_logits(&x, &x, None, params));
        assert!(
            error.starts_with(&format!("focal_with_logits: `{name}` must be")),
            "{error}"
        );
    }
    let other = zeros(&[2, 1, 4, 5]);
    for error in [
        message(tversky(&x, &other, None, TverskyParams::default())),
        message(focal_with_logits(&x, &other, None, plain)),
    ] {
        assert!(
            error.contains("`target` must have shape [2, 1, 4, 4], found [2, 1, 4, 5]"),
            "{error}"
        );
    }
    assert!(message(focal_with_logits(&x, &x, Some(&other), plain)).contains("`weights`"));
    assert!(message(adaptive_avg_pool2d(&x, (0, 2))).contains("(0, 2)"));
    assert!(message(adaptive_max_pool2d(&zeros(&[4, 4]), (1, 1))).contains("found shape [4, 4]"));
}

#[test]
fn types_and_labels_are_named() {
    let x = zeros(&[1, 2, 4, 4]);
    let halves = x.to_dtype(DType::F16).unwrap();
    assert!(message(max_pool2d(&halves, 2, 2, 0)).contains("f32 or f64, found F16"));
    let doubles = x.to_dtype(DType::F64).unwrap();
    assert!(message(bce_with_logits(&x, &doubles, None)).contains("`target` must be f32"));
    let logits = zeros(&[2, 3]);
    let labels = Tensor::new(&[0u32, 3], &Device::Cpu).unwrap();
    assert!(message(cross_entropy(&logits, &labels)).contains("label 3 at row 1"));
    assert!(message(cross_entropy(&logits, &zeros(&[2]))).contains("`labels` must be u32"));
    assert!(message(cross_entropy(&logits, &labels.narrow(0, 0, 1).unwrap())).contains("[2], found [1]"));
}

#[test]
fn optimisers_refuse_what_does_not_fit() {
    let var = |shape: &[usize]| Var::from_tensor(&zeros(shape)).unwrap();
    let named = |n: &str, shape: &[usize]| (n.to_owned(), var(shape));
    let bad = AdamWParams {
        beta1: 1.0,
        ..AdamWParams::default()
    };
    assert!(message(AdamW::new(vec![named("a", &[2])], bad)).contains("`beta1` must be in [0, 1), found 1"));
    let twice = vec![named("a", &[2]), named("a", &[2])];
    assert!(message(Sgd::new(twice, SgdParams::default())).contains("two parameters share this name for `a`"));
    let state = AdamW::new(vec![named("a", &[2])], AdamWParams::default())
        .unwrap()
        .state()
        .unwrap();
    let mut other = AdamW::new(vec![named("a", &[3])], AdamWParams::default()).unwrap();
    assert!(message(other.load_state(&state)).contains("shape [2] instead of [3] for `a`"));
    let mut other = AdamW::new(vec![named("b", &[2])], AdamWParams::default()).unwrap();
    assert!(message(other.load_state(&state)).contains("`b.mean` is missing for `b`"));
    let mut ema = Ema::new(&[named("a", &[2])], 0.9).unwrap();
    assert!(message(ema.update(&[named("z", &[2])])).contains("no average is kept for `z`"));
    assert!(message(Ema::new(&[], 1.5).map(|_| ())).contains("`decay`"));
}

/// The error survives the way through candle's own error type.
#[test]
fn errors_pass_through_candle() {
    let error: candle_core::Error = max_pool2d(&zeros(&[1, 1, 2, 2]), 0, 1, 0).expect_err("an error").into();
    assert!(
        error.to_string().contains("`kernel` must be at least 1, found 0"),
        "{error}"
    );
}

#[test]
fn averages_follow() {
    let var = Var::new(&[1f32, 2.0], &Device::Cpu).unwrap();
    let vars = [("a".to_owned(), var.clone())];
    let mut ema = Ema::new(&vars, 0.75).unwrap();
    var.set(&Tensor::new(&[5f32, 6.0], &Device::Cpu).unwrap()).unwrap();
    ema.update(&vars).unwrap();
    assert_eq!(ema.values()["a"].to_vec1::<f32>().unwrap(), [2.0, 3.0]);
    let state = ema.state().unwrap();
    ema.update(&vars).unwrap();
    ema.load_state(&state).unwrap();
    ema.copy_to(&vars).unwrap();
    assert_eq!(var.to_vec1::<f32>().unwrap(), [2.0, 3.0]);
}

/// Strides far beyond the image are like any other, sizes beyond any memory are refused.
#[test]
fn absurd_sizes_neither_panic_nor_allocate() {
    let x = Tensor::ones((1, 2, 4, 4), DType::F32, &Device::Cpu).unwrap();
    let y = max_pool2d(&x, 2, 100_000, 0).unwrap();
    assert_eq!(y.dims(), [1, 2, 1, 1]);
    assert_eq!(avg_pool2d(&x, 1, usize::MAX, 0).unwrap().dims(), [1, 2, 1, 1]);
    let weight = Tensor::ones((2, 1, 3, 3), DType::F32, &Device::Cpu).unwrap();
    let far = Conv2dParams {
        stride: 1 << 40,
        groups: 2,
        ..Conv2dParams::default()
    };
    assert_eq!(conv2d(&x, &weight, None, far).unwrap().dims(), [1, 2, 1, 1]);
    let wide = Conv2dParams {
        padding: 1 << 40,
        groups: 2,
        ..Conv2dParams::default()
    };
    for (error, part) in [
        (message(conv2d(&x, &weight, None, wide)), "padded input"),
        (message(max_pool2d(&x, usize::MAX, 1, usize::MAX / 2)), "padded plane"),
        (message(adaptive_avg_pool2d(&x, (usize::MAX, 1))), "result"),
        (message(upsample_nearest2d(&x, (usize::MAX, 2))), "result"),
    ] {
        assert!(error.contains(part) && error.contains("too large"), "{error}");
    }
}
