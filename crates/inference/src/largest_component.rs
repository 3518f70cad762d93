use candle_core::Tensor;
use htl_mining::MapKind;

use crate::mask_rule::{Components, MaskRule};
use crate::{InferenceError, Predictor};

/// A predictor whose masks keep their [largest component](Components::Largest) only: a photograph shows one lesion. Its maps are
/// those of the predictor that it is of.
#[derive(Debug, Clone)]
pub struct LargestComponent<P> {
    predictor: P,
}

impl<P: Predictor> LargestComponent<P> {
    /// The predictor with masks of one part.
    pub fn new(predictor: P) -> Self {
        Self { predictor }
    }
}

impl<P: Predictor> Predictor for LargestComponent<P> {
    fn side(&self) -> Option<usize> {
        self.predictor.side()
    }

    fn map_kind(&self) -> MapKind {
        self.predictor.map_kind()
    }

    fn classes(&self) -> &[String] {
        self.predictor.classes()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        self.predictor.localization_maps(images)
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        self.predictor.class_logits(images)
    }

    fn mask_rule(&self) -> MaskRule {
        MaskRule {
            components: Components::Largest,
            ..self.predictor.mask_rule()
        }
    }
}
