use std::sync::Arc;

use candle_core::Device;
use htl_datasets::ImageSet;
use htl_models::Preprocessing;
use rayon::prelude::*;

use super::{
    augmentation::Augmentation,
    batch::{Batch, Maps},
};
use crate::{
    TrainError,
    upload::{Staged, Uploads},
};

/// Batches made on all cores, then copied to the device.
pub(super) struct Host {
    images: Arc<ImageSet>,
    maps: Maps,
    preprocessing: Preprocessing,
    uploads: Uploads,
}

impl Host {
    pub fn new(images: Arc<ImageSet>, maps: Maps, preprocessing: Preprocessing, device: &Device) -> Self {
        Self {
            images,
            maps,
            preprocessing,
            uploads: Uploads::to(device),
        }
    }

    pub fn make<const VIEWS: usize>(&self, draws: &[Augmentation<VIEWS>]) -> Result<Batch, TrainError> {
        let size = self.images.size();
        let image_len = 3 * size * size;
        let mut views = [(); VIEWS].map(|()| vec![0.0; draws.len() * image_len]);
        let mut chunks = views.each_mut().map(|view| view.chunks_mut(image_len));
        let slots: Vec<_> = draws
            .iter()
            .map(|drawn| (drawn, chunks.each_mut().map(|chunks| chunks.next().unwrap_or_default())))
            .collect();
        slots.into_par_iter().for_each(|(drawn, slots)| {
            let mut image = drawn.geometry.apply(&self.images.image(drawn.image), size);
            for (view, (photometry, slot)) in drawn.colours.iter().zip(slots).enumerate() {
                let mut coloured = if view + 1 == VIEWS {
                    std::mem::take(&mut image)
                } else {
                    image.clone()
                };
                photometry.apply(&mut coloured, size);
                self.preprocessing.normalise_planes(&coloured, slot);
            }
        });
        let moved = |maps: &Vec<Vec<f32>>| {
            let mut moved = vec![0.0; draws.len() * size * size];
            moved
                .par_chunks_mut(size * size)
                .zip(draws)
                .for_each(|(moved, drawn)| moved.copy_from_slice(&drawn.geometry.apply(&maps[drawn.image], size)));
            self.stage(moved, 1)
        };
        let targets = self.maps.targets.as_ref().map(moved).transpose()?;
        let pixels = self.maps.pixels.as_ref().map(moved).transpose()?;
        // An array cannot be mapped by what may fail.
        let staged: Result<Vec<Staged>, TrainError> = views.into_iter().map(|view| self.stage(view, 3)).collect();
        Batch::new(staged?, [targets, pixels])
    }

    fn stage(&self, values: Vec<f32>, channels: usize) -> Result<Staged, TrainError> {
        let size = self.images.size();
        let batch = values.len() / (channels * size * size);
        self.uploads.stage(values, (batch, channels, size, size))
    }
}
