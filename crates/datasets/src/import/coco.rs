//! Annotations as COCO writes them: polygons, run lengths, boxes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use htl_metrics::{Mask, PixelBox, RunLengths};
use serde::Deserialize;

use super::polygon::polygon_mask;
use crate::DatasetError;
use crate::decode::MOST_PIXELS;

/// What becomes of annotations that have a box and no outline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Boxes {
    /// They are an error: a filled box is no outline to be judged by.
    #[default]
    Refused,
    /// Their pixels are the mask, as training with boxes takes it.
    Filled,
}

/// An image of a COCO document and what is annotated on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CocoImage {
    /// As the document has it, perhaps with folders.
    pub file_name: String,
    width: usize,
    height: usize,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Document {
    images: Vec<Image>,
    #[serde(default)]
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: u64,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Annotation {
    image_id: u64,
    #[serde(default)]
    bbox: Option<[f64; 4]>,
    #[serde(default)]
    segmentation: Option<Segmentation>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Polygons(Vec<Vec<f64>>),
    Runs { size: [usize; 2], counts: Counts },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Counts {
    Numbers(Vec<usize>),
    Text(String),
}

/// The images of a document, in its order. All annotations of an image are of its lesion.
pub(super) fn read_coco(path: &Path) -> Result<Vec<CocoImage>, DatasetError> {
    let text = fs::read(path).map_err(DatasetError::read(path))?;
    let problem = |reason: String| DatasetError::Coco {
        path: path.into(),
        reason,
    };
    let document: Document = serde_json::from_slice(&text).map_err(|error| problem(error.to_string()))?;
    let mut by_image: BTreeMap<u64, Vec<Annotation>> = BTreeMap::new();
    for annotation in document.annotations {
        by_image.entry(annotation.image_id).or_default().push(annotation);
    }
    let mut seen: HashMap<u64, String> = HashMap::new();
    let mut images = Vec::with_capacity(document.images.len());
    for Image {
        id,
        file_name,
        width,
        height,
    } in document.images
    {
        if let Some(other) = seen.insert(id, file_name.clone()) {
            return Err(problem(format!("`{other}` and `{file_name}` both have the id {id}")));
        }
        let pixels = (width as u64).saturating_mul(height as u64);
        if pixels == 0 || pixels > MOST_PIXELS {
            return Err(problem(format!(
                "`{file_name}` is said to have {width} x {height} pixels"
            )));
        }
        let annotations = by_image.remove(&id).unwrap_or_default();
        images.push(CocoImage {
            file_name,
            width,
            height,
            annotations,
        });
    }
    if let Some(id) = by_image.keys().next() {
        return Err(problem(format!(
            "annotations are of image {id}, which it does not list"
        )));
    }
    Ok(images)
}

impl CocoImage {
    /// Width and height.
    pub(super) fn size(&self) -> (u32, u32) {
        (self.width as u32, self.height as u32)
    }

    /// The mask: all that is annotated, together; empty where nothing is. Else what is wrong.
    pub(super) fn mask(&self, boxes: Boxes) -> Result<Mask, String> {
        let wrong = |error: htl_metrics::MetricError| error.to_string();
        let mut pixels = vec![0; self.height * self.width];
        let mut add = |mask: Mask| pixels.iter_mut().zip(mask.pixels()).for_each(|(all, one)| *all |= one);
        for annotation in &self.annotations {
            match (&annotation.segmentation, annotation.bbox) {
                (Some(Segmentation::Polygons(polygons)), _) if !polygons.is_empty() => {
                    for corners in polygons {
                        add(self.polygon(corners)?);
                    }
                }
                (Some(Segmentation::Runs { size, counts }), _) => {
                    if *size != [self.height, self.width] {
                        return Err(format!(
                            "run lengths are of {} x {} pixels, the image has {} x {}",
                            size[1], size[0], self.width, self.height
                        ));
                    }
                    let runs = match counts {
                        Counts::Numbers(counts) => RunLengths::new(self.height, self.width, counts.clone()),
                        Counts::Text(text) => RunLengths::from_text(self.height, self.width, text),
                    };
                    add(runs.map_err(wrong)?.mask());
                }
                (_, Some(bounds)) if boxes == Boxes::Filled => {
                    add(Mask::from_box(self.height, self.width, self.pixel_box(bounds)?).map_err(wrong)?);
                }
                (_, Some(_)) => {
                    return Err(
                        "it has boxes without outlines: --boxes fills them, for training with boxes; they are no truth to be \
                         judged by"
                            .to_owned(),
                    );
                }
                (_, None) => return Err("an annotation has neither outline nor box".to_owned()),
            }
        }
        Mask::new(self.height, self.width, pixels).map_err(wrong)
    }

    fn polygon(&self, corners: &[f64]) -> Result<Mask, String> {
        if corners.len() < 6 || corners.len() % 2 == 1 {
            return Err(format!(
                "a polygon has {} coordinates, and needs three pairs or more",
                corners.len()
            ));
        }
        // An outline is walked step by step: it may leave the image, not go to the moon.
        let (width, height) = (self.width as f64, self.height as f64);
        let near =
            |pair: &[f64]| (-width..=2.0 * width).contains(&pair[0]) && (-height..=2.0 * height).contains(&pair[1]);
        if let Some(pair) = corners.chunks_exact(2).find(|pair| !near(pair)) {
            return Err(format!("a polygon has a corner at ({}, {})", pair[0], pair[1]));
        }
        polygon_mask(corners, self.height, self.width).map_err(|error| error.to_string())
    }

    /// The pixels of a box, whose sides are rounded to whole ones.
    fn pixel_box(&self, [left, top, width, height]: [f64; 4]) -> Result<PixelBox, String> {
        let sound = [left, top, width, height].iter().all(|side| side.is_finite()) && width > 0.0 && height > 0.0;
        let at = |place: f64, most: usize| place.round().clamp(0.0, most as f64) as usize;
        let bounds = PixelBox {
            left: at(left, self.width),
            top: at(top, self.height),
            right: at(left + width, self.width),
            bottom: at(top + height, self.height),
        };
        if !sound || bounds.left >= bounds.right || bounds.top >= bounds.bottom {
            return Err(format!(
                "the box [{left}, {top}, {width}, {height}] has no pixel of the image"
            ));
        }
        Ok(bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &str) -> Result<Vec<CocoImage>, String> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.json");
        let text = format!(
            r#"{{"images": [{{"id": 3, "file_name": "a.jpg", "width": 4, "height": 3, "license": 1}}], "annotations": [{annotations}]}}"#
        );
        fs::write(&path, text).unwrap();
        read_coco(&path).map_err(|error| error.to_string())
    }

    fn mask(annotation: &str, boxes: Boxes) -> Result<Vec<u8>, String> {
        Ok(read(annotation)?[0].mask(boxes)?.pixels().to_vec())
    }

    #[test]
    fn outlines_run_lengths_and_boxes_are_masks() {
        let square = vec![0, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0];
        for annotation in [
            r#"{"image_id": 3, "bbox": [1, 1, 2, 2], "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}"#,
            r#"{"image_id": 3, "segmentation": {"size": [3, 4], "counts": [4, 2, 1, 2, 3]}}"#,
            r#"{"image_id": 3, "segmentation": {"size": [3, 4], "counts": "42102"}}"#,
            r#"{"image_id": 3, "segmentation": [[1, 1, 2, 1, 2, 3, 1, 3]]}, {"image_id": 3, "segmentation": [[2, 1, 3, 1, 3, 3, 2, 3]]}"#,
        ] {
            assert_eq!(mask(annotation, Boxes::Refused).unwrap(), square, "{annotation}");
        }
        let boxed = r#"{"image_id": 3, "bbox": [0.9, 1.2, 2, 1.7], "segmentation": []}"#;
        assert_eq!(mask(boxed, Boxes::Filled).unwrap(), square);
        assert!(mask(boxed, Boxes::Refused).unwrap_err().contains("--boxes"));
        assert_eq!(
            mask("", Boxes::Refused).unwrap(),
            [0; 12],
            "nothing annotated is no lesion"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (annotation, said) in [
            (r#"{"image_id": 4, "bbox": [0, 0, 1, 1]}"#, "image 4"),
            (
                r#"{"image_id": 3, "segmentation": {"size": [4, 3], "counts": [12]}}"#,
                "run lengths are of 3 x 4",
            ),
            (
                r#"{"image_id": 3, "segmentation": {"size": [3, 4], "counts": [13]}}"#,
                "13 pixels",
            ),
            (r#"{"image_id": 3, "segmentation": [[1, 1, 2]]}"#, "3 coordinates"),
            (
                r#"{"image_id": 3, "segmentation": [[1, 1, 2, 2, 1e300, 1]]}"#,
                "corner at",
            ),
            (r#"{"image_id": 3}"#, "neither outline nor box"),
            (r#"{"image_id": 3, "bbox": [9, 9, 1, 1]}"#, "no pixel of the image"),
            (r#"{"image_id": 3, "bbox": [0, 0, -1, 1]}"#, "no pixel of the image"),
            (r#"{"image_id": "x"}"#, "is not COCO"),
        ] {
            let error = mask(annotation, Boxes::Filled).unwrap_err();
            assert!(error.contains(said), "{annotation}: {error}");
        }
    }
}
