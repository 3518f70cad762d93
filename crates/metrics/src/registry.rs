use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::boundary::BoundaryDistance;
use crate::boxes::optional_box_iou;
use crate::confusion::Confusion;
use crate::error::MetricError;
use crate::mask::Mask;
use crate::unit::{Better, Unit};

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

    /// Its value for one image; `None` for a metric of a set of images, and where the table that the scores were read from
    /// does not have it.
    pub fn of_image(&self, scores: &ImageScores) -> Option<f64> {
        match self.scope {
            Scope::Image(of) => Some(of(scores)).filter(|value| !value.is_nan()),
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

/// A metric of an image in a table without its column.
fn not_measured() -> f64 {
    f64::NAN
}

/// Two masks of one image, and what several metrics are made of.
pub(crate) struct Comparison<'a> {
    prediction: &'a Mask,
    truth: &'a Mask,
    distance: BoundaryDistance,
}

/// What most rows have in common: a fraction of which more is better.
const FRACTION: Metric = Metric {
    key: "",
    label: "",
    in_sentence: "",
    about: "",
    unit: Unit::Fraction,
    better: Some(Better::Higher),
    range: 0.0..=1.0,
    scope: Scope::Images,
};

/// A distance in an image, of which less is better; a missed lesion is as far away as can be.
const DISTANCE: Metric = Metric {
    unit: Unit::ShareOfDiagonal,
    better: Some(Better::Lower),
    ..FRACTION
};

/// Makes everything that lists metrics from one list of rows: [`OfficialScores`], [`ImageScores`], [`MeanScores`],
/// [`IMAGE_SCORE_COLUMNS`] and [`METRICS`].
///
/// A row is the key, what computes it (in brackets) and the fields of its [`Metric`]; its doc comment is
/// [`Metric::about`]. A row of an image becomes a field of each of the structs, so that a program can say `scores.dice`.
/// The order of rows is the order of columns.
macro_rules! metrics {
    (
        official { $($(#[doc = $official_about:literal])+ $official:ident($official_of:expr) { $($official_row:tt)+ })+ }
        image { $($(#[doc = $image_about:literal])+ $image:ident($image_of:expr) { $($image_row:tt)+ })+ }
        pooled { $($(#[doc = $pooled_about:literal])+ $pooled:ident($pooled_of:expr) { $($pooled_row:tt)+ })+ }
        images { $($(#[doc = $images_about:literal])+ $images:ident { $($images_row:tt)+ })+ }
    ) => {
        /// Column names of a per-image table, in the order in which [`ImageScores`] serialises.
        pub const IMAGE_SCORE_COLUMNS: [&str; 5 + [$(stringify!($official),)+ $(stringify!($image)),+].len()] =
            ["image_id", $(stringify!($official),)+ $(stringify!($image),)+ "tp", "fp", "fn", "tn"];

        /// Every metric, those of single images first, in the order of their columns.
        pub const METRICS: &[Metric] = &[
            $(Metric {
                key: stringify!($official),
                about: concat!($($official_about),+).trim_ascii(),
                scope: Scope::Image(|scores| scores.$official),
                $($official_row)+
            },)+
            $(Metric {
                key: stringify!($image),
                about: concat!($($image_about),+).trim_ascii(),
                scope: Scope::Image(|scores| scores.$image),
                $($image_row)+
            },)+
            $(Metric {
                key: stringify!($pooled),
                about: concat!($($pooled_about),+).trim_ascii(),
                scope: Scope::Images,
                $($pooled_row)+
            },)+
            $(Metric {
                key: stringify!($images),
                about: concat!($($images_about),+).trim_ascii(),
                scope: Scope::Images,
                $($images_row)+
            },)+
        ];

        /// The official ISIC metrics: those that pixel counts alone give.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        pub struct OfficialScores {
            $($(#[doc = $official_about])+ pub $official: f64,)+
        }

        impl OfficialScores {
            /// The mean of every metric over at least one image.
            pub(crate) fn mean(of: &[&Self]) -> Self {
                let mean = |value: fn(&Self) -> f64| of.iter().map(|s| value(s)).sum::<f64>() / of.len() as f64;
                Self { $($official: mean(|s| s.$official),)+ }
            }
        }

        impl From<&Confusion> for OfficialScores {
            fn from(counts: &Confusion) -> Self {
                $(let $official: fn(&Confusion) -> f64 = $official_of;)+
                Self { $($official: $official(counts),)+ }
            }
        }

        /// Every metric of one image, with the image's id and its pixel counts. A row of `per_image.csv`.
        ///
        /// A metric that a table read from a file does not have is NaN.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct ImageScores {
            /// Which image.
            pub image_id: String,
            $($(#[doc = $official_about])+ #[serde(default = "not_measured")] pub $official: f64,)+
            $($(#[doc = $image_about])+ #[serde(default = "not_measured")] pub $image: f64,)+
            /// Lesion pixels found.
            pub tp: u64,
            /// Background pixels called lesion.
            pub fp: u64,
            /// Lesion pixels missed.
            #[serde(rename = "fn")]
            pub fn_: u64,
            /// Background pixels left alone.
            pub tn: u64,
        }

        impl ImageScores {
            /// Scores one prediction.
            ///
            /// # Errors
            /// [`MetricError::Shape`] if the masks differ in size.
            pub fn of(image_id: impl Into<String>, prediction: &Mask, truth: &Mask) -> Result<Self, MetricError> {
                let counts = Confusion::of(prediction, truth)?;
                let official = OfficialScores::from(&counts);
                let compared = Comparison {
                    prediction,
                    truth,
                    distance: BoundaryDistance::between(prediction, truth)?,
                };
                $(let $image: fn(&Comparison) -> f64 = $image_of;)+
                Ok(Self {
                    image_id: image_id.into(),
                    $($official: official.$official,)+
                    $($image: $image(&compared),)+
                    tp: counts.tp,
                    fp: counts.fp,
                    fn_: counts.fn_,
                    tn: counts.tn,
                })
            }
        }

        /// Means over images (every image counts the same) and the pooled metrics beside them.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
        pub struct MeanScores {
            /// Number of images.
            pub images: usize,
            $(#[doc = concat!("Mean over images.", $($official_about),+)] pub $official: f64,)+
            $(#[doc = concat!("Mean over images.", $($image_about),+)] pub $image: f64,)+
            $($(#[doc = $pooled_about])+ pub $pooled: f64,)+
        }

        impl MeanScores {
            /// Averages rows; their order does not matter beyond the last bits.
            ///
            /// # Errors
            /// [`MetricError::Empty`] without rows.
            pub fn of(rows: &[ImageScores]) -> Result<Self, MetricError> {
                if rows.is_empty() {
                    return Err(MetricError::Empty {
                        what: "the list of scored images",
                    });
                }
                let mean = |of: fn(&ImageScores) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
                let all: Confusion = rows.iter().map(ImageScores::confusion).sum();
                $(let $pooled: fn(&Confusion) -> f64 = $pooled_of;)+
                // A metric that some table did not have has no mean.
                Ok(Self {
                    images: rows.len(),
                    $($official: mean(|r| r.$official),)+
                    $($image: mean(|r| r.$image),)+
                    $($pooled: $pooled(&all),)+
                })
            }
        }
    };
}

metrics! {
    official {
        /// Jaccard index (intersection over union), the primary metric.
        jaccard(Confusion::jaccard) { label: "Jaccard", in_sentence: "Jaccard", ..FRACTION }
        /// Jaccard index, 0 where it is under 0.65.
        threshold_jaccard(Confusion::threshold_jaccard) {
            label: "Thresholded Jaccard", in_sentence: "thresholded Jaccard", ..FRACTION
        }
        /// Dice coefficient.
        dice(Confusion::dice) { label: "Dice", in_sentence: "Dice", ..FRACTION }
        /// Share of pixels that are right.
        accuracy(Confusion::accuracy) { label: "Pixel accuracy", in_sentence: "pixel accuracy", ..FRACTION }
        /// Share of lesion pixels found.
        sensitivity(Confusion::sensitivity) { label: "Sensitivity", in_sentence: "sensitivity", ..FRACTION }
        /// Share of background pixels left alone.
        specificity(Confusion::specificity) { label: "Specificity", in_sentence: "specificity", ..FRACTION }
    }
    image {
        /// IoU of the boxes of the largest components of prediction and truth; one empty: 0, both: 1.
        box_iou(|c| optional_box_iou(c.prediction.largest_component_box(), c.truth.largest_component_box())) {
            label: "Box IoU", in_sentence: "box IoU", ..FRACTION
        }
        /// Mean distance of the outlines as a share of the image diagonal.
        surface_distance(|c| c.distance.mean_fraction()) {
            label: "Surface distance", in_sentence: "surface distance", ..DISTANCE
        }
        /// 95th percentile of the distances of the outlines as a share of the image diagonal.
        hd95(|c| c.distance.hd95_fraction()) {
            label: "Hausdorff distance (95 %)", in_sentence: "Hausdorff distance (95 %)", ..DISTANCE
        }
    }
    pooled {
        /// Jaccard index of all pixels of all images in one table.
        pooled_jaccard(Confusion::jaccard) { label: "Pooled Jaccard", in_sentence: "pooled Jaccard", ..FRACTION }
        /// Dice coefficient of all pixels of all images in one table.
        pooled_dice(Confusion::dice) { label: "Pooled Dice", in_sentence: "pooled Dice", ..FRACTION }
    }
    images {
        /// Lowest mean Jaccard of any group of at least ten images; which group and its interval stand beside it.
        worst_group_jaccard { label: "Jaccard, worst group", in_sentence: "Jaccard of the worst group", ..FRACTION }
        /// Mean Jaccard of the hard-to-learn images.
        htl_subset_jaccard { label: "Jaccard, HTL images", in_sentence: "Jaccard of the HTL images", ..FRACTION }
        /// Expected calibration error of the lesion probabilities of all pixels.
        calibration_error {
            label: "Calibration error", in_sentence: "calibration error", better: Some(Better::Lower), ..FRACTION
        }
        /// Brier score of the lesion probabilities of all pixels.
        brier { label: "Brier score", in_sentence: "Brier score", better: Some(Better::Lower), ..FRACTION }
        /// Quantile of a class map's own values above which its mask is set; neither good nor bad.
        map_quantile { label: "Quantile of the maps", in_sentence: "quantile of the maps", better: None, ..FRACTION }
        /// Share of images whose box is right at the best common threshold, averaged over three IoU levels.
        max_box_acc_v2 { label: "MaxBoxAccV2", in_sentence: "MaxBoxAccV2", ..FRACTION }
        /// Area under the precision-recall curve of all pixels.
        px_ap { label: "PxAP", in_sentence: "PxAP", ..FRACTION }
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
