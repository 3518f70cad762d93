//! Gradients of losses against central differences in `f64`, and the facts that hold for extreme logits.

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{check, config, scattered, values, var};
use htl_ops::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

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

    #[test]
    fn overlap_and_focal_losses(
        batch in 1usize..4, h in 1usize..7, w in 1usize..30, alpha in 0.05f64..1.0, beta in 0.05f64..1.0,
        gamma in 0.5f64..3.0, smooth in 0.0f64..2.0, seed in 1u64..1000,
    ) {
        let logits = Var::from_tensor(&(values(&[batch, 1, h, w], seed) * 4.0).unwrap()).unwrap();
        let soft = values(&[batch, 1, h, w], seed + 1).abs().unwrap();
        let hard = soft.ge(0.5).unwrap().to_dtype(DType::F64).unwrap();
        let weights = values(&[batch, 1, h, w], seed + 2).abs().unwrap();
        for (target, weights) in [(&soft, None), (&hard, None), (&soft, Some(&weights)), (&hard, Some(&weights))] {
            for gamma in [1.0, gamma] {
                let params = TverskyParams { alpha, beta, gamma, smooth };
                check(&[&logits], |t| Ok(tversky(&scattered(&t[0])?, &scattered(target)?, weights, params)?));
            }
            for params in [
                FocalParams { alpha: Some(alpha), gamma },
                FocalParams { alpha: None, gamma: 2.0 },
                FocalParams { alpha: Some(alpha), gamma: 0.0 },
            ] {
                check(&[&logits], |t| Ok(focal_with_logits(&scattered(&t[0])?, &scattered(target)?, weights, params)?));
            }
        }
    }
}

fn numbers(t: &Tensor) -> Vec<f64> {
    let t = t.to_dtype(DType::F64).unwrap();
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Equal weights of both mistakes make the Tversky loss the soft Dice loss; no focus makes the focal loss cross entropy.
#[test]
fn special_cases_agree() {
    let (logits, target) = (values(&[3, 1, 9, 11], 1), values(&[3, 1, 9, 11], 2).abs().unwrap());
    let halves = TverskyParams {
        alpha: 0.5,
        beta: 0.5,
        gamma: 1.0,
        smooth: 0.5,
    };
    let plain = FocalParams {
        alpha: None,
        gamma: 0.0,
    };
    for (ours, other) in [
        (
            tversky(&logits, &target, None, halves),
            soft_dice(&logits, &target, None),
        ),
        (
            focal_with_logits(&logits, &target, None, plain),
            bce_with_logits(&logits, &target, None),
        ),
    ] {
        for (a, b) in numbers(&ours.unwrap()).into_iter().zip(numbers(&other.unwrap())) {
            assert!((a - b).abs() < 1e-14, "{a} {b}");
        }
    }
}

/// Logits far out, right or wrong, give finite losses and gradients in both types.
#[test]
fn extreme_logits_stay_finite() {
    let extremes = [-1e4, -200.0, -90.0, -30.0, 0.0, 30.0, 90.0, 200.0, 1e4];
    for dtype in [DType::F32, DType::F64] {
        for target in [0.0, 0.3, 1.0] {
            for logit in extremes {
                let logits = Tensor::full(logit, (1, 4), &Device::Cpu)
                    .unwrap()
                    .to_dtype(dtype)
                    .unwrap();
                let target = Tensor::full(target, (1, 4), &Device::Cpu)
                    .unwrap()
                    .to_dtype(dtype)
                    .unwrap();
                let logits = Var::from_tensor(&logits).unwrap();
                let mut losses = Vec::new();
                for gamma in [0.0, 0.5, 1.0, 2.0, 5.0] {
                    let params = FocalParams {
                        alpha: Some(0.25),
                        gamma,
                    };
                    losses.push(focal_with_logits(&logits, &target, None, params).unwrap());
                }
                for (gamma, smooth) in [(0.5, 0.0), (1.0, 0.0), (0.75, 1.0), (2.0, 1.0)] {
                    let params = TverskyParams {
                        gamma,
                        smooth,
                        ..TverskyParams::default()
                    };
                    losses.push(tversky(&logits, &target, None, params).unwrap());
                }
                for (i, loss) in losses.iter().enumerate() {
                    let value = numbers(loss)[0];
                    assert!(value.is_finite() && value >= 0.0, "loss {i} at {logit}: {value}");
                    let grads = loss.backward().unwrap();
                    let gradient = numbers(grads.get(&logits).unwrap());
                    assert!(
                        gradient.iter().all(|g| g.is_finite()),
                        "loss {i} at {logit}: {gradient:?}"
                    );
                }
            }
        }
    }
}
