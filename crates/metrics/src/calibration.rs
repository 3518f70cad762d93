use serde::{Deserialize, Serialize};

use crate::error::{MetricError, check_size, check_unit};
use crate::mask::Mask;

/// Number of bins of the expected calibration error, the usual choice.
pub const CALIBRATION_BINS: usize = 15;

/// Calibration of lesion probabilities against lesion frequencies, over all pixels of all maps added.
///
/// Pixels are sorted into [`CALIBRATION_BINS`] bins of equal width by their lesion probability p; a bin is open on the
/// left and closed on the right (p = 0 falls into the first). Note that this asks about the lesion probability, not
/// about the confidence max(p, 1 - p) of the decision. Same values as `torchmetrics.classification.BinaryCalibrationError`
/// with `norm="l1"` except for probabilities that lie exactly on an edge, and, for Brier, as
/// `sklearn.metrics.brier_score_loss`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    bins: [Bin; CALIBRATION_BINS],
    squared_error: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bin {
    pixels: u64,
    probability: f64,
    lesion: u64,
}

/// One bar of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower edge of the bin (outside it, except 0).
    pub from: f64,
    /// Upper edge of the bin (inside it).
    pub to: f64,
    /// Number of pixels.
    pub pixels: u64,
    /// Mean lesion probability of these pixels.
    pub mean_probability: f64,
    /// Share of these pixels that are lesion.
    pub lesion_fraction: f64,
}

/// Both errors of a set of pixels, as those of one image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CalibrationErrors {
    /// See [`Calibration::brier`].
    pub brier: f64,
    /// See [`Calibration::expected_error`].
    pub calibration_error: f64,
}

impl Calibration {
    /// Starts with no pixel.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the pixels of one map.
    ///
    /// # Shapes
    /// - `probabilities`: `[height * width]` of the truth's size, values in [0, 1]
    ///
    /// # Errors
    /// [`MetricError::Size`] for a map of another size, [`MetricError::Range`] for a value outside [0, 1] or NaN.
    pub fn add(&mut self, probabilities: &[f32], truth: &Mask) -> Result<(), MetricError> {
        check_size("a probability map", truth.height(), truth.width(), probabilities.len())?;
        check_unit("a probability map", probabilities)?;
        for (&p, &t) in probabilities.iter().zip(truth.pixels()) {
            let p = f64::from(p);
            let at = ((p * CALIBRATION_BINS as f64).ceil() as usize).clamp(1, CALIBRATION_BINS) - 1;
            let bin = &mut self.bins[at];
            bin.pixels += 1;
            bin.probability += p;
            bin.lesion += u64::from(t);
            self.squared_error += (p - f64::from(t)).powi(2);
        }
        Ok(())
    }

    /// Number of pixels added.
    pub fn pixels(&self) -> u64 {
        self.bins.iter().map(|b| b.pixels).sum()
    }

    /// Expected calibration error in [0, 1]: |mean probability - lesion frequency| of a bin, averaged over pixels.
    ///
    /// # Errors
    /// [`MetricError::Empty`] if nothing was added.
    pub fn expected_error(&self) -> Result<f64, MetricError> {
        let pixels = self.checked_pixels()?;
        Ok(self
            .bins
            .iter()
            .map(|b| (b.probability - b.lesion as f64).abs())
            .sum::<f64>()
            / pixels)
    }

    /// Brier score in [0, 1]: mean squared difference between lesion probability and truth.
    ///
    /// # Errors
    /// [`MetricError::Empty`] if nothing was added.
    pub fn brier(&self) -> Result<f64, MetricError> {
        Ok(self.squared_error / self.checked_pixels()?)
    }

    /// Both errors.
    ///
    /// # Errors
    /// [`MetricError::Empty`] if nothing was added.
    pub fn errors(&self) -> Result<CalibrationErrors, MetricError> {
        Ok(CalibrationErrors {
            brier: self.brier()?,
            calibration_error: self.expected_error()?,
        })
    }

    /// The bars of a reliability diagram; bins without pixels are left out.
    pub fn reliability(&self) -> Vec<ReliabilityBin> {
        let edge = |i: usize| i as f64 / CALIBRATION_BINS as f64;
        self.bins
            .iter()
            .enumerate()
            .filter(|(_, b)| b.pixels > 0)
            .map(|(i, b)| ReliabilityBin {
                from: edge(i),
                to: edge(i + 1),
                pixels: b.pixels,
                mean_probability: b.probability / b.pixels as f64,
                lesion_fraction: b.lesion as f64 / b.pixels as f64,
            })
            .collect()
    }

    fn checked_pixels(&self) -> Result<f64, MetricError> {
        match self.pixels() {
            0 => Err(MetricError::Empty {
                what: "the calibration table",
            }),
            n => Ok(n as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coin_called_certain_is_half_wrong() {
        let mut c = Calibration::new();
        let truth = Mask::new(1, 4, vec![0, 1, 0, 1]).unwrap();
        c.add(&[1.0; 4], &truth).unwrap();
        assert_eq!(
            (c.expected_error().unwrap(), c.brier().unwrap(), c.reliability().len()),
            (0.5, 0.5, 1)
        );
        let mut honest = Calibration::new();
        honest.add(&[0.5; 4], &truth).unwrap();
        assert_eq!((honest.expected_error().unwrap(), honest.brier().unwrap()), (0.0, 0.25));
        assert!(honest.add(&[0.5, f32::NAN, 0.0, 0.0], &truth).is_err());
        assert!(Calibration::new().brier().is_err());
    }
}
