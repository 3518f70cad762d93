//! Masks equal those of `torch.nn.utils.prune` (`golden/masks.safetensors`, made by `golden/make.py`).

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use htl_pruning::{Criterion, MaskSet, PruneParams, WeightSet};

/// As in `golden/make.py`.
const AMOUNT: f64 = 0.7;

fn golden() -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/masks.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn weights(golden: &HashMap<String, Tensor>) -> WeightSet {
    golden
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("weight.")?, tensor.clone())))
        .collect()
}

fn assert_equal(masks: &MaskSet, golden: &HashMap<String, Tensor>, prefix: &str) {
    assert_eq!(masks.iter().count(), 3);
    for (name, mask) in masks.iter() {
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        assert_eq!(
            flat(mask.as_tensor()),
            flat(&golden[&format!("{prefix}.{name}")]),
            "{prefix} {name}"
        );
    }
}

fn masks(criterion: &'static Criterion, weights: &WeightSet) -> MaskSet {
    PruneParams::new(criterion)
        .sparsity(AMOUNT)
        .check()
        .unwrap()
        .masks(weights)
        .unwrap()
}

#[test]
fn global_magnitude_equals_global_unstructured_l1() {
    let golden = golden();
    assert_equal(
        &masks(Criterion::GLOBAL_MAGNITUDE, &weights(&golden)),
        &golden,
        "global",
    );
}

#[test]
fn layer_magnitude_equals_l1_unstructured_on_each_layer() {
    let golden = golden();
    assert_equal(
        &masks(Criterion::named("layer-magnitude").unwrap(), &weights(&golden)),
        &golden,
        "layer",
    );
}

#[test]
fn layer_random_leaves_as_many_zeros_as_random_unstructured() {
    let golden = golden();
    let found: Vec<i64> = masks(Criterion::named("layer-random").unwrap(), &weights(&golden))
        .table()
        .iter()
        .map(|layer| layer.zeros as i64)
        .collect();
    assert_eq!(found, golden["random_zeros"].to_vec1::<i64>().unwrap());
}
