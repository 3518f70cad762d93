//! What comes out again, what does not, and what ties do.

use htl_mining::{MiningError, Outcome, Reliability, ScoreRow, ScoreTable, SeedHalves, rank, top};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const IMAGES: usize = 300;
const SEEDS: usize = 6;

fn row(image: usize, scores: Vec<Option<f64>>) -> ScoreRow {
    ScoreRow {
        image_id: format!("ISIC_{image:07}"),
        scores,
        ..ScoreRow::default()
    }
}

/// Means over seeds of: what all seeds see (`dense_spread`), the same again with another noise (`echo`), something of its own
/// beside it (`own`), and chance.
fn halves() -> SeedHalves {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut noise = move |size: f64| size * (rng.random::<f64>() - 0.5);
    let seeds: Vec<Vec<[f64; 4]>> = {
        let common: Vec<[f64; 2]> = (0..IMAGES).map(|_| [noise(4.0), noise(4.0)]).collect();
        (0..SEEDS)
            .map(|_| {
                let image = |[common, own]: &[f64; 2]| {
                    // The seeds' own noise is shared by the spread and its echo: an echo is nothing beyond it.
                    let spread = common + noise(1.5);
                    [spread, spread * 2.0, common + own + noise(1.5), noise(1.0)]
                };
                common.iter().map(image).collect()
            })
            .collect()
    };
    SeedHalves::of(SEEDS, 30, |chosen| {
        let mut table = ScoreTable::new(["dense_spread", "echo", "own", "chance"]);
        for (image, _) in seeds[0].iter().enumerate() {
            let mean = |score: usize| {
                let sum: f64 = chosen.iter().map(|&seed| seeds[seed][image][score]).sum();
                Some(sum / chosen.len() as f64)
            };
            table.push(row(image, (0..4).map(mean).collect()))?;
        }
        Ok(table)
    })
    .unwrap()
}

#[test]
fn reliability_tells_what_is_a_score_s_own() {
    let rows = halves().reliability().unwrap();
    let of = |score: &str, beyond: bool| -> Reliability {
        let wanted = |row: &&Reliability| row.score == score && row.beyond.is_empty() != beyond;
        rows.iter().find(wanted).cloned().unwrap()
    };
    for score in ["dense_spread", "echo", "own"] {
        let found = of(score, false);
        assert!(found.spearman.unwrap() > 0.85, "{found:?}");
        assert!(found.overlap.unwrap() > 0.6, "{found:?}");
        assert_eq!((found.images, found.seeds, found.splits), (IMAGES, 3, 10));
    }
    let chance = of("chance", false);
    assert!(chance.spearman.unwrap().abs() < 0.15, "{chance:?}");
    assert!((chance.overlap.unwrap() - 0.2).abs() < 0.1, "{chance:?}");
    assert!(of("own", true).spearman.unwrap() > 0.6, "{:?}", of("own", true));
    // The echo is determined by the spread: nothing is left of it, and nothing correlates.
    assert_eq!(of("echo", true).spearman, None);
    assert!(
        !rows
            .iter()
            .any(|row| row.score == "dense_spread" && !row.beyond.is_empty())
    );
}

#[test]
fn stable_images_are_hard_in_most_halves() {
    let halves = halves();
    let stable = halves.stable("own", 0.2, 0.8, 0).unwrap();
    assert!(
        matches!(stable.outcome, Outcome::Stable { halves: 20, .. }),
        "{}",
        stable.outcome
    );
    // Again and again hard is fewer than once hard, and chance has next to none.
    assert!((20..60).contains(&stable.len()), "{}", stable.len());
    // Of six seeds an image that all of them like by chance is liked by most halves.
    let chance = halves.stable("chance", 0.2, 0.8, 0).unwrap().len();
    assert!(
        2 * chance < stable.len(),
        "{chance} by chance, {} by the score",
        stable.len()
    );
    let stability = |score: &str| halves.stability(score, 0.2, 0).unwrap().unwrap();
    assert!(stability("own") > 0.4 && stability("chance") < 0.2);
    assert!(halves.stable("own", 0.2, 0.0, 0).is_err());
}

#[test]
fn one_seed_cannot_be_split() {
    let error = SeedHalves::of(1, 30, |_| Ok(ScoreTable::default())).unwrap_err();
    assert!(error.to_string().contains("at least 2"), "{error}");
}

/// Ids carry dates and places, so equal scores are not put in the order of ids; another seed puts them in another order.
#[test]
fn ties_know_nothing_of_ids() {
    let mut table = ScoreTable::new(["x"]);
    for image in 0..200 {
        // Eight images tie for the places 35 to 42, others differ.
        let score = if (35..43).contains(&image) { 35.0 } else { image as f64 };
        table.push(row(image, vec![Some(-score)])).unwrap();
    }
    let selected = |seed: u64| top(&table, "x", 0.2, seed).unwrap();
    let tied = |seed: u64| -> Vec<String> {
        let ids = selected(seed).ids;
        let mut tied: Vec<String> = ids.into_iter().filter(|id| id.as_str() >= "ISIC_0000035").collect();
        tied.sort();
        tied
    };
    assert!((0..5).all(|seed| tied(seed).len() == 5));
    assert!((1..5).any(|seed| tied(seed) != tied(0)), "another seed, another order");
    assert!((0..5).any(|seed| tied(seed) != (35..40).map(|i| format!("ISIC_{i:07}")).collect::<Vec<_>>()));
    let outcome = selected(0).outcome;
    assert!(
        matches!(outcome, Outcome::Top { tie, .. } if (tie.images, tie.selected) == (8, 5)),
        "{outcome}"
    );
    assert!(
        outcome.to_string().contains("8 images of equal score, 5 of them"),
        "{outcome}"
    );
}

/// Equal populations, and networks that find nothing, select nobody.
#[test]
fn a_cut_through_many_ties_is_refused() {
    let table = |empty: usize, levels: usize| {
        let mut table = ScoreTable::new(["x", "both_empty"]);
        for image in 0..100 {
            let flag = f64::from(u8::from(image < empty));
            table
                .push(row(image, vec![Some((image % levels) as f64), Some(flag)]))
                .unwrap();
        }
        table
    };
    let error = top(&table(0, 1), "x", 0.2, 0).unwrap_err();
    assert!(matches!(error, MiningError::AllTied { images: 100, .. }), "{error}");
    assert!(error.to_string().contains("nothing tells hard from easy"), "{error}");
    let error = top(&table(61, 100), "x", 0.2, 0).unwrap_err();
    assert!(
        matches!(
            error,
            MiningError::TiedCut {
                tied: 61,
                selected: 20,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("61 of them are empty in both"), "{error}");
    // Empty in both is hardest under every score, and harmless while the cut lies elsewhere.
    let selection = top(&table(20, 100), "x", 0.2, 0).unwrap();
    assert!(selection.ids.iter().all(|id| id.as_str() < "ISIC_0000020"));
    assert_eq!(rank(&table(1, 100), "x", 0).unwrap().ids()[0], "ISIC_0000000");
}
