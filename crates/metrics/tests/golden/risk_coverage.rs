use htl_metrics::{BootstrapParams, RiskCoverage, RiskMeasure, Units, risk_difference};
use serde_json::Value;

use crate::{close, count, golden, list, number, numbers};

/// Curves and areas by numpy, ties in every order there is; the area by trapezoids by scikit-learn.
#[test]
fn risk_coverage_curves_agree() {
    let file = golden("risk_coverage");
    for case in list(&file["cases"]) {
        let [uncertainty, risk] = ["uncertainty", "risk"].map(|key| numbers(&case[key]));
        let curve = RiskCoverage::of(&uncertainty, &risk).unwrap();
        let points = curve.points();
        let expected = numbers(&case["coverage"]).into_iter().zip(numbers(&case["risks"]));
        for (point, (coverage, risk)) in points.iter().zip(expected) {
            close(point.coverage, coverage, 1e-12);
            close(point.risk, risk, 1e-12);
        }
        close(curve.area(), number(&case["aurc"]), 1e-12);
        close(curve.generalised_area(), number(&case["augrc"]), 1e-12);
        close(curve.excess_area(), number(&case["excess"]), 1e-12);
        close(
            curve.risk_without(0.2).unwrap(),
            number(&case["without_a_fifth"]),
            1e-12,
        );
        for (found, expected) in curve.chances(3).into_iter().zip(numbers(&case["chances_of_three"])) {
            close(found, expected, 1e-12);
        }
        // The definitions differ by half of both ends.
        let ends = points[0].risk + points[points.len() - 1].risk;
        let trapezoids = curve.area() - ends / (2.0 * risk.len() as f64);
        close(trapezoids, number(&case["trapezoids"]), 1e-12);
    }
}

/// The same resampling of clusters in NumPy with 20,000 draws.
#[test]
fn the_bootstrap_of_a_difference_agrees() {
    let file = &golden("risk_coverage")["interval"];
    let clusters: Vec<usize> = list(&file["clusters"]).iter().map(count).collect();
    let risks: Vec<Vec<f64>> = list(&file["risk"]).iter().map(numbers).collect();
    let curves = |scores: &Value| -> Vec<RiskCoverage> {
        let of = |(scores, risk): (&Value, &Vec<f64>)| RiskCoverage::of(&numbers(scores), risk).unwrap();
        list(scores).iter().zip(&risks).map(of).collect()
    };
    let params = BootstrapParams {
        resamples: 20_000,
        seed: 1,
    };
    let found = risk_difference(
        &curves(&file["method"]),
        &curves(&file["control"]),
        RiskMeasure::Area,
        Units::Clusters(&clusters),
        &params,
    )
    .unwrap();
    close(found.difference, number(&file["difference"]), 1e-12);
    let expected = numbers(&file["ci95"]);
    for (found, expected_end) in found.ci95.into_iter().zip(&expected) {
        close(found, *expected_end, 0.03 * (expected[1] - expected[0]));
    }
    assert_eq!((found.networks, found.images), (3, 60));
}
