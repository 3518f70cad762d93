use std::collections::BTreeMap;

use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, read_rgb};
use htl_metrics::{
    BoxAccuracy, Calibration, Confusion, ImageScores, LESION_COLUMN, MapCut, Mask, PATIENT_COLUMN, PerImage,
    PerImageRow, PixelPrecision, Proposals, ScoreMap, resize_bilinear,
};
use htl_mining::{MapKind, Subject, group_columns, group_levels};

use crate::mask_rule::{Components, MaskRule};
use crate::predict::{localization_maps, map_of};
use crate::truth::{stored_mask, stored_masks};
use crate::{InferenceError, Predictor};

/// The maps of a predictor beside the truth, at the truth's stored sizes.
#[derive(Debug, Clone)]
pub struct Evaluation {
    kind: MapKind,
    components: Components,
    ids: Vec<String>,
    maps: Vec<Vec<f32>>,
    truths: Vec<Mask>,
}

impl Evaluation {
    /// Predicts samples, which all have a mask, and resizes the maps bilinearly to their masks.
    ///
    /// # Errors
    /// From reading the files; [`InferenceError::NotFinite`] for a broken network.
    pub fn of(predictor: &dyn Predictor, samples: &[&Sample]) -> Result<Self, InferenceError> {
        let (maps, truths) = match predictor.side() {
            Some(side) => in_squares(predictor, side, samples)?,
            None => one_by_one(predictor, samples)?,
        };
        Ok(Self {
            kind: predictor.map_kind(),
            components: predictor.mask_rule().components,
            ids: samples.iter().map(|sample| sample.image_id.clone()).collect(),
            maps,
            truths,
        })
    }

    /// The metrics of every image, its maps cut here and of that kept what the predictor keeps, with the errors of its probabilities and the groups that `data` knows it
    /// to be in.
    ///
    /// # Errors
    /// [`InferenceError::Metric`] if the metrics refuse a mask.
    pub fn per_image(&self, cut: MapCut, data: &DataFolder) -> Result<PerImage, InferenceError> {
        let masks = self.masks(cut)?;
        let predictions = self.ids.iter().zip(&masks).zip(&self.truths);
        let scores = predictions
            .map(|((id, mask), truth)| ImageScores::of(id, mask, truth))
            .collect::<Result<_, _>>()?;
        let mut table = with_groups(scores, data);
        if self.kind == MapKind::Probability {
            for (row, (map, truth)) in table.rows.iter_mut().zip(self.maps.iter().zip(&self.truths)) {
                let mut calibration = Calibration::new();
                calibration.add(map, truth)?;
                row.calibration = Some(calibration.errors()?);
            }
        }
        Ok(table)
    }

    /// The quantile with the best mean Jaccard on these images, of 40 %, 42 %, ... 98 %. It is chosen with masks: what is
    /// cut there is an upper bound, not a result of a setting without masks.
    ///
    /// # Errors
    /// As [`per_image`](Self::per_image).
    pub fn best_quantile(&self) -> Result<f64, InferenceError> {
        let mut best: Option<(f64, f64)> = None;
        for percent in (40..=98).step_by(2) {
            let quantile = f64::from(percent) / 100.0;
            let mut sum = 0.0;
            for (mask, truth) in self.masks(MapCut::Quantile(quantile))?.iter().zip(&self.truths) {
                sum += Confusion::of(mask, truth)?.jaccard();
            }
            if best.is_none_or(|(most, _)| sum > most) {
                best = Some((sum, quantile));
            }
        }
        Ok(best.map_or(0.5, |(_, quantile)| quantile))
    }

    /// Metrics of the maps themselves, by name: `max_box_acc_v2` and `px_ap` over the images that show a lesion, and of
    /// probabilities `calibration_error` and `brier` over all images.
    ///
    /// As clovaai `wsolevaluation` has it for MaxBoxAccV2 and PxAP, every map is stretched to [0, 1] once it has its stored
    /// size, and the boxes of all contours are proposed, of which the best counts. (It resizes bicubically; maps here are
    /// resized bilinearly.)
    ///
    /// # Errors
    /// [`InferenceError::Metric`] for a map outside [0, 1].
    pub fn threshold_free(&self) -> Result<BTreeMap<String, f64>, InferenceError> {
        let mut boxes = BoxAccuracy::new(Proposals::AllContours);
        let mut precision = PixelPrecision::new();
        let mut calibration = Calibration::new();
        let mut summary = BTreeMap::new();
        let mut lesions = 0;
        for (map, truth) in self.maps.iter().zip(&self.truths) {
            if self.kind == MapKind::Probability {
                calibration.add(map, truth)?;
            }
            let Some(bounds) = truth.largest_component_box() else {
                continue;
            };
            let scores = ScoreMap::stretched(truth.height(), truth.width(), map)?;
            boxes.add(&scores, &[bounds])?;
            precision.add(&scores, truth)?;
            lesions += 1;
        }
        if lesions > 0 {
            summary.insert("max_box_acc_v2".to_owned(), boxes.max_box_acc_v2()?);
            summary.insert("px_ap".to_owned(), precision.px_ap()?);
        }
        if self.kind == MapKind::Probability && !self.maps.is_empty() {
            let errors = calibration.errors()?;
            summary.insert("calibration_error".to_owned(), errors.calibration_error);
            summary.insert("brier".to_owned(), errors.brier);
        }
        Ok(summary)
    }

    fn masks(&self, cut: MapCut) -> Result<Vec<Mask>, InferenceError> {
        let components = self.components;
        let rule = MaskRule { cut, components };
        let mask = |(map, truth): (&Vec<f32>, &Mask)| Ok(rule.mask(truth.height(), truth.width(), map)?);
        self.maps.iter().zip(&self.truths).map(mask).collect()
    }
}

/// Maps and their truths, at the truths' sizes.
type Predicted = (Vec<Vec<f32>>, Vec<Mask>);

/// All images resized to squares and in batches.
fn in_squares(predictor: &dyn Predictor, side: usize, samples: &[&Sample]) -> Result<Predicted, InferenceError> {
    let images = ImageSet::load(samples, side, MaskUse::Required)?;
    let truths = stored_masks(&images)?;
    let maps = localization_maps(predictor, &images)?;
    let stored = |(index, truth): (usize, &Mask)| -> Result<Vec<f32>, InferenceError> {
        let map: Vec<f32> = maps.get(index)?.flatten_all()?.to_vec1()?;
        Ok(resize_bilinear(&map, (side, side), (truth.height(), truth.width()))?)
    };
    let maps = truths.iter().enumerate().map(stored).collect::<Result<_, _>>()?;
    Ok((maps, truths))
}

/// Photographs as they are, one at a time in memory.
fn one_by_one(predictor: &dyn Predictor, samples: &[&Sample]) -> Result<Predicted, InferenceError> {
    let of = |sample: &&Sample| -> Result<(Vec<f32>, Mask), InferenceError> {
        let truth = stored_mask(sample)?;
        let rgb = read_rgb(&sample.image)?;
        let size = (rgb.height() as usize, rgb.width() as usize);
        let map = map_of(predictor, &sample.image_id, &rgb)?;
        let map = resize_bilinear(&map, size, (truth.height(), truth.width()))?;
        Ok((map, truth))
    };
    samples.iter().map(of).collect()
}

/// The table of these images, each with its lesion and patient and the groups that `data` and its mask put it in.
pub(crate) fn with_groups(scores: Vec<ImageScores>, data: &DataFolder) -> PerImage {
    let subjects: Vec<Subject> = scores.iter().map(|s| subject(s, data.get(&s.image_id))).collect();
    PerImage {
        group_columns: group_columns().into_iter().map(str::to_owned).collect(),
        rows: scores
            .into_iter()
            .zip(group_levels(&subjects))
            .map(|(scores, groups)| {
                let known = |column: &str| data.get(&scores.image_id).and_then(|sample| sample.field(column));
                PerImageRow {
                    lesion_id: known(LESION_COLUMN),
                    patient_id: known(PATIENT_COLUMN),
                    scores,
                    calibration: None,
                    groups,
                }
            })
            .collect(),
    }
}

/// What is known of an image without a look at its pixels: its sample, and the size of its true lesion.
fn subject(scores: &ImageScores, sample: Option<&Sample>) -> Subject {
    let pixels = scores.confusion().total().max(1);
    let size = (scores.tp + scores.fn_) as f64 / pixels as f64;
    Subject {
        age: sample.and_then(|sample| sample.age_approx),
        cells: sample.map(Sample::cells).unwrap_or_default(),
        measured: [("area_fraction".to_owned(), size)].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(id: usize, area: usize) -> ImageScores {
        let mut pixels = vec![0; 16];
        pixels[..area].fill(1);
        let mask = Mask::new(4, 4, pixels).unwrap();
        ImageScores::of(format!("i{id}"), &mask, &mask).unwrap()
    }

    fn evaluation(kind: MapKind, images: &[(Vec<f32>, Vec<u8>)]) -> Evaluation {
        Evaluation {
            kind,
            components: Components::All,
            ids: (0..images.len()).map(|id| format!("i{id}")).collect(),
            maps: images.iter().map(|(map, _)| map.clone()).collect(),
            truths: images
                .iter()
                .map(|(_, truth)| Mask::new(8, 8, truth.clone()).unwrap())
                .collect(),
        }
    }

    /// A box beside a larger spot is found, since every contour's box is proposed; differences under a thousandth count,
    /// since maps are stretched.
    #[test]
    fn boxes_of_all_contours_of_stretched_maps() {
        let at = |pixel: usize, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            rows.contains(&(pixel / 8)) && columns.contains(&(pixel % 8))
        };
        let lesion = |pixel: usize| at(pixel, 5..7, 5..7);
        let map = (0..64)
            .map(|p| if lesion(p) || at(p, 0..4, 0..4) { 0.5004 } else { 0.5001 })
            .collect();
        let truth = (0..64).map(|pixel| u8::from(lesion(pixel))).collect();
        let found = evaluation(MapKind::ClassActivation, &[(map, truth)])
            .threshold_free()
            .unwrap();
        assert_eq!(found["max_box_acc_v2"], 1.0);
        // 4 of the 20 pixels above are lesion.
        assert!((found["px_ap"] - 0.2).abs() < 1e-12, "{found:?}");
        assert!(!found.contains_key("brier"));
    }

    /// Small maps judged at the size of larger masks, by OpenCV (`tests/golden/make_wsol.py`): resized, stretched, the boxes
    /// of all contours.
    #[test]
    fn metrics_of_maps_agree_with_opencv() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/wsol.json");
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
        let (mut maps, mut truths) = (Vec::new(), Vec::new());
        for image in list(&golden["images"]) {
            let rows: Vec<String> = list(&image["truth"])
                .iter()
                .map(|row| row.as_str().unwrap().to_owned())
                .collect();
            let size = (rows.len(), rows[0].len());
            let pixels = rows.concat().bytes().map(|pixel| u8::from(pixel == b'#')).collect();
            let side = image["side"].as_u64().unwrap() as usize;
            let map: Vec<f32> = list(&image["map"])
                .iter()
                .map(|value| value.as_f64().unwrap() as f32)
                .collect();
            maps.push(resize_bilinear(&map, (side, side), size).unwrap());
            truths.push(Mask::new(size.0, size.1, pixels).unwrap());
        }
        let evaluation = Evaluation {
            kind: MapKind::ClassActivation,
            components: Components::All,
            ids: (0..maps.len()).map(|id| format!("i{id}")).collect(),
            maps,
            truths,
        };
        let found = evaluation.threshold_free().unwrap();
        for (key, tolerance) in [("max_box_acc_v2", 1e-12), ("px_ap", 1e-4)] {
            let expected = golden[key].as_f64().unwrap();
            assert!(
                (found[key] - expected).abs() <= tolerance,
                "{key}: {} {expected}",
                found[key]
            );
        }
    }

    /// An image without a lesion has no box, and its probabilities may be wrong all the same.
    #[test]
    fn calibration_is_of_all_images() {
        let sure = (vec![0.9; 64], vec![1; 64]);
        let wrong = (vec![0.9; 64], vec![0; 64]);
        let found = |images: &[_]| evaluation(MapKind::Probability, images).threshold_free().unwrap();
        let both = found(&[sure.clone(), wrong.clone()]);
        assert!((both["brier"] - (0.01 + 0.81) / 2.0).abs() < 1e-6, "{both:?}");
        assert!((both["calibration_error"] - 0.4).abs() < 1e-6, "{both:?}");
        assert_eq!(both["max_box_acc_v2"], found(&[sure])["max_box_acc_v2"]);
        let none = found(&[wrong]);
        assert!(none.contains_key("brier") && !none.contains_key("px_ap"));
    }

    /// Lesions of one size are in one third, however the table is sorted.
    #[test]
    fn lesions_of_one_size_are_in_one_group() {
        let sizes = |areas: &[usize]| -> Vec<String> {
            let of = |(id, &area): (usize, &usize)| subject(&scores(id, area), None);
            let subjects: Vec<Subject> = areas.iter().enumerate().map(of).collect();
            let column = group_columns().iter().position(|name| *name == "size_tercile").unwrap();
            group_levels(&subjects)
                .into_iter()
                .map(|levels| levels[column].clone())
                .collect()
        };
        assert_eq!(sizes(&[9, 1, 4]), ["large", "small", "medium"]);
        assert_eq!(
            sizes(&[5, 5, 5, 5, 5, 9]),
            ["small", "small", "small", "small", "small", "large"]
        );
    }
}
