#[cfg(any(test, feature = "cuda"))]
mod bank;
mod change;
mod host;
#[cfg(feature = "cuda")]
mod resident;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use htl_datasets::ImageSet;
use htl_models::Preprocessing;

use crate::{
    TrainError,
    attention::SampleWeights,
    feed::{Feed, Pace},
    upload::Staged,
};
use change::{weak, weak_and_strong};

/// What batches of augmented, normalised images are made of.
#[derive(Clone)]
pub(crate) struct Batches {
    images: Arc<ImageSet>,
    preprocessing: Preprocessing,
    seed: u64,
    device: Device,
}

impl Batches {
    pub fn new(images: Arc<ImageSet>, preprocessing: &Preprocessing, seed: u64, device: &Device) -> Self {
        Self {
            images,
            preprocessing: preprocessing.clone(),
            seed,
            device: device.clone(),
        }
    }

    /// What makes them where that is done best: on a CUDA device that has room for the whole set the set goes there now.
    /// `targets`: one map per image.
    pub fn maker(self, targets: Option<Vec<Vec<f32>>>) -> Result<Maker, TrainError> {
        let (seed, device) = (self.seed, self.device.clone());
        let site = self.site(targets)?;
        Ok(Maker { seed, device, site })
    }

    fn site(self, targets: Option<Vec<Vec<f32>>>) -> Result<Site, TrainError> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = &self.device {
            let made = resident::Resident::new(&self.images, targets.as_deref(), &self.preprocessing, device)?;
            if let Some(resident) = made {
                return Ok(Site::Resident(resident));
            }
        }
        let host = host::Host::new(self.images, targets, self.preprocessing, &self.device);
        Ok(Site::Host(host))
    }
}

/// Makes batches: what is drawn is the same everywhere, where pixels are worked depends on the device.
pub(crate) struct Maker {
    pub seed: u64,
    pub device: Device,
    site: Site,
}

/// Where pixels are worked.
enum Site {
    Host(host::Host),
    #[cfg(feature = "cuda")]
    Resident(resident::Resident),
}

/// One batch.
struct Made<const VIEWS: usize> {
    /// Each `[batch, 3, size, size]`.
    views: [Staged; VIEWS],
    /// `[batch, 1, size, size]`, if there are any.
    targets: Option<Staged>,
}

impl<const VIEWS: usize> Made<VIEWS> {
    fn new(views: Vec<Staged>, targets: Option<Staged>) -> Result<Self, TrainError> {
        let other = |views: Vec<Staged>| candle_core::Error::Msg(format!("{} views instead of {VIEWS}", views.len()));
        Ok(Self {
            views: views.try_into().map_err(other)?,
            targets,
        })
    }
}

/// Two views of the same images in the same geometry, each `[batch, 3, size, size]`.
pub(crate) struct TwoViews {
    /// Weak photometry, for a teacher.
    pub weak: Staged,
    /// Strong photometry, for a student.
    pub strong: Staged,
}

impl Maker {
    /// When batches are best made.
    pub fn pace(&self) -> Pace {
        match &self.site {
            Site::Host(_) => Pace::of(&self.device),
            // To make one is to queue a few kernels, which do not run beside the step's own anyway.
            #[cfg(feature = "cuda")]
            Site::Resident(_) => Pace::InLine,
        }
    }

    /// Augmented images `[batch, 3, size, size]`.
    pub fn weak(&self, indices: &[usize], step: usize) -> Result<Staged, TrainError> {
        let Made { views: [images], .. } = self.make(weak, indices, step)?;
        Ok(images)
    }

    /// Augmented images `[batch, 3, size, size]` and, moved along with them, the target maps `[batch, 1, size, size]`.
    pub fn weak_with_targets(&self, indices: &[usize], step: usize) -> Result<(Staged, Staged), TrainError> {
        let Made {
            views: [images],
            targets,
        } = self.make(weak, indices, step)?;
        let none = || candle_core::Error::Msg("these images have no targets".into());
        Ok((images, targets.ok_or_else(none)?))
    }

    /// A weak and a strong view of unlabelled images.
    pub fn two_views(&self, indices: &[usize], step: usize) -> Result<TwoViews, TrainError> {
        let Made {
            views: [weak, strong], ..
        } = self.make(weak_and_strong, indices, step)?;
        Ok(TwoViews { weak, strong })
    }

    fn make<const VIEWS: usize>(
        &self,
        draw: fn(usize, u64, u64) -> change::Change<VIEWS>,
        indices: &[usize],
        step: usize,
    ) -> Result<Made<VIEWS>, TrainError> {
        let place = |slot: usize| (step * indices.len() + slot) as u64;
        let slots = indices.iter().enumerate();
        let changes: Vec<_> = slots
            .map(|(slot, &image)| draw(image, self.seed, place(slot)))
            .collect();
        match &self.site {
            Site::Host(host) => host.make(&changes),
            #[cfg(feature = "cuda")]
            Site::Resident(resident) => resident.make(&changes),
        }
    }
}

/// Images with one target map each, batch by batch: what trainings from masks and boxes are fed with.
///
/// On a CUDA device with room for them the images stay there, and batches are made of them there: the CPU's to 1e-5. On
/// other GPUs batches are made by threads of the host ahead of the steps that ask for them: the same ones as on the CPU.
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
        let maker = batches.maker(Some(targets))?;
        Self::at_pace(maker.pace(), maker, weights, batch, steps)
    }

    fn at_pace(
        pace: Pace,
        maker: Maker,
        weights: SampleWeights,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let sampler = weights.sampler(maker.seed)?;
        let (samples, device) = (weights.loss.len(), maker.device.clone());
        let make = move |step: usize| {
            let indices = sampler.batch(step as u64, batch);
            let (images, targets) = maker.weak_with_targets(&indices, step)?;
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
        let labelled = batches.clone().maker(Some(targets)).unwrap();
        let mut masks = MaskBatches::at_pace(pace, labelled, weights, 3, 6).unwrap();
        let unlabelled = batches.maker(None).unwrap();
        let views = move |step| unlabelled.two_views(&[4, 0, 2], step);
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
        let labelled = batches.clone().maker(Some(targets)).unwrap();
        let (with, moved) = labelled.weak_with_targets(&[3, 1], 9).unwrap();
        let without = batches.maker(None).unwrap().weak(&[3, 1], 9).unwrap();
        assert_eq!(bits(&[with.tensor().unwrap()]), bits(&[without.tensor().unwrap()]));
        assert!(moved.tensor().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap() > 0.5);
    }

    /// What a device keeps of a set is the set.
    #[test]
    fn a_bank_holds_the_images_in_order() {
        let set = images(MaskUse::Ignore);
        let bank = bank::images(&set, &Device::Cpu).unwrap();
        assert_eq!(bank.dims(), [5, 3, SIZE, SIZE]);
        let expected: Vec<u8> = (0..5).flat_map(|i| set.image_bytes(i).to_vec()).collect();
        assert_eq!(bank.flatten_all().unwrap().to_vec1::<u8>().unwrap(), expected);
    }

    #[test]
    fn an_image_without_a_mask_is_named() {
        let set = images(MaskUse::Ignore);
        let said = MaskBatches::new(set, &Preprocessing::default(), 1, 1, 0, &Device::Cpu);
        let said = said.err().unwrap().to_string();
        assert!(said.contains("i0"), "{said}");
    }
}
