//! Steps of the optimisers composed of candle's primitives, against the CPU kernels.

mod cases;
mod common;

use candle_core::{DType, Device};
use cases::optim::{KINDS, clipped, gradients, trained, variables};
use common::{device, difference, dtypes, numbers};
use htl_ops::optim::*;
use htl_ops::portable::everywhere;

#[test]
fn steps() {
    for (dtype, bound) in dtypes(1e-12, 1e-6) {
        for kind in 0..KINDS {
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
        let ((ours, a), (composed, b)) = (clipped(dtype, &Device::Cpu), everywhere(|| clipped(dtype, &device())));
        assert!((ours - composed).abs() < bound * ours);
        assert!(a.iter().zip(&b).all(|(a, b)| difference(b, a) < bound));
    }
}
