use std::sync::Arc;

use candle_core::Device;
use htl_datasets::ImageSet;
use htl_models::Preprocessing;
use rayon::prelude::*;

use super::{Made, change::Change};
use crate::{
    TrainError,
    upload::{Staged, Uploads},
};

/// Batches made on all cores, then copied to the device.
pub(super) struct Host {
    images: Arc<ImageSet>,
    targets: Option<Vec<Vec<f32>>>,
    preprocessing: Preprocessing,
    uploads: Uploads,
}

impl Host {
    pub fn new(
        images: Arc<ImageSet>,
        targets: Option<Vec<Vec<f32>>>,
        preprocessing: Preprocessing,
        device: &Device,
    ) -> Self {
        Self {
            images,
            targets,
            preprocessing,
            uploads: Uploads::to(device),
        }
    }

    pub fn make<const VIEWS: usize>(&self, changes: &[Change<VIEWS>]) -> Result<Made<VIEWS>, TrainError> {
        let size = self.images.size();
        let image_len = 3 * size * size;
        let mut views = [(); VIEWS].map(|()| vec![0.0; changes.len() * image_len]);
        let mut chunks = views.each_mut().map(|view| view.chunks_mut(image_len));
        let slots: Vec<_> = changes
            .iter()
            .map(|change| {
                (
                    change,
                    chunks.each_mut().map(|chunks| chunks.next().unwrap_or_default()),
                )
            })
            .collect();
        slots.into_par_iter().for_each(|(change, slots)| {
            let mut image = change.geometry.apply(&self.images.image(change.image), size);
            for (view, (photometry, slot)) in change.colours.iter().zip(slots).enumerate() {
                let mut coloured = if view + 1 == VIEWS {
                    std::mem::take(&mut image)
                } else {
                    image.clone()
                };
                photometry.apply(&mut coloured, size);
                self.preprocessing.normalise_planes(&coloured, slot);
            }
        });
        let targets = self.targets.as_ref().map(|targets| {
            let mut moved = vec![0.0; changes.len() * size * size];
            moved
                .par_chunks_mut(size * size)
                .zip(changes)
                .for_each(|(moved, change)| {
                    moved.copy_from_slice(&change.geometry.apply(&targets[change.image], size))
                });
            self.stage(moved, 1)
        });
        // An array cannot be mapped by what may fail.
        let staged: Result<Vec<Staged>, TrainError> = views.into_iter().map(|view| self.stage(view, 3)).collect();
        Made::new(staged?, targets.transpose()?)
    }

    fn stage(&self, values: Vec<f32>, channels: usize) -> Result<Staged, TrainError> {
        let size = self.images.size();
        let batch = values.len() / (channels * size * size);
        self.uploads.stage(values, (batch, channels, size, size))
    }
}
