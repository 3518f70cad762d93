use htl_metrics::{MapCut, Mask};

use crate::error::Result;
use crate::overlap::{iou, largest_distance, outline_distance, soft_iou};
use crate::params::ScoreValidParams;

/// One image as the seeds of one population see it.
#[derive(Debug, Clone)]
pub struct View {
    /// A map per seed, row by row, in [0, 1].
    pub planes: Vec<Vec<f32>>,
    /// A mask per seed.
    pub masks: Vec<Mask>,
    /// Mean of the maps.
    pub consensus: Vec<f32>,
    /// The mask of the mean map.
    pub consensus_mask: Mask,
    /// Pixel-wise majority of the seeds' masks; for an even number of seeds the mask of the mean map.
    pub modal: Mask,
}

impl View {
    /// The view of these maps.
    ///
    /// # Shapes
    /// - `planes`: one map of `height * width` per seed
    ///
    /// # Errors
    /// [`crate::MiningError::Metric`] for a map of another size or one that is not finite.
    pub fn new(planes: Vec<Vec<f32>>, (height, width): (usize, usize), cut: MapCut) -> Result<Self> {
        let masks = planes
            .iter()
            .map(|plane| Ok(cut.mask(height, width, plane)?))
            .collect::<Result<Vec<Mask>>>()?;
        let consensus = consensus(&planes);
        let consensus_mask = cut.mask(height, width, &consensus)?;
        let modal = if planes.len().is_multiple_of(2) {
            consensus_mask.clone()
        } else {
            let votes = |p: usize| masks.iter().filter(|mask| mask.pixels()[p] == 1).count();
            let majority = |p| u8::from(2 * votes(p) > masks.len());
            Mask::new(height, width, (0..height * width).map(majority).collect())?
        };
        Ok(Self {
            planes,
            masks,
            consensus,
            consensus_mask,
            modal,
        })
    }

    /// Mean pairwise 1 - IoU of the seeds' masks, in [0, 1]; `None` with a single seed.
    ///
    /// # Errors
    /// None for masks of one size.
    pub fn spread(&self) -> Result<Option<f64>> {
        let (mut sum, mut pairs) = (0.0, 0usize);
        for (i, a) in self.masks.iter().enumerate() {
            for b in &self.masks[..i] {
                sum += 1.0 - iou(a, b)?;
                pairs += 1;
            }
        }
        Ok((pairs > 0).then(|| sum / pairs as f64))
    }
}

/// How far the views of two populations are apart, in three measures. A pair that is empty in both has the largest value
/// of each, never the smallest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disagreement {
    /// 1 - IoU of the modal masks.
    pub hard: f64,
    /// 1 - soft IoU of the consensus maps.
    pub soft: f64,
    /// Mean distance between the outlines of the modal masks, in units of [`crate::ScoreParams::band`].
    pub boundary: f64,
    /// Whether both consensus masks, or both modal masks, are empty.
    pub both_empty: bool,
    /// IoU of the modal masks: 1 where both are empty.
    pub modal_iou: f64,
}

impl Disagreement {
    /// Compares two views of one image.
    ///
    /// # Errors
    /// [`crate::MiningError::Metric`] if they differ in size.
    pub fn between(a: &View, b: &View, params: &ScoreValidParams) -> Result<Self> {
        let (height, width) = (a.modal.height(), a.modal.width());
        let band = params.band * (height as f64).hypot(width as f64);
        let empty = |one: &Mask, other: &Mask| one.area() == 0 && other.area() == 0;
        let both_empty = empty(&a.consensus_mask, &b.consensus_mask) || empty(&a.modal, &b.modal);
        let modal_iou = iou(&a.modal, &b.modal)?;
        let (hard, soft, boundary) = if both_empty {
            (1.0, 1.0, largest_distance(height, width) / band)
        } else {
            (
                1.0 - modal_iou,
                1.0 - soft_iou(&a.consensus, &b.consensus),
                outline_distance(&a.modal, &b.modal) / band,
            )
        };
        Ok(Self {
            hard,
            soft,
            boundary,
            both_empty,
            modal_iou,
        })
    }
}

/// Mean over seeds, summed in f64 in the order of the seeds.
pub(crate) fn consensus(planes: &[Vec<f32>]) -> Vec<f32> {
    let pixels = planes.first().map_or(0, Vec::len);
    let count = planes.len() as f64;
    (0..pixels)
        .map(|p| (planes.iter().map(|plane| f64::from(plane[p])).sum::<f64>() / count) as f32)
        .collect()
}
