use htl_models::{Checkpoint, Network};
use htl_vocabulary::LARGEST_SIDE;

use crate::error::OnnxError;

/// What may be chosen when a network is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ExportParams {
    /// The lesion is where the probability is above this, in (0, 1): a note for whoever makes masks of probabilities. One half
    /// where none is given.
    pub threshold: Option<f32>,
    /// Height and width of the images, in pixels, from the network's stride on; the checkpoint's where none is given.
    pub size: Option<usize>,
}

/// Parameters that fit a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ExportValidParams {
    /// `None` where no pixel has a probability.
    pub threshold: Option<f32>,
    pub size: usize,
}

impl ExportParams {
    /// Checks that a network can be exported so.
    ///
    /// # Errors
    /// [`OnnxError::Threshold`], [`OnnxError::NoProbability`], [`OnnxError::Size`].
    pub(crate) fn check(&self, checkpoint: &Checkpoint, network: &Network) -> Result<ExportValidParams, OnnxError> {
        let threshold = match (self.threshold, network.localizes()) {
            (Some(found), _) if !(found > 0.0 && found < 1.0) => return Err(OnnxError::Threshold { found }),
            (Some(_), false) => return Err(OnnxError::NoProbability),
            (None, false) => None,
            (given, true) => Some(given.unwrap_or(0.5)),
        };
        let size = self.size.unwrap_or(checkpoint.preprocessing.size);
        let (least, most) = (network.graph().stride(), LARGEST_SIDE);
        if !(least..=most).contains(&size) {
            return Err(OnnxError::Size {
                found: size,
                least,
                most,
            });
        }
        Ok(ExportValidParams { threshold, size })
    }
}
