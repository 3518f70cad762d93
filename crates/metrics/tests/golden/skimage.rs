use htl_metrics::otsu_threshold;

use crate::{close, count, golden, list, mask, number, singles};

#[test]
fn largest_components_agree() {
    for case in list(&golden("components")["cases"]) {
        let mask = mask(&case["mask"]);
        let found = mask.largest_component_box().unwrap();
        assert_eq!(mask.largest_component().area(), count(&case["area"]));
        let expected: Vec<usize> = list(&case["box"]).iter().map(count).collect();
        assert_eq!([found.top, found.left, found.bottom, found.right], expected[..]);
    }
}

#[test]
fn otsu_thresholds_agree() {
    for case in list(&golden("otsu")["cases"]) {
        close(
            otsu_threshold(&singles(&case["values"])).unwrap(),
            number(&case["threshold"]),
            1e-9,
        );
    }
}
