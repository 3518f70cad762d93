//! Central differences in `f64` and comparisons, shared by the tests.

// Every test file uses some of this.
#![allow(dead_code)]

use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;

/// Deterministic values in (-1, 1) without ties.
pub fn values(shape: &[usize], seed: u64) -> Tensor {
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

/// A variable whose values are far apart: the largest of a window stays so when one moves a little.
pub fn distinct(shape: &[usize], seed: u64) -> Var {
    let random = values(shape, seed).flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let n = random.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| random[a].total_cmp(&random[b]));
    let mut data = vec![0.0; n];
    for (rank, at) in order.into_iter().enumerate() {
        data[at] = (2 * rank + 1) as f64 / n as f64 - 1.0;
    }
    Var::from_tensor(&Tensor::from_vec(data, shape, &Device::Cpu).unwrap()).unwrap()
}

/// A variable with these values.
pub fn var(shape: &[usize], seed: u64) -> Var {
    Var::from_tensor(&values(shape, seed)).unwrap()
}

/// Compares `d Σ r·f / d input` with central differences for every variable, `r` random.
pub fn check(vars: &[&Var], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
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
            // A kink between the two points (a ReLU's) is not an error: nearer points have none between them.
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

/// The same values, not contiguous in memory: the last two axes are swapped there.
pub fn scattered(t: &Tensor) -> Result<Tensor> {
    let (a, b) = (t.rank() - 2, t.rank() - 1);
    let t = t.transpose(a, b)?.contiguous()?.transpose(a, b)?;
    assert!(!t.is_contiguous() || t.dims()[a] == 1 || t.dims()[b] == 1);
    Ok(t)
}

/// Few cases, because every one takes many evaluations; no file of failures. Always the same cases: a difference taken
/// across a kink of ReLU would fail once in many runs. `PROPTEST_RNG_SEED` draws others.
pub fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: match std::env::var("PROPTEST_RNG_SEED") {
            Ok(_) => ProptestConfig::default().rng_seed,
            Err(_) => proptest::test_runner::RngSeed::Fixed(1),
        },
        ..ProptestConfig::default()
    }
}

/// Where the compositions run. Opened once: tensors of a device that is opened twice do not mix.
pub fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let open = || match std::env::var("HTL_OPS_TEST_DEVICE").as_deref() {
        Ok("metal") => Device::new_metal(0).unwrap(),
        Ok("cuda") => Device::new_cuda_with_stream(0).unwrap(),
        Ok("cpu") | Err(_) => Device::Cpu,
        Ok(other) => panic!("no device {other}"),
    };
    DEVICE.get_or_init(open).clone()
}

/// The number types that device has, with the error allowed.
pub fn dtypes(double: f64, single: f64) -> Vec<(DType, f64)> {
    let all = [(DType::F64, double), (DType::F32, single)];
    all.into_iter().skip(usize::from(device().is_metal())).collect()
}

/// The same numbers with the type and on the device of another tensor.
pub fn like(t: &Tensor, like: &Tensor) -> Tensor {
    t.to_dtype(like.dtype()).unwrap().to_device(like.device()).unwrap()
}

pub fn numbers(t: &Tensor) -> Vec<f64> {
    let t = t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference, relative to the larger of 1 and the largest number.
pub fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()));
    let (a, b) = (numbers(a), numbers(b));
    let finite = b.iter().filter(|v| v.is_finite());
    let scale = finite.fold(1.0, |m: f64, v| m.max(v.abs()));
    let differ = |(a, b): (&f64, &f64)| {
        if a == b || (a.is_nan() && b.is_nan()) {
            0.0
        } else {
            (a - b).abs()
        }
    };
    let worst = a.iter().zip(&b).map(differ);
    worst.fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) }) / scale
}
