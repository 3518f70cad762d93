use htl_metrics::{Units, crossed_t};

use crate::{close, golden, list, number, numbers};

/// `lmerTest` on `d ~ 1 + (1 | seed) + (1 | image)` is our crossed t: mean, standard error, Satterthwaite's degrees of
/// freedom, p and interval; the mean squares are those of R's `anova`.
#[test]
fn the_crossed_t_agrees() {
    let file = golden("crossed");
    let cases = list(&file["cases"]);
    assert!(cases.len() >= 6 && cases.iter().any(|case| case["image_component_is_zero"] == true));
    for case in cases {
        let table: Vec<Vec<f64>> = list(&case["table"]).iter().map(numbers).collect();
        let found = crossed_t(&table, Units::Images).unwrap();
        let agrees = |found: f64, key: &str, tolerance: f64| {
            let expected = number(&case[key]);
            close(found, expected, tolerance * expected.abs());
        };
        agrees(found.mean, "mean", 1e-9);
        // REML's optimum is found iteratively, and the degrees of freedom by numerical derivatives.
        agrees(found.standard_error, "standard_error", 1e-6);
        agrees(found.degrees, "degrees", 1e-5);
        agrees(found.p, "p", 1e-5);
        let expected = numbers(&case["ci95"]);
        for side in 0..2 {
            close(found.ci95[side], expected[side], 1e-5 * (expected[1] - expected[0]));
        }
        let squares = found.mean_squares;
        for (found, key) in [(squares.seed, "seed"), (squares.image, "image"), (squares.cell, "cell")] {
            let expected = number(&case["mean_squares"][key]);
            close(found, expected, 1e-9 * expected);
        }
    }
}
