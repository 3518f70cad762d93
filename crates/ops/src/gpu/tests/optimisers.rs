//! Optimisers and averages, all tensors in a few launches.

use candle_core::Var;

use super::{difference, values};
use crate::gpu::emulated::{engine, everywhere as on};
use crate::norm::BatchStatistics;
use crate::optim::{AdamW, AdamWParams, Decay, Ema, Sgd, SgdParams, clip_gradients};

type Named = Vec<(String, Var)>;

/// More tensors than one launch takes, of very different sizes.
fn vars() -> Named {
    let dims = |at: usize| {
        if at.is_multiple_of(2) {
            vec![1 + 37 * (at % 7), 3]
        } else {
            vec![1 + at]
        }
    };
    let var = |at: usize| Var::from_tensor(&values(&dims(at), 100 + at as u64)).unwrap();
    (0..70).map(|at| (format!("p{at:02}"), var(at))).collect()
}

#[track_caller]
fn assert_alike(ours: &Named, theirs: &Named, step: usize) {
    for ((name, a), (_, b)) in ours.iter().zip(theirs) {
        let off = difference(a, b);
        assert!(off < 1e-5, "{name} after step {step}: off by {off}");
    }
}

#[test]
fn optimiser_steps_as_on_the_cpu() {
    let Some(engine) = engine() else { return };
    let params = AdamWParams {
        weight_decay: 0.1,
        decay: Decay::Weights,
        ..AdamWParams::default()
    };
    let (ours, theirs) = (vars(), vars());
    let mut device = on(&engine, || AdamW::new(ours.clone(), params.clone())).unwrap();
    let mut host = AdamW::new(theirs.clone(), params).unwrap();
    for step in 0..3 {
        let loss = |vars: &[(String, Var)]| {
            let parts = vars.iter().enumerate().filter(|(at, _)| (at + step) % 5 != 0);
            let parts =
                parts.map(|(at, (_, var))| (var.sqr().unwrap() * (1.0 + at as f64)).unwrap().sum_all().unwrap());
            parts.reduce(|a, b| (a + b).unwrap()).unwrap()
        };
        let mut gradients = loss(&ours).backward().unwrap();
        // Clipped in some steps, not in others.
        let most = [1.0, 1e9, 3.0][step];
        on(&engine, || device.step_clipped(&mut gradients, 1e-2, most)).unwrap();
        let mut gradients = loss(&theirs).backward().unwrap();
        clip_gradients(&mut gradients, &theirs, most).unwrap();
        host.step(&gradients, 1e-2).unwrap();
        assert_alike(&ours, &theirs, step);
    }
}

#[test]
fn sgd_and_averages_as_on_the_cpu() {
    let Some(engine) = engine() else { return };
    let params = SgdParams {
        momentum: 0.8,
        weight_decay: 0.1,
    };
    let (ours, theirs) = (vars(), vars());
    let mut device = on(&engine, || Sgd::new(ours.clone(), params.clone())).unwrap();
    let mut host = Sgd::new(theirs.clone(), params).unwrap();
    let mut device_average = Ema::new(&ours, 0.9).unwrap();
    let mut host_average = Ema::new(&theirs, 0.9).unwrap();
    for step in 0..3 {
        let gradients = |vars: &Named| {
            let parts = vars.iter().map(|(_, var)| var.sqr().unwrap().sum_all().unwrap());
            parts.reduce(|a, b| (a + b).unwrap()).unwrap().backward().unwrap()
        };
        on(&engine, || device.step(&gradients(&ours), 1e-2)).unwrap();
        host.step(&gradients(&theirs), 1e-2).unwrap();
        assert_alike(&ours, &theirs, step);
        on(&engine, || device_average.update(&ours)).unwrap();
        host_average.update(&theirs).unwrap();
        for (name, average) in device_average.values() {
            assert!(difference(&average, &host_average.values()[&name]) < 1e-5);
        }
        let copies = vars();
        on(&engine, || device_average.copy_to(&copies)).unwrap();
        for (name, copy) in copies {
            assert_eq!(difference(&copy, &device_average.values()[&name]), 0.0);
        }
    }
}

#[test]
fn running_statistics_as_on_the_cpu() {
    let Some(engine) = engine() else { return };
    let statistics = BatchStatistics {
        mean: values(&[10], 1).narrow(0, 0, 5).unwrap(),
        var: values(&[10], 1).narrow(0, 5, 5).unwrap(),
    };
    let running = || [2, 3].map(|seed| Var::from_tensor(&values(&[5], seed)).unwrap());
    let (ours, theirs) = (running(), running());
    on(&engine, || statistics.update_running(&ours[0], &ours[1], 0.1)).unwrap();
    statistics.update_running(&theirs[0], &theirs[1], 0.1).unwrap();
    for (a, b) in ours.iter().zip(&theirs) {
        assert!(difference(a, b) < 1e-6);
    }
}
