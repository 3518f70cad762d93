//! Quality on the validation split, with labels of the setting's own kind: nothing else may choose anything.

use candle_core::Tensor;
use htl_datasets::ImageSet;
use htl_metrics::{Confusion, MapCut, Mask, PixelBox, optional_box_iou};
use htl_ops::overlap_counts;

use crate::predict::{class_logits, in_batches, localization_maps, not_finite};
use crate::truth::mask_at_stored_size;
use crate::{InferenceError, Predictor};

/// The labels of the validation images, and so what quality means.
#[derive(Debug, Clone)]
pub enum Validator {
    /// Mean Jaccard against masks at their stored size (masks are the labels).
    Masks(Vec<Mask>),
    /// Mean IoU of the tight box of the map's level set at one half (boxes are the labels).
    Boxes(Vec<Option<PixelBox>>),
    /// Balanced accuracy (diagnoses are the labels).
    Classes {
        /// Class of each image.
        labels: Vec<u32>,
        /// Number of classes.
        classes: usize,
    },
}

impl Validator {
    /// Quality of a predictor on `images`, in [0, 1]; higher is better.
    ///
    /// # Errors
    /// [`InferenceError::NotFinite`] for a broken network, [`InferenceError::NoClasses`] if classes are asked of a
    /// localizer, and whatever the forward pass fails with.
    pub fn quality(&self, predictor: &dyn Predictor, images: &ImageSet) -> Result<f64, InferenceError> {
        if let Some(qualities) = self.qualities(predictor, images)? {
            return Ok(qualities.iter().sum::<f64>() / qualities.len().max(1) as f64);
        }
        let Self::Classes { labels, classes } = self else {
            return Ok(0.0);
        };
        let logits = class_logits(predictor, images)?.ok_or(InferenceError::NoClasses)?;
        let found: Vec<u32> = logits.argmax(1)?.to_vec1()?;
        Ok(balanced_accuracy(&found, labels, *classes))
    }

    /// Quality on each of `images`, in [0, 1]; `None` where only all of them together have one (diagnoses).
    ///
    /// # Errors
    /// As [`quality`](Self::quality).
    pub fn qualities(&self, predictor: &dyn Predictor, images: &ImageSet) -> Result<Option<Vec<f64>>, InferenceError> {
        Ok(Some(match self {
            Self::Masks(truths) if truths.iter().all(|t| [t.height(), t.width()] == [images.size(); 2]) => {
                let overlaps = overlaps(truths, predictor, images)?;
                overlaps.iter().map(Confusion::jaccard).collect()
            }
            Self::Masks(truths) => {
                let jaccard = |index: usize, map: &[f32]| {
                    let mask = mask_at_stored_size(map, images.size(), &truths[index], MapCut::PROBABILITY.into())?;
                    Ok(Confusion::of(&mask, &truths[index])?.jaccard())
                };
                of_maps(predictor, images, truths.len(), jaccard)?
            }
            Self::Boxes(truths) => {
                let iou = |index: usize, map: &[f32]| {
                    let found = PixelBox::tight(map, images.size());
                    Ok(optional_box_iou(found, truths[index]))
                };
                of_maps(predictor, images, truths.len(), iou)?
            }
            Self::Classes { .. } => return Ok(None),
        }))
    }
}

/// The quality of each of the first `count` images' maps.
fn of_maps(
    predictor: &dyn Predictor,
    images: &ImageSet,
    count: usize,
    quality: impl Fn(usize, &[f32]) -> Result<f64, InferenceError>,
) -> Result<Vec<f64>, InferenceError> {
    let maps = localization_maps(predictor, images)?;
    let each = (0..count).map(|index| {
        let map: Vec<f32> = maps.get(index)?.flatten_all()?.to_vec1()?;
        quality(index, &map)
    });
    each.collect()
}

/// The pixels found and missed in every image, counted where the maps are; the masks have the size of the predictor's
/// maps.
fn overlaps(truths: &[Mask], predictor: &dyn Predictor, images: &ImageSet) -> Result<Vec<Confusion>, InferenceError> {
    let size = images.size();
    let counts = in_batches(images, |range, x| {
        let count = range.len();
        let pixels: Vec<f32> = truths[range]
            .iter()
            .flat_map(|truth| truth.pixels().iter().map(|&pixel| f32::from(pixel)))
            .collect();
        let maps = predictor.localization_maps(x)?;
        let truth = Tensor::from_vec(pixels, (count, 1, size, size), maps.device())?;
        let counts = overlap_counts(&maps, &truth, 0.5)?;
        // A fourth column: 0 where the map holds a NaN, the only value that does not equal itself.
        let numbers = maps.eq(&maps)?.flatten_from(1)?.min_keepdim(1)?;
        Ok(Tensor::cat(&[&counts, &numbers.to_dtype(counts.dtype())?], 1)?)
    })?;
    let counts = counts.to_vec2::<u32>()?;
    let confusion = |(index, counts): (usize, &Vec<u32>)| {
        let &[both, found, truth, numbers] = counts.as_slice() else {
            return Err(candle_core::Error::Msg(format!("four counts expected, found {counts:?}")).into());
        };
        if numbers == 0 {
            return Err(not_finite("localization map", images, index, f32::NAN));
        }
        let (both, found, truth) = (u64::from(both), u64::from(found), u64::from(truth));
        Ok(Confusion {
            tp: both,
            fp: found - both,
            fn_: truth - both,
            tn: (size * size) as u64 + both - found - truth,
        })
    };
    counts.iter().enumerate().map(confusion).collect()
}

/// Mean over the classes that occur of the share of their images found.
fn balanced_accuracy(found: &[u32], labels: &[u32], classes: usize) -> f64 {
    let recalls: Vec<f64> = (0..classes as u32)
        .filter_map(|class| {
            let of_class: Vec<bool> = found
                .iter()
                .zip(labels)
                .filter(|(_, l)| **l == class)
                .map(|(f, l)| f == l)
                .collect();
            let hits = of_class.iter().filter(|hit| **hit).count();
            (!of_class.is_empty()).then(|| hits as f64 / of_class.len() as f64)
        })
        .collect();
    recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkPredictor;
    use candle_core::Device;
    use htl_models::{Network, Preprocessing};

    /// Counted with the maps or mask by mask: the same quality.
    #[test]
    fn masks_of_the_maps_size_are_counted_alike() {
        const SIZE: usize = 32;
        let folder = tempfile::tempdir().unwrap();
        for kind in ["images", "masks"] {
            std::fs::create_dir(folder.path().join(kind)).unwrap();
        }
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        // More than one batch.
        for i in 0..19u32 {
            let path = |kind: &str| folder.path().join(format!("{kind}/i{i}.png"));
            let pixel = |x: u32, y: u32| image::Rgb([(x * 9 + i) as u8, (y * 7 * i) as u8, (x * y + 40 * i) as u8]);
            image::RgbImage::from_fn(32, 32, pixel).save(path("images")).unwrap();
            let inside = |x: u32, y: u32| image::Luma([if x > i && y > 8 { 255 } else { 0 }]);
            image::GrayImage::from_fn(32, 32, inside).save(path("masks")).unwrap();
            table.push_str(&format!("i{i},{},,,,\n", ["train", "val", "test"][i as usize % 3]));
        }
        std::fs::write(folder.path().join("metadata.csv"), table).unwrap();
        let data = htl_datasets::DataFolder::open(folder.path()).unwrap();
        let samples: Vec<_> = htl_datasets::Split::ALL
            .into_iter()
            .flat_map(|s| data.split(s))
            .collect();
        let images = ImageSet::load(&samples, SIZE, htl_datasets::MaskUse::Required).unwrap();
        let truths: Vec<Mask> = (0..images.len())
            .map(|i| Mask::from_luma(SIZE, SIZE, images.mask_bytes(i).unwrap()).unwrap())
            .collect();
        let architecture = htl_models::Architecture::unet(4).unwrap();
        let network = Network::build(&architecture, 3, &Device::Cpu).unwrap();
        let preprocessing = Preprocessing {
            size: SIZE,
            ..Preprocessing::default()
        };
        let predictor = NetworkPredictor::new(network, preprocessing, &Device::Cpu);
        let counted = overlaps(&truths, &predictor, &images).unwrap();
        let maps = localization_maps(&predictor, &images).unwrap();
        for (index, (counted, truth)) in counted.iter().zip(&truths).enumerate() {
            let map: Vec<f32> = maps.get(index).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let found = mask_at_stored_size(&map, SIZE, truth, MapCut::PROBABILITY.into()).unwrap();
            assert_eq!(*counted, Confusion::of(&found, truth).unwrap());
        }
    }

    #[test]
    fn balanced_accuracy_weighs_classes_alike() {
        assert_eq!(balanced_accuracy(&[0, 0, 0, 0], &[0, 0, 0, 1], 2), 0.5);
        assert_eq!(balanced_accuracy(&[0, 1], &[0, 1], 3), 1.0);
        assert_eq!(balanced_accuracy(&[], &[], 3), 0.0);
    }
}
