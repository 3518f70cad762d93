//! Outputs and every gradient against PyTorch (`golden/make.py`; its version is in the file's metadata).

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Result, Tensor, Var};
use htl_ops::optim::{AdamW, AdamWParams, Sgd, SgdParams, clip_gradients};
use htl_ops::*;

fn golden() -> HashMap<String, Tensor> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/golden.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

/// The cases whose names start with `prefix`, each with its tensors.
fn cases(prefix: &str) -> BTreeMap<String, HashMap<String, Tensor>> {
    let mut cases: BTreeMap<String, HashMap<String, Tensor>> = BTreeMap::new();
    for (key, tensor) in golden() {
        let (case, part) = key.rsplit_once('/').unwrap();
        if case.starts_with(prefix) {
            cases
                .entry(case.to_owned())
                .or_default()
                .insert(part.to_owned(), tensor);
        }
    }
    assert!(!cases.is_empty(), "no golden case {prefix}");
    cases
}

fn close(what: &str, ours: &Tensor, theirs: &Tensor) {
    assert_eq!(ours.dims(), theirs.dims(), "{what}");
    let scale = theirs
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap()
        .to_scalar::<f32>()
        .unwrap()
        .max(1.0);
    let error = (ours - theirs)
        .unwrap()
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap()
        .max(0)
        .unwrap();
    let error = error.to_scalar::<f32>().unwrap();
    assert!(error <= 1e-5 * scale, "{what}: error {error:e} at scale {scale}");
}

/// Runs `f` on the case's inputs and compares output and gradients, in `f32` and in `f64`.
fn check(name: &str, case: &HashMap<String, Tensor>, inputs: &[&str], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    for dtype in [DType::F32, DType::F64] {
        let vars: Vec<Var> = inputs
            .iter()
            .map(|i| Var::from_tensor(&case[*i].to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let output = f(&tensors).unwrap();
        close(
            &format!("{name} output {dtype:?}"),
            &output.to_dtype(DType::F32).unwrap(),
            &case["output"],
        );
        let objective = (output * case["cotangent"].to_dtype(dtype).unwrap())
            .unwrap()
            .sum_all()
            .unwrap();
        let gradients = objective.backward().unwrap();
        for (input, var) in inputs.iter().zip(&vars) {
            let ours = gradients.get(var).unwrap().to_dtype(DType::F32).unwrap();
            close(
                &format!("{name} d_{input} {dtype:?}"),
                &ours,
                &case[&format!("d_{input}")],
            );
        }
    }
}

fn numbers(name: &str) -> Vec<usize> {
    name.split('/').filter_map(|part| part.parse().ok()).collect()
}

#[test]
fn convolution() {
    for (name, case) in cases("conv/") {
        let n = numbers(&name);
        let params = Conv2dParams {
            stride: n[0],
            padding: n[1],
            dilation: n[2],
            groups: n[3],
        };
        check(&name, &case, &["x", "weight", "bias"], |t| {
            Ok(conv2d(&t[0], &t[1], Some(&t[2]), params)?)
        });
    }
}

/// The name's parts that are numbers.
fn reals(name: &str) -> Vec<f64> {
    name.split('/').filter_map(|part| part.parse().ok()).collect()
}

#[test]
fn transposed_convolution() {
    for (name, case) in cases("conv_transpose/") {
        let n = numbers(&name);
        let params = ConvTranspose2dParams {
            stride: n[0],
            padding: n[1],
            output_padding: n[2],
            dilation: n[3],
            groups: n[4],
        };
        check(&name, &case, &["x", "weight", "bias"], |t| {
            Ok(conv_transpose2d(&t[0], &t[1], Some(&t[2]), params)?)
        });
    }
}

#[test]
fn adaptive_pooling() {
    for (name, case) in cases("adaptive_avg/") {
        let n = numbers(&name);
        check(&name, &case, &["x"], |t| Ok(adaptive_avg_pool2d(&t[0], (n[0], n[1]))?));
    }
    for (name, case) in cases("adaptive_max/") {
        let n = numbers(&name);
        check(&name, &case, &["x"], |t| Ok(adaptive_max_pool2d(&t[0], (n[0], n[1]))?));
    }
}

#[test]
fn pooling() {
    for (name, case) in cases("max_pool/") {
        let n = numbers(&name);
        check(&name, &case, &["x"], |t| Ok(max_pool2d(&t[0], n[0], n[1], n[2])?));
    }
    for (name, case) in cases("avg_pool/") {
        let n = numbers(&name);
        check(&name, &case, &["x"], |t| Ok(avg_pool2d(&t[0], n[0], n[1], n[2])?));
    }
    for (name, case) in cases("global_avg_pool") {
        check(&name, &case, &["x"], |t| Ok(global_avg_pool2d(&t[0])?));
    }
}

#[test]
fn upsampling() {
    for (name, case) in cases("nearest/") {
        let n = numbers(&name);
        check(&name, &case, &["x"], |t| Ok(upsample_nearest2d(&t[0], (n[0], n[1]))?));
    }
    for (prefix, corners) in [
        ("bilinear_half/", Corners::HalfPixel),
        ("bilinear_aligned/", Corners::Aligned),
    ] {
        for (name, case) in cases(prefix) {
            let n = numbers(&name);
            check(&name, &case, &["x"], |t| {
                Ok(upsample_bilinear2d(&t[0], (n[0], n[1]), corners)?)
            });
        }
    }
    for (name, case) in cases("upsample_concat") {
        check(&name, &case, &["x", "skip"], |t| Ok(upsample_concat(&t[0], &t[1])?));
    }
}

/// The norm a case was made with. PyTorch's momentum was 1, so its new running values are the batch's own.
fn norm(name: &str, case: &HashMap<String, Tensor>) -> Norm {
    let eps = 1e-5;
    if name.contains("running") {
        Norm::Running {
            mean: case["mean"].clone(),
            var: case["var"].clone(),
            eps,
        }
    } else {
        Norm::Batch { eps }
    }
}

fn statistics_match(name: &str, case: &HashMap<String, Tensor>, statistics: Option<BatchStatistics>) {
    match statistics {
        Some(s) if s.mean.dtype() == DType::F32 => {
            close(&format!("{name} mean"), &s.mean, &case["new_mean"]);
            close(&format!("{name} var"), &s.var, &case["new_var"]);
        }
        other => assert!(other.is_some() != name.contains("running"), "{name}"),
    }
}

/// The activation at the end of a case's name.
fn activation(name: &str) -> Activation {
    match name.rsplit('/').next() {
        Some("relu") => Activation::Relu,
        Some("relu6") => Activation::Relu6,
        _ => Activation::None,
    }
}

#[test]
fn row_normalisation() {
    for (name, case) in cases("layer_norm/affine/") {
        check(&name, &case, &["x", "gamma", "beta"], |t| {
            Ok(layer_norm(
                &t[0],
                *numbers(&name).last().unwrap(),
                Some(&t[1]),
                Some(&t[2]),
                1e-5,
            )?)
        });
    }
    for (name, case) in cases("layer_norm/plain/") {
        let axes = *numbers(&name).last().unwrap();
        check(&name, &case, &["x"], |t| Ok(layer_norm(&t[0], axes, None, None, 1e-5)?));
    }
    for (name, case) in cases("group_norm/") {
        let groups = numbers(&name)[0];
        check(&name, &case, &["x", "gamma", "beta"], |t| {
            let (gamma, beta) = (Some(&t[1]), Some(&t[2]));
            Ok(group_norm(&t[0], groups, gamma, beta, 1e-5, activation(&name))?)
        });
    }
}

#[test]
fn normalisation() {
    for (name, case) in cases("batch_norm/") {
        let activation = activation(&name);
        check(&name, &case, &["x", "gamma", "beta"], |t| {
            let (out, statistics) = batch_norm(&t[0], &t[1], &t[2], &norm(&name, &case), activation)?;
            statistics_match(&name, &case, statistics);
            Ok(out)
        });
    }
    for (name, case) in cases("block/") {
        check(&name, &case, &["x", "weight", "gamma", "beta"], |t| {
            let (out, statistics) = conv_norm_relu(&t[0], &t[1], &t[2], &t[3], &norm(&name, &case))?;
            statistics_match(&name, &case, statistics);
            Ok(out)
        });
    }
}

#[test]
fn losses() {
    for (name, case) in cases("bce/").into_iter().chain(cases("dice/")) {
        check(&name, &case, &["logits"], |t| {
            let (target, weights) = (
                case["target"].to_dtype(t[0].dtype())?,
                case["weights"].to_dtype(t[0].dtype())?,
            );
            let weights = (!name.ends_with("plain")).then_some(&weights);
            Ok(if name.starts_with("bce") {
                bce_with_logits(&t[0], &target, weights)?
            } else {
                soft_dice(&t[0], &target, weights)?
            })
        });
    }
    for (name, case) in cases("cross_entropy") {
        let labels = case["labels"].to_dtype(DType::U32).unwrap();
        check(&name, &case, &["logits"], |t| Ok(cross_entropy(&t[0], &labels)?));
    }
}

#[test]
fn overlap_and_focal_losses() {
    for (name, case) in cases("tversky/").into_iter().chain(cases("focal/")) {
        let n = reals(&name);
        check(&name, &case, &["logits"], |t| {
            let (target, weights) = (
                case["target"].to_dtype(t[0].dtype())?,
                case["weights"].to_dtype(t[0].dtype())?,
            );
            let weights = name.contains("/weighted/").then_some(&weights);
            Ok(if let &[alpha, beta, gamma, smooth] = n.as_slice() {
                let params = TverskyParams {
                    alpha,
                    beta,
                    gamma,
                    smooth,
                };
                tversky(&t[0], &target, weights, params)?
            } else {
                let (alpha, gamma) = ((n[0] >= 0.0).then_some(n[0]), n[1]);
                focal_with_logits(&t[0], &target, weights, FocalParams { alpha, gamma })?
            })
        });
    }
}

#[test]
fn optimisers() {
    let golden = golden();
    let gradients = &golden["optim/gradients"];
    // Five steps, the state saved and loaded into a fresh optimiser before each: it must not matter.
    let adamw = AdamWParams {
        weight_decay: 0.1,
        ..AdamWParams::default()
    };
    let sgd = SgdParams {
        weight_decay: 0.01,
        ..SgdParams::default()
    };
    let (p, q) = (
        Var::from_tensor(&golden["optim/start"]).unwrap(),
        Var::from_tensor(&golden["optim/start"]).unwrap(),
    );
    let (mut adamw_state, mut sgd_state) = (None, None);
    for step in 0..5 {
        let g = gradients.get(step).unwrap();
        let objective = ((p.as_tensor() + q.as_tensor()).unwrap() * &g)
            .unwrap()
            .sum_all()
            .unwrap();
        let grads = objective.backward().unwrap();
        let mut first = AdamW::new(vec![("p".into(), p.clone())], adamw.clone()).unwrap();
        let mut second = Sgd::new(vec![("q".into(), q.clone())], sgd.clone()).unwrap();
        if let (Some(a), Some(b)) = (&adamw_state, &sgd_state) {
            first.load_state(a).unwrap();
            second.load_state(b).unwrap();
        }
        first.step(&grads, 0.01).unwrap();
        second.step(&grads, 0.1).unwrap();
        (adamw_state, sgd_state) = (Some(first.state().unwrap()), Some(second.state().unwrap()));
    }
    close("adamw", p.as_tensor(), &golden["optim/adamw"]);
    close("sgd", q.as_tensor(), &golden["optim/sgd"]);
}

#[test]
fn clipping() {
    let golden = golden();
    let p = Var::new(&[1f32, 1.0, 1.0], &Device::Cpu).unwrap();
    let q = Var::new(&[1f32, 1.0], &Device::Cpu).unwrap();
    let (a, b) = (
        Tensor::new(&[3f32, 0.0, 4.0], &Device::Cpu).unwrap(),
        Tensor::new(&[12f32, 0.0], &Device::Cpu).unwrap(),
    );
    let objective =
        ((p.as_tensor() * a).unwrap().sum_all().unwrap() + (q.as_tensor() * b).unwrap().sum_all().unwrap()).unwrap();
    let mut grads = objective.backward().unwrap();
    let vars = [("p".to_owned(), p.clone()), ("q".to_owned(), q.clone())];
    let norm = clip_gradients(&mut grads, &vars, 2.0).unwrap();
    assert!((norm - f64::from(golden["clip/norm"].to_vec1::<f32>().unwrap()[0])).abs() < 1e-5);
    close("p", grads.get(&p).unwrap(), &golden["clip/p"]);
    close("q", grads.get(&q).unwrap(), &golden["clip/q"]);
    // Below the limit nothing changes.
    assert!((clip_gradients(&mut grads, &vars, 10.0).unwrap() - 2.0).abs() < 1e-5);
    close("p", grads.get(&p).unwrap(), &golden["clip/p"]);
}
