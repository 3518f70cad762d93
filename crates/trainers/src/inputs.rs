use std::{collections::BTreeMap, path::PathBuf};

use htl_datasets::{DataFolder, DatasetError, Sample, Split, sha256_bytes, sha256_file};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{TrainError, config::TrainConfig};

/// Hashes of the content behind the paths in a configuration, by configuration key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Inputs(BTreeMap<String, Input>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Input {
    path: PathBuf,
    sha256: String,
}

impl Inputs {
    /// Hashes every file that a training of this configuration reads: images, masks and labels of the training and the
    /// validation split, the checkpoint to start from, the list of labelled images, score tables and maps.
    pub fn of(config: &TrainConfig, data: &DataFolder) -> Result<Self, TrainError> {
        let mut inputs = BTreeMap::new();
        let mut add = |key: &str, path: &PathBuf, sha256: String| {
            let path = path.clone();
            inputs.insert(key.to_owned(), Input { path, sha256 });
        };
        add("data", &config.data, content(data)?);
        let left_out = config
            .pseudo
            .leave_out
            .as_ref()
            .and_then(|left_out| left_out.scores.as_ref());
        let files = [
            ("init", config.init.as_ref()),
            ("network.pretrained", config.network.pretrained.as_ref()),
            ("labelled", config.labelled.as_ref()),
            (
                "attention.scores",
                config.attention.as_ref().and_then(|a| a.scores.as_ref()),
            ),
            ("pseudo.maps", config.pseudo.maps.as_ref()),
            ("pseudo.leave_out.scores", left_out),
        ];
        for (key, path) in files {
            if let Some(path) = path {
                add(key, path, sha256_file(path)?);
            }
        }
        Ok(Self(inputs))
    }

    /// Describes the inputs that differ from an earlier run's; `None` if none does.
    pub fn changed_since(&self, earlier: &Self) -> Option<String> {
        let changed: Vec<String> = self
            .0
            .iter()
            .filter(|(key, input)| earlier.0.get(*key).map(|e| &e.sha256) != Some(&input.sha256))
            .map(|(key, input)| format!("`{key}` ({})", input.path.display()))
            .collect();
        (!changed.is_empty()).then(|| changed.join(", "))
    }
}

/// Hash of the training and validation samples: id, split, diagnosis, bytes of image and mask. Other columns of the table
/// and test images do not enter a training.
fn content(data: &DataFolder) -> Result<String, TrainError> {
    let samples: Vec<&Sample> = [Split::Train, Split::Val]
        .into_iter()
        .flat_map(|split| data.split(split))
        .collect();
    let hashes = samples
        .par_iter()
        .map(|sample| {
            let image = sha256_file(&sample.image)?;
            let mask = sample.mask.as_deref().map(sha256_file).transpose()?;
            Ok((image, mask))
        })
        .collect::<Result<Vec<_>, DatasetError>>()?;
    let mut text = String::new();
    for (sample, (image, mask)) in samples.iter().zip(hashes) {
        let fields = (&sample.image_id, sample.split.name(), &sample.dx, image, mask);
        // Debug text quotes and escapes strings, so no two lists of fields give the same line.
        text.push_str(&format!("{fields:?}\n"));
    }
    Ok(sha256_bytes(text.as_bytes()))
}
