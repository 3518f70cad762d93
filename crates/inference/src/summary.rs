use std::collections::BTreeMap;

use htl_metrics::{MeanScores, Metric, MetricByGroup, PerImage, PerImageRow};
use htl_vocabulary::results::PRIMARY_METRIC;

use crate::InferenceError;

/// Smallest group that may be called the worst: of many small groups, the worst is mostly the smallest.
pub const LEAST_GROUP: usize = 10;

/// Means over the images and pooled metrics by name, and `worst_group_jaccard`: the lowest mean Jaccard of a group of at
/// least [`LEAST_GROUP`] images, over all attributes of the table; left out where no group is that large.
///
/// # Errors
/// [`InferenceError::Metric`] for an empty table.
pub fn summary(table: &PerImage) -> Result<BTreeMap<String, f64>, InferenceError> {
    let mut summary = named(&MeanScores::of(&table.scores())?);
    let worst = Metric::named(PRIMARY_METRIC).and_then(|metric| worst_group(table, metric));
    if let Some(worst) = worst {
        summary.insert(format!("worst_group_{PRIMARY_METRIC}"), worst.mean);
    }
    Ok(summary)
}

/// The fields of the means by their names in files.
fn named(means: &MeanScores) -> BTreeMap<String, f64> {
    match serde_json::to_value(means) {
        Ok(serde_json::Value::Object(fields)) => fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_f64()?)))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// A group of `per_image.csv` and its mean.
#[derive(Debug, Clone, PartialEq)]
pub struct WorstGroup {
    /// The attribute: a group column.
    pub attribute: String,
    /// Its level.
    pub level: String,
    /// Number of images.
    pub n: usize,
    /// Mean of the metric over them.
    pub mean: f64,
}

/// The group of at least [`LEAST_GROUP`] images with the worst mean of a metric, over all attributes of the table: the
/// lowest where higher is better, the highest of a distance. `None` where no group is that large, and for a metric that
/// single images do not have or that is neither good nor bad.
pub fn worst_group(table: &PerImage, metric: &Metric) -> Option<WorstGroup> {
    let better = metric.better?;
    let values: Vec<f64> = table
        .rows
        .iter()
        .map(|row| metric.of_image(&row.scores))
        .collect::<Option<_>>()?;
    let of_column = |(column, attribute): (usize, &String)| {
        let level = |row: &PerImageRow| row.groups.get(column).filter(|level| !level.is_empty()).cloned();
        let levels: Vec<Option<String>> = table.rows.iter().map(level).collect();
        let by_group = MetricByGroup::of(&values, &levels).ok()?;
        let group = by_group.worst(LEAST_GROUP, better)?;
        Some(WorstGroup {
            attribute: attribute.clone(),
            level: group.level.clone(),
            n: group.n,
            mean: group.mean,
        })
    };
    let columns = table.group_columns.iter().enumerate();
    columns
        .filter_map(of_column)
        .min_by(|a, b| (better.sign() * a.mean).total_cmp(&(better.sign() * b.mean)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_metrics::{ImageScores, Mask};

    /// Ten images of each level; the predictions of `far` are off by a column.
    fn table() -> PerImage {
        let mask = |from: usize| {
            let pixels = (0..64).map(|p| u8::from((from..from + 3).contains(&(p % 8)))).collect();
            Mask::new(8, 8, pixels).unwrap()
        };
        let row = |image: usize, level: &str, from: usize| PerImageRow {
            scores: ImageScores::of(format!("{level}{image}"), &mask(from), &mask(2)).unwrap(),
            groups: vec![level.to_owned(), String::new()],
        };
        PerImage {
            group_columns: vec!["sex".into(), "dx".into()],
            rows: (0..LEAST_GROUP)
                .flat_map(|image| [row(image, "near", 2), row(image, "far", 3)])
                .chain([row(0, "alone", 5)])
                .collect(),
        }
    }

    /// Low Jaccard is bad, and so is a large distance; few images are not a group.
    #[test]
    fn the_direction_of_the_metric_decides() {
        for key in ["jaccard", "hd95"] {
            let worst = worst_group(&table(), Metric::named(key).unwrap()).unwrap();
            assert_eq!(
                (worst.attribute.as_str(), worst.level.as_str(), worst.n),
                ("sex", "far", 10),
                "{key}"
            );
        }
        assert_eq!(summary(&table()).unwrap()["worst_group_jaccard"], 0.5);
        let mut few = table();
        few.rows.truncate(10);
        assert!(!summary(&few).unwrap().contains_key("worst_group_jaccard"));
    }
}
