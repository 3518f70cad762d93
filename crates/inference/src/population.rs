use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use htl_datasets::{ImageSet, MaskUse, Sample};
use htl_mining::{ClassPopulation, MapKind, Population};
use htl_models::{Architecture, Checkpoint};

use crate::predict::{class_logits, localization_maps};
use crate::{InferenceError, NetworkPredictor, Predictor};

/// What the members of a population, independently seeded trainings of one configuration, say of the same images.
#[derive(Debug, Clone)]
pub struct PopulationPrediction {
    /// A localization map per member and image.
    pub maps: Population,
    /// A class per member and image; `None` for localizers.
    pub classes: Option<ClassPopulation>,
}

impl PopulationPrediction {
    /// Predictions of the networks of several checkpoints; one network is in memory at a time. `done` is called with the
    /// number of checkpoints that are through.
    ///
    /// # Errors
    /// [`InferenceError::OtherArchitecture`] if the networks are not alike, and as [`of`](Self::of).
    pub fn of_checkpoints(
        paths: &[PathBuf],
        samples: &[&Sample],
        device: &Device,
        done: &mut dyn FnMut(usize),
    ) -> Result<Self, InferenceError> {
        let mut first: Option<Architecture> = None;
        let members = paths.iter().enumerate().map(|(index, path)| {
            done(index);
            load_like(path, &mut first, device)
        });
        let prediction = Self::of(members, samples)?;
        done(paths.len());
        Ok(prediction)
    }

    /// Predictions of any networks, taken one after the other.
    ///
    /// # Errors
    /// What a member fails with, [`InferenceError::NotFinite`], and [`InferenceError::Mining`] for a population without
    /// members, members with maps of different sizes, or classes of some members only.
    pub fn of(
        members: impl IntoIterator<Item = Result<NetworkPredictor, InferenceError>>,
        samples: &[&Sample],
    ) -> Result<Self, InferenceError> {
        let mut images: Option<ImageSet> = None;
        let mut kind = MapKind::Probability;
        let (mut maps, mut classes): (Vec<Tensor>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
        for member in members {
            let predictor = member?;
            let size = predictor.preprocessing().size;
            let images = match &mut images {
                Some(loaded) if loaded.size() == size => loaded,
                slot => slot.insert(ImageSet::load(samples, size, MaskUse::Ignore)?),
            };
            kind = predictor.map_kind();
            maps.push(localization_maps(&predictor, images)?);
            if let Some(logits) = class_logits(&predictor, images)? {
                classes.push(logits.argmax(1)?.to_vec1()?);
            }
        }
        let ids: Vec<String> = images.iter().flat_map(|i| i.ids()).map(str::to_owned).collect();
        let classes = if classes.is_empty() {
            None
        } else {
            Some(ClassPopulation::new(ids.clone(), classes)?)
        };
        Ok(Self {
            maps: Population::of_kind(kind, ids, maps)?,
            classes,
        })
    }
}

/// The network of a checkpoint, which has to be built as the first was.
pub(crate) fn load_like(
    path: &Path,
    first: &mut Option<Architecture>,
    device: &Device,
) -> Result<NetworkPredictor, InferenceError> {
    let (checkpoint, network) = Checkpoint::load(path, device)?;
    let expected = first.get_or_insert_with(|| checkpoint.architecture.whole());
    if *expected != checkpoint.architecture.whole() {
        return Err(InferenceError::OtherArchitecture {
            path: path.to_owned(),
            expected: expected.to_string(),
            found: checkpoint.architecture.to_string(),
        });
    }
    Ok(NetworkPredictor::of(network, checkpoint, device))
}
