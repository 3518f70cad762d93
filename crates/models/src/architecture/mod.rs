mod channels;
mod setting;
mod stored;

pub use channels::Channels;
pub use setting::{Allowed, Part, Setting, Settings};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::decoders::{self, DecoderRow};
use crate::encoders::{self, EncoderRow, Normalisation};
use crate::error::ModelError;
use crate::graph::{Cost, Graph, GraphBuilder};
use crate::heads::{self, HeadInput, HeadRow};
use crate::parameters::{ParameterBuilder, Shapes};
use stored::Stored;

/// Most channels of images.
const MOST_CHANNELS: usize = 1024;

/// What network to build: an encoder, a decoder where the head needs one, and a head.
///
/// In JSON: `{"encoder": {"name": "plain", "width": 16}, "decoder": {"name": "unet", "width": 16},
/// "head": {"name": "localizer"}, "in_channels": 3}`.
/// A narrowed network has its layers of fewer channels besides, `"channels": {"encoder.0.0": 9}`. The two kinds of checkpoints
/// before there were parts, `{"kind": "unet", "width": 16}` and `{"kind": "unet-encoder-classifier", "width": 16, "classes": 3}`, are read as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Architecture {
    /// From images to maps at several strides.
    encoder: Part,
    /// From these to maps of one stride.
    #[serde(skip_serializing_if = "Option::is_none")]
    decoder: Option<Part>,
    /// From maps to logits.
    head: Part,
    /// Channels of the images.
    in_channels: usize,
    /// Layers that have fewer channels than the parts say.
    #[serde(skip_serializing_if = "Channels::is_empty")]
    channels: Channels,
}

impl Architecture {
    /// A network of these parts for images of `in_channels` channels.
    ///
    /// # Errors
    /// [`ModelError::UnknownPart`] naming the nearest known one; [`ModelError::Config`] for a setting that is unknown or out
    /// of range; [`ModelError::Parts`] for parts that do not go together.
    pub fn new(encoder: Part, decoder: Option<Part>, head: Part, in_channels: usize) -> Result<Self, ModelError> {
        let rows = Rows::of(&encoder, decoder.as_ref(), &head)?;
        if !(1..=MOST_CHANNELS).contains(&in_channels) {
            return Err(ModelError::Config {
                key: "in_channels".into(),
                expected: format!("in 1..={MOST_CHANNELS}").into(),
                found: in_channels.to_string(),
            });
        }
        let whole = |part: &Part, known| {
            Ok::<_, ModelError>(Part {
                name: part.name.clone(),
                settings: part.complete(known)?,
            })
        };
        let architecture = Self {
            encoder: whole(&encoder, rows.encoder.settings)?,
            decoder: match (&decoder, rows.decoder) {
                (Some(part), Some(row)) => Some(whole(part, row.settings)?),
                _ => None,
            },
            head: whole(&head, rows.head.settings)?,
            in_channels,
            channels: Channels::new(),
        };
        // Whether strides and channels go together shows when it is built.
        architecture.build(&mut ParameterBuilder::of_shapes())?;
        Ok(architecture)
    }

    /// The reference U-Net, a localizer of RGB images: the plain encoder and its decoder, of `width` channels at full size.
    ///
    /// # Errors
    /// [`ModelError::Config`] for a width that is not in 1..=1024.
    pub fn unet(width: usize) -> Result<Self, ModelError> {
        Self::localizer(
            Part::new("plain").with("width", width),
            Part::new("unet").with("width", width),
        )
    }

    /// A localizer of RGB images.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn localizer(encoder: Part, decoder: Part) -> Result<Self, ModelError> {
        Self::new(encoder, Some(decoder), Part::new("localizer"), 3)
    }

    /// A classifier of RGB images on an encoder, without a decoder.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn classifier(encoder: Part, classes: usize) -> Result<Self, ModelError> {
        Self::new(encoder, None, Part::new("classifier").with("classes", classes), 3)
    }

    /// The encoder, all settings given.
    #[must_use]
    pub fn encoder(&self) -> &Part {
        &self.encoder
    }

    /// The decoder, all settings given; `None` where the head needs none.
    #[must_use]
    pub fn decoder(&self) -> Option<&Part> {
        self.decoder.as_ref()
    }

    /// The head, all settings given.
    #[must_use]
    pub fn head(&self) -> &Part {
        &self.head
    }

    /// Channels of the images that the network takes.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// How many classes it tells apart; `None` for a localizer alone.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        self.head.settings.get("classes").copied()
    }

    /// What images the encoder's pretrained weights are made for; `None` where there are none.
    #[must_use]
    pub fn pretrained_normalisation(&self) -> Option<Normalisation> {
        encoders::row(&self.encoder.name).ok()?.pretrained
    }

    /// Shapes of a network's variables by name, without building it: what a file claims to hold may be larger than memory.
    pub(crate) fn shapes(&self) -> Result<Shapes, ModelError> {
        let mut builder = ParameterBuilder::of_shapes();
        self.build(&mut builder)?;
        Ok(builder.into_shapes())
    }

    /// How many numbers of a network can be trained.
    ///
    /// # Errors
    /// Those of candle.
    pub fn trainable_count(&self) -> Result<usize, ModelError> {
        let shapes = self.shapes()?;
        let trained = |name: &str| !name.ends_with("running_mean") && !name.ends_with("running_var");
        Ok(shapes
            .iter()
            .filter(|(name, _)| trained(name))
            .map(|(_, shape)| shape.iter().product::<usize>())
            .sum())
    }

    /// The cost of a pass, as [`Graph::cost`], without building the network.
    ///
    /// # Errors
    /// Those of candle.
    pub fn cost(&self, side: usize) -> Result<Cost, ModelError> {
        Ok(self.build(&mut ParameterBuilder::of_shapes())?.cost(side))
    }

    /// The network as a graph, with variables of the builder's.
    pub(crate) fn build(&self, parameters: &mut ParameterBuilder) -> Result<Graph, ModelError> {
        let rows = Rows::of(&self.encoder, self.decoder.as_ref(), &self.head)?;
        let mut graph = GraphBuilder::new(parameters, &self.channels);
        let images = graph.images(self.in_channels);
        let levels = (rows.encoder.build)(&mut graph, images, &self.encoder.settings)?;
        let Some(&deepest) = levels.last() else {
            return Err(ModelError::Parts {
                problem: format!("the encoder {} gives no maps", self.encoder.name),
            });
        };
        let decoded = match (&self.decoder, rows.decoder) {
            (Some(part), Some(row)) => Some((row.build)(&mut graph, &levels, &part.settings)?),
            _ => None,
        };
        let input = HeadInput { deepest, decoded };
        let ends = (rows.head.build)(&mut graph, &input, &self.head.settings)?;
        graph.finish(deepest, ends)
    }
}

/// The rows of an architecture's parts.
struct Rows {
    encoder: &'static EncoderRow,
    decoder: Option<&'static DecoderRow>,
    head: &'static HeadRow,
}

impl Rows {
    fn of(encoder: &Part, decoder: Option<&Part>, head: &Part) -> Result<Self, ModelError> {
        let rows = Self {
            encoder: encoders::row(&encoder.name)?,
            decoder: decoder.map(|part| decoders::row(&part.name)).transpose()?,
            head: heads::row(&head.name)?,
        };
        match (rows.head.needs_decoder, rows.decoder) {
            (true, None) => Err(ModelError::Parts {
                problem: format!("the head {} needs a decoder, and none is given", head.name),
            }),
            (false, Some(row)) => Err(ModelError::Parts {
                problem: format!(
                    "the head {} has no use for the decoder {}: leave it out",
                    head.name, row.name
                ),
            }),
            _ => Ok(rows),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.encoder)?;
        if let Some(decoder) = &self.decoder {
            write!(f, " + {decoder}")?;
        }
        write!(f, " + {}", self.head)?;
        if self.in_channels != 3 {
            write!(f, " for images of {} channels", self.in_channels)?;
        }
        match self.channels.len() {
            0 => Ok(()),
            layers => write!(f, ", {layers} of its layers narrowed"),
        }
    }
}
