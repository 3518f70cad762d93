use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor};
use htl_vocabulary::write_whole;

use super::names::smp_unet_decoder;
use crate::error::ModelError;
use crate::network::Network;

/// Whose names tensors get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Those of this crate.
    Htl,
    /// Those of the same network in segmentation_models_pytorch: `Unet`, `FPN` or `DeepLabV3Plus`, with `resnet18` and so on or
    /// timm's `tu-tf_efficientnet_lite0`, `tu-tf_efficientnet_lite2`, `tu-mobilenetv2_100`.
    Smp,
}

impl Network {
    /// The weights and running statistics by name, on the CPU. Of segmentation_models_pytorch's, PyTorch's `load_state_dict`
    /// takes them as they are, `num_batches_tracked` aside, which it adds.
    ///
    /// # Errors
    /// [`ModelError::Parts`] if segmentation_models_pytorch does not have the network.
    pub fn state_dict(&self, naming: Naming) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let all = self.parameters().all();
        let named = all.into_iter().map(|(name, var)| {
            let name = match naming {
                Naming::Htl => name,
                Naming::Smp => self.smp(&name)?,
            };
            Ok((name, var.as_detached_tensor().to_device(&Device::Cpu)?))
        });
        named.collect()
    }

    fn smp(&self, name: &str) -> Result<String, ModelError> {
        let architecture = self.architecture();
        let lacks = |kind: &str, part: &str| ModelError::Parts {
            problem: format!("segmentation_models_pytorch has no {kind} `{part}`"),
        };
        let encoder = architecture.encoder().name.as_str();
        let decoder = architecture.decoder().map_or("", |part| part.name.as_str());
        if decoder.is_empty() {
            return Err(ModelError::Parts {
                problem: "segmentation_models_pytorch has no classifiers alone".into(),
            });
        }
        if !["unet", "fpn", "deeplabv3plus"].contains(&decoder) {
            return Err(lacks("decoder", decoder));
        }
        if let Some(rest) = name.strip_prefix("encoder.") {
            return match encoder {
                "resnet18" | "resnet34" | "resnet50" => Ok(name.to_owned()),
                "efficientnet-lite0" | "efficientnet-lite2" | "mobilenet-v2" => Ok(format!("encoder.model.{rest}")),
                _ => Err(lacks("encoder", encoder)),
            };
        }
        if let Some(rest) = name.strip_prefix("head.") {
            return Ok(format!("segmentation_head.0.{rest}"));
        }
        if let Some(rest) = name.strip_prefix("classification_head.") {
            return Ok(format!("classification_head.3.{rest}"));
        }
        let renamed = (decoder == "unet").then(|| smp_unet_decoder(name)).flatten();
        Ok(renamed.unwrap_or_else(|| name.to_owned()))
    }
}

/// Writes tensors as safetensors without a record, whole or not at all; the same tensors give the same bytes. In Python,
/// `model.load_state_dict(safetensors.torch.load_file(path))` takes them.
///
/// # Errors
/// [`ModelError::Write`] if the file cannot be written.
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(candle_core::Error::from)?;
    write_whole(path, bytes).map_err(ModelError::Write)
}
