//! Facts that hold for any table, selection and group.

use std::collections::{BTreeMap, BTreeSet};

use htl_mining::{
    Attribute, ClassPopulation, Cohort, Grade, MOST_TIED, MiningError, Outcome, Permutations, QueryRule, ScoreRow,
    ScoreTable, Selection, Subject, TwoByTwo, UNKNOWN, attribute_named, class_scores, demographics, knockoff_threshold,
    modal_class, query, random_like, rank, top,
};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn ids(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("ISIC_{i:07}")).collect()
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

    /// Exactly round(q n), the hardest, and the same whatever the order of the rows, ties included; or refused, where the cut
    /// runs through a tie of many.
    #[test]
    fn top_is_exact_and_ignores_row_order(seed: u64, n in 1usize..60, q in 0.0..=1.0f64) {
        let table = drawn_table(seed, n);
        let expected = ((q * n as f64).round() as usize).max(usize::from(q > 0.0));
        let ranking = rank(&table, "score", seed).unwrap();
        let tie = ranking.tie_at(expected);
        let found = top(&table, "score", q, seed);
        if n > 1 && expected > 0 && expected < n && tie.images == n || tie.images > 2 && tie.images as f64 > MOST_TIED * n as f64 {
            let refused = matches!(found, Err(MiningError::TiedCut { .. } | MiningError::AllTied { .. }));
            prop_assert!(refused);
            return Ok(());
        }
        let selection = found.unwrap();
        prop_assert_eq!(selection.len(), expected);
        let mut reversed = ScoreTable::new(["score"]);
        for row in table.rows().iter().rev() {
            reversed.push(row.clone()).unwrap();
        }
        prop_assert_eq!(&selection, &top(&reversed, "score", q, seed).unwrap());
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
        let ranked = rank(&table, "score", seed).unwrap().ids().to_vec();
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
        let control = random_like(&selection, &all, seed).unwrap();
        prop_assert_eq!(control.ids.iter().collect::<BTreeSet<_>>().len(), size);
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(&control, &random_like(&selection, &reversed, seed).unwrap());
        let others = (1..20).filter(|d| random_like(&selection, &all, seed.wrapping_add(*d)).unwrap().ids != control.ids);
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

#[test]
fn modal_class_ties_go_to_the_larger_id() {
    assert_eq!(modal_class(&[1, 3, 3, 1]), Some(3));
    assert_eq!(modal_class(&[0, 0, 7]), Some(0));
    assert_eq!(modal_class(&[]), None);
    let dense = ClassPopulation::new(ids(2), vec![vec![0, 1], vec![1, 1]]).unwrap();
    let sparse = ClassPopulation::new(ids(2), vec![vec![0, 1], vec![0, 1]]).unwrap();
    let table = class_scores(&dense, Some(&sparse), Some(&dense), None).unwrap();
    assert_eq!(table.column("class_pie").unwrap(), [Some(1.0), Some(0.0)]);
    assert_eq!(table.column("class_disagreement").unwrap(), [Some(0.5), Some(0.0)]);
    assert_eq!(table.column("class_sham").unwrap(), [Some(0.0), Some(0.0)]);
}

/// Grades are 1 for the hardest and fall with the score, or with its rank alone; what ties is alike, and what is empty in both
/// is as hard as can be.
#[test]
fn grades_fall_with_the_score() {
    let graded = |scores: &[f64], grade: Grade| {
        let names = ids(scores.len());
        let rows: Vec<(&str, Option<f64>)> = names
            .iter()
            .zip(scores)
            .map(|(id, score)| (id.as_str(), Some(*score)))
            .collect();
        let ranking = rank(&table(&rows), "score", 0).unwrap();
        let grades: BTreeMap<String, f64> = ranking.ids().iter().cloned().zip(ranking.grades(grade)).collect();
        grades.into_values().collect::<Vec<f64>>()
    };
    let scores = [0.5, 2.0, 0.0, 0.5];
    assert_eq!(graded(&scores, Grade::Score), [0.25, 1.0, 0.0, 0.25]);
    assert_eq!(graded(&scores, Grade::Rank), [0.5, 1.0, 0.0, 0.5]);
    // Scores under 0, as margins are, count from the smallest.
    assert_eq!(graded(&[-1.0, 1.0, 0.0], Grade::Score), [0.0, 1.0, 0.5]);
    assert_eq!(graded(&[3.0, 3.0], Grade::Rank), [0.5, 0.5]);
    assert_eq!(graded(&[0.0, 0.0], Grade::Score), [0.0, 0.0]);
    assert_eq!(graded(&[7.0], Grade::Rank), [0.0]);
}

/// Each level against the known others, unknown against the known; small groups are counted, not shown or tested.
#[test]
fn rates_compare_each_level_with_the_known_others() {
    let names = ids(100);
    let sex = |i: usize| ["female", "female", "male", "male", ""][i % 5];
    let years = |i: usize| {
        if i < 12 {
            80.0
        } else if i < 15 {
            20.0
        } else {
            50.0
        }
    };
    let mut table = table(&names.iter().map(|id| (id.as_str(), Some(0.0))).collect::<Vec<_>>());
    let chosen = (0..100)
        .filter(|i| i % 5 == 0 || i % 20 == 2)
        .map(|i| names[i].clone())
        .collect();
    table
        .mark(&Selection {
            ids: chosen,
            outcome: Outcome::Random { seed: 0 },
        })
        .unwrap();
    let sexes = names.iter().enumerate().map(|(i, id)| (id.clone(), Some(sex(i))));
    let sex = Attribute::categorical("sex", sexes).unwrap();
    let people: Vec<(String, Subject)> = names
        .iter()
        .enumerate()
        .map(|(i, id)| {
            let subject = Subject {
                age: Some(years(i)),
                ..Subject::default()
            };
            (id.clone(), subject)
        })
        .collect();
    let age = attribute_named("age").unwrap().attribute(&people).unwrap();
    let cohort = Cohort::selected(&table, "disagreement", &[]).unwrap();
    let permutations = Permutations { count: 99, seed: 0 };
    let rows = demographics(&cohort, &[sex.clone(), age.clone(), sex.cross(&age)], &permutations).rates;
    let found: Vec<(&str, u64, u64)> = rows.iter().map(|row| (row.level.as_str(), row.n, row.htl)).collect();
    assert_eq!(found[..3], [("female", 40, 20), ("male", 40, 5), (UNKNOWN, 20, 0)]);
    assert_eq!(found[3..6], [("<30", 3, 0), ("45-59", 85, 21), ("75+", 12, 4)]);
    assert_eq!(found[6], ("female, 45-59", 34, 17));
    let others = TwoByTwo {
        hits: 20,
        misses: 20,
        other_hits: 5,
        other_misses: 35,
    };
    assert_eq!(
        (rows[0].p, rows[0].odds_ratio),
        (Some(others.fisher()), others.odds_ratio())
    );
    let known = TwoByTwo {
        hits: 0,
        misses: 20,
        other_hits: 25,
        other_misses: 55,
    };
    assert_eq!((rows[2].p, rows[2].against.as_str()), (Some(known.fisher()), "known"));
    assert!(rows[3].rate.is_none() && rows[3].p.is_none(), "3 images are not shown");
    assert!(
        rows[5].rate.is_some() && rows[5].p.is_none(),
        "12 images are not tested"
    );
    assert!(rows[4].p.is_none(), "neither is what only 15 images are compared with");
    for row in rows.iter().filter(|row| row.p.is_some()) {
        assert!(row.p_holm >= row.p && row.p_adjusted >= row.p_permutation, "{row:?}");
        assert!(row.odds_ratio_clustered.is_none() && row.odds_ratio_stratified.is_none());
    }
}
