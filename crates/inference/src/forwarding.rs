//! Predictors behind a pointer.

use candle_core::Tensor;
use htl_mining::MapKind;

use crate::mask_rule::MaskRule;
use crate::{InferenceError, Predictor};

/// What is borrowed or boxed predicts as what it stands for.
macro_rules! predicts_through {
    ($pointer:ty) => {
        impl<P: Predictor + ?Sized> Predictor for $pointer {
            fn side(&self) -> Option<usize> {
                (**self).side()
            }

            fn map_kind(&self) -> MapKind {
                (**self).map_kind()
            }

            fn classes(&self) -> &[String] {
                (**self).classes()
            }

            fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
                (**self).localization_maps(images)
            }

            fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
                (**self).class_logits(images)
            }

            fn mask_rule(&self) -> MaskRule {
                (**self).mask_rule()
            }
        }
    };
}

predicts_through!(&P);
predicts_through!(Box<P>);
