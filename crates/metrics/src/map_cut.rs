use crate::error::{MetricError, check_finite_f32};
use crate::mask::Mask;

/// The threshold that turns a map of scores into a mask. Fixed in advance, and the same wherever maps are compared, mined
/// or evaluated.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MapCut {
    /// Set where the value is above this one.
    Above(f32),
    /// Set where the value is above this quantile of the map's own values, in [0, 1].
    Quantile(f64),
}

impl MapCut {
    /// Lesion probabilities: above one half.
    pub const PROBABILITY: Self = Self::Above(0.5);

    /// Class activation maps: the highest quarter of the pixels, chosen before any mask was looked at.
    pub const CLASS_MAP: Self = Self::Quantile(0.75);

    /// The value that pixels of this map have to exceed; 0 for an empty map.
    pub fn threshold(self, map: &[f32]) -> f32 {
        match self {
            Self::Above(value) => value,
            Self::Quantile(quantile) => {
                let mut values = map.to_vec();
                let last = values.len().saturating_sub(1);
                // So many values are at most the threshold; all others are above, but for ties.
                let index = ((quantile * values.len() as f64).ceil() as usize)
                    .saturating_sub(1)
                    .min(last);
                if values.is_empty() {
                    return 0.0;
                }
                *values.select_nth_unstable_by(index, f32::total_cmp).1
            }
        }
    }

    /// The mask of a map.
    ///
    /// # Shapes
    /// - `map`: `[height * width]`, row by row
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a map of another size, [`MetricError::NotFinite`] for a map
    /// with a NaN or an infinity in it: a broken network is not one that found no lesion.
    pub fn mask(self, height: usize, width: usize, map: &[f32]) -> Result<Mask, MetricError> {
        check_finite_f32("a map", map)?;
        Mask::above(height, width, map, self.threshold(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_leaves_the_stated_share_above() {
        let map: Vec<f32> = (0..100).rev().map(|v| v as f32).collect();
        assert_eq!(MapCut::CLASS_MAP.mask(10, 10, &map).unwrap().area(), 25);
        assert_eq!(MapCut::CLASS_MAP.threshold(&[]), 0.0);
        assert_eq!(MapCut::Quantile(1.0).threshold(&[1.0, 3.0, 2.0]), 3.0);
    }

    /// A map that is not a number is an error, not an empty mask.
    #[test]
    fn broken_maps_are_refused() {
        for broken in [f32::NAN, f32::INFINITY] {
            for cut in [MapCut::PROBABILITY, MapCut::CLASS_MAP] {
                let error = cut.mask(1, 2, &[0.3, broken]).unwrap_err();
                assert!(matches!(error, MetricError::NotFinite { index: 1, .. }), "{error}");
            }
        }
    }
}
