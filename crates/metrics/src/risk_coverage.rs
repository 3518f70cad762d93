use serde::{Deserialize, Serialize};

use crate::bootstrap::{BootstrapParams, resampled_images};
use crate::boundary::percentile;
use crate::clusters::Units;
use crate::error::{MetricError, check_finite};

/// Risk against coverage: the mean risk of the images that are kept when the most uncertain ones are referred to a person
/// (Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks").
///
/// The risk of an image is any number of which less is better; of a localizer 1 − Jaccard (as Zenk et al. 2024,
/// arXiv 2406.03323, take 1 − Dice). Where images are equally uncertain, every number here is its mean over all orders of
/// them: no order of files or ids decides, and a score that tells no image from another is worth as much as chance.
///
/// ```
/// use htl_metrics::RiskCoverage;
///
/// let curve = RiskCoverage::of(&[0.1, 0.9, 0.5], &[0.2, 0.6, 0.4])?;
/// // Means of the most certain one, two and three images: .2, .3, .4.
/// assert!((curve.area() - 0.3).abs() < 1e-12);
/// assert!((curve.risk_without(1.0 / 3.0)? - 0.3).abs() < 1e-12);
/// # Ok::<(), htl_metrics::MetricError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RiskCoverage {
    risks: Vec<f64>,
    /// Images by rising uncertainty, those of equal uncertainty together.
    levels: Vec<Vec<usize>>,
}

/// A point of a [`RiskCoverage`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskPoint {
    /// Images kept.
    pub kept: usize,
    /// Their share of all images, in (0, 1].
    pub coverage: f64,
    /// Their mean risk.
    pub risk: f64,
}

/// A number that sums a [`RiskCoverage`] up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RiskMeasure {
    /// [`RiskCoverage::area`].
    Area,
    /// [`RiskCoverage::generalised_area`].
    GeneralisedArea,
    /// [`RiskCoverage::risk_without`] this share of the images, in [0, 1).
    RiskWithout(f64),
}

impl RiskCoverage {
    /// The curve of images with these uncertainties (higher = referred first) and risks.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without an image, [`MetricError::Length`] if the lists differ in length,
    /// [`MetricError::NotFinite`].
    pub fn of(uncertainty: &[f64], risk: &[f64]) -> Result<Self, MetricError> {
        if risk.is_empty() {
            return Err(MetricError::Empty {
                what: "the list of images",
            });
        }
        if uncertainty.len() != risk.len() {
            return Err(MetricError::Length {
                what: "uncertainties, one per image".into(),
                expected: risk.len(),
                found: uncertainty.len(),
            });
        }
        check_finite("the uncertainties", uncertainty)?;
        check_finite("the risks", risk)?;
        let mut order: Vec<usize> = (0..risk.len()).collect();
        // + 0.0 makes -0 and 0 tie.
        let of = |image: usize| uncertainty[image] + 0.0;
        order.sort_by(|&a, &b| of(a).total_cmp(&of(b)));
        let levels = order.chunk_by(|&a, &b| of(a) == of(b)).map(<[usize]>::to_vec).collect();
        Ok(Self {
            risks: risk.to_vec(),
            levels,
        })
    }

    /// The curve that random referral has on average: the mean risk everywhere.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn random(risk: &[f64]) -> Result<Self, MetricError> {
        Self::of(&vec![0.0; risk.len()], risk)
    }

    /// The curve of whoever knows the risks: no other lies below it.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn oracle(risk: &[f64]) -> Result<Self, MetricError> {
        Self::of(risk, risk)
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.risks.len()
    }

    /// A point per number of images kept, from one to all.
    pub fn points(&self) -> Vec<RiskPoint> {
        let mut points = Vec::with_capacity(self.images());
        self.walk(&vec![1; self.images()], |kept, sum| {
            points.push(RiskPoint {
                kept,
                coverage: kept as f64 / self.images() as f64,
                risk: sum / kept as f64,
            });
        });
        points
    }

    /// Area under the curve (AURC): the mean over k = 1, ..., n of the mean risk of the k most certain images, as Geifman,
    /// Uziel and El-Yaniv (ICLR 2019) define it. Less is better; random referral has the mean risk. The area by trapezoids
    /// between the points is smaller by (R(1) + R(n)) / 2n.
    pub fn area(&self) -> f64 {
        self.area_of(&vec![1; self.images()])
    }

    /// Area under the generalised curve (AUGRC): the mean over k of the sum of the risks of the k most certain images over the number of
    /// *all* images, as Traub et al. (2024, arXiv 2407.01032) define it: the risk that slips through, whatever the share referred.
    /// A mistake about the very first images weighs no more than one about others, as it does in [`area`](Self::area).
    pub fn generalised_area(&self) -> f64 {
        self.generalised_area_of(&vec![1; self.images()])
    }

    /// Area less that of [`oracle`](Self::oracle): what a better score could still win (E-AURC of Geifman, Uziel and
    /// El-Yaniv).
    pub fn excess_area(&self) -> f64 {
        let best = Self::oracle(&self.risks).map_or(f64::NAN, |oracle| oracle.area());
        self.area() - best
    }

    /// Mean risk of the images kept when the most uncertain `share` is referred: round(share · n) of them, and never all.
    ///
    /// # Errors
    /// [`MetricError::Range`] unless the share is in [0, 1).
    pub fn risk_without(&self, share: f64) -> Result<f64, MetricError> {
        check_share(share)?;
        Ok(self.risk_without_of(share, &vec![1; self.images()]))
    }

    /// The chance of each image to be among the `count` most uncertain ones: 1 or 0, and between them for images whose tie
    /// the cut runs through.
    pub fn chances(&self, count: usize) -> Vec<f64> {
        let mut chances = vec![0.0; self.images()];
        let mut left = count;
        for level in self.levels.iter().rev() {
            let taken = left.min(level.len());
            for &image in level {
                chances[image] = taken as f64 / level.len() as f64;
            }
            left -= taken;
        }
        chances
    }

    /// One of its numbers where image i counts `weights[i]` times.
    fn measure_of(&self, measure: RiskMeasure, weights: &[usize]) -> f64 {
        match measure {
            RiskMeasure::Area => self.area_of(weights),
            RiskMeasure::GeneralisedArea => self.generalised_area_of(weights),
            RiskMeasure::RiskWithout(share) => self.risk_without_of(share, weights),
        }
    }

    fn area_of(&self, weights: &[usize]) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        self.walk(weights, |kept, risk| {
            sum += risk / kept as f64;
            count = kept;
        });
        sum / count as f64
    }

    fn generalised_area_of(&self, weights: &[usize]) -> f64 {
        let (mut sum, mut count) = (0.0, 0);
        self.walk(weights, |kept, risk| {
            sum += risk;
            count = kept;
        });
        sum / (count as f64 * count as f64)
    }

    fn risk_without_of(&self, share: f64, weights: &[usize]) -> f64 {
        let images: usize = weights.iter().sum();
        let keep = images - referred(share, images);
        let mut found = f64::NAN;
        self.walk(weights, |kept, sum| {
            if kept == keep {
                found = sum / kept as f64;
            }
        });
        found
    }

    /// Visits the number of images kept, from one to all, with the sum of their risks; images of one level have the mean
    /// risk of the level.
    fn walk(&self, weights: &[usize], mut visit: impl FnMut(usize, f64)) {
        let (mut kept, mut sum) = (0, 0.0);
        for level in &self.levels {
            let count: usize = level.iter().map(|&image| weights[image]).sum();
            if count == 0 {
                continue;
            }
            let risks = level.iter().map(|&image| weights[image] as f64 * self.risks[image]);
            let mean = risks.sum::<f64>() / count as f64;
            for _ in 0..count {
                kept += 1;
                sum += mean;
                visit(kept, sum);
            }
        }
    }
}

/// How many of `images` a share of them is, when one at least is kept.
fn referred(share: f64, images: usize) -> usize {
    ((share * images as f64).round() as usize).min(images.saturating_sub(1))
}

fn check_share(share: f64) -> Result<(), MetricError> {
    if (0.0..1.0).contains(&share) {
        return Ok(());
    }
    Err(MetricError::Range {
        what: "share of the images to refer",
        found: share,
        expected: "a number in [0, 1)",
    })
}

/// How far two uncertainty scores lie apart, on the same images and for the same networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RiskDifference {
    /// Method less control, mean over the networks: below 0 where the method refers better.
    pub difference: f64,
    /// 95 % percentile interval of the bootstrap over images; the networks are these.
    pub ci95: [f64; 2],
    /// Number of networks.
    pub networks: usize,
    /// Number of images.
    pub images: usize,
}

/// Difference of a number of two scores' curves with its paired bootstrap interval: images (or lesions) are drawn with
/// replacement, the same for both scores and all networks, and the curves made anew.
///
/// # Shapes
/// - `method`, `control`: one curve per network, the same networks and images on both sides
///
/// # Errors
/// [`MetricError::Empty`] without a curve, [`MetricError::Length`] if the sides differ in networks or images,
/// [`MetricError::Range`] for a share outside [0, 1) and for fewer than 100 resamples.
pub fn risk_difference(
    method: &[RiskCoverage],
    control: &[RiskCoverage],
    measure: RiskMeasure,
    units: Units<'_>,
    params: &BootstrapParams,
) -> Result<RiskDifference, MetricError> {
    if let RiskMeasure::RiskWithout(share) = measure {
        check_share(share)?;
    }
    let Some(first) = method.first() else {
        return Err(MetricError::Empty {
            what: "the list of networks",
        });
    };
    let same = |what: &str, expected: usize, found: usize| match expected == found {
        true => Ok(()),
        false => Err(MetricError::Length {
            what: what.to_owned(),
            expected,
            found,
        }),
    };
    same("networks of the control", method.len(), control.len())?;
    for curve in method.iter().chain(control) {
        same("images of a curve", first.images(), curve.images())?;
    }
    let difference = |weights: &[usize]| {
        let pairs = method.iter().zip(control);
        let sum: f64 = pairs
            .map(|(method, control)| method.measure_of(measure, weights) - control.measure_of(measure, weights))
            .sum();
        sum / method.len() as f64
    };
    let mut drawn = Vec::with_capacity(params.resamples);
    resampled_images(first.images(), units, params, |weights| drawn.push(difference(weights)))?;
    drawn.sort_by(f64::total_cmp);
    Ok(RiskDifference {
        difference: difference(&vec![1; first.images()]),
        ci95: [percentile(&drawn, 0.025), percentile(&drawn, 0.975)],
        networks: method.len(),
        images: first.images(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RISK: [f64; 5] = [0.5, 0.1, 0.9, 0.3, 0.2];

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    /// Images 1, 4, 3 are kept, and 0 and 2 referred.
    #[test]
    fn by_hand() {
        let curve = RiskCoverage::of(&[4.0, 1.0, 5.0, 3.0, 2.0], &RISK).unwrap();
        let risks: Vec<f64> = curve.points().iter().map(|point| point.risk).collect();
        for (found, expected) in risks.iter().zip([0.1, 0.15, 0.2, 0.275, 0.4]) {
            close(*found, expected);
        }
        close(curve.area(), (0.1 + 0.15 + 0.2 + 0.275 + 0.4) / 5.0);
        close(curve.generalised_area(), (0.1 + 0.3 + 0.6 + 1.1 + 2.0) / 25.0);
        close(curve.risk_without(0.4).unwrap(), 0.2);
        close(curve.risk_without(0.0).unwrap(), 0.4);
        // Somebody is always kept.
        close(curve.risk_without(0.99).unwrap(), 0.1);
        close(curve.excess_area(), 0.0);
        assert_eq!(curve.chances(2), [1.0, 0.0, 1.0, 0.0, 0.0]);
    }

    /// Two images that tie are taken in both orders.
    #[test]
    fn ties_are_the_mean_of_their_orders() {
        let tied = RiskCoverage::of(&[1.0, 0.0, 1.0], &[0.5, 0.1, 0.9]).unwrap();
        let orders = [[1.0, 0.0, 2.0], [2.0, 0.0, 1.0]].map(|u| RiskCoverage::of(&u, &[0.5, 0.1, 0.9]).unwrap());
        close(tied.area(), (orders[0].area() + orders[1].area()) / 2.0);
        close(tied.risk_without(1.0 / 3.0).unwrap(), (0.6 / 2.0 + 1.0 / 2.0) / 2.0);
        assert_eq!(tied.chances(1), [0.5, 0.0, 0.5]);
        assert_eq!(
            RiskCoverage::of(&[0.0, -0.0], &[0.0, 1.0]).unwrap().chances(1),
            [0.5; 2]
        );
    }

    /// An image that is drawn twice is two images.
    #[test]
    fn weights_are_copies() {
        let curve = RiskCoverage::of(&[4.0, 1.0, 4.0, 3.0, 2.0], &RISK).unwrap();
        let weights = [2, 0, 1, 3, 1];
        let copies: Vec<usize> = (0..5).flat_map(|image| vec![image; weights[image]]).collect();
        let of = |values: &[f64]| -> Vec<f64> { copies.iter().map(|&image| values[image]).collect() };
        let written_out = RiskCoverage::of(&of(&[4.0, 1.0, 4.0, 3.0, 2.0]), &of(&RISK)).unwrap();
        close(curve.area_of(&weights), written_out.area());
        close(
            curve.risk_without_of(0.3, &weights),
            written_out.risk_without(0.3).unwrap(),
        );
    }

    #[test]
    fn better_scores_have_intervals_below_zero() {
        let risk: Vec<f64> = (0..200).map(|i| f64::from(i * 7919 % 200) / 200.0).collect();
        let noisy: Vec<f64> = (0..200)
            .map(|i| risk[i] + f64::from(i as u32 * 104_729 % 100) / 200.0)
            .collect();
        let better = [RiskCoverage::of(&noisy, &risk).unwrap()];
        let random = [RiskCoverage::random(&risk).unwrap()];
        let params = BootstrapParams::default();
        for measure in [
            RiskMeasure::Area,
            RiskMeasure::GeneralisedArea,
            RiskMeasure::RiskWithout(0.2),
        ] {
            let found = risk_difference(&better, &random, measure, Units::Images, &params).unwrap();
            assert!(found.ci95[0] < found.difference && found.difference < found.ci95[1]);
            assert!(found.ci95[1] < 0.0, "{found:?}");
            let none = risk_difference(&better, &better, measure, Units::Images, &params).unwrap();
            assert_eq!((none.difference, none.ci95), (0.0, [0.0; 2]));
        }
        // Pairs of images that always come together tell less.
        let pairs: Vec<usize> = (0..200).map(|image| image / 2).collect();
        let twice: Vec<f64> = (0..200).map(|image| risk[image / 2]).collect();
        let scores: Vec<f64> = (0..200).map(|image| noisy[image / 2]).collect();
        let (a, b) = (
            [RiskCoverage::of(&scores, &twice).unwrap()],
            [RiskCoverage::random(&twice).unwrap()],
        );
        let width = |units| {
            let [low, high] = risk_difference(&a, &b, RiskMeasure::Area, units, &params).unwrap().ci95;
            high - low
        };
        assert!(width(Units::Images) < 0.9 * width(Units::Clusters(&pairs)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |error: MetricError| error.to_string();
        assert!(said(RiskCoverage::of(&[], &[]).unwrap_err()).contains("empty"));
        assert!(said(RiskCoverage::of(&[1.0], &[1.0, 2.0]).unwrap_err()).contains("expected 2"));
        assert!(said(RiskCoverage::of(&[f64::NAN], &[1.0]).unwrap_err()).contains("uncertainties"));
        let curve = [RiskCoverage::random(&RISK).unwrap()];
        assert!(said(curve[0].risk_without(1.0).unwrap_err()).contains("[0, 1)"));
        let params = BootstrapParams::default();
        let difference =
            |control: &[RiskCoverage], measure| risk_difference(&curve, control, measure, Units::Images, &params);
        assert!(difference(&[], RiskMeasure::Area).is_err());
        assert!(difference(&curve, RiskMeasure::RiskWithout(-0.1)).is_err());
        assert!(difference(&[RiskCoverage::random(&RISK[1..]).unwrap()], RiskMeasure::Area).is_err());
    }
}
