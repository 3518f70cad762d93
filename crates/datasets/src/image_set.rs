use std::path::PathBuf;

use htl_vocabulary::LARGEST_SIDE;
use image::GrayImage;
use rayon::prelude::*;

use crate::{DatasetError, Sample, read_mask, read_mask_for, read_rgb, resize_mask, resize_rgb};

/// What [`ImageSet::load`] does about masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskUse {
    /// Every sample must have one.
    Required,
    /// Read those that are there.
    IfPresent,
    /// Read none: labels that are not to be looked at are not in memory.
    Ignore,
}

/// Samples decoded and resized to one square size, in the order given.
///
/// Images are kept as 8-bit planar RGB (3 bytes a pixel: 10,000 images at 64 px are 123 MB) and handed out as `f32`;
/// masks as 0/1 bytes.
#[derive(Debug, Clone)]
pub struct ImageSet {
    size: usize,
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    id: String,
    image: Vec<u8>,
    mask: Option<Vec<u8>>,
    stored_mask: Option<PathBuf>,
    stored_size: (u32, u32),
}

impl ImageSet {
    /// Reads samples in parallel, resized to `size` x `size`: images with Lanczos, masks by area average cut at one
    /// half. The aspect is not kept. The result does not depend on the number of threads.
    ///
    /// # Errors
    /// The first problem in order of the samples: whatever [`read_rgb`] and [`read_mask_for`] refuse, a missing mask
    /// under [`MaskUse::Required`], a size of 0.
    pub fn load(samples: &[&Sample], size: usize, masks: MaskUse) -> Result<Self, DatasetError> {
        let side = match u32::try_from(size) {
            Ok(side) if (1..=LARGEST_SIDE).contains(&size) => side,
            _ => {
                return Err(DatasetError::Parameter {
                    name: "image size",
                    expected: "from 1 to 2048 pixels",
                    found: size.to_string(),
                });
            }
        };
        let read: Vec<Result<Item, DatasetError>> =
            samples.par_iter().map(|sample| load_one(sample, side, masks)).collect();
        Ok(Self {
            size,
            items: read.into_iter().collect::<Result<_, _>>()?,
        })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Side of the images in pixels.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Ids in order.
    pub fn ids(&self) -> Vec<&str> {
        self.items.iter().map(|item| item.id.as_str()).collect()
    }

    /// The image as planar RGB in [0, 1].
    ///
    /// # Shapes
    /// `[3 * size * size]`: red plane, green plane, blue plane, each row by row.
    ///
    /// # Panics
    /// If `index` is not under [`len`](Self::len), as slices do.
    pub fn image(&self, index: usize) -> Vec<f32> {
        self.items[index]
            .image
            .iter()
            .map(|value| f32::from(*value) / 255.)
            .collect()
    }

    /// The image as planar 8-bit RGB, `[3 * size * size]`.
    ///
    /// # Panics
    /// If `index` is not under [`len`](Self::len).
    pub fn image_bytes(&self, index: usize) -> &[u8] {
        &self.items[index].image
    }

    /// The mask as 0 and 1, `[size * size]`; `None` if there is none or masks were not read.
    ///
    /// # Panics
    /// If `index` is not under [`len`](Self::len).
    pub fn mask(&self, index: usize) -> Option<Vec<f32>> {
        Some(self.mask_bytes(index)?.iter().map(|value| f32::from(*value)).collect())
    }

    /// The mask as bytes 0 and 1, `[size * size]`.
    ///
    /// # Panics
    /// If `index` is not under [`len`](Self::len).
    pub fn mask_bytes(&self, index: usize) -> Option<&[u8]> {
        self.items[index].mask.as_deref()
    }

    /// The mask at its stored size (0 and 255), read from its file now: metrics are computed there. `None` if there is
    /// none or masks are not to be read.
    ///
    /// # Errors
    /// As [`read_mask`].
    ///
    /// # Panics
    /// If `index` is not under [`len`](Self::len).
    pub fn stored_mask(&self, index: usize) -> Result<Option<GrayImage>, DatasetError> {
        self.items[index].stored_mask.as_deref().map(read_mask).transpose()
    }

    /// Width and height of the image as stored.
    ///
    /// # Panics
    /// If `index` is not under [`len`](Self::len).
    pub fn stored_size(&self, index: usize) -> (u32, u32) {
        self.items[index].stored_size
    }

    /// Mean and standard deviation of each channel over all pixels, for normalisation; `None` for an empty set.
    pub fn channel_statistics(&self) -> Option<([f32; 3], [f32; 3])> {
        let plane = self.size * self.size;
        let count = (self.items.len() * plane) as f64;
        if self.items.is_empty() {
            return None;
        }
        let (mut mean, mut deviation) = ([0f32; 3], [0f32; 3]);
        for channel in 0..3 {
            // Sums of integers: exact, whatever the order.
            let (mut sum, mut squares) = (0u64, 0u64);
            for item in &self.items {
                for value in &item.image[channel * plane..(channel + 1) * plane] {
                    sum += u64::from(*value);
                    squares += u64::from(*value) * u64::from(*value);
                }
            }
            let average = sum as f64 / count;
            mean[channel] = (average / 255.) as f32;
            deviation[channel] = ((squares as f64 / count - average * average).max(0.).sqrt() / 255.) as f32;
        }
        Some((mean, deviation))
    }
}

fn load_one(sample: &Sample, side: u32, masks: MaskUse) -> Result<Item, DatasetError> {
    let image = read_rgb(&sample.image)?;
    let stored_size = image.dimensions();
    let stored_mask = match (masks, &sample.mask) {
        (MaskUse::Ignore, _) | (MaskUse::IfPresent, None) => None,
        (_, Some(path)) => Some(path.clone()),
        (MaskUse::Required, None) => {
            let folder = sample
                .image
                .parent()
                .and_then(|images| images.parent())
                .unwrap_or(&sample.image);
            return Err(DatasetError::MissingMask {
                image_id: sample.image_id.clone(),
                expected: folder.join("masks").join(format!("{}.png", sample.image_id)),
            });
        }
    };
    let mask = match &stored_mask {
        None => None,
        Some(path) => {
            let mask = resize_mask(&read_mask_for(path, &sample.image, stored_size)?, side, side);
            Some(mask.into_raw().into_iter().map(|value| value / 255).collect())
        }
    };
    let resized = resize_rgb(&image, side, side);
    let plane = resized.width() as usize * resized.height() as usize;
    let mut planar = vec![0u8; 3 * plane];
    for (position, pixel) in resized.pixels().enumerate() {
        for (channel, value) in pixel.0.into_iter().enumerate() {
            planar[channel * plane + position] = value;
        }
    }
    Ok(Item {
        id: sample.image_id.clone(),
        image: planar,
        mask,
        stored_mask,
        stored_size,
    })
}
