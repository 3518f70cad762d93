use htl_metrics::{Against, MetricByGroup};

use crate::{close, golden, list, number, numbers, text};

#[test]
fn groups_agree_with_metric_frame() {
    for case in list(&golden("fairlearn")["cases"]) {
        let levels: Vec<Option<String>> = list(&case["levels"]).iter().map(|l| Some(text(l))).collect();
        let by = MetricByGroup::of(&numbers(&case["values"]), &levels).unwrap();
        close(by.overall, number(&case["overall"]), 1e-12);
        assert_eq!(by.groups.len(), case["by_group"].as_object().unwrap().len());
        for group in &by.groups {
            close(group.mean, number(&case["by_group"][&group.level]), 1e-12);
        }
        for (name, against) in [("between_groups", Against::EachOther), ("to_overall", Against::Overall)] {
            close(
                by.difference(against, 1).unwrap(),
                number(&case["difference"][name]),
                1e-12,
            );
            close(by.ratio(against, 1).unwrap(), number(&case["ratio"][name]), 1e-12);
        }
    }
}
