use std::collections::BTreeMap;

use htl_metrics::{LEAST_SHOWN, MeanScores, Metric, PerImage, Units, WorstGroup, worst_group};
use htl_vocabulary::results::PRIMARY_METRIC;
use serde::Serialize;

use crate::{InferenceError, PredictorRecord};

/// What `summary.json` says of a table of results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Means over the images and pooled metrics by name; `worst_group_jaccard` is the mean of `worst_group`.
    #[serde(flatten)]
    pub numbers: BTreeMap<String, f64>,
    /// The group of at least [`LEAST_SHOWN`] images with the worst mean Jaccard, over all attributes of the table, by name
    /// and with an interval that knows that it was chosen; left out where no group is that large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worst_group: Option<WorstGroup>,
    /// The networks that were evaluated, and how they were put to use; left out of a table by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictor: Option<PredictorRecord>,
}

/// Summarises a table of results.
///
/// # Errors
/// [`InferenceError::Metric`] for an empty table.
pub fn summary(table: &PerImage) -> Result<Summary, InferenceError> {
    let mut numbers = named(&MeanScores::of(&table.scores())?);
    let worst = worst(table)?;
    if let Some(worst) = &worst {
        numbers.insert(format!("worst_group_{PRIMARY_METRIC}"), worst.mean);
    }
    Ok(Summary {
        numbers,
        worst_group: worst,
        predictor: None,
    })
}

fn worst(table: &PerImage) -> Result<Option<WorstGroup>, InferenceError> {
    let Some(metric) = Metric::named(PRIMARY_METRIC) else {
        return Ok(None);
    };
    let values: Option<Vec<f64>> = table.rows.iter().map(|row| metric.of_image(&row.scores)).collect();
    let Some(values) = values else { return Ok(None) };
    let clusters = table.clusters();
    let groups = table.groups(LEAST_SHOWN);
    Ok(worst_group(&[values], &groups, Units::Clusters(&clusters), metric)?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use htl_metrics::{ImageScores, Mask, PerImageRow};

    /// Ten images of each level; the predictions of `far` are off by a column.
    fn table() -> PerImage {
        let mask = |from: usize| {
            let pixels = (0..64).map(|p| u8::from((from..from + 3).contains(&(p % 8)))).collect();
            Mask::new(8, 8, pixels).unwrap()
        };
        let row = |image: usize, level: &str, from: usize| PerImageRow {
            scores: ImageScores::of(format!("{level}{image}"), &mask(from), &mask(2)).unwrap(),
            calibration: None,
            lesion_id: None,
            patient_id: None,
            groups: vec![level.to_owned(), String::new()],
        };
        PerImage {
            group_columns: vec!["sex".into(), "dx".into()],
            rows: (0..LEAST_SHOWN)
                .flat_map(|image| [row(image, "near", 2), row(image, "far", 3)])
                .chain([row(0, "alone", 5)])
                .collect(),
        }
    }

    #[test]
    fn the_worst_group_is_named_and_few_images_are_none() {
        let found = summary(&table()).unwrap();
        assert_eq!(found.numbers["worst_group_jaccard"], 0.5);
        let worst = found.worst_group.clone().unwrap();
        assert_eq!((worst.attribute.as_str(), worst.level.as_str()), ("sex", "far"));
        assert_eq!((worst.n, worst.of, worst.mean), (10, 2, 0.5));
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(json["worst_group"]["level"], "far");
        assert!(json["jaccard"].is_number() && json["worst_group"]["ci95"][1].is_number());
        let mut few = table();
        few.rows.truncate(10);
        let few = summary(&few).unwrap();
        assert!(few.worst_group.is_none() && !few.numbers.contains_key("worst_group_jaccard"));
    }
}
