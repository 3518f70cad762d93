use std::borrow::Borrow;
use std::path::Path;

use candle_core::{Device, Tensor};
use htl_metrics::MapCut;
use htl_mining::MapKind;
use htl_models::{Checkpoint, ClassChoice, Mode, Network, Preprocessing};

use crate::InferenceError;

/// Whatever says where the lesion is: images in, localization maps out, and class logits if it has them.
///
/// One network is a predictor ([`NetworkPredictor`]); so are several of them ([`Ensemble`](crate::Ensemble)), several views of an
/// image ([`Views`](crate::Views)), and whatever else implements these few methods. Everything in this crate that judges or compares takes a predictor.
pub trait Predictor {
    /// What is done to an image first. Its `size` is that of the images taken and of the maps given.
    fn preprocessing(&self) -> &Preprocessing;

    /// Where it computes: images have to be there.
    fn device(&self) -> &Device;

    /// What the numbers of its maps mean.
    fn map_kind(&self) -> MapKind;

    /// Localization maps: lesion probabilities of a localizer, or the class activation map of a classifier's predicted
    /// class, scaled image by image to [0, 1].
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, size, size]`, normalised as [`preprocessing`](Self::preprocessing) says
    /// - result: `[batch, 1, size, size]`, in [0, 1], not differentiable
    ///
    /// # Errors
    /// [`InferenceError`] from the forward pass.
    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError>;

    /// Class logits; `None` of a predictor that does not tell classes apart.
    ///
    /// # Shapes
    /// - `images`: as in [`localization_maps`](Self::localization_maps)
    /// - result: `[batch, classes]`
    ///
    /// # Errors
    /// [`InferenceError`] from the forward pass.
    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError>;

    /// Where its maps become masks.
    fn cut(&self) -> MapCut {
        self.map_kind().cut()
    }
}

/// What is borrowed or boxed predicts as what it stands for.
macro_rules! predicts_through {
    ($pointer:ty) => {
        impl<P: Predictor + ?Sized> Predictor for $pointer {
            fn preprocessing(&self) -> &Preprocessing {
                (**self).preprocessing()
            }

            fn device(&self) -> &Device {
                (**self).device()
            }

            fn map_kind(&self) -> MapKind {
                (**self).map_kind()
            }

            fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
                (**self).localization_maps(images)
            }

            fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
                (**self).class_logits(images)
            }

            fn cut(&self) -> MapCut {
                (**self).cut()
            }
        }
    };
}

predicts_through!(&P);
predicts_through!(Box<P>);

/// One network as a predictor, its own or borrowed from a training.
#[derive(Debug)]
pub struct NetworkPredictor<N = Network> {
    network: N,
    preprocessing: Preprocessing,
    device: Device,
}

impl NetworkPredictor {
    /// The network of a checkpoint.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device) -> Result<Self, InferenceError> {
        let (checkpoint, network) = Checkpoint::load(path, device)?;
        Ok(Self::new(network, checkpoint.preprocessing, device))
    }
}

impl<N: Borrow<Network>> NetworkPredictor<N> {
    /// A network that sees images prepared in this way, on the device that its parameters are on.
    pub fn new(network: N, preprocessing: Preprocessing, device: &Device) -> Self {
        Self {
            network,
            preprocessing,
            device: device.clone(),
        }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network.borrow()
    }
}

impl<N: Borrow<Network>> Predictor for NetworkPredictor<N> {
    fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn map_kind(&self) -> MapKind {
        match self.network().localizes() {
            true => MapKind::Probability,
            false => MapKind::ClassActivation,
        }
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        localization_map(self.network(), images)
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        Ok(self.network().outputs(images, Mode::Evaluate)?.classes)
    }
}

/// The localization maps of a network, as [`Predictor::localization_maps`] of its predictor: for a training that has the
/// batch already.
///
/// # Shapes
/// - `images`: `[batch, 3, height, width]`, normalised
/// - result: `[batch, 1, height, width]`, in [0, 1], not differentiable
///
/// # Errors
/// [`InferenceError`] from the forward pass.
pub fn localization_map(network: &Network, images: &Tensor) -> Result<Tensor, InferenceError> {
    if network.localizes() {
        return Ok(network
            .forward(images, Mode::Evaluate)?
            .neg()?
            .exp()?
            .affine(1.0, 1.0)?
            .recip()?);
    }
    Ok(network.localization_map(images, ClassChoice::Predicted)?)
}
