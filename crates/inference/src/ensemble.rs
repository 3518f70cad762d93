use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_mining::MapKind;

use crate::mask_rule::MaskRule;
use crate::pixels::at_side;
use crate::{InferenceError, NetworkPredictor, Predictor};

/// Several predictors as one: the mean of their maps, and of their class logits where all have them.
///
/// They may be of different architectures, normalise images differently and see squares of different sizes: then each resizes images
/// for itself, and the mean is that of the maps at the images' size. Masks are made as the first member makes them.
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
    /// [`InferenceError::NoCheckpoints`] without a member, [`InferenceError::OtherMember`] if they give maps of different kinds or tell
    /// different classes apart.
    pub fn new(members: Vec<P>) -> Result<Self, InferenceError> {
        let mut members = members.into_iter();
        let first = members.next().ok_or(InferenceError::NoCheckpoints)?;
        let others: Vec<P> = members.collect();
        for (place, other) in others.iter().enumerate() {
            let what = if other.map_kind() != first.map_kind() {
                "gives maps of another kind (localizer or classifier)"
            } else if !other.classes().is_empty() && !first.classes().is_empty() && other.classes() != first.classes() {
                "tells other classes apart"
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
    fn side(&self) -> Option<usize> {
        let side = self.first.side();
        side.filter(|_| self.others.iter().all(|other| other.side() == side))
    }

    fn map_kind(&self) -> MapKind {
        self.first.map_kind()
    }

    fn classes(&self) -> &[String] {
        let none = self.members().any(|member| member.classes().is_empty());
        if none { &[] } else { self.first.classes() }
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        at_side(images, self.side(), |images| {
            mean(self.members().map(|member| member.localization_maps(images)))
        })
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        let logits = self.members().map(|member| member.class_logits(images));
        match logits.collect::<Result<Option<Vec<Tensor>>, _>>()? {
            Some(logits) => Ok(Some(mean(logits.into_iter().map(Ok))?)),
            None => Ok(None),
        }
    }

    fn mask_rule(&self) -> MaskRule {
        self.first.mask_rule()
    }
}

/// Mean of tensors of one shape, added up as they come, on the device of the first.
pub(crate) fn mean(
    tensors: impl IntoIterator<Item = Result<Tensor, InferenceError>>,
) -> Result<Tensor, InferenceError> {
    let mut sum: Option<Tensor> = None;
    let mut count = 0u32;
    for tensor in tensors {
        let tensor = tensor?;
        sum = Some(match sum {
            Some(sum) => (&sum + tensor.to_device(sum.device())?)?,
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
    use htl_metrics::resize_bilinear;
    use htl_models::{Architecture, Network, Part, Preprocessing};

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

    fn images(height: usize, width: usize) -> Tensor {
        let bytes: Vec<u8> = (0..6 * height * width).map(|at| (at * at % 251) as u8).collect();
        Tensor::from_vec(bytes, (2, 3, height, width), &Device::Cpu).unwrap()
    }

    fn values(tensor: Tensor) -> Vec<f32> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn maps_and_logits_are_means() {
        let images = images(16, 16);
        for architecture in [unet(), classifier()] {
            let members = || (0..3).map(|seed| member(&architecture, seed, 16)).collect::<Vec<_>>();
            let ensemble = Ensemble::new(members()).unwrap();
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
            assert_eq!(ensemble.side(), Some(16));
        }
    }

    /// An ensemble of one is its member, to the bit.
    #[test]
    fn one_member_is_the_ensemble() {
        for images in [images(16, 16), images(21, 34)] {
            let alone = values(member(&unet(), 1, 16).localization_maps(&images).unwrap());
            let ensemble = Ensemble::new(vec![member(&unet(), 1, 16)]).unwrap();
            assert_eq!(values(ensemble.localization_maps(&images).unwrap()), alone);
        }
    }

    /// Members of other architectures and sizes meet at the size of the image.
    #[test]
    fn members_of_other_sizes_meet_at_the_images_size() {
        let encoder = Part::new("efficientnet-lite0");
        let other = Architecture::localizer(encoder, Part::new("unet").with("width", 4)).unwrap();
        let members = || vec![member(&unet(), 0, 16), member(&other, 1, 64)];
        let ensemble = Ensemble::new(members()).unwrap();
        assert_eq!(ensemble.side(), None);
        let images = images(40, 48);
        let found = values(ensemble.localization_maps(&images).unwrap());
        let mut expected = vec![0f32; found.len()];
        for member in members() {
            let side = member.preprocessing().size;
            let squares = crate::pixels::squares(&images, side).unwrap();
            let maps = values(member.localization_maps(&squares).unwrap());
            let at_size = maps
                .chunks(side * side)
                .flat_map(|map| resize_bilinear(map, (side, side), (40, 48)).unwrap());
            expected
                .iter_mut()
                .zip(at_size)
                .for_each(|(sum, value)| *sum += value / 2.0);
        }
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn members_that_do_not_fit_are_named() {
        let said = |first: NetworkPredictor, other: NetworkPredictor| {
            Ensemble::new(vec![first, other]).unwrap_err().to_string()
        };
        let found = said(member(&unet(), 1, 16), member(&classifier(), 2, 16));
        assert!(
            found.contains("member 2 of the ensemble gives maps of another kind"),
            "{found}"
        );
        let other = Architecture::classifier(Part::new("plain").with("width", 2), 4).unwrap();
        let found = said(member(&classifier(), 1, 16), member(&other, 2, 16));
        assert!(found.contains("tells other classes apart"), "{found}");
        assert!(Ensemble::<NetworkPredictor>::new(Vec::new()).is_err());
    }

    /// What is no image is refused with what it is.
    #[test]
    fn what_is_no_image_is_refused() {
        let numbers = images(16, 16).to_dtype(candle_core::DType::F32).unwrap();
        let error = member(&unet(), 0, 16).localization_maps(&numbers).unwrap_err();
        assert!(error.to_string().contains("f32 [2, 3, 16, 16]"), "{error}");
    }
}
