use std::path::PathBuf;

use htl_models::{Architecture, ModelError, Part};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which network is trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkChoice {
    /// The encoder, by a name of `htl models list`, and settings of its own behind it: `resnet18 output_stride=16`.
    pub encoder: String,
    /// The decoder likewise: `unet`, `deeplabv3plus width=64`.
    pub decoder: String,
    /// Weights that the encoder begins with, a file that `htl weights` reads (for `htl train` also a name of `htl weights list`);
    /// without it it begins at random. Images are then normalised as these weights want it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained: Option<PathBuf>,
    /// The SHA-256 that this file has to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrained_sha256: Option<String>,
}

impl Default for NetworkChoice {
    fn default() -> Self {
        Self {
            encoder: "plain".to_owned(),
            decoder: "unet".to_owned(),
            pretrained: None,
            pretrained_sha256: None,
        }
    }
}

impl NetworkChoice {
    /// Whether it is the reference U-Net.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// A localizer, whose plain encoder and U-Net decoder have this width unless their own is given.
    ///
    /// # Errors
    /// Those of [`Architecture::new`].
    pub fn localizer(&self, width: usize) -> Result<Architecture, ModelError> {
        Architecture::localizer(self.encoder(width)?, of_width(&self.decoder, "unet", width)?)
    }

    /// A classifier on the encoder.
    ///
    /// # Errors
    /// Those of [`Architecture::new`].
    pub fn classifier(&self, width: usize, classes: usize) -> Result<Architecture, ModelError> {
        Architecture::classifier(self.encoder(width)?, classes)
    }

    fn encoder(&self, width: usize) -> Result<Part, ModelError> {
        of_width(&self.encoder, "plain", width)
    }
}

/// The part, of this width if it is the named one and says none.
fn of_width(part: &str, named: &str, width: usize) -> Result<Part, ModelError> {
    let part: Part = part.parse()?;
    Ok(match part.name == named && !part.settings.contains_key("width") {
        true => part.with("width", width),
        false => part,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_is_that_of_plain_parts() {
        let choice = NetworkChoice::default();
        assert_eq!(choice.localizer(8).unwrap(), Architecture::unet(8).unwrap());
        let choice = NetworkChoice {
            encoder: "resnet18".into(),
            decoder: "unet width=4".into(),
            ..NetworkChoice::default()
        };
        assert_eq!(
            choice.localizer(8).unwrap().to_string(),
            "resnet18 output_stride=32 + unet width=4 + localizer kernel=1"
        );
        assert_eq!(choice.classifier(8, 3).unwrap().classes(), Some(3));
    }

    #[test]
    fn what_is_wrong_is_told() {
        let message = |encoder: &str, decoder: &str| {
            let (encoder, decoder) = (encoder.to_owned(), decoder.to_owned());
            let choice = NetworkChoice {
                encoder,
                decoder,
                ..NetworkChoice::default()
            };
            choice.localizer(8).unwrap_err().to_string()
        };
        assert!(message("resnet19", "unet").contains("did you mean `resnet"));
        assert!(message("resnet18 output_stride", "unet").contains("output_stride"));
        assert!(message("resnet18 output_stride=x", "unet").contains("a whole number"));
        assert!(message("", "unet").contains("there is no encoder"));
    }
}
