//! Batches of augmented, normalised images.

mod augmentation;
#[cfg(any(test, feature = "cuda"))]
mod bank;
mod batch;
mod host;
#[cfg(feature = "cuda")]
mod resident;

use std::sync::Arc;

use candle_core::{Device, Tensor};
use htl_datasets::ImageSet;
use htl_models::Preprocessing;

use crate::{
    TrainError,
    attention::{Draws, ImageAttention, Views},
    feed::{Feed, Pace},
    recipe::Recipe,
    upload::Staged,
};
use augmentation::{Draw, Purpose, weak, weak_and_strong};
pub(crate) use batch::{Batch, Maps};

/// A set of images to make augmented, normalised batches of.
#[derive(Clone)]
pub(crate) struct Batches {
    images: Arc<ImageSet>,
    preprocessing: Preprocessing,
    seed: u64,
    device: Device,
    /// Factors of the ranges of places and colours.
    augmentation: [f32; 2],
}

impl Batches {
    pub fn new(images: Arc<ImageSet>, preprocessing: &Preprocessing, seed: u64, device: &Device) -> Self {
        Self {
            images,
            preprocessing: preprocessing.clone(),
            seed,
            device: device.clone(),
            augmentation: [1.0; 2],
        }
    }

    /// With the strengths of a recipe.
    pub fn augmented(mut self, recipe: &Recipe) -> Self {
        self.augmentation = [recipe.geometry as f32, recipe.colours as f32];
        self
    }

    /// Builds the batch maker best suited to the device; on CUDA, uploads the whole set if it fits.
    pub fn maker(self, maps: Maps) -> Result<BatchMaker, TrainError> {
        let (seed, device, augmentation) = (self.seed, self.device.clone(), self.augmentation);
        let site = self.site(maps)?;
        Ok(BatchMaker {
            seed,
            device,
            augmentation,
            site,
        })
    }

    fn site(self, maps: Maps) -> Result<Site, TrainError> {
        // Its kernels move one map per image.
        #[cfg(feature = "cuda")]
        if let (Device::Cuda(device), None) = (&self.device, &maps.pixels) {
            let targets = maps.targets.as_deref();
            let made = resident::Resident::new(&self.images, targets, &self.preprocessing, device)?;
            if let Some(resident) = made {
                return Ok(Site::Resident(resident));
            }
        }
        let host = host::Host::new(self.images, maps, self.preprocessing, &self.device);
        Ok(Site::Host(host))
    }
}

/// Makes batches. The draws are the same everywhere; which processor applies them depends on the device.
pub(crate) struct BatchMaker {
    pub seed: u64,
    pub device: Device,
    augmentation: [f32; 2],
    site: Site,
}

/// The processor that augmentation runs on.
enum Site {
    Host(host::Host),
    #[cfg(feature = "cuda")]
    Resident(resident::Resident),
}

impl BatchMaker {
    /// The pace that suits this maker.
    pub fn pace(&self) -> Pace {
        match &self.site {
            Site::Host(_) => Pace::of(&self.device),
            // Making one queues a few kernels, which would not run in parallel with the step's own anyway.
            #[cfg(feature = "cuda")]
            Site::Resident(_) => Pace::InLine,
        }
    }

    /// Images that are trained on with a label; the strong view only where attention needs it.
    pub fn labelled(&self, indices: &[usize], attention: &ImageAttention, step: usize) -> Result<Batch, TrainError> {
        self.make(Purpose::Labelled, attention.views(), indices, attention, step)
    }

    /// A weak and a strong view of unlabelled images.
    pub fn unlabelled(&self, indices: &[usize], attention: &ImageAttention, step: usize) -> Result<Batch, TrainError> {
        self.make(Purpose::Unlabelled, Views::WeakAndStrong, indices, attention, step)
    }

    fn make(
        &self,
        purpose: Purpose,
        views: Views,
        indices: &[usize],
        attention: &ImageAttention,
        step: usize,
    ) -> Result<Batch, TrainError> {
        let places = (step * indices.len()) as u64..;
        let draws = indices.iter().zip(places).map(|(&image, place)| {
            let strength = attention.strength(image);
            let [geometry, colours] = self.augmentation.map(|factor| factor * strength);
            let draw = Draw {
                image,
                geometry,
                colours,
            };
            (draw, place)
        });
        match views {
            Views::Weak => {
                let drawn: Vec<_> = draws
                    .map(|(draw, place)| weak(draw, purpose, self.seed, place))
                    .collect();
                self.site.make(&drawn)
            }
            Views::WeakAndStrong => {
                let drawn: Vec<_> = draws
                    .map(|(draw, place)| weak_and_strong(draw, purpose, self.seed, place))
                    .collect();
                self.site.make(&drawn)
            }
        }
    }
}

impl Site {
    fn make<const VIEWS: usize>(&self, drawn: &[augmentation::Augmentation<VIEWS>]) -> Result<Batch, TrainError> {
        match self {
            Self::Host(host) => host.make(drawn),
            #[cfg(feature = "cuda")]
            Self::Resident(resident) => resident.make(drawn),
        }
    }
}

/// Images with one target map each, batch by batch, for training from masks and boxes.
///
/// On a CUDA device with room for them the images stay there, and batches are made of them there: the CPU's to 1e-5. On
/// other GPUs batches are made by threads of the host ahead of the steps that ask for them: the same ones as on the CPU.
pub struct MaskBatches {
    feed: Feed<Labelled>,
    maker: Arc<BatchMaker>,
    pace: Pace,
    batch: usize,
    steps: usize,
    samples: usize,
}

struct Labelled {
    batch: Batch,
    weights: Vec<f32>,
    attended: Vec<f32>,
}

/// One batch of [`MaskBatches`].
pub struct MaskBatch {
    /// Augmented, normalised images, `[batch, 3, size, size]`.
    pub images: Tensor,
    /// Their targets in [0, 1], `[batch, 1, size, size]`.
    pub targets: Tensor,
    /// Weights of the images' losses; their sum is 1. `[batch]`.
    pub weights: Tensor,
    /// Weights of pixels in the loss, where a form of attention gives any, `[batch, 1, size, size]`.
    pub(crate) pixels: Option<Tensor>,
    /// Strongly augmented images in the same geometry, where a form of attention asks for them.
    pub(crate) strong: Option<Tensor>,
    /// How much each image is attended to: 1 fully, 0 not at all.
    pub(crate) attended: Vec<f32>,
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
        Self::with_targets(images, targets, preprocessing, batch, steps, seed, device)
    }

    /// [`new`](Self::new) with targets other than the masks of the set: soft ones, or made by another network.
    ///
    /// # Shapes
    /// - `targets`: one map per image, `[size * size]` row by row, values in [0, 1]
    ///
    /// # Errors
    /// [`TrainError::Data`] if the set is empty, [`TrainError::Parameter`] if there is not one target of the images' size for
    /// each.
    pub fn with_targets(
        images: ImageSet,
        targets: Vec<Vec<f32>>,
        preprocessing: &Preprocessing,
        batch: usize,
        steps: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (count, size) = (images.len(), images.size());
        let lengths: Vec<usize> = targets.iter().map(Vec::len).collect();
        if lengths != vec![size * size; count] {
            let odd = lengths.iter().find(|length| **length != size * size);
            return Err(TrainError::Parameter {
                key: "targets",
                message: format!("{count} maps of {size} x {size} values, one for each image"),
                found: match odd {
                    Some(length) => format!("a map of {length} values"),
                    None => format!("{} maps", lengths.len()),
                },
            });
        }
        let attention = ImageAttention::uniform(count);
        let batches = Batches::new(Arc::new(images), preprocessing, seed, device);
        Self::of(batches, targets, attention, batch, steps)
    }

    /// `targets`: one map per image of `batches`, values in [0, 1].
    pub(crate) fn of(
        batches: Batches,
        targets: Vec<Vec<f32>>,
        attention: ImageAttention,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let maps = Maps {
            pixels: attention.pixel_masks(Some(&targets), batches.images.size()),
            targets: Some(targets),
        };
        Self::with_maps(batches, maps, attention, batch, steps)
    }

    /// The same with weights of pixels that do not come from attention alone.
    pub(crate) fn with_maps(
        batches: Batches,
        maps: Maps,
        attention: ImageAttention,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let maker = batches.maker(maps)?;
        Self::at_pace(maker.pace(), maker, attention, batch, steps)
    }

    fn at_pace(
        pace: Pace,
        maker: BatchMaker,
        attention: ImageAttention,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let (maker, samples) = (Arc::new(maker), attention.len());
        Ok(Self {
            feed: feed(&maker, attention, pace, batch, steps)?,
            maker,
            pace,
            batch,
            steps,
            samples,
        })
    }

    /// Attends otherwise from the next step on. Weights of pixels stay what they were.
    pub(crate) fn attend(&mut self, attention: ImageAttention) -> Result<(), TrainError> {
        self.feed = feed(&self.maker, attention, self.pace, self.batch, self.steps)?;
        Ok(())
    }

    /// The batch of a step.
    ///
    /// # Errors
    /// Those of moving it to the device.
    pub fn take(&mut self, step: usize) -> Result<MaskBatch, TrainError> {
        let Labelled {
            batch,
            weights,
            attended,
        } = self.feed.take(step)?;
        let none = || candle_core::Error::Msg("these images have no targets".into());
        Ok(MaskBatch {
            images: batch.images.tensor()?,
            targets: batch.targets.ok_or_else(none)?.tensor()?,
            weights: Tensor::new(weights, &self.maker.device)?,
            pixels: batch.pixels.map(Staged::tensor).transpose()?,
            strong: batch.strong.map(Staged::tensor).transpose()?,
            attended,
        })
    }

    /// Number of images.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }
}

fn feed(
    maker: &Arc<BatchMaker>,
    attention: ImageAttention,
    pace: Pace,
    batch: usize,
    steps: usize,
) -> Result<Feed<Labelled>, TrainError> {
    let maker = maker.clone();
    let draws = Draws::new(attention, maker.seed, steps)?;
    let make = move |step: usize| {
        let (indices, attention) = draws.at(step, batch);
        Ok(Labelled {
            batch: maker.labelled(&indices, attention, step)?,
            weights: attention.loss_weights(&indices),
            attended: attention.attended(&indices),
        })
    };
    Ok(Feed::new(make, steps, pace))
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
        let attention = ImageAttention::with_weights(vec![1.0, 2.0, 1.0, 3.0, 1.0], vec![1.0, 2.0, 1.0, 1.0, 3.0]);
        let maps = Maps {
            targets: Some(crate::samples::mask_targets(images)),
            pixels: None,
        };
        let labelled = batches.clone().maker(maps).unwrap();
        let mut masks = MaskBatches::at_pace(pace, labelled, attention, 3, 6).unwrap();
        let unlabelled = batches.maker(Maps::default()).unwrap();
        let uniform = ImageAttention::uniform(images.len());
        let views = move |step| unlabelled.unlabelled(&[4, 0, 2], &uniform, step);
        let mut views = Feed::new(views, 6, pace);
        (0..6)
            .flat_map(|step| {
                let (batch, views) = (masks.take(step).unwrap(), views.take(step).unwrap());
                assert_eq!(batch.images.dims(), [3, 3, SIZE, SIZE]);
                assert_eq!(batch.targets.dims(), [3, 1, SIZE, SIZE]);
                let views = [views.images.tensor().unwrap(), views.strong.unwrap().tensor().unwrap()];
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

    /// Images with their targets are the images without, and the targets move as pixel masks of the same content do.
    #[test]
    fn maps_do_not_change_images() {
        let images = Arc::new(images(MaskUse::Required));
        let batches = Batches::new(images.clone(), &Preprocessing::default(), 1, &Device::Cpu);
        let masks = || Some(crate::samples::mask_targets(&images));
        let both = Maps {
            targets: masks(),
            pixels: masks(),
        };
        let uniform = ImageAttention::uniform(images.len());
        let made = |maps| {
            let maker = batches.clone().maker(maps).unwrap();
            maker.labelled(&[3, 1], &uniform, 9).unwrap()
        };
        let (with, without) = (made(both), made(Maps::default()));
        assert!(without.targets.is_none() && without.pixels.is_none() && with.strong.is_none());
        assert_eq!(
            bits(&[with.images.tensor().unwrap()]),
            bits(&[without.images.tensor().unwrap()])
        );
        let [targets, pixels] = [with.targets, with.pixels].map(|map| map.unwrap().tensor().unwrap());
        assert_eq!(bits(std::slice::from_ref(&targets)), bits(&[pixels]));
        assert!(targets.max_all().unwrap().to_scalar::<f32>().unwrap() > 0.5);
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

    /// Batches of other targets have the images of those with masks, and the targets in their place.
    #[test]
    fn targets_need_not_be_the_masks() {
        let set = images(MaskUse::Required);
        let made = |targets: Vec<Vec<f32>>| {
            let batches =
                MaskBatches::with_targets(set.clone(), targets, &Preprocessing::default(), 3, 4, 0, &Device::Cpu);
            batches?.take(1)
        };
        let masks = crate::samples::mask_targets(&set);
        let mut batches = MaskBatches::new(set.clone(), &Preprocessing::default(), 3, 4, 0, &Device::Cpu).unwrap();
        let (plain, same) = (batches.take(1).unwrap(), made(masks.clone()).unwrap());
        let filled = made(vec![vec![0.25; SIZE * SIZE]; 5]).unwrap();
        assert_eq!(
            bits(&[plain.images.clone(), plain.targets]),
            bits(&[same.images, same.targets])
        );
        assert_eq!(bits(&[plain.images]), bits(&[filled.images]));
        // Interpolation sums to one but for rounding.
        let highest = filled.targets.max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!((highest - 0.25).abs() < 1e-6, "{highest}");

        let short = [masks[..4].to_vec(), vec![vec![0.0; 7]]].concat();
        for (targets, found) in [(masks[1..].to_vec(), "4 maps"), (short, "a map of 7 values")] {
            let said = made(targets).err().unwrap().to_string();
            assert!(
                said.contains("`targets`") && said.contains("24 x 24") && said.contains(found),
                "{said}"
            );
        }
    }

    #[test]
    fn an_image_without_a_mask_is_named() {
        let set = images(MaskUse::Ignore);
        let said = MaskBatches::new(set, &Preprocessing::default(), 1, 1, 0, &Device::Cpu);
        let said = said.err().unwrap().to_string();
        assert!(said.contains("i0"), "{said}");
    }
}
