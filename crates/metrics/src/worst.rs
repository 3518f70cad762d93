use serde::{Deserialize, Serialize};

use crate::clusters::Units;
use crate::crossed::{CrossedT, crossed_t};
use crate::error::MetricError;
use crate::groups::{ImageGroup, LEAST_SHOWN};
use crate::registry::Metric;
use crate::table::select_images;

/// The group with the worst mean, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstGroup {
    /// The attribute.
    pub attribute: String,
    /// Its level.
    pub level: String,
    /// Number of images.
    pub n: usize,
    /// Mean of the metric over seeds and these images.
    pub mean: f64,
    /// 95 % interval of that mean which knows that the group was chosen for being the worst.
    pub ci95: [f64; 2],
    /// The number of groups that it was chosen from.
    pub of: usize,
}

/// The group of at least [`LEAST_SHOWN`] images with the worst mean of a metric: the lowest where higher is better, the
/// highest of a distance. `None` where no group is that large, and for a metric that is neither good nor bad.
///
/// The worst of many groups looks worse than it is: of 13 groups without any difference the lowest mean Jaccard lies .04
/// below the mean of all. So the interval is one that holds for all groups at once, hence for whichever is picked:
/// [`crossed_t`]'s at the confidence 1 − 0.05 / (number of groups) (Bonferroni, under any overlap of the groups), kept
/// inside the metric's range. With a single seed it speaks about further images for this one network.
///
/// # Shapes
/// - `values`: `[seeds][images]`
///
/// # Errors
/// As [`crossed_t`]; [`MetricError::Range`] for a group with an image outside the table.
pub fn worst_group(
    values: &[Vec<f64>],
    groups: &[ImageGroup],
    units: Units<'_>,
    metric: &Metric,
) -> Result<Option<WorstGroup>, MetricError> {
    let Some(better) = metric.better else { return Ok(None) };
    let mut known: Vec<(&ImageGroup, CrossedT)> = Vec::new();
    for group in groups.iter().filter(|group| group.images.len() >= LEAST_SHOWN) {
        let units = units.select(&group.images)?;
        let table = select_images(values, &group.images)?;
        known.push((group, crossed_t(&table, Units::Clusters(&units))?));
    }
    let of = known.len();
    let worst = known
        .into_iter()
        .min_by(|a, b| (better.sign() * a.1.mean).total_cmp(&(better.sign() * b.1.mean)));
    Ok(worst.map(|(group, found)| WorstGroup {
        attribute: group.attribute.clone(),
        level: group.level.clone(),
        n: group.images.len(),
        mean: found.mean,
        ci95: found
            .interval(1.0 - 0.05 / of as f64)
            .map(|end| end.clamp(*metric.range.start(), *metric.range.end())),
        of,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(level: &str, images: impl IntoIterator<Item = usize>) -> ImageGroup {
        ImageGroup {
            attribute: "site".into(),
            level: level.into(),
            images: images.into_iter().collect(),
        }
    }

    /// Low Jaccard is bad and so is a large distance; nine images are no group.
    #[test]
    fn the_direction_decides_and_few_images_are_no_group() {
        let value = |image: usize| if image < 10 { 0.2 } else { 0.6 } + 0.01 * (image % 3) as f64;
        let values = vec![(0..29).map(value).collect::<Vec<f64>>(); 2];
        let groups = [group("low", 0..10), group("high", 10..20), group("few", 20..29)];
        let worst = |key: &str| {
            let metric = Metric::named(key).unwrap();
            worst_group(&values, &groups, Units::Images, metric).unwrap()
        };
        let (jaccard, distance) = (worst("jaccard").unwrap(), worst("hd95").unwrap());
        assert_eq!((jaccard.level.as_str(), jaccard.n, jaccard.of), ("low", 10, 2));
        assert_eq!(distance.level, "high");
        assert!(jaccard.ci95[0] < jaccard.mean && jaccard.mean < jaccard.ci95[1]);
        assert_eq!(worst("map_quantile"), None);
        let metric = Metric::named("jaccard").unwrap();
        assert_eq!(worst_group(&values, &groups[2..], Units::Images, metric).unwrap(), None);
        assert!(worst_group(&values, &[group("beyond", 20..40)], Units::Images, metric).is_err());
    }

    /// More groups to choose from, a wider interval.
    #[test]
    fn the_interval_knows_the_choice() {
        let values: Vec<Vec<f64>> = (0..3)
            .map(|s| (0..30).map(|i| 0.5 + 0.01 * ((i * 7 + s * 3) % 11) as f64).collect())
            .collect();
        let metric = Metric::named("jaccard").unwrap();
        let one = [group("a", 0..10)];
        let three = [group("a", 0..10), group("b", 0..10), group("c", 0..10)];
        let [one, three] =
            [&one[..], &three[..]].map(|groups| worst_group(&values, groups, Units::Images, metric).unwrap().unwrap());
        assert!(three.ci95[0] < one.ci95[0] && three.ci95[1] > one.ci95[1] && one.mean == three.mean);
    }
}
