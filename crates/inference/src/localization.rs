use htl_datasets::{PixelBox, RgbImage};
use htl_metrics::{MapCut, Mask};

use crate::mask_rule::MaskRule;
use crate::{InferenceError, Predictor, map_of};

/// Where the lesion of one photograph is, at the size of the photograph.
#[derive(Debug, Clone)]
pub struct Localization {
    /// Lesion probabilities, row by row, in [0, 1].
    pub map: Vec<f32>,
    /// The pixels above the threshold; of these the largest component where the predictor keeps no others.
    pub mask: Mask,
}

impl Localization {
    /// Localizes the lesion of a picture, cut at the predictor's own threshold if none is given.
    ///
    /// # Errors
    /// [`InferenceError::NotFinite`] for a map that is not finite, and from the forward pass.
    pub fn of(
        predictor: &dyn Predictor,
        name: &str,
        rgb: &RgbImage,
        threshold: Option<f32>,
    ) -> Result<Self, InferenceError> {
        let (height, width) = (rgb.height() as usize, rgb.width() as usize);
        let map = map_of(predictor, name, rgb)?;
        let rule = predictor.mask_rule();
        let rule = MaskRule {
            cut: threshold.map_or(rule.cut, MapCut::Above),
            ..rule
        };
        let mask = rule.mask(height, width, &map)?;
        Ok(Self { map, mask })
    }

    /// The smallest box around the mask; `None` where no lesion was found.
    pub fn bounds(&self) -> Option<PixelBox> {
        PixelBox::around(self.mask.pixels().iter().map(|pixel| *pixel == 1), self.mask.width())
    }

    /// Mean probability of the pixels of the mask, in (0, 1]; `None` where no lesion was found.
    pub fn confidence(&self) -> Option<f64> {
        let inside = self.map.iter().zip(self.mask.pixels());
        let inside: Vec<f64> = inside
            .filter(|(_, pixel)| **pixel == 1)
            .map(|(p, _)| f64::from(*p))
            .collect();
        (!inside.is_empty()).then(|| inside.iter().sum::<f64>() / inside.len() as f64)
    }

    /// The map in 8 bits, 255 for certainty.
    pub fn grey(&self) -> Vec<u8> {
        self.map.iter().map(|p| (p * 255.0).round() as u8).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use htl_models::{Architecture, Network, Preprocessing};

    use crate::NetworkPredictor;

    /// The mask has the photograph's size and is what its threshold makes of the map; the box holds it.
    #[test]
    fn a_lesion_is_where_the_map_is_above_the_threshold() {
        let architecture = Architecture::unet(4).unwrap();
        let network = Network::build(&architecture, 3, &Device::Cpu).unwrap();
        let preprocessing = Preprocessing {
            size: 16,
            ..Preprocessing::default()
        };
        let predictor = NetworkPredictor::new(network, preprocessing, &Device::Cpu);
        let rgb = RgbImage::from_fn(30, 20, |x, y| image::Rgb([x as u8 * 8, y as u8 * 12, 90]));
        let found = Localization::of(&predictor, "x", &rgb, None).unwrap();
        assert_eq!(
            (found.mask.height(), found.mask.width(), found.map.len()),
            (20, 30, 600)
        );
        let mut sorted = found.map.clone();
        sorted.sort_by(f32::total_cmp);
        let threshold = sorted[300];
        let found = Localization::of(&predictor, "x", &rgb, Some(threshold)).unwrap();
        let above = found.map.iter().filter(|p| **p > threshold).count();
        assert_eq!(found.mask.pixels().iter().filter(|pixel| **pixel == 1).count(), above);
        let bounds = found.bounds().unwrap();
        let outside = (0..600).filter(|at| !bounds.contains(at / 30, at % 30));
        assert!(outside.into_iter().all(|at| found.mask.pixels()[at] == 0));
        assert!(found.confidence().unwrap() > f64::from(threshold));
        let nothing = Localization::of(&predictor, "x", &rgb, Some(1.0)).unwrap();
        assert!(nothing.bounds().is_none() && nothing.confidence().is_none());
    }
}
