//! Whole channels: importances against Torch-Pruning (`golden/channels.safetensors`, made by `golden/channels.py`), counts, and
//! what is wrong said in words.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use htl_pruning::{CHANNEL_CRITERIA, ChannelCriterion, ChannelParams, FilterGroup, Filters, PruneError};
use proptest::prelude::*;

fn golden() -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/channels.safetensors");
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn named(name: &str) -> &'static ChannelCriterion {
    ChannelCriterion::named(name).unwrap()
}

/// A group of the golden network, as its dependency graph has it.
fn group(golden: &HashMap<String, Tensor>, root: &str) -> FilterGroup {
    let places: Vec<Vec<i64>> = golden[&format!("{root}.places")].to_vec2().unwrap();
    let places = places.iter().map(|place| Filters {
        name: format!("weight.{}", place[0]),
        tensor: golden[&format!("weight.{}", place[0])].clone(),
        axis: place[1] as usize,
        offset: place[2] as usize,
        width: 1,
    });
    FilterGroup {
        name: root.into(),
        channels: golden[&format!("{root}.l2")].elem_count(),
        places: places.collect(),
    }
}

const ROOTS: [&str; 4] = ["stem", "a", "side", "join"];

#[test]
fn importances_are_those_of_torch_pruning() {
    let golden = golden();
    for root in ROOTS {
        for (criterion, key) in [
            ("structured-l1", "l1"),
            ("structured-l2", "l2"),
            ("structured-global-l2", "l2"),
        ] {
            let found = (named(criterion).scores)(&group(&golden, root), 0).unwrap();
            let expected: Vec<f32> = golden[&format!("{root}.{key}")].to_vec1().unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                let expected = f64::from(expected);
                assert!(
                    (found - expected).abs() <= 1e-5 * expected,
                    "{root} {key}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_least_important_channels_go() {
    let golden = golden();
    let groups: Vec<FilterGroup> = ROOTS.iter().map(|root| group(&golden, root)).collect();
    let params = ChannelParams::new(ChannelCriterion::STRUCTURED_L2).check().unwrap();
    let removed = params.removed(&groups).unwrap();
    for (root, removed) in ROOTS.iter().zip(removed) {
        let importance: Vec<f32> = golden[&format!("{root}.l2")].to_vec1().unwrap();
        assert_eq!(removed.len(), (importance.len() as f64 / 2.0).round() as usize);
        let gone = removed.iter().map(|channel| importance[*channel]).fold(0.0, f32::max);
        let left = (0..importance.len()).filter(|channel| !removed.contains(channel));
        assert!(
            left.map(|channel| importance[channel]).all(|left| left > gone),
            "{root}"
        );
    }
}

/// A group of one tensor whose channels have these weights.
fn of(name: &str, values: &[f32]) -> FilterGroup {
    FilterGroup {
        name: name.into(),
        channels: values.len(),
        places: vec![Filters {
            name: format!("{name}.weight"),
            tensor: Tensor::from_vec(values.to_vec(), (values.len(), 1), &Device::Cpu).unwrap(),
            axis: 0,
            offset: 0,
            width: 1,
        }],
    }
}

/// Over all groups, scores count relative to the mean of their group, and something stays of each.
#[test]
fn groups_compete() {
    let groups = [
        of("a", &[10.0, 10.0, 10.0, 10.0]),
        of("b", &[0.1, 0.1, 0.1, 3.0]),
        of("c", &[5.0]),
    ];
    let of = |sparsity: f64| {
        let params = ChannelParams::new(named("structured-global-l2")).sparsity(sparsity);
        params.check().unwrap().removed(&groups).unwrap()
    };
    assert_eq!(of(0.25), [vec![], vec![0, 1], vec![]]);
    assert_eq!(of(0.5), [vec![0], vec![0, 1, 2], vec![]]);
    assert_eq!(of(0.999), [vec![0, 1, 2], vec![0, 1, 2], vec![]]);
}

#[test]
fn what_is_wrong_is_told() {
    let removed = |params: ChannelParams, groups: &[FilterGroup]| params.check().unwrap().removed(groups).unwrap_err();
    let params = || ChannelParams::new(ChannelCriterion::STRUCTURED_L2);
    let single = removed(params(), &[of("a", &[1.0])]).to_string();
    assert!(
        single.contains("of 1 groups of channels, none has more than one"),
        "{single}"
    );
    let groups = [of("a.0", &[1.0, 2.0]), of("b", &[1.0, 2.0])];
    let excluded = removed(params().exclude(["a", "b"]), &groups);
    assert!(matches!(excluded, PruneError::NoChannels { groups: 2 }));
    let unknown = removed(params().exclude(["c"]), &groups).to_string();
    assert!(unknown.contains("`c`") && unknown.contains("a.0, b"), "{unknown}");
    let diverged = removed(params(), &[of("a", &[1.0, f32::NAN])]).to_string();
    assert!(
        diverged.contains("`a.weight`") && diverged.contains("position 1"),
        "{diverged}"
    );
    let mut misplaced = of("a", &[1.0, 2.0]);
    misplaced.places[0].offset = 1;
    let misplaced = removed(params(), &[misplaced]).to_string();
    assert!(misplaced.contains("1..3 of axis 0"), "{misplaced}");
    for sparsity in [1.0, -0.1, f64::NAN] {
        assert!(matches!(
            params().sparsity(sparsity).check(),
            Err(PruneError::Sparsity { .. })
        ));
    }
    assert!(matches!(
        params().multiple(0).check(),
        Err(PruneError::Multiple { found: 0 })
    ));
}

proptest! {
    /// Removed channels are sorted, of their group, never all of it; what is left is a multiple or everything; random ones
    /// depend on the seed alone.
    #[test]
    fn something_stays_of_every_group(
        sizes in prop::collection::vec(1usize..40, 1..6),
        sparsity in 0.0..0.9999f64,
        multiple in 1usize..9,
        which in 0usize..4,
    ) {
        let groups: Vec<FilterGroup> = sizes
            .iter()
            .enumerate()
            .map(|(at, size)| of(&at.to_string(), &(0..*size).map(|i| (i % 5) as f32).collect::<Vec<_>>()))
            .collect();
        let params = ChannelParams::new(CHANNEL_CRITERIA[which]).sparsity(sparsity).multiple(multiple).seed(3);
        let removed = params.clone().check().unwrap().removed(&groups);
        if sizes.iter().all(|size| *size == 1) {
            prop_assert!(removed.is_err());
            return Ok(());
        }
        let removed = removed.unwrap();
        prop_assert_eq!(&removed, &params.check().unwrap().removed(&groups).unwrap());
        for (size, removed) in sizes.iter().zip(removed) {
            let left = size - removed.len();
            prop_assert!(removed.windows(2).all(|pair| pair[0] < pair[1]) && removed.iter().all(|channel| channel < size));
            prop_assert!(left >= 1 && (left.is_multiple_of(multiple) || left == *size), "{left} of {size}");
            if multiple == 1 && CHANNEL_CRITERIA[which].name != "structured-global-l2" && *size > 1 {
                prop_assert_eq!(left, (size - (sparsity * *size as f64).round() as usize).max(1));
            }
        }
    }
}
