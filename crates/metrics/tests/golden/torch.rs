use htl_metrics::{Calibration, resize_bilinear};

use crate::{close, count, golden, list, mask, number, singles};

#[test]
fn bilinear_resizing_agrees_with_interpolate() {
    for case in list(&golden("resize")["cases"]) {
        let size = |key: &str| (count(&case[key][0]), count(&case[key][1]));
        let found = resize_bilinear(&singles(&case["map"]), size("from"), size("to")).unwrap();
        let expected = singles(&case["resized"]);
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(&expected) {
            close(f64::from(*f), f64::from(*e), 1e-6);
        }
    }
}

#[test]
fn calibration_agrees_with_torchmetrics_and_scikit_learn() {
    for case in list(&golden("calibration")["cases"]) {
        let mut calibration = Calibration::new();
        calibration
            .add(&singles(&case["probabilities"]), &mask(&case["truth"]))
            .unwrap();
        close(
            calibration.expected_error().unwrap(),
            number(&case["expected_error"]),
            1e-6,
        );
        close(calibration.brier().unwrap(), number(&case["brier"]), 1e-9);
    }
}
