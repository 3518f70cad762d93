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
