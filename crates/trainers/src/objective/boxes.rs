use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_datasets::{PixelBox, ellipse_mask};
use htl_models::Network;

use super::{MaskObjective, Objective};
use crate::{TrainError, config::Boxes, predict::localization_maps, samples::box_iou};

/// Training from tight boxes: ellipses first, then the network's own maps, cut so that they explain the boxes.
pub(crate) struct BoxObjective<'a> {
    masks: MaskObjective<'a>,
    boxes: Vec<PixelBox>,
    refine_at: Vec<usize>,
}

impl<'a> BoxObjective<'a> {
    /// `masks` starts from the inscribed ellipses of `boxes`.
    pub fn new(masks: MaskObjective<'a>, boxes: Vec<PixelBox>, params: &Boxes, steps: usize) -> Self {
        let first = params.warm_up * steps as f64;
        let every = (steps as f64 - first) / params.refinements as f64;
        let refine_at = (0..params.refinements).map(|k| (first + every * k as f64) as usize).collect();
        Self { masks, boxes, refine_at }
    }
}

impl Objective for BoxObjective<'_> {
    fn loss(&self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        self.masks.loss(network, step)
    }

    fn after_step(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        if self.refine_at.contains(&(step + 1)) {
            let batches = self.masks.batches();
            let maps = localization_maps(network, batches.images, batches.preprocessing, batches.device)?;
            let size = batches.images.size();
            for (index, bounds) in self.boxes.iter().enumerate() {
                let map: Vec<f32> = maps.get(index)?.flatten_all()?.to_vec1()?;
                self.masks.set_target(index, refined_target(&map, size, bounds));
            }
        }
        Ok(())
    }

    fn epoch(&self) -> usize {
        self.masks.epoch()
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let targets = Tensor::new(self.masks.targets().concat(), self.masks.batches().device)?;
        Ok(BTreeMap::from([(TARGETS.to_owned(), targets)]))
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let Some(targets) = state.get(TARGETS) else { return Ok(()) };
        let targets: Vec<f32> = targets.to_vec1()?;
        let plane = self.masks.batches().images.size().pow(2);
        for (index, target) in targets.chunks_exact(plane).take(self.boxes.len()).enumerate() {
            self.masks.set_target(index, target.to_vec());
        }
        Ok(())
    }
}

/// The pseudo-masks of the moment, in a training's state.
const TARGETS: &str = "targets";

/// The map's level set inside the box whose own tight box fits the given box best; where none reaches an IoU of one half,
/// the inscribed ellipse.
fn refined_target(map: &[f32], size: usize, bounds: &PixelBox) -> Vec<f32> {
    let level_set = |threshold: f32| -> Vec<f32> {
        let inside =
            |i: usize| (bounds.x0..bounds.x1).contains(&(i % size)) && (bounds.y0..bounds.y1).contains(&(i / size));
        map.iter().enumerate().map(|(i, p)| f32::from(u8::from(*p > threshold && inside(i)))).collect()
    };
    let mut best = (0.5, ellipse_mask(bounds, size, size));
    // From the middle outwards, so that among equals the threshold next to one half wins.
    for offset in 0..=9 {
        for sign in [-1.0, 1.0] {
            let set = level_set(0.5 + sign * 0.05 * offset as f32);
            let fit = PixelBox::tight(&set, size).map_or(0.0, |found| box_iou(&found, bounds));
            if fit > best.0 + 1e-9 {
                best = (fit, set);
            }
        }
    }
    best.1
}
