//! Steps of the optimisers.

use std::collections::BTreeMap;

use crate::common::{like, values};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use htl_ops::optim::*;

const SHAPES: [&[usize]; 3] = [&[4, 3, 2], &[5], &[]];

pub fn variables(dtype: DType, device: &Device) -> Vec<(String, Var)> {
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

pub fn gradients(vars: &[(String, Var)], step: u64) -> GradStore {
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

pub type State = BTreeMap<String, Tensor>;

/// How many kinds of optimiser [`trained`] knows.
pub const KINDS: usize = 3;

/// Parameters and state after some steps.
pub fn trained(dtype: DType, device: &Device, kind: usize) -> (Vec<Tensor>, State) {
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

/// A norm, and the gradients cut to it.
pub fn clipped(dtype: DType, device: &Device) -> (f64, Vec<Tensor>) {
    let vars = variables(dtype, device);
    let mut grads = gradients(&vars, 2);
    let norm = clip_gradients(&mut grads, &vars, 0.5).unwrap();
    let grads = vars.iter().map(|(_, v)| grads.get(v).unwrap().clone());
    (norm, grads.collect())
}
