use candle_core::{Device, Tensor};
use htl_datasets::{Geometry, GeometryParams, ImageSet, Photometry, PhotometryParams, generator};
use htl_models::Preprocessing;

use crate::TrainError;

/// Turns samples into augmented, normalised tensors; every draw depends on the seed, the step and the place in the
/// batch alone, so that a resumed training sees what the uninterrupted one would have seen.
pub(crate) struct Batches<'a> {
    pub images: &'a ImageSet,
    pub preprocessing: &'a Preprocessing,
    pub seed: u64,
    pub device: &'a Device,
}

/// Two views of the same images in the same geometry, each `[batch, 3, size, size]`.
pub(crate) struct TwoViews {
    /// Weak photometry, for a teacher.
    pub weak: Tensor,
    /// Strong photometry, for a student.
    pub strong: Tensor,
}

impl Batches<'_> {
    /// Augmented images `[batch, 3, size, size]`.
    pub fn weak(&self, indices: &[usize], step: usize) -> Result<Tensor, TrainError> {
        Ok(self.weak_with(indices, &[], step)?.0)
    }

    /// Augmented images `[batch, 3, size, size]` and, moved along with them, the target maps `[batch, 1, size, size]`.
    pub fn weak_with_targets(
        &self,
        indices: &[usize],
        targets: &[Vec<f32>],
        step: usize,
    ) -> Result<(Tensor, Tensor), TrainError> {
        let (images, moved) = self.weak_with(indices, targets, step)?;
        let size = self.images.size();
        Ok((
            images,
            Tensor::from_vec(moved, (indices.len(), 1, size, size), self.device)?,
        ))
    }

    fn weak_with(
        &self,
        indices: &[usize],
        targets: &[Vec<f32>],
        step: usize,
    ) -> Result<(Tensor, Vec<f32>), TrainError> {
        let size = self.images.size();
        let mut pixels = Vec::with_capacity(indices.len() * 3 * size * size);
        let mut moved = Vec::with_capacity(indices.len() * size * size);
        for (slot, &index) in indices.iter().enumerate() {
            let mut random = generator(self.seed, "augmentation", place(step, slot, indices.len()));
            let geometry = Geometry::sample(&mut random, &GeometryParams::default());
            let mut image = geometry.apply(&self.images.image(index), size);
            Photometry::sample(&mut random, &PhotometryParams::weak()).apply(&mut image, size);
            normalise(&image, self.preprocessing, &mut pixels);
            if let Some(target) = targets.get(index) {
                moved.extend(geometry.apply(target, size));
            }
        }
        Ok((
            Tensor::from_vec(pixels, (indices.len(), 3, size, size), self.device)?,
            moved,
        ))
    }

    /// A weak and a strong view of unlabelled images.
    pub fn two_views(&self, indices: &[usize], step: usize) -> Result<TwoViews, TrainError> {
        let size = self.images.size();
        let (mut weak, mut strong) = (Vec::new(), Vec::new());
        for (slot, &index) in indices.iter().enumerate() {
            let mut random = generator(self.seed, "unlabelled augmentation", place(step, slot, indices.len()));
            let geometry = Geometry::sample(&mut random, &GeometryParams::default());
            let image = geometry.apply(&self.images.image(index), size);
            for (params, pixels) in [
                (PhotometryParams::weak(), &mut weak),
                (PhotometryParams::strong(), &mut strong),
            ] {
                let mut view = image.clone();
                Photometry::sample(&mut random, &params).apply(&mut view, size);
                normalise(&view, self.preprocessing, pixels);
            }
        }
        let tensor = |pixels| Tensor::from_vec(pixels, (indices.len(), 3, size, size), self.device);
        Ok(TwoViews {
            weak: tensor(weak)?,
            strong: tensor(strong)?,
        })
    }
}

fn place(step: usize, slot: usize, batch: usize) -> u64 {
    (step * batch + slot) as u64
}

/// Appends the normalised planes of one image.
pub(crate) fn normalise(image: &[f32], preprocessing: &Preprocessing, out: &mut Vec<f32>) {
    let planes = image.chunks_exact((image.len() / 3).max(1));
    for ((values, mean), std) in planes.zip(&preprocessing.mean).zip(&preprocessing.std) {
        let scale = 1.0 / std;
        out.extend(values.iter().map(|v| (v - mean) * scale));
    }
}
