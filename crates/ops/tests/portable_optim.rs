//! Steps of the optimisers composed of candle's primitives, against the CPU kernels.

mod common;

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use common::{device, difference, dtypes, like, numbers, values};
use htl_ops::optim::*;
use htl_ops::portable::everywhere;

const SHAPES: [&[usize]; 3] = [&[4, 3, 2], &[5], &[]];

fn variables(dtype: DType, device: &Device) -> Vec<(String, Var)> {
    let var = |(i, shape): (usize, &&[usize])| {
        let t = values(shape, i as u64 + 1)
            .to_dtype(dtype)
            .unwrap()
            .to_device(device)
            .unwrap();
        (format!("v{i}"), Var::from_tensor(&t).unwrap())
    };
    SHAPES.iter().enumerate().map(var).collect()
}

fn gradients(vars: &[(String, Var)], step: u64) -> GradStore {
    let mut total = like(&Tensor::new(0f32, &Device::Cpu).unwrap(), &vars[0].1);
    for (i, (_, var)) in vars.iter().enumerate() {
        // The last gets a gradient every other step only.
        if i == 2 && step % 2 == 1 {
            continue;
        }
        let r = like(&values(var.dims(), 100 * step + i as u64), var);
        total = (total + (var.as_tensor() * r).unwrap().sum_all().unwrap()).unwrap();
    }
    total.backward().unwrap()
}

type State = BTreeMap<String, Tensor>;

/// Parameters and state after some steps.
fn trained(dtype: DType, device: &Device, kind: usize) -> (Vec<Tensor>, State) {
    let vars = variables(dtype, device);
    let adamw = AdamWParams {
        weight_decay: 0.1,
        decay: Decay::Weights,
        ..AdamWParams::default()
    };
    let sgd = SgdParams {
        momentum: 0.8,
        weight_decay: 0.1,
    };
    let mut state = State::new();
    match kind {
        0 => {
            for step in 0..5 {
                // Made anew from its saved state each time.
                let mut optimiser = AdamW::new(vars.clone(), adamw.clone()).unwrap();
                if step > 0 {
                    optimiser.load_state(&state).unwrap();
                }
                optimiser.step(&gradients(&vars, step), 0.05).unwrap();
                state = optimiser.state().unwrap();
            }
        }
        1 => {
            let mut optimiser = Sgd::new(vars.clone(), sgd).unwrap();
            for step in 0..5 {
                optimiser.step(&gradients(&vars, step), 0.05).unwrap();
                let saved = optimiser.state().unwrap();
                optimiser.load_state(&saved).unwrap();
            }
            state = optimiser.state().unwrap();
        }
        _ => {
            let mut ema = Ema::new(&vars, 0.7).unwrap();
            let mut optimiser = Sgd::new(vars.clone(), sgd).unwrap();
            for step in 0..5 {
                optimiser.step(&gradients(&vars, step), 0.05).unwrap();
                ema.update(&vars).unwrap();
            }
            state = ema.state().unwrap();
        }
    }
    (vars.iter().map(|(_, v)| v.as_tensor().copy().unwrap()).collect(), state)
}

#[test]
fn steps() {
    for (dtype, bound) in dtypes(1e-12, 1e-6) {
        for kind in 0..3 {
            let (ours, state) = trained(dtype, &Device::Cpu, kind);
            let (composed, composed_state) = everywhere(|| trained(dtype, &device(), kind));
            for (ours, composed) in ours.iter().zip(&composed) {
                let difference = difference(composed, ours);
                assert!(difference < bound, "{dtype:?}, {kind}: {difference:e}");
            }
            assert!(state.keys().eq(composed_state.keys()), "the saved format");
            for (name, ours) in &state {
                let difference = difference(&composed_state[name], ours);
                assert!(difference < bound, "{dtype:?}, {kind}, {name}: {difference:e}");
            }
        }
    }
}

/// A state saved on one device goes on on another, and is not changed by it.
#[test]
fn state_moves() {
    let vars = variables(DType::F32, &Device::Cpu);
    let mut ours = AdamW::new(vars.clone(), AdamWParams::default()).unwrap();
    ours.step(&gradients(&vars, 0), 0.1).unwrap();
    let state = ours.state().unwrap();
    let before: Vec<_> = state.values().map(numbers).collect();
    everywhere(|| {
        let vars = variables(DType::F32, &device());
        let mut composed = AdamW::new(vars.clone(), AdamWParams::default()).unwrap();
        composed.load_state(&state).unwrap();
        composed.step(&gradients(&vars, 1), 0.1).unwrap();
    });
    assert_eq!(state.values().map(numbers).collect::<Vec<_>>(), before);
}

#[test]
fn clipping() {
    for (dtype, bound) in dtypes(1e-12, 1e-6) {
        let clipped = |device: &Device| {
            let vars = variables(dtype, device);
            let mut grads = gradients(&vars, 2);
            let norm = clip_gradients(&mut grads, &vars, 0.5).unwrap();
            let grads = vars
                .iter()
                .map(|(_, v)| grads.get(v).unwrap().clone())
                .collect::<Vec<_>>();
            (norm, grads)
        };
        let ((ours, a), (composed, b)) = (clipped(&Device::Cpu), everywhere(|| clipped(&device())));
        assert!((ours - composed).abs() < bound * ours);
        assert!(a.iter().zip(&b).all(|(a, b)| difference(b, a) < bound));
    }
}
