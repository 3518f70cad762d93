use htl_datasets::{ImageSet, PixelBox, colour_prior};
use htl_metrics::{Mask, resize_bilinear};
use htl_mining::Population;

use super::params::PseudoMasks;
use crate::{TrainError, box_targets::box_targets, objective::BoxTargets};

/// What is known before any network.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prior<'a> {
    /// Nothing but colours.
    Colours,
    /// The tight boxes of the images, in their order.
    Boxes {
        /// The boxes; `None` where there is no lesion.
        boxes: &'a [Option<PixelBox>],
        /// The masks that are made of them.
        targets: BoxTargets,
    },
}

impl Prior<'_> {
    /// The masks that it gives.
    pub(super) fn masks(self, images: &ImageSet) -> Result<Vec<Mask>, TrainError> {
        let size = images.size();
        match self {
            Self::Colours => by_colour(images),
            Self::Boxes { boxes, targets } => {
                let made = box_targets(images, boxes, targets);
                made.iter().map(|map| Ok(Mask::above(size, size, map, 0.5)?)).collect()
            }
        }
    }

    /// What of an image's mask may be true: what is in its box. Nothing of it is; then the mask that the prior gives.
    fn cut(self, image: usize, mask: Mask, own: &Mask) -> Result<Mask, TrainError> {
        let Self::Boxes { boxes, .. } = self else {
            return Ok(mask);
        };
        let Some(bounds) = boxes.get(image) else {
            return Ok(mask);
        };
        let (height, width) = (mask.height(), mask.width());
        let in_box = |at: usize| bounds.is_some_and(|bounds| bounds.contains(at / width, at % width));
        let inside = |(at, pixel): (usize, &u8)| u8::from(*pixel == 1 && in_box(at));
        let pixels: Vec<u8> = mask.pixels().iter().enumerate().map(inside).collect();
        match pixels.contains(&1) {
            true => Ok(Mask::new(height, width, pixels)?),
            false => Ok(own.clone()),
        }
    }
}

/// The pseudo-masks of a set, in its order.
pub(super) struct Source {
    /// The masks, at the size of the images.
    pub masks: Vec<Mask>,
    /// What the pruned copies say, where the masks are those of networks.
    pub pruned: Option<Vec<Mask>>,
}

/// What colours say of the images of a set.
pub(crate) fn by_colour(images: &ImageSet) -> Result<Vec<Mask>, TrainError> {
    let size = images.size();
    let mask = |index| {
        Ok(Mask::new(
            size,
            size,
            colour_prior(size, size, &images.image(index))?.mask,
        )?)
    };
    (0..images.len()).map(mask).collect()
}

impl Source {
    pub fn of(params: &PseudoMasks, prior: Prior<'_>, images: &ImageSet) -> Result<Self, TrainError> {
        let Some(path) = &params.maps else {
            return Ok(Self {
                masks: prior.masks(images)?,
                pruned: None,
            });
        };
        let own = match prior {
            Prior::Colours => Vec::new(),
            Prior::Boxes { .. } => prior.masks(images)?,
        };
        let wrong = |message: &str, found: String| TrainError::Parameter {
            key: "pseudo.maps",
            message: message.into(),
            found,
        };
        let population = Population::load(path)?;
        if population.seeds() != 2 {
            let found = format!("{} maps per image", population.seeds());
            return Err(wrong(
                "consensus maps of dense networks and of pruned ones, as `htl mine --maps` writes",
                found,
            ));
        }
        let (size, of_population) = (images.size(), population.size());
        let mask = |map: &[f32]| -> Result<Mask, TrainError> {
            let map = resize_bilinear(map, of_population, (size, size))?;
            Ok(Mask::above(size, size, &map, 0.5)?)
        };
        let (mut masks, mut pruned) = (Vec::new(), Vec::new());
        for (image, id) in images.ids().into_iter().enumerate() {
            let Some(position) = population.position(id) else {
                return Err(wrong("maps of every training image", format!("none of {id}")));
            };
            let planes = population.planes(position)?;
            for (made, plane) in [(&mut masks, &planes[0]), (&mut pruned, &planes[1])] {
                let mask = mask(plane)?;
                made.push(match own.get(image) {
                    None => mask,
                    Some(own) => prior.cut(image, mask, own)?,
                });
            }
        }
        Ok(Self {
            masks,
            pruned: Some(pruned),
        })
    }
}
