//! Networks on the embedded images that tests share.

use std::path::{Path, PathBuf};

use candle_core::Device;
use htl_datasets::{DataFolder, ImageSet};
use htl_inference::recalibrate;
use htl_models::{Architecture, Checkpoint, Network, Part, Preprocessing};

/// Side of the images.
pub const SIZE: usize = 32;

/// The embedded images.
pub fn data() -> DataFolder {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded");
    DataFolder::open(root).unwrap()
}

/// What the networks do to an image first.
pub fn preprocessing() -> Preprocessing {
    Preprocessing {
        size: SIZE,
        ..Preprocessing::default()
    }
}

/// A small localizer.
pub fn unet() -> Architecture {
    Architecture::unet(4).unwrap()
}

/// A small classifier.
pub fn classifier() -> Architecture {
    Architecture::classifier(Part::new("plain").with("width", 4), 3).unwrap()
}

/// Networks that nobody trained, but that have seen the data: their maps are not flat.
pub fn checkpoints(architecture: &Architecture, folder: &Path, training: &ImageSet) -> Vec<PathBuf> {
    let save = |seed: u64| {
        let network = Network::build(architecture, seed, &Device::Cpu).unwrap();
        recalibrate(&network, training, &preprocessing(), &Device::Cpu).unwrap();
        let checkpoint = Checkpoint {
            preprocessing: preprocessing(),
            ..Checkpoint::new(architecture.clone())
        };
        let path = folder.join(format!("{seed}.safetensors"));
        checkpoint.save(&network, &path).unwrap();
        path
    };
    (0..2).map(save).collect()
}
