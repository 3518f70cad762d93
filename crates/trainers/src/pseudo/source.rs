use htl_datasets::{ColourPrior, ImageSet, colour_prior};
use htl_metrics::resize_bilinear;
use htl_mining::Population;

use super::params::PseudoMasks;
use crate::TrainError;

/// The pseudo-masks of a set, and what they are compared with.
pub(super) struct Source {
    /// Side of the masks, in pixels.
    pub size: usize,
    /// The masks, `[size * size]`.
    pub masks: Vec<Vec<u8>>,
    /// What the pruned copies say, where the masks are those of networks.
    pub pruned: Option<Vec<Vec<u8>>>,
    /// What colours say.
    pub prior: Vec<ColourPrior>,
}

impl Source {
    pub fn of(params: &PseudoMasks, images: &ImageSet) -> Result<Self, TrainError> {
        let size = images.size();
        let prior = (0..images.len())
            .map(|index| colour_prior(size, size, &images.image(index)))
            .collect::<Result<Vec<ColourPrior>, _>>()?;
        let Some(path) = &params.maps else {
            return Ok(Self {
                size,
                masks: prior.iter().map(|prior| prior.mask.clone()).collect(),
                pruned: None,
                prior,
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
        let of_population = population.size();
        let mask = |map: &[f32]| -> Result<Vec<u8>, TrainError> {
            let map = resize_bilinear(map, of_population, (size, size))?;
            Ok(map.into_iter().map(|p| u8::from(p > 0.5)).collect())
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
            size,
            masks,
            pruned: Some(pruned),
            prior,
        })
    }
}
