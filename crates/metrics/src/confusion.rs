use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

use crate::error::MetricError;
use crate::mask::Mask;

/// The Jaccard index below which a localization counts as failed in [`Confusion::threshold_jaccard`].
pub const JACCARD_THRESHOLD: f64 = 0.65;

/// Pixel counts of a prediction against the truth.
///
/// One per image gives per-image metrics; the sum over images gives *pooled* ones (all pixels of all images in one
/// table), which many papers report and which are not the mean over images: never mix the two.
///
/// All ratios match `isic-challenge-scoring` 5.6.0 (`tests/golden/isic.rs`): where truth and prediction are both empty
/// Jaccard and Dice are 1, and an undefined sensitivity or specificity (no lesion, no background) is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confusion {
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

impl Confusion {
    /// Counts the pixels of one image.
    ///
    /// # Errors
    /// [`MetricError::Shape`] if the masks differ in size.
    pub fn of(prediction: &Mask, truth: &Mask) -> Result<Self, MetricError> {
        let (p, t) = (
            (prediction.height(), prediction.width()),
            (truth.height(), truth.width()),
        );
        if p != t {
            return Err(MetricError::Shape {
                prediction: p,
                truth: t,
            });
        }
        let mut counts = [0u64; 4];
        for (&p, &t) in prediction.pixels().iter().zip(truth.pixels()) {
            counts[usize::from(2 * p + t)] += 1;
        }
        let [tn, fn_, fp, tp] = counts;
        Ok(Self { tp, fp, fn_, tn })
    }

    /// Intersection over union, in [0, 1]; 1 if both are empty.
    pub fn jaccard(&self) -> f64 {
        ratio(self.tp, self.tp + self.fp + self.fn_)
    }

    /// [`jaccard`](Self::jaccard), or 0 where it is under [`JACCARD_THRESHOLD`]: the score that ranked ISIC 2018.
    pub fn threshold_jaccard(&self) -> f64 {
        threshold_jaccard(self.jaccard())
    }

    /// Dice coefficient (F1 of pixels), in [0, 1]; 1 if both are empty.
    pub fn dice(&self) -> f64 {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// Share of pixels that are right, in [0, 1].
    pub fn accuracy(&self) -> f64 {
        ratio(self.tp + self.tn, self.total())
    }

    /// Share of lesion pixels found, in [0, 1]; 1 if there is no lesion.
    pub fn sensitivity(&self) -> f64 {
        ratio(self.tp, self.tp + self.fn_)
    }

    /// Share of background pixels left alone, in [0, 1]; 1 if there is no background.
    pub fn specificity(&self) -> f64 {
        ratio(self.tn, self.tn + self.fp)
    }

    /// Number of pixels counted.
    pub fn total(&self) -> u64 {
        self.tp + self.fp + self.fn_ + self.tn
    }
}

/// A Jaccard index, or 0 where it is under [`JACCARD_THRESHOLD`].
pub fn threshold_jaccard(jaccard: f64) -> f64 {
    if jaccard >= JACCARD_THRESHOLD { jaccard } else { 0.0 }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

impl Add for Confusion {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            tp: self.tp + other.tp,
            fp: self.fp + other.fp,
            fn_: self.fn_ + other.fn_,
            tn: self.tn + other.tn,
        }
    }
}

impl AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Confusion {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Add::add)
    }
}

impl<'a> Sum<&'a Confusion> for Confusion {
    fn sum<I: Iterator<Item = &'a Self>>(counts: I) -> Self {
        counts.copied().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_cases_follow_the_official_scorer() {
        let (empty, full) = (Mask::filled(2, 2, 0).unwrap(), Mask::filled(2, 2, 1).unwrap());
        let both = Confusion::of(&empty, &empty).unwrap();
        assert_eq!(
            (
                both.jaccard(),
                both.dice(),
                both.threshold_jaccard(),
                both.sensitivity()
            ),
            (1.0, 1.0, 1.0, 1.0)
        );
        let missed = Confusion::of(&empty, &full).unwrap();
        assert_eq!(
            (missed.jaccard(), missed.specificity(), missed.sensitivity()),
            (0.0, 1.0, 0.0)
        );
        let error = Confusion::of(&empty, &Mask::filled(2, 3, 1).unwrap()).unwrap_err();
        assert!(
            error.to_string().contains("2x2") && error.to_string().contains("2x3"),
            "{error}"
        );
    }

    #[test]
    fn threshold_is_inclusive() {
        assert_eq!(threshold_jaccard(0.65), 0.65);
        assert_eq!(threshold_jaccard(0.649_999), 0.0);
    }
}
