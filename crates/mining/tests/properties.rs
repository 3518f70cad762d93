//! Facts that hold for any population, table and selection.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use htl_metrics::Mask;
use htl_mining::{
    AdaptiveParams, Adjustment, Attribute, ClassPopulation, Comparison, LEAST_SEEDS, MapKind, MiningError, Outcome,
    Population, QueryRule, RandomPool, ScoreParams, ScoreRow, ScoreTable, ScoreValidParams, Selection, TwoByTwo,
    UNKNOWN, adaptive, class_scores, column, demographics, knockoff_threshold, modal_class, query, random_like, rank,
    scores, top, weights,
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

fn table(values: &[(&str, Option<f64>)]) -> ScoreTable {
    let mut table = ScoreTable::new(["score"]);
    for (id, score) in values {
        let row = ScoreRow {
            image_id: id.to_string(),
            setting: String::new(),
            fold: None,
            scores: vec![*score],
            htl: false,
        };
        table.push(row).unwrap();
    }
    table
}

fn drawn_table(seed: u64, n: usize) -> ScoreTable {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let ids = ids(n);
    let rows: Vec<(&str, Option<f64>)> = ids
        .iter()
        .map(|id| (id.as_str(), Some(f64::from(rng.random_range(0..5u8)))))
        .collect();
    table(&rows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn disagreement_is_symmetric_and_in_range(seed: u64, k in 1usize..6, j in 1usize..6) {
        let (a, b) = (population(seed, 4, k), population(seed ^ 1, 4, j));
        let there = scores(&Comparison::new(&a, &b), &params()).unwrap();
        let back = scores(&Comparison::new(&b, &a), &params()).unwrap();
        for name in [column::DISAGREEMENT, column::SOFT_DISAGREEMENT, column::BOUNDARY_DISAGREEMENT, column::PIE, column::BOTH_EMPTY] {
            prop_assert_eq!(there.column(name).unwrap(), back.column(name).unwrap());
            let most = if name == column::BOUNDARY_DISAGREEMENT { 3.0 / (0.02 * 72f64.sqrt()) } else { 1.0 };
            for score in there.column(name).unwrap() {
                prop_assert!((0.0..=most).contains(&score.unwrap()), "{} {:?}", name, score);
            }
        }
        for name in [column::DENSE_SPREAD, column::ENTROPY] {
            for score in there.column(name).unwrap().into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&score));
            }
        }
    }

    /// Identical populations do not disagree, except where both see nothing: there disagreement is largest.
    #[test]
    fn identical_populations_agree(seed: u64, k in 1usize..6) {
        let a = population(seed, 6, k);
        let truth = |id: &str| a.modal_mask(a.position(id)?).ok();
        let table = scores(&Comparison::new(&a, &a).with_sham(&a).with_truth(&truth), &params()).unwrap();
        for id in a.ids() {
            let empty = table.score(id, column::BOTH_EMPTY) == Some(1.0);
            for name in [column::DISAGREEMENT, column::SOFT_DISAGREEMENT, column::SHAM] {
                prop_assert_eq!(table.score(id, name), Some(if empty { 1.0 } else { 0.0 }));
            }
            for name in [column::EXCESS, column::SOFT_EXCESS, column::BOUNDARY_EXCESS, column::IOU_DROP, column::PIE] {
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

    /// Class activations are compared up to an affine change per map.
    #[test]
    fn class_activations_ignore_scale(seed: u64, scale in 1i32..40, shift in -30i32..30) {
        let a = population(seed, 3, 3);
        let maps = |factor: f64, offset: f64| {
            let maps = (0..3).map(|k| a.map(k).unwrap().affine(factor, offset).unwrap()).collect();
            Population::class_activation(a.ids().to_vec(), maps).unwrap()
        };
        let other = Population::of_kind(MapKind::ClassActivation, ids(3), (0..3).map(|k| population(!seed, 3, 3).map(k).unwrap().clone()).collect()).unwrap();
        let plain = scores(&Comparison::new(&maps(1.0, 0.0), &other), &params()).unwrap();
        let changed = scores(&Comparison::new(&maps(f64::from(scale), f64::from(shift)), &other), &params()).unwrap();
        for (one, two) in plain.column(column::SOFT_DISAGREEMENT).unwrap().into_iter().zip(changed.column(column::SOFT_DISAGREEMENT).unwrap()) {
            prop_assert!((one.unwrap() - two.unwrap()).abs() < 1e-5);
        }
        prop_assert_eq!(plain.column(column::ENTROPY).unwrap(), vec![None; 3]);
    }

    /// Exactly round(q n), the hardest, and the same whatever the order of the rows, ties included.
    #[test]
    fn top_is_exact_and_ignores_row_order(seed: u64, n in 1usize..60, q in 0.0..=1.0f64) {
        let table = drawn_table(seed, n);
        let selection = top(&table, "score", q).unwrap();
        let expected = (q * n as f64).round() as usize;
        prop_assert_eq!(selection.len(), if q > 0.0 { expected.max(1) } else { 0 });
        let mut reversed = ScoreTable::new(["score"]);
        for row in table.rows().iter().rev() {
            reversed.push(row.clone()).unwrap();
        }
        prop_assert_eq!(&selection, &top(&reversed, "score", q).unwrap());
        let chosen: BTreeSet<&String> = selection.ids.iter().collect();
        let score = |id: &str| table.score(id, "score").unwrap();
        let least = selection.ids.iter().map(|id| score(id)).fold(f64::INFINITY, f64::min);
        for row in table.rows().iter().filter(|row| !chosen.contains(&row.image_id)) {
            prop_assert!(row.scores[0].unwrap() <= least);
        }
    }

    /// The threshold is the definition's, found by trying every size.
    #[test]
    fn knockoff_threshold_is_the_smallest_that_passes(w in prop::collection::vec(-6i32..12, 0..60), q in 0.05..0.9f64) {
        let w: Vec<f64> = w.into_iter().map(f64::from).collect();
        let passes = |t: f64| {
            let negative = w.iter().filter(|w| **w <= -t).count();
            let positive = w.iter().filter(|w| **w >= t).count();
            positive > 0 && (1 + negative) as f64 <= q * positive as f64
        };
        let expected = (1..=12).map(f64::from).find(|t| w.iter().any(|w| w.abs() == *t) && passes(*t));
        prop_assert_eq!(knockoff_threshold(&w, q).unwrap(), expected);
    }

    #[test]
    fn queries_keep_the_budget_and_the_pool(seed: u64, n in 5usize..80, share in 0.0..=1.0f64) {
        let table = drawn_table(seed, n);
        let budget = (share * n as f64) as usize;
        let ranked = rank(&table, "score").unwrap();
        let pool = ((0.2 * n as f64).round() as usize).max(1).max(budget);
        let hard: BTreeSet<&String> = ranked[..pool].iter().collect();
        for rule in [QueryRule::default(), QueryRule::Top, QueryRule::Random] {
            let chosen = query(&table, "score", budget, rule, seed).unwrap();
            prop_assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), budget);
            prop_assert_eq!(&chosen, &query(&table, "score", budget, rule, seed).unwrap());
            if rule == QueryRule::default() {
                prop_assert!(chosen.iter().all(|id| hard.contains(id)));
            }
        }
        prop_assert!(query(&table, "score", n + 1, QueryRule::Top, seed).is_err());
    }

    #[test]
    fn random_controls_have_the_size_and_change_with_the_seed(seed: u64, size in 1usize..12) {
        let all = ids(40);
        let selection = Selection { ids: all[..size].to_vec(), outcome: Outcome::Random { seed } };
        let control = random_like(&selection, &all, RandomPool::All, seed).unwrap();
        prop_assert_eq!(control.ids.iter().collect::<BTreeSet<_>>().len(), size);
        let outside = random_like(&selection, &all, RandomPool::OutsideSelection, seed).unwrap();
        prop_assert_eq!(outside.len(), size);
        prop_assert!(outside.ids.iter().all(|id| !selection.ids.contains(id)));
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(&control, &random_like(&selection, &reversed, RandomPool::All, seed).unwrap());
        let others = (1..20).filter(|d| random_like(&selection, &all, RandomPool::All, seed.wrapping_add(*d)).unwrap().ids != control.ids);
        prop_assert!(others.count() >= 15);
    }

    #[test]
    fn fisher_is_a_probability_and_symmetric(a in 0u64..40, b in 0u64..40, c in 0u64..400, d in 0u64..400) {
        let p = |hits, misses, other_hits, other_misses| TwoByTwo { hits, misses, other_hits, other_misses }.fisher();
        let one = p(a, b, c, d);
        prop_assert!((0.0..=1.0).contains(&one) && one > 0.0);
        for other in [p(c, d, a, b), p(b, a, d, c), p(a, c, b, d)] {
            prop_assert!((one - other).abs() < 1e-9 * one, "{} {}", one, other);
        }
    }

    /// Levels never split equal values, are in order, and are balanced without ties.
    #[test]
    fn terciles_are_ordered(values in prop::collection::vec(0u8..30, 1..60)) {
        let pairs: Vec<(String, Option<f64>)> = ids(values.len()).into_iter().zip(values.iter().map(|&v| Some(f64::from(v)))).collect();
        let attribute = Attribute::terciles("size", ["1", "2", "3"], pairs.clone()).unwrap();
        let mut by_value: BTreeMap<u8, BTreeSet<&str>> = BTreeMap::new();
        for ((id, _), &value) in pairs.iter().zip(&values) {
            by_value.entry(value).or_default().insert(attribute.level(id));
        }
        let levels: Vec<&str> = by_value.values().map(|levels| { assert_eq!(levels.len(), 1); *levels.first().unwrap() }).collect();
        prop_assert!(levels.is_sorted());
    }
}

#[test]
fn nine_different_values_make_three_levels_of_three() {
    let values = ids(9).into_iter().zip((0..9).map(|v| Some(f64::from(v))));
    let attribute = Attribute::terciles("size", ["small", "medium", "large"], values).unwrap();
    let count = |level| ids(9).iter().filter(|id| attribute.level(id) == level).count();
    assert_eq!(["small", "medium", "large"].map(count), [3, 3, 3]);
    assert_eq!(attribute.sorted_levels(), ["small", "medium", "large"]);
}

/// Under the null (signs are coin flips) the chance of selecting anything is the false discovery rate: at most q.
#[test]
fn knockoff_selects_little_under_the_null() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let q = 0.2;
    let trials = 2000;
    let hits = (0..trials)
        .filter(|_| {
            let w: Vec<f64> = (0..200).map(|_| rng.random::<f64>() - 0.5).collect();
            knockoff_threshold(&w, q).unwrap().is_some()
        })
        .count();
    let rate = hits as f64 / f64::from(trials);
    assert!(rate < q + 0.03, "selected something in {rate} of null trials");
    assert!(rate > 0.02, "a test that cannot select anything shows nothing");
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
    let wanted = AdaptiveParams {
        q: 0.2,
        ..AdaptiveParams::default()
    };
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
            let table = scores(&comparison, &params).unwrap();
            adaptive(&table, &comparison, &params, &wanted).unwrap()
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
    let table = scores(&comparison, &params()).unwrap();
    let selection = adaptive(&table, &comparison, &params(), &AdaptiveParams::default()).unwrap();
    assert!(matches!(selection.outcome, Outcome::TooFewSeeds { found: 3, .. }));
    assert!(selection.outcome.to_string().contains("too few seeds"));
    assert_eq!(selection.ids, top(&table, column::DISAGREEMENT, 0.2).unwrap().ids);

    let dense = population(1, 10, 4);
    let without = Comparison::new(&dense, &dense);
    let error = adaptive(&table, &without, &params(), &AdaptiveParams::default()).unwrap_err();
    assert!(matches!(error, MiningError::NoSham));
    let unequal = Comparison::new(&dense, &few).with_sham(&dense);
    let error = adaptive(&table, &unequal, &params(), &AdaptiveParams::default()).unwrap_err();
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
        column::SOFT_DISAGREEMENT,
        column::BOUNDARY_DISAGREEMENT,
        column::ENTROPY,
    ] {
        assert_eq!(rank(&table, name).unwrap()[0], "ISIC_0000002", "{name}");
    }
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
        Mask::new(
            side,
            side,
            (0..side * side).map(|p| u8::from((p % side < 2) != wrong)).collect(),
        )
        .ok()
    };
    let table = scores(&Comparison::new(&dense, &dense).with_truth(&truth), &params()).unwrap();
    assert_eq!(table.column(column::SUSPECT_LABEL).unwrap(), [Some(1.0), Some(0.0)]);
    assert_eq!(table.column(column::LABEL_CONFLICT).unwrap(), [Some(1.0), Some(0.0)]);
    let selection = top(&table, column::DENSE_ERROR, 1.0)
        .unwrap()
        .without_suspect_labels(&table);
    assert_eq!(selection.ids, ["ISIC_0000001"]);
}

#[test]
fn modal_class_ties_go_to_the_larger_id() {
    assert_eq!(modal_class(&[1, 3, 3, 1]), Some(3));
    assert_eq!(modal_class(&[0, 0, 7]), Some(0));
    assert_eq!(modal_class(&[]), None);
    let dense = ClassPopulation::new(ids(2), vec![vec![0, 1], vec![1, 1]]).unwrap();
    let sparse = ClassPopulation::new(ids(2), vec![vec![0, 1], vec![0, 1]]).unwrap();
    let table = class_scores(&dense, &sparse, Some(&dense)).unwrap();
    assert_eq!(table.column(column::CLASS_PIE).unwrap(), [Some(1.0), Some(0.0)]);
    assert_eq!(
        table.column(column::CLASS_DISAGREEMENT).unwrap(),
        [Some(0.5), Some(0.0)]
    );
    assert_eq!(table.column(column::CLASS_SHAM).unwrap(), [Some(0.0), Some(0.0)]);
}

#[test]
fn weights_follow_ids() {
    let all = ids(3);
    assert_eq!(weights(&all, &[all[2].clone()], 3.0).unwrap(), [1.0, 1.0, 3.0]);
    assert!(matches!(
        weights(&all, &["other".into()], 3.0),
        Err(MiningError::MissingId { .. })
    ));
    assert!(matches!(
        weights(&all, &[], f64::NAN),
        Err(MiningError::Parameter { .. })
    ));
}

/// Unknown is counted, not tested, and not part of the others; the intersection holds the pairs.
#[test]
fn rates_compare_each_level_with_the_known_others() {
    let sexes = ["female", "female", "female", "male", "male", ""];
    let names = ids(6);
    let mut table = table(&names.iter().map(|id| (id.as_str(), Some(0.0))).collect::<Vec<_>>());
    let chosen = vec![names[0].clone(), names[1].clone(), names[5].clone()];
    table
        .mark(&Selection {
            ids: chosen,
            outcome: Outcome::Random { seed: 0 },
        })
        .unwrap();
    let sex = Attribute::categorical("sex", names.iter().cloned().zip(sexes.map(Some))).unwrap();
    let ages = [20.0, 50.0, 50.0, 80.0, 50.0, 50.0];
    let age = Attribute::age_bands("age_approx", names.iter().cloned().zip(ages.map(Some))).unwrap();
    assert_eq!(age.sorted_levels(), ["<30", "45-59", "75+"]);
    let rows = demographics(&table, &[sex.clone(), sex.cross(&age)], Adjustment::Holm).unwrap();
    let found: Vec<(&str, u64, u64)> = rows.iter().map(|row| (row.level.as_str(), row.n, row.htl)).collect();
    assert_eq!(found[..3], [("female", 3, 2), ("male", 2, 0), (UNKNOWN, 1, 1)]);
    assert_eq!(found[3..5], [("female, <30", 1, 1), ("female, 45-59", 2, 1)]);
    let others = TwoByTwo {
        hits: 2,
        misses: 1,
        other_hits: 0,
        other_misses: 2,
    };
    assert_eq!(rows[0].p, Some(others.fisher()));
    assert_eq!(rows[0].odds_ratio, others.odds_ratio());
    assert!(rows[2].p.is_none() && rows[2].rate_ratio.is_none() && rows[2].p_adjusted.is_none());
    assert!(
        rows.iter()
            .filter(|row| row.p.is_some())
            .all(|row| row.p_adjusted >= row.p)
    );
}
