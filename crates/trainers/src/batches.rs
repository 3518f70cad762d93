use std::sync::Arc;

use candle_core::{Device, Tensor};
use htl_datasets::{Geometry, GeometryParams, ImageSet, Photometry, PhotometryParams, generator};
use htl_models::Preprocessing;
use rayon::prelude::*;

use crate::{
    TrainError,
    attention::SampleWeights,
    feed::{Feed, Pace},
    upload::{Staged, Uploads},
};

/// Turns samples into augmented, normalised planes; every draw depends on the seed, the step and the place in the
/// batch alone, so that a resumed training sees what the uninterrupted one would have seen, and neither the number of
/// threads nor the time when a batch is made changes it.
#[derive(Clone)]
pub(crate) struct Batches {
    images: Arc<ImageSet>,
    preprocessing: Preprocessing,
    pub seed: u64,
    pub device: Device,
    uploads: Uploads,
}

/// Two views of the same images in the same geometry, each `[batch, 3, size, size]`.
pub(crate) struct TwoViews {
    /// Weak photometry, for a teacher.
    pub weak: Staged,
    /// Strong photometry, for a student.
    pub strong: Staged,
}

impl Batches {
    pub fn new(images: Arc<ImageSet>, preprocessing: &Preprocessing, seed: u64, device: &Device) -> Self {
        Self {
            images,
            preprocessing: preprocessing.clone(),
            seed,
            device: device.clone(),
            uploads: Uploads::to(device),
        }
    }

    /// Augmented images `[batch, 3, size, size]`.
    pub fn weak(&self, indices: &[usize], step: usize) -> Result<Staged, TrainError> {
        let mut pixels = vec![0.0; indices.len() * self.image_len()];
        pixels
            .par_chunks_mut(self.image_len())
            .zip(indices)
            .enumerate()
            .for_each(|(slot, (pixels, &index))| {
                self.weak_view(index, place(step, slot, indices.len()), pixels);
            });
        self.stage(pixels, 3)
    }

    /// Augmented images `[batch, 3, size, size]` and, moved along with them, the target maps `[batch, 1, size, size]`.
    pub fn weak_with_targets(
        &self,
        indices: &[usize],
        targets: &[Vec<f32>],
        step: usize,
    ) -> Result<(Staged, Staged), TrainError> {
        let size = self.images.size();
        let mut pixels = vec![0.0; indices.len() * self.image_len()];
        let mut moved = vec![0.0; indices.len() * size * size];
        pixels
            .par_chunks_mut(self.image_len())
            .zip(moved.par_chunks_mut(size * size))
            .zip(indices)
            .enumerate()
            .for_each(|(slot, ((pixels, moved), &index))| {
                let geometry = self.weak_view(index, place(step, slot, indices.len()), pixels);
                moved.copy_from_slice(&geometry.apply(&targets[index], size));
            });
        Ok((self.stage(pixels, 3)?, self.stage(moved, 1)?))
    }

    /// A weak and a strong view of unlabelled images.
    pub fn two_views(&self, indices: &[usize], step: usize) -> Result<TwoViews, TrainError> {
        let size = self.images.size();
        let mut weak = vec![0.0; indices.len() * self.image_len()];
        let mut strong = weak.clone();
        weak.par_chunks_mut(self.image_len())
            .zip(strong.par_chunks_mut(self.image_len()))
            .zip(indices)
            .enumerate()
            .for_each(|(slot, ((weak, strong), &index))| {
                let mut random = generator(self.seed, "unlabelled augmentation", place(step, slot, indices.len()));
                let geometry = Geometry::sample(&mut random, &GeometryParams::default());
                let image = geometry.apply(&self.images.image(index), size);
                for (params, pixels) in [(PhotometryParams::weak(), weak), (PhotometryParams::strong(), strong)] {
                    let mut view = image.clone();
                    Photometry::sample(&mut random, &params).apply(&mut view, size);
                    normalise(&view, &self.preprocessing, pixels);
                }
            });
        Ok(TwoViews {
            weak: self.stage(weak, 3)?,
            strong: self.stage(strong, 3)?,
        })
    }

    /// Fills `pixels` with a weakly augmented image; gives the change of place for its target.
    fn weak_view(&self, index: usize, place: u64, pixels: &mut [f32]) -> Geometry {
        let size = self.images.size();
        let mut random = generator(self.seed, "augmentation", place);
        let geometry = Geometry::sample(&mut random, &GeometryParams::default());
        let mut image = geometry.apply(&self.images.image(index), size);
        Photometry::sample(&mut random, &PhotometryParams::weak()).apply(&mut image, size);
        normalise(&image, &self.preprocessing, pixels);
        geometry
    }

    fn image_len(&self) -> usize {
        3 * self.images.size() * self.images.size()
    }

    fn stage(&self, values: Vec<f32>, channels: usize) -> Result<Staged, TrainError> {
        let size = self.images.size();
        let batch = values.len() / (channels * size * size);
        self.uploads.stage(values, (batch, channels, size, size))
    }
}

fn place(step: usize, slot: usize, batch: usize) -> u64 {
    (step * batch + slot) as u64
}

/// The normalised planes of one image.
pub(crate) fn normalise(image: &[f32], preprocessing: &Preprocessing, out: &mut [f32]) {
    let plane = (image.len() / 3).max(1);
    let planes = image.chunks_exact(plane).zip(out.chunks_exact_mut(plane));
    for (((values, out), mean), std) in planes.zip(&preprocessing.mean).zip(&preprocessing.std) {
        let scale = 1.0 / std;
        for (out, value) in out.iter_mut().zip(values) {
            *out = (value - mean) * scale;
        }
    }
}

/// Images with one target map each, batch by batch: what trainings from masks and boxes are fed with.
///
/// On a GPU, batches are made by threads of their own ahead of the steps that ask for them; the same ones as on the CPU.
pub struct MaskBatches {
    feed: Feed<Labelled>,
    samples: usize,
    device: Device,
}

struct Labelled {
    images: Staged,
    targets: Staged,
    weights: Vec<f32>,
}

/// One batch of [`MaskBatches`].
pub struct MaskBatch {
    /// Augmented, normalised images, `[batch, 3, size, size]`.
    pub images: Tensor,
    /// Their targets in [0, 1], `[batch, 1, size, size]`.
    pub targets: Tensor,
    /// Weights of the images' losses; their sum is 1. `[batch]`.
    pub weights: Tensor,
}

impl MaskBatches {
    /// Batches of the images and masks of a set, all alike, for `steps` steps from `seed`.
    ///
    /// # Errors
    /// [`TrainError::Data`] if the set is empty, or names the first image without a mask.
    pub fn new(
        images: ImageSet,
        preprocessing: &Preprocessing,
        batch: usize,
        steps: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        if let Some(bare) = (0..images.len()).find(|&i| images.mask_bytes(i).is_none()) {
            let image_id = images.ids()[bare].to_owned();
            let expected = format!("masks/{image_id}.png").into();
            return Err(htl_datasets::DatasetError::MissingMask { image_id, expected }.into());
        }
        let targets = crate::samples::mask_targets(&images);
        let weights = SampleWeights::uniform(images.len());
        let batches = Batches::new(Arc::new(images), preprocessing, seed, device);
        Self::of(batches, targets, weights, batch, steps)
    }

    /// `targets`: one map per image of `batches`, values in [0, 1].
    pub(crate) fn of(
        batches: Batches,
        targets: Vec<Vec<f32>>,
        weights: SampleWeights,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let pace = Pace::of(&batches.device);
        Self::at_pace(pace, batches, targets, weights, batch, steps)
    }

    fn at_pace(
        pace: Pace,
        batches: Batches,
        targets: Vec<Vec<f32>>,
        weights: SampleWeights,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let sampler = weights.sampler(batches.seed)?;
        let (samples, device) = (targets.len(), batches.device.clone());
        let make = move |step: usize| {
            let indices = sampler.batch(step as u64, batch);
            let (images, targets) = batches.weak_with_targets(&indices, &targets, step)?;
            let weights = weights.of_batch(&indices);
            Ok(Labelled {
                images,
                targets,
                weights,
            })
        };
        Ok(Self {
            feed: Feed::new(make, steps, pace),
            samples,
            device,
        })
    }

    /// The batch of a step.
    ///
    /// # Errors
    /// Those of moving it to the device.
    pub fn take(&mut self, step: usize) -> Result<MaskBatch, TrainError> {
        let batch = self.feed.take(step)?;
        Ok(MaskBatch {
            images: batch.images.tensor()?,
            targets: batch.targets.tensor()?,
            weights: Tensor::new(batch.weights, &self.device)?,
        })
    }

    /// How many images there are.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_datasets::{DataFolder, MaskUse, Split};

    const SIZE: usize = 24;

    /// Five different pictures with masks.
    fn images(masks: MaskUse) -> ImageSet {
        let folder = tempfile::tempdir().unwrap();
        let path = |kind: &str, i: u32| folder.path().join(format!("{kind}/i{i}.png"));
        for kind in ["images", "masks"] {
            std::fs::create_dir(folder.path().join(kind)).unwrap();
        }
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        for i in 0..5u32 {
            let pixel = |x: u32, y: u32| image::Rgb([(x * 9 + i) as u8, (y * 7) as u8, (x * y + 40 * i) as u8]);
            image::RgbImage::from_fn(32, 32, pixel).save(path("images", i)).unwrap();
            let inside = |x: u32, y: u32| image::Luma([if x > 3 * i && y > 8 { 255 } else { 0 }]);
            image::GrayImage::from_fn(32, 32, inside)
                .save(path("masks", i))
                .unwrap();
            table.push_str(&format!(
                "i{i},{},,,,\n",
                ["train", "train", "train", "val", "test"][i as usize]
            ));
        }
        std::fs::write(folder.path().join("metadata.csv"), table).unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let samples: Vec<_> = Split::ALL.into_iter().flat_map(|split| data.split(split)).collect();
        ImageSet::load(&samples, SIZE, masks).unwrap()
    }

    fn bits(tensors: &[Tensor]) -> Vec<u32> {
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        tensors.iter().flat_map(values).map(f32::to_bits).collect()
    }

    /// Everything that the first steps of any training are fed with, from feeds of this pace.
    fn fed(images: &Arc<ImageSet>, pace: Pace) -> Vec<u32> {
        let batches = Batches::new(images.clone(), &Preprocessing::default(), 5, &Device::Cpu);
        let weights = SampleWeights {
            sampling: Some(vec![1.0, 2.0, 1.0, 3.0, 1.0]),
            loss: vec![1.0, 2.0, 1.0, 1.0, 3.0],
        };
        let targets = crate::samples::mask_targets(images);
        let mut masks = MaskBatches::at_pace(pace, batches.clone(), targets, weights, 3, 6).unwrap();
        let views = move |step| batches.two_views(&[4, 0, 2], step);
        let mut views = Feed::new(views, 6, pace);
        (0..6)
            .flat_map(|step| {
                let (batch, views) = (masks.take(step).unwrap(), views.take(step).unwrap());
                assert_eq!(batch.images.dims(), [3, 3, SIZE, SIZE]);
                assert_eq!(batch.targets.dims(), [3, 1, SIZE, SIZE]);
                let views = [views.weak.tensor().unwrap(), views.strong.tensor().unwrap()];
                [bits(&[batch.images, batch.targets, batch.weights]), bits(&views)].concat()
            })
            .collect()
    }

    /// Made ahead or in line, on one thread or on more, the batches have the same bits.
    #[test]
    fn neither_pace_nor_threads_change_a_bit() {
        let images = Arc::new(images(MaskUse::Required));
        let expected = fed(&images, Pace::InLine);
        assert_eq!(expected, fed(&images, Pace::Ahead));
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(expected, pool.install(|| fed(&images, Pace::InLine)));
        }
    }

    /// Images with their targets are the images without.
    #[test]
    fn targets_do_not_change_images() {
        let images = Arc::new(images(MaskUse::Required));
        let batches = Batches::new(images.clone(), &Preprocessing::default(), 1, &Device::Cpu);
        let targets = crate::samples::mask_targets(&images);
        let (with, moved) = batches.weak_with_targets(&[3, 1], &targets, 9).unwrap();
        let without = batches.weak(&[3, 1], 9).unwrap();
        assert_eq!(bits(&[with.tensor().unwrap()]), bits(&[without.tensor().unwrap()]));
        assert!(moved.tensor().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 0.5);
    }

    #[test]
    fn an_image_without_a_mask_is_named() {
        let set = images(MaskUse::Ignore);
        let said = MaskBatches::new(set, &Preprocessing::default(), 1, 1, 0, &Device::Cpu);
        let said = said.err().unwrap().to_string();
        assert!(said.contains("i0"), "{said}");
    }
}
