use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_mining::MapKind;
use htl_models::Preprocessing;

use crate::{InferenceError, NetworkPredictor, Predictor};

/// Several predictors as one: the mean of their maps, and of their class logits where all have them.
///
/// ```
/// use candle_core::Device;
/// use htl_inference::{Ensemble, NetworkPredictor, Predictor};
/// use htl_models::{Architecture, Network, Preprocessing};
///
/// let architecture = Architecture::unet(4)?;
/// let member = |seed| -> Result<_, htl_inference::InferenceError> {
///     let network = Network::build(&architecture, seed, &Device::Cpu)?;
///     Ok(NetworkPredictor::new(network, Preprocessing::default(), &Device::Cpu))
/// };
/// let ensemble = Ensemble::new(vec![member(0)?, member(1)?])?;
/// assert_eq!(ensemble.len(), 2);
/// # Ok::<(), htl_inference::InferenceError>(())
/// ```
#[derive(Debug)]
pub struct Ensemble<P = NetworkPredictor> {
    first: P,
    others: Vec<P>,
}

impl Ensemble {
    /// The networks of several checkpoints, which need not be built alike.
    ///
    /// # Errors
    /// As [`NetworkPredictor::load`] and [`Ensemble::new`].
    pub fn load(paths: &[PathBuf], device: &Device) -> Result<Self, InferenceError> {
        let members = paths.iter().map(|path| NetworkPredictor::load(path, device));
        Self::new(members.collect::<Result<_, _>>()?)
    }
}

impl<P: Predictor> Ensemble<P> {
    /// An ensemble of these.
    ///
    /// # Errors
    /// [`InferenceError::NoCheckpoints`] without a member, [`InferenceError::OtherMember`] if they prepare images differently or
    /// give maps of different kinds.
    pub fn new(members: Vec<P>) -> Result<Self, InferenceError> {
        let mut members = members.into_iter();
        let first = members.next().ok_or(InferenceError::NoCheckpoints)?;
        let others: Vec<P> = members.collect();
        for (place, other) in others.iter().enumerate() {
            let what = if other.preprocessing().size != first.preprocessing().size {
                "sees larger or smaller images"
            } else if other.preprocessing() != first.preprocessing() {
                "normalises images otherwise"
            } else if other.map_kind() != first.map_kind() {
                "gives maps of another kind (localizer or classifier)"
            } else {
                continue;
            };
            return Err(InferenceError::OtherMember {
                member: place + 2,
                what,
            });
        }
        Ok(Self { first, others })
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        1 + self.others.len()
    }

    /// Whether it has no member: never.
    pub fn is_empty(&self) -> bool {
        false
    }

    fn members(&self) -> impl Iterator<Item = &P> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl<P: Predictor> Predictor for Ensemble<P> {
    fn preprocessing(&self) -> &Preprocessing {
        self.first.preprocessing()
    }

    fn device(&self) -> &Device {
        self.first.device()
    }

    fn map_kind(&self) -> MapKind {
        self.first.map_kind()
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        mean(self.members().map(|member| member.localization_maps(images)))
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        let logits = self.members().map(|member| member.class_logits(images));
        match logits.collect::<Result<Option<Vec<Tensor>>, _>>()? {
            Some(logits) => Ok(Some(mean(logits.into_iter().map(Ok))?)),
            None => Ok(None),
        }
    }
}

/// Mean of tensors of one shape, added up as they come.
pub(crate) fn mean(
    tensors: impl IntoIterator<Item = Result<Tensor, InferenceError>>,
) -> Result<Tensor, InferenceError> {
    let mut sum: Option<Tensor> = None;
    let mut count = 0u32;
    for tensor in tensors {
        let tensor = tensor?;
        sum = Some(match sum {
            Some(sum) => (sum + tensor)?,
            None => tensor,
        });
        count += 1;
    }
    let sum = sum.ok_or(InferenceError::NoCheckpoints)?;
    Ok((sum / f64::from(count))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_models::{Architecture, Network, Part};

    fn member(architecture: &Architecture, seed: u64, size: usize) -> NetworkPredictor {
        let network = Network::build(architecture, seed, &Device::Cpu).unwrap();
        let preprocessing = Preprocessing {
            size,
            ..Preprocessing::default()
        };
        NetworkPredictor::new(network, preprocessing, &Device::Cpu)
    }

    fn unet() -> Architecture {
        Architecture::unet(2).unwrap()
    }

    fn classifier() -> Architecture {
        Architecture::classifier(Part::new("plain").with("width", 2), 3).unwrap()
    }

    #[test]
    fn maps_and_logits_are_means() {
        let images = Tensor::rand(0f32, 1.0, (2, 3, 16, 16), &Device::Cpu).unwrap();
        for architecture in [unet(), classifier()] {
            let members = || (0..3).map(|seed| member(&architecture, seed, 16)).collect::<Vec<_>>();
            let ensemble = Ensemble::new(members()).unwrap();
            let values = |tensor: Tensor| -> Vec<f32> { tensor.flatten_all().unwrap().to_vec1().unwrap() };
            let found = values(ensemble.localization_maps(&images).unwrap());
            let each: Vec<Vec<f32>> = members()
                .iter()
                .map(|one| values(one.localization_maps(&images).unwrap()))
                .collect();
            for (pixel, found) in found.iter().enumerate() {
                let expected = each.iter().map(|map| map[pixel]).sum::<f32>() / 3.0;
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
            let logits = ensemble.class_logits(&images).unwrap();
            assert_eq!(
                logits.map(|logits| logits.dims().to_vec()),
                match ensemble.map_kind() {
                    MapKind::Probability => None,
                    MapKind::ClassActivation => Some(vec![2, 3]),
                }
            );
            assert!(!ensemble.is_empty());
        }
    }

    #[test]
    fn members_that_do_not_fit_are_named() {
        let said = |other: NetworkPredictor| {
            let members = vec![member(&unet(), 0, 16), member(&unet(), 1, 16), other];
            Ensemble::new(members).unwrap_err().to_string()
        };
        assert!(said(member(&unet(), 2, 24)).contains("member 3 of the ensemble sees larger"));
        assert!(said(member(&classifier(), 2, 16)).contains("another kind"));
        let mut other = member(&unet(), 2, 16).preprocessing().clone();
        other.mean = vec![0.0; 3];
        let network = Network::build(&unet(), 2, &Device::Cpu).unwrap();
        assert!(said(NetworkPredictor::new(network, other, &Device::Cpu)).contains("normalises images otherwise"));
        assert!(Ensemble::<NetworkPredictor>::new(Vec::new()).is_err());
    }
}
