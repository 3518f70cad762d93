use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::error::MetricError;
use crate::registry::{ImageScores, METRICS};

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Jaccard, Dice, ...
    #[default]
    Higher,
    /// Distances, calibration error, ...
    Lower,
}

impl Better {
    /// 1 where higher is better, -1 where lower is.
    pub fn sign(self) -> f64 {
        match self {
            Self::Higher => 1.0,
            Self::Lower => -1.0,
        }
    }
}

impl fmt::Display for Better {
    /// `higher is better` or `lower is better`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Higher => "higher is better",
            Self::Lower => "lower is better",
        })
    }
}

/// What a metric's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A ratio, a probability, a share: differences are given in points (hundredths).
    Fraction,
    /// A length as a share of the image diagonal.
    ShareOfDiagonal,
    /// A number in its own unit.
    Raw,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fraction => "fraction",
            Self::ShareOfDiagonal => "share of the diagonal",
            Self::Raw => "raw",
        })
    }
}

/// What a metric is a property of.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// One image: a column of `per_image.csv`, averaged over images in `summary.json`.
    Image(fn(&ImageScores) -> f64),
    /// A set of images, and of none of them alone.
    Images,
}

/// A row of [`METRICS`]: all that is known about a metric.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Metric {
    /// Name in files and on the command line.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// Name inside a sentence.
    pub in_sentence: &'static str,
    /// What it says, in a sentence.
    pub about: &'static str,
    /// What its numbers count.
    pub unit: Unit,
    /// Which way it improves; `None` for a number that is neither good nor bad.
    pub better: Option<Better>,
    /// The values it can take.
    pub range: RangeInclusive<f64>,
    /// What it is a property of.
    pub scope: Scope,
}

impl Metric {
    /// The metric of that key.
    pub fn named(key: &str) -> Option<&'static Self> {
        METRICS.iter().find(|metric| metric.key == key)
    }

    /// The metrics that every image has, in the order of `per_image.csv`.
    pub fn per_image() -> impl Iterator<Item = &'static Self> {
        METRICS.iter().filter(|metric| matches!(metric.scope, Scope::Image(_)))
    }

    /// Its value for one image; `None` for a metric of a set of images.
    pub fn of_image(&self, scores: &ImageScores) -> Option<f64> {
        match self.scope {
            Scope::Image(of) => Some(of(scores)),
            Scope::Images => None,
        }
    }

    /// Checks that a value, as one read from a file, is one that the metric can take; NaN is not.
    ///
    /// # Errors
    /// [`MetricError::Value`].
    pub fn check(&self, found: f64) -> Result<(), MetricError> {
        if self.range.contains(&found) {
            return Ok(());
        }
        Err(MetricError::Value {
            metric: self.key,
            found,
            low: *self.range.start(),
            high: *self.range.end(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{IMAGE_SCORE_COLUMNS, Mask, MeanScores};

    #[test]
    fn keys_and_labels_are_unique() {
        for of in [|m: &Metric| m.key, |m: &Metric| m.label] {
            assert_eq!(METRICS.iter().map(of).collect::<BTreeSet<_>>().len(), METRICS.len());
        }
        for metric in METRICS {
            assert!(
                !metric.label.is_empty() && !metric.in_sentence.is_empty(),
                "{}",
                metric.key
            );
            assert!(
                metric.about.ends_with('.') && !metric.about.starts_with(' '),
                "{}",
                metric.key
            );
        }
    }

    /// A column has a row, which reads that column's field, and whose direction is known.
    #[test]
    fn every_column_is_a_metric_an_id_or_a_count() {
        let columns: Vec<&str> = Metric::per_image().map(|metric| metric.key).collect();
        let others = ["image_id", "tp", "fp", "fn", "tn"];
        let expected: Vec<&str> = IMAGE_SCORE_COLUMNS
            .into_iter()
            .filter(|c| !others.contains(c))
            .collect();
        assert_eq!(columns, expected);
        let truth = Mask::new(2, 4, vec![0, 1, 1, 0, 0, 1, 1, 0]).unwrap();
        let prediction = Mask::new(2, 4, vec![0, 1, 1, 1, 0, 1, 0, 0]).unwrap();
        let scores = ImageScores::of("a", &prediction, &truth).unwrap();
        let fields = serde_json::to_value(&scores).unwrap();
        for metric in Metric::per_image() {
            assert_eq!(fields[metric.key].as_f64(), metric.of_image(&scores), "{}", metric.key);
            assert!(metric.better.is_some(), "{}", metric.key);
        }
    }

    /// Everything that `summary.json` says about all images, but for their number, has a row.
    #[test]
    fn every_mean_is_a_metric() {
        let mask = Mask::filled(2, 2, 1).unwrap();
        let means = MeanScores::of(&[ImageScores::of("a", &mask, &mask).unwrap()]).unwrap();
        let serde_json::Value::Object(fields) = serde_json::to_value(means).unwrap() else {
            panic!("no object");
        };
        let unknown: Vec<&String> = fields.keys().filter(|key| Metric::named(key).is_none()).collect();
        assert_eq!(unknown, ["images"]);
    }

    /// A perfect prediction has the best value, a missed lesion the worst, by the direction and range of the row.
    #[test]
    fn directions_are_right() {
        let (lesion, rest) = (
            Mask::new(1, 2, vec![1, 0]).unwrap(),
            Mask::new(1, 2, vec![0, 1]).unwrap(),
        );
        let best = ImageScores::of("a", &lesion, &lesion).unwrap();
        let worst = ImageScores::of("a", &rest, &lesion).unwrap();
        for metric in Metric::per_image() {
            let gain = metric.of_image(&best).unwrap() - metric.of_image(&worst).unwrap();
            assert!(metric.better.unwrap().sign() * gain > 0.0, "{}: {gain}", metric.key);
            let end = match metric.better.unwrap() {
                Better::Higher => metric.range.end(),
                Better::Lower => metric.range.start(),
            };
            assert_eq!(metric.of_image(&best), Some(*end), "{}", metric.key);
        }
        assert_eq!(Metric::named("hd95").unwrap().better, Some(Better::Lower));
        assert_eq!(Metric::named("surface_distance").unwrap().unit, Unit::ShareOfDiagonal);
    }

    #[test]
    fn values_out_of_range_are_named() {
        let dice = Metric::named("dice").unwrap();
        assert!(dice.check(1.0).is_ok() && dice.check(f64::NAN).is_err());
        let said = dice.check(57.0).unwrap_err().to_string();
        assert!(
            said.contains("`dice`") && said.contains("57") && said.contains("[0, 1]"),
            "{said}"
        );
    }
}
