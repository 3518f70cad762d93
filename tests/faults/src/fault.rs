use anyhow::Context;
use htl_models::Preprocessing;

use crate::unet::Pooling;

/// The environment variable that names the fault of `htl-planted`.
pub const VARIABLE: &str = "HTL_FAULT";

/// Its value for a training without one.
pub const NONE: &str = "none";

/// A mistake made on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The gradient of 2x2 max pooling is divided by four, as candle 0.11 does.
    PoolGradient,
    /// Every image is trained with the mask of its neighbour.
    ShiftedPairs,
    /// Training sees images as they are, while the checkpoint says that they were normalised.
    Normalisation,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::PoolGradient, Self::ShiftedPairs, Self::Normalisation];

    /// The value of [`VARIABLE`].
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PoolGradient => "pool-gradient",
            Self::ShiftedPairs => "shifted-pairs",
            Self::Normalisation => "normalisation",
        }
    }

    /// The fault of this name; `None` for [`NONE`].
    ///
    /// # Errors
    /// Says which names there are.
    pub fn named(name: &str) -> anyhow::Result<Option<Self>> {
        if name == NONE {
            return Ok(None);
        }
        let found = Self::ALL.into_iter().find(|fault| fault.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        found
            .map(Some)
            .with_context(|| format!("{VARIABLE}: expected {NONE}, {names}, found {name}"))
    }

    /// The pooling of a network that has this fault.
    pub(crate) fn pooling(self) -> Pooling {
        match self {
            Self::PoolGradient => Pooling::QuarterGradient,
            Self::ShiftedPairs | Self::Normalisation => Pooling::Right,
        }
    }

    /// The targets of the images, in their order, if they have this fault.
    pub(crate) fn targets(self, mut right: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
        if self == Self::ShiftedPairs && !right.is_empty() {
            right.rotate_left(1);
        }
        right
    }

    /// What is done to the images of a training that has this fault.
    pub(crate) fn preprocessing(self, right: &Preprocessing) -> Preprocessing {
        match self {
            Self::Normalisation => Preprocessing {
                mean: vec![0.0; 3],
                std: vec![1.0; 3],
                ..right.clone()
            },
            Self::PoolGradient | Self::ShiftedPairs => right.clone(),
        }
    }
}
