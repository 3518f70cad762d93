//! Quality on the validation split, with labels of the setting's own kind: nothing else may choose anything.

use candle_core::Device;
use htl_datasets::{ImageSet, PixelBox};
use htl_metrics::{Confusion, Mask, resize_bilinear};
use htl_models::{Network, Preprocessing};

use crate::{
    TrainError,
    predict::{class_logits, localization_maps},
    samples::box_iou,
};

/// What the validation split is judged by.
#[derive(Debug, Clone)]
pub enum Judge {
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

/// Quality of a network on `images`, in [0, 1]; higher is better.
///
/// # Errors
/// [`TrainError`] from the forward pass.
pub fn quality(
    judge: &Judge,
    network: &Network,
    images: &ImageSet,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<f64, TrainError> {
    match judge {
        Judge::Masks(truths) => {
            let maps = localization_maps(network, images, preprocessing, device)?;
            let mut sum = 0.0;
            for (index, truth) in truths.iter().enumerate() {
                let map: Vec<f32> = maps.get(index)?.flatten_all()?.to_vec1()?;
                sum += Confusion::of(&stored_size_mask(&map, images.size(), truth)?, truth)?.jaccard();
            }
            Ok(sum / truths.len().max(1) as f64)
        }
        Judge::Boxes(truths) => {
            let maps = localization_maps(network, images, preprocessing, device)?;
            let mut sum = 0.0;
            for (index, truth) in truths.iter().enumerate() {
                let map: Vec<f32> = maps.get(index)?.flatten_all()?.to_vec1()?;
                sum += match (PixelBox::tight(&map, images.size()), truth) {
                    (Some(found), Some(truth)) => box_iou(&found, truth),
                    (None, None) => 1.0,
                    _ => 0.0,
                };
            }
            Ok(sum / truths.len().max(1) as f64)
        }
        Judge::Classes { labels, classes } => {
            let logits = class_logits(network, images, preprocessing, device)?;
            let found: Vec<u32> = logits.argmax(1)?.to_vec1()?;
            Ok(balanced_accuracy(&found, labels, *classes))
        }
    }
}

/// A probability map resized bilinearly to the truth's size, then cut at one half.
pub(crate) fn stored_size_mask(map: &[f32], size: usize, truth: &Mask) -> Result<Mask, TrainError> {
    let (height, width) = (truth.height(), truth.width());
    let resized = resize_bilinear(map, (size, size), (height, width))?;
    Ok(Mask::from_probabilities(height, width, &resized)?)
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

    #[test]
    fn balanced_accuracy_weighs_classes_alike() {
        assert_eq!(balanced_accuracy(&[0, 0, 0, 0], &[0, 0, 0, 1], 2), 0.5);
        assert_eq!(balanced_accuracy(&[0, 1], &[0, 1], 3), 1.0);
        assert_eq!(balanced_accuracy(&[], &[], 3), 0.0);
    }
}
