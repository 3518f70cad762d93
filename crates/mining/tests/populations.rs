//! Facts that hold for any populations.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use htl_metrics::{Confusion, MapCut, Mask, resize_bilinear};
use htl_mining::{
    Comparison, LEAST_SEEDS, MiningError, Outcome, Population, ScoreParams, ScoreValidParams, adaptive, column, rank,
    scores, top,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SIDE: usize = 6;

fn params() -> ScoreValidParams {
    ScoreParams::default().check().unwrap()
}

fn ids(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("ISIC_{i:07}")).collect()
}

/// Maps of some seeds, made of blocks of a few levels so that empty masks, ties and 0.5 occur.
fn population(seed: u64, images: usize, seeds: usize) -> Population {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let maps = (0..seeds)
        .map(|_| {
            let values: Vec<f32> = (0..images)
                .flat_map(|_| {
                    let most = rng.random_range(0..=4u8);
                    (0..SIDE * SIDE)
                        .map(|_| f32::from(rng.random_range(0..=most)) / 4.0)
                        .collect::<Vec<_>>()
                })
                .collect();
            Tensor::from_vec(values, (images, SIDE, SIDE), &Device::Cpu).unwrap()
        })
        .collect();
    Population::new(ids(images), maps).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn disagreement_is_symmetric_and_in_range(seed: u64, k in 1usize..6, j in 1usize..6) {
        let (a, b) = (population(seed, 4, k), population(seed ^ 1, 4, j));
        let there = scores(&Comparison::new(&a, &b), &params()).unwrap();
        let back = scores(&Comparison::new(&b, &a), &params()).unwrap();
        for name in [column::DISAGREEMENT, "soft_disagreement", "boundary_disagreement", "pie", column::BOTH_EMPTY] {
            prop_assert_eq!(there.column(name).unwrap(), back.column(name).unwrap());
            let most = if name == "boundary_disagreement" { 3.0 / (0.02 * 72f64.sqrt()) } else { 1.0 };
            for score in there.column(name).unwrap() {
                prop_assert!((0.0..=most).contains(&score.unwrap()), "{} {:?}", name, score);
            }
        }
        for name in ["dense_spread", "entropy"] {
            for score in there.column(name).unwrap().into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&score));
            }
        }
    }

    /// Identical populations do not disagree, except where both see nothing: there disagreement is largest.
    #[test]
    fn identical_populations_agree(seed: u64, k in 1usize..6) {
        let a = population(seed, 6, k);
        let truth = |id: &str| Ok(a.position(id).and_then(|image| a.modal_mask(image).ok()));
        let table = scores(&Comparison::new(&a, &a).with_sham(&a).with_truth(&truth), &params()).unwrap();
        for id in a.ids() {
            let empty = table.score(id, column::BOTH_EMPTY) == Some(1.0);
            for name in [column::DISAGREEMENT, "soft_disagreement", column::SHAM] {
                prop_assert_eq!(table.score(id, name), Some(if empty { 1.0 } else { 0.0 }));
            }
            for name in ["excess", "soft_excess", "boundary_excess", "iou_drop", "pie"] {
                prop_assert_eq!(table.score(id, name), Some(0.0));
            }
        }
    }

    /// Images are matched by id: shuffling the images of one side changes nothing.
    #[test]
    fn order_of_images_does_not_matter(seed: u64) {
        let (a, b) = (population(seed, 5, 3), population(seed ^ 1, 5, 3));
        let mut other = b.ids().to_vec();
        other.rotate_left((seed % 5) as usize);
        let shuffled = b.with_images(&other).unwrap();
        let straight = scores(&Comparison::new(&a, &b), &params()).unwrap();
        prop_assert_eq!(&straight, &scores(&Comparison::new(&a, &shuffled), &params()).unwrap());
        // And so for merging: each seed's file in its own order.
        let parts = (0..3).map(|k| {
            let mut order = b.ids().to_vec();
            order.rotate_left((seed as usize + k) % 5);
            b.with_seeds(&[k]).unwrap().with_images(&order).unwrap()
        });
        let merged = Population::merge(parts).unwrap();
        prop_assert_eq!(&straight, &scores(&Comparison::new(&a, &merged), &params()).unwrap());
    }

    /// A pixel is in the modal mask of an odd population exactly when most seeds have it.
    #[test]
    fn modal_mask_is_the_majority(seed: u64, k in 1usize..7) {
        let a = population(seed, 2, k);
        let planes = a.planes(1).unwrap();
        let mask = a.modal_mask(1).unwrap();
        for (p, &inside) in mask.pixels().iter().enumerate() {
            let expected = if k % 2 == 1 {
                planes.iter().filter(|plane| plane[p] > 0.5).count() > k / 2
            } else {
                planes.iter().map(|plane| plane[p]).sum::<f32>() / k as f32 > 0.5
            };
            prop_assert_eq!(inside == 1, expected);
        }
    }

    /// Class activations are cut where evaluation cuts them, at a quantile of each map of its own.
    #[test]
    fn class_activations_are_cut_as_in_evaluation(seed: u64) {
        let maps = population(seed, 3, 1).map(0).unwrap().clone();
        let population = Population::class_activation(ids(3), vec![maps]).unwrap();
        for image in 0..3 {
            let plane = population.planes(image).unwrap().remove(0);
            let expected = MapCut::CLASS_MAP.mask(SIDE, SIDE, &plane).unwrap();
            prop_assert_eq!(population.modal_mask(image).unwrap(), expected.clone());
            let truth = |id: &str| Ok((id == population.ids()[image]).then(|| expected.clone()));
            let comparison = Comparison::new(&population, &population).with_truth(&truth);
            let table = scores(&comparison, &params()).unwrap();
            prop_assert_eq!(table.score(&population.ids()[image], column::DENSE_ERROR), Some(0.0));
        }
    }
}

/// Maps of discs: each network sees its own shift of the lesion, larger by `harm(image)` for the pruned ones.
fn discs(rng: &mut ChaCha8Rng, images: usize, seeds: usize, harm: impl Fn(usize) -> f64) -> Population {
    let side = 24;
    let maps = (0..seeds)
        .map(|_| {
            let mut values = Vec::with_capacity(images * side * side);
            for image in 0..images {
                let mut jitter = || (rng.random::<f64>() - 0.5) * 3.0;
                let (y0, x0, radius) = (
                    12.0 + jitter(),
                    12.0 + jitter(),
                    (7.0 + 0.5 * jitter() - harm(image)).max(0.5),
                );
                for i in 0..side * side {
                    let distance = ((i / side) as f64 - y0).hypot((i % side) as f64 - x0);
                    values.push(if distance <= radius { 0.9f32 } else { 0.1 });
                }
            }
            Tensor::from_vec(values, (images, side, side), &Device::Cpu).unwrap()
        })
        .collect();
    Population::new(ids(images), maps).unwrap()
}

/// A second sham in the place of the pruned networks selects next to nothing; planted harm is found.
#[test]
fn adaptive_selection_finds_planted_harm_and_little_else() {
    let (images, planted, seeds) = (60, 20, 6);
    let params = params();
    let (mut false_alarms, mut found, mut wrong) = (0, 0, 0);
    let trials = 12;
    for trial in 0..trials {
        let mut rng = ChaCha8Rng::seed_from_u64(trial);
        let dense = discs(&mut rng, images, seeds, |_| 0.0);
        let sham = discs(&mut rng, images, seeds, |_| 0.0);
        let second_sham = discs(&mut rng, images, seeds, |_| 0.0);
        let pruned = discs(&mut rng, images, seeds, |image| if image < planted { 4.0 } else { 0.0 });
        let select = |sparse: &Population| {
            let comparison = Comparison::new(&dense, sparse).with_sham(&sham);
            let mut table = scores(&comparison, &params).unwrap();
            let selection = adaptive(&mut table, &comparison, &params, 0.2, 0).unwrap();
            // What was decided by can be read in the table.
            let least = selection
                .ids
                .iter()
                .filter_map(|id| table.score(id, column::KNOCKOFF_W));
            let least = least.fold(f64::INFINITY, f64::min);
            let above = table.column(column::KNOCKOFF_W).unwrap();
            assert_eq!(
                above.into_iter().flatten().filter(|w| *w >= least).count(),
                selection.len()
            );
            selection
        };
        false_alarms += usize::from(!select(&second_sham).is_empty());
        let selection = select(&pruned);
        assert!(
            matches!(selection.outcome, Outcome::Adaptive { threshold: Some(_), .. }),
            "{}",
            selection.outcome
        );
        let planted_ids: BTreeSet<String> = ids(planted).into_iter().collect();
        found += selection.ids.iter().filter(|id| planted_ids.contains(*id)).count();
        wrong += selection.ids.iter().filter(|id| !planted_ids.contains(*id)).count();
    }
    assert!(
        false_alarms <= 5,
        "a second sham selected something in {false_alarms} of {trials} trials"
    );
    assert!(
        found as f64 > 0.9 * (planted * trials as usize) as f64,
        "found only {found}"
    );
    assert!(
        (wrong as f64) < 0.25 * found as f64,
        "{wrong} wrong beside {found} right"
    );
}

#[test]
fn adaptive_selection_says_when_it_cannot() {
    let few = population(1, 10, LEAST_SEEDS - 1);
    let other = population(2, 10, LEAST_SEEDS - 1);
    let comparison = Comparison::new(&few, &other).with_sham(&few);
    let mut table = scores(&comparison, &params()).unwrap();
    let error = adaptive(&mut table, &comparison, &params(), 0.2, 0).unwrap_err();
    assert!(matches!(error, MiningError::TooFewSeeds { found: 3 }), "{error}");

    let dense = population(1, 10, 4);
    let without = Comparison::new(&dense, &dense);
    let error = adaptive(&mut table, &without, &params(), 0.2, 0).unwrap_err();
    assert!(matches!(error, MiningError::NoSham));
    let unequal = Comparison::new(&dense, &few).with_sham(&dense);
    let error = adaptive(&mut table, &unequal, &params(), 0.2, 0).unwrap_err();
    assert!(
        matches!(
            error,
            MiningError::SeedCount {
                found: 3,
                expected: 4,
                ..
            }
        ),
        "{error}"
    );
}

/// An image that nobody sees anything in ranks first, though its masks agree perfectly.
#[test]
fn both_empty_ranks_hardest() {
    let map = |values: [[f32; 2]; 3]| Tensor::from_vec(values.concat(), (3, 1, 2), &Device::Cpu).unwrap();
    let dense = Population::new(ids(3), vec![map([[0.9, 0.1], [0.9, 0.1], [0.1, 0.2]])]).unwrap();
    let sparse = Population::new(ids(3), vec![map([[0.9, 0.1], [0.1, 0.9], [0.1, 0.1]])]).unwrap();
    let table = scores(&Comparison::new(&dense, &sparse), &params()).unwrap();
    for name in [
        column::DISAGREEMENT,
        "soft_disagreement",
        "boundary_disagreement",
        "entropy",
    ] {
        assert_eq!(rank(&table, name, 0).unwrap().ids()[0], "ISIC_0000002", "{name}");
    }
}

/// Errors are those of evaluation: maps are resized to the stored mask, not the mask to the maps.
#[test]
fn errors_are_at_the_size_of_the_stored_mask() {
    let plane = vec![0.9f32, 0.2, 0.2, 0.2];
    let map = Tensor::from_vec(plane.clone(), (1, 2, 2), &Device::Cpu).unwrap();
    let dense = Population::new(ids(1), vec![map]).unwrap();
    let stored = Mask::new(6, 6, (0..36).map(|p| u8::from(p % 6 < 3 && p / 6 < 2)).collect()).unwrap();
    let truth = |_: &str| Ok(Some(stored.clone()));
    let table = scores(&Comparison::of_dense(&dense).with_truth(&truth), &params()).unwrap();
    let judged = MapCut::PROBABILITY
        .mask(6, 6, &resize_bilinear(&plane, (2, 2), (6, 6)).unwrap())
        .unwrap();
    let jaccard = Confusion::of(&judged, &stored).unwrap().jaccard();
    assert!(jaccard < 1.0, "the example tells the sizes apart");
    assert_eq!(table.score("ISIC_0000000", column::DENSE_ERROR), Some(1.0 - jaccard));
    assert_eq!(
        table.score("ISIC_0000000", column::DISAGREEMENT),
        None,
        "there is no sparse population"
    );
    let unreadable = |_: &str| Err("no such file".into());
    let error = scores(&Comparison::of_dense(&dense).with_truth(&unreadable), &params()).unwrap_err();
    assert!(error.to_string().contains("ISIC_0000000") && error.to_string().contains("no such file"));
}

/// Seeds that agree with each other and not with the label: the label is suspect, and attention can leave it out.
#[test]
fn agreement_against_the_label_points_to_the_label() {
    let side = 4;
    let left = |p: usize| if p % side < 2 { 0.9f32 } else { 0.1 };
    let maps = || {
        Tensor::from_vec(
            (0..2 * side * side).map(left).collect::<Vec<_>>(),
            (2, side, side),
            &Device::Cpu,
        )
        .unwrap()
    };
    let dense = Population::new(ids(2), vec![maps(), maps(), maps()]).unwrap();
    let truth = |id: &str| {
        let wrong = id == "ISIC_0000000";
        let pixels = (0..side * side).map(|p| u8::from((p % side < 2) != wrong)).collect();
        Ok(Some(Mask::new(side, side, pixels)?))
    };
    let table = scores(&Comparison::new(&dense, &dense).with_truth(&truth), &params()).unwrap();
    assert_eq!(table.column(column::SUSPECT_LABEL).unwrap(), [Some(1.0), Some(0.0)]);
    assert_eq!(table.column("label_conflict").unwrap(), [Some(1.0), Some(0.0)]);
    let selection = top(&table, column::DENSE_ERROR, 1.0, 0)
        .unwrap()
        .without_suspect_labels(&table);
    assert_eq!(selection.ids, ["ISIC_0000001"]);
}
