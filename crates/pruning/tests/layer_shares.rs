//! Shares and scores that differ from layer to layer: the Erdős-Rényi kernel and LAMP against values computed in Python
//! (`golden/allocation.safetensors`, made by `golden/allocation.py`), and depthwise convolutions with a share of their own.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use htl_pruning::{Context, Criterion, MaskSet, PruneError, PruneParams, WeightSet};
use proptest::prelude::*;

fn golden() -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/allocation.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn named(name: &str) -> &'static Criterion {
    Criterion::named(name).unwrap()
}

fn masks(params: PruneParams, weights: &WeightSet) -> MaskSet {
    params.check().unwrap().masks(weights).unwrap()
}

fn zeros(masks: &MaskSet) -> BTreeMap<String, usize> {
    masks.table().into_iter().map(|row| (row.name, row.zeros)).collect()
}

/// On the shapes of EfficientNet-Lite0, every layer keeps what the rule says, to a weight, and together exactly what was asked.
#[test]
fn erk_keeps_what_the_rule_says() {
    let golden = golden();
    let shape = |name: &str, tensor: &Tensor| {
        let shape: Vec<usize> = tensor
            .to_vec1::<i64>()
            .unwrap()
            .iter()
            .map(|side| *side as usize)
            .collect();
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|at| (at as f32 * 0.37 + name.len() as f32).sin())
            .collect();
        (name.to_owned(), Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    };
    let weights: WeightSet = golden
        .iter()
        .filter_map(|(name, tensor)| Some(shape(name.strip_prefix("shape.")?, tensor)))
        .collect();
    assert_eq!(weights.len(), 50);
    for density in [0.5, 0.2, 0.1] {
        let masks = masks(
            PruneParams::new(named("erk-magnitude")).sparsity(1.0 - density),
            &weights,
        );
        let count = weights.prunable_weights();
        assert_eq!(masks.zeros(), ((1.0 - density) * count as f64).round() as usize);
        let mut dense = 0;
        for layer in masks.table() {
            let share = golden[&format!("erk.{density}.{}", layer.name)]
                .to_vec1::<f64>()
                .unwrap()[0];
            let kept = (layer.weights - layer.zeros) as f64;
            assert!(
                (kept - share * layer.weights as f64).abs() <= 1.0,
                "{}: {kept}, {share}",
                layer.name
            );
            dense += usize::from(layer.zeros == 0);
            // A depthwise layer loses least.
            assert!(layer.shape[1] != 1 || share > density, "{}", layer.name);
        }
        assert!((1..50).contains(&dense), "{dense} layers are dense at {density}");
    }
}

#[test]
fn lamp_scores_are_those_of_the_definition() {
    let golden = golden();
    let weights = golden
        .iter()
        .filter_map(|(name, weight)| Some((name.strip_prefix("weight.")?, weight)));
    for (name, weight) in weights {
        let context = Context {
            name,
            weight,
            gradient: None,
            activation: None,
            seed: 0,
        };
        let found = (named("lamp").scores)(&context).unwrap();
        let expected = &golden[&format!("lamp.{name}")];
        let expected: Vec<f64> = expected.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-12, "{name}: {found} {expected}");
        }
    }
}

fn network() -> WeightSet {
    let tensor = |seed: f32, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|at| (at as f32 * 0.71 + seed).sin()).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    };
    WeightSet::from_iter([
        ("dw.weight", tensor(1.0, &[20, 1, 3, 3])),
        ("grey.weight", tensor(2.0, &[1, 1, 3, 3])),
        ("pw.weight", tensor(3.0, &[30, 20, 1, 1])),
        ("point.weight", tensor(4.0, &[40, 1, 1, 1])),
    ])
}

/// Depthwise weights `[channels, 1, k, k]` are recognised; 1x1 ones and filters of one channel are no such.
#[test]
fn depthwise_convolutions_have_a_share_of_their_own() {
    for criterion in ["global-magnitude", "layer-magnitude", "erk-magnitude", "lamp", "random"] {
        let params = || PruneParams::new(named(criterion)).sparsity(0.8);
        let dense = masks(params().depthwise_share(0.0), &network());
        assert!(dense.get("dw.weight").is_none() && dense.get("point.weight").is_some());
        assert_eq!((dense.weights(), dense.zeros()), (649, 519));
        let light = masks(params().depthwise_share(0.25), &network());
        let light = zeros(&light);
        assert_eq!(light["dw.weight"], 36, "{criterion}"); // 0.2 * 180
        assert_eq!(light.values().sum::<usize>(), 36 + 519);
        let whole = masks(params().depthwise_share(1.0), &network());
        assert_eq!(zeros(&whole), zeros(&masks(params(), &network())));
    }
}

#[test]
fn bad_shares_are_told() {
    for share in [-0.1, 1.1, f64::NAN] {
        let error = PruneParams::default()
            .depthwise_share(share)
            .check()
            .unwrap_err()
            .to_string();
        assert!(error.contains("depthwise") && error.contains("[0, 1]"), "{error}");
    }
    let only: WeightSet = [(
        "dw.weight",
        Tensor::ones((4, 1, 3, 3), DType::F32, &Device::Cpu).unwrap(),
    )]
    .into_iter()
    .collect();
    let params = PruneParams::default().depthwise_share(0.0).check().unwrap();
    assert!(matches!(params.masks(&only), Err(PruneError::NothingToPrune { .. })));
}

proptest! {
    /// Whatever the shapes and ties, exactly as many weights go as were asked for.
    #[test]
    fn erk_counts_are_exact(
        shapes in prop::collection::vec((1usize..9, 1usize..9, 1usize..4), 1..8),
        sparsity in 0.0..0.999f64,
        levels in 1usize..5,
    ) {
        let weights: WeightSet = shapes
            .iter()
            .enumerate()
            .map(|(at, (out, inputs, side))| {
                let count = out * inputs * side * side;
                let values: Vec<f32> = (0..count).map(|i| (i % levels) as f32).collect();
                let tensor = Tensor::from_vec(values, (*out, *inputs, *side, *side), &Device::Cpu).unwrap();
                (format!("{at}.weight"), tensor)
            })
            .collect();
        let masks = masks(PruneParams::new(named("erk-magnitude")).sparsity(sparsity), &weights);
        let count = weights.prunable_weights();
        prop_assert_eq!(masks.zeros(), (sparsity * count as f64).round() as usize);
    }
}
