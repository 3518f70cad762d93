//! Localizations as COCO JSON: images, and an annotation with box, area, score and run lengths for every lesion found.

use htl_metrics::RunLengths;
use serde::Serialize;

use crate::Localization;

/// A COCO document of one category, `lesion`.
#[derive(Debug, Default, Serialize)]
pub struct Coco {
    images: Vec<CocoImage>,
    annotations: Vec<CocoAnnotation>,
    categories: Vec<CocoCategory>,
}

#[derive(Debug, Serialize)]
struct CocoImage {
    id: usize,
    file_name: String,
    width: usize,
    height: usize,
}

#[derive(Debug, Serialize)]
struct CocoAnnotation {
    id: usize,
    image_id: usize,
    category_id: usize,
    /// Left, top, width, height.
    bbox: [usize; 4],
    area: usize,
    iscrowd: u8,
    score: f64,
    segmentation: RunLengths,
}

#[derive(Debug, Serialize)]
struct CocoCategory {
    id: usize,
    name: &'static str,
}

impl Coco {
    /// A document without images.
    pub fn new() -> Self {
        let categories = vec![CocoCategory { id: 1, name: "lesion" }];
        Self {
            categories,
            ..Self::default()
        }
    }

    /// Adds an image; one in which no lesion was found has no annotation.
    pub fn add(&mut self, file_name: &str, found: &Localization) {
        let image_id = self.images.len() + 1;
        self.images.push(CocoImage {
            id: image_id,
            file_name: file_name.to_owned(),
            width: found.mask.width(),
            height: found.mask.height(),
        });
        if let (Some(bounds), Some(score)) = (found.bounds(), found.confidence()) {
            self.annotations.push(CocoAnnotation {
                id: self.annotations.len() + 1,
                image_id,
                category_id: 1,
                bbox: [bounds.left, bounds.top, bounds.width(), bounds.height()],
                area: found.mask.pixels().iter().filter(|pixel| **pixel == 1).count(),
                iscrowd: 0,
                score,
                segmentation: RunLengths::of(&found.mask),
            });
        }
    }

    /// The document's text.
    pub fn to_json(&self) -> String {
        // Numbers and text in memory cannot fail to serialise.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}
