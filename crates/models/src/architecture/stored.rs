use serde::Deserialize;

use super::{Architecture, Channels, Part};
use crate::error::ModelError;

/// An architecture as files have it: of parts, or one of the two kinds of before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    encoder: Option<Part>,
    decoder: Option<Part>,
    head: Option<Part>,
    in_channels: Option<usize>,
    #[serde(default)]
    channels: Channels,
    kind: Option<String>,
    width: Option<usize>,
    classes: Option<usize>,
}

impl TryFrom<Stored> for Architecture {
    type Error = ModelError;

    fn try_from(stored: Stored) -> Result<Self, ModelError> {
        let in_channels = stored.in_channels.unwrap_or(3);
        let width = stored.width.unwrap_or(16);
        let of_parts = stored.width.is_none() && stored.classes.is_none();
        if !stored.channels.is_empty() && stored.kind.is_some() {
            return Err(ModelError::Parts {
                problem: "the two kinds of before have no `channels`".into(),
            });
        }
        let plain = Part::new("plain").with("width", width);
        match (stored.kind.as_deref(), stored.encoder, stored.head) {
            (None, Some(encoder), Some(head)) if of_parts => {
                Self::new(encoder, stored.decoder, head, in_channels)?.narrowed(stored.channels)
            }
            (Some("unet"), None, None) if stored.decoder.is_none() && stored.classes.is_none() => {
                let decoder = Part::new("unet").with("width", width);
                Self::new(plain, Some(decoder), Part::new("localizer"), in_channels)
            }
            (Some("unet-encoder-classifier"), None, None) if stored.decoder.is_none() => {
                let head = Part::new("classifier").with("classes", stored.classes.unwrap_or(2));
                Self::new(plain, None, head, in_channels)
            }
            (Some(kind), None, None) => Err(ModelError::Config {
                key: "kind".into(),
                expected: "unet or unet-encoder-classifier, each with its sizes beside it".into(),
                found: kind.to_owned(),
            }),
            _ => Err(ModelError::Parts {
                problem: "an architecture has `encoder`, `head`, `in_channels` and, where the head needs it, `decoder`"
                    .into(),
            }),
        }
    }
}
