use htl_models::{Network, Preprocessing};
use serde::{Deserialize, Serialize};

/// A mistake made on purpose: `cargo xtask check-iou --plant` shows that each is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plant {
    /// The gradient of max pooling is divided by four, as candle 0.11 does for 2x2 windows.
    PoolGradient,
    /// Every image is trained with the mask of its neighbour.
    ShiftedPairs,
    /// Training sees images as they are, while the checkpoint says that they were normalised.
    Normalisation,
}

impl Plant {
    /// Plants the mistake in the network, if it belongs there.
    pub(crate) fn in_network(self, network: &mut Network) {
        if let (Self::PoolGradient, Network::UNet(unet)) = (self, network) {
            unet.plant_pool_gradient(0.25);
        }
    }

    /// Plants the mistake in the targets, if it belongs there.
    pub(crate) fn in_targets(self, targets: &mut [Vec<f32>]) {
        if self == Self::ShiftedPairs && !targets.is_empty() {
            targets.rotate_left(1);
        }
    }

    /// The preprocessing that training uses.
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
