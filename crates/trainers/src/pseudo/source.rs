use htl_datasets::{ImageSet, colour_prior};
use htl_metrics::{Mask, resize_bilinear};
use htl_mining::Population;

use super::params::PseudoMasks;
use crate::TrainError;

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
    pub fn of(params: &PseudoMasks, images: &ImageSet) -> Result<Self, TrainError> {
        let Some(path) = &params.maps else {
            return Ok(Self {
                masks: by_colour(images)?,
                pruned: None,
            });
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
        for id in images.ids() {
            let Some(position) = population.position(id) else {
                return Err(wrong("maps of every training image", format!("none of {id}")));
            };
            let planes = population.planes(position)?;
            masks.push(mask(&planes[0])?);
            pruned.push(mask(&planes[1])?);
        }
        Ok(Self {
            masks,
            pruned: Some(pruned),
        })
    }
}
