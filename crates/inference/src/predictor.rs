use std::borrow::Borrow;
use std::path::Path;

use candle_core::{Device, Tensor};
use htl_metrics::MapCut;
use htl_mining::MapKind;
use htl_models::{Checkpoint, ClassChoice, Mode, Network, Preprocessing};

use crate::InferenceError;
use crate::mask_rule::MaskRule;
use crate::pixels::{at_side, normalised, squares};

/// Whatever says where the lesion is: images in, localization maps out, and class logits if it has them.
///
/// One network is a predictor ([`NetworkPredictor`]); so are several of them ([`Ensemble`](crate::Ensemble)), several views of an
/// image ([`Views`](crate::Views)), its tiles ([`Tiles`](crate::Tiles)), one that keeps the largest part of a mask
/// ([`LargestComponent`](crate::LargestComponent)), each of any other, and whatever else implements these few methods. Everything in
/// this crate that judges or compares takes a predictor.
///
/// Images are bytes as they are stored and of any size: what is done to them, resizing included, is the predictor's own affair.
pub trait Predictor {
    /// Side of the squares that it sees of an image, whatever the image's size, so that images may be resized to it beforehand
    /// and go through in batches; `None` of one that needs them as they are.
    fn side(&self) -> Option<usize>;

    /// What the numbers of its maps mean.
    fn map_kind(&self) -> MapKind;

    /// Names of the classes in the order of its logits; none if it does not tell classes apart.
    fn classes(&self) -> &[String];

    /// Localization maps: lesion probabilities of a localizer, or the class activation map of a classifier's predicted
    /// class, scaled image by image to [0, 1].
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, height, width]`, u8, on the CPU (see [`picture`](crate::picture))
    /// - result: `[batch, 1, height, width]`, f32 in [0, 1], not differentiable, on any device
    ///
    /// # Errors
    /// [`InferenceError::NotImages`] for anything else, and [`InferenceError`] from the forward pass.
    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError>;

    /// Class logits; `None` of a predictor that does not tell classes apart.
    ///
    /// # Shapes
    /// - `images`: as in [`localization_maps`](Self::localization_maps)
    /// - result: `[batch, classes]`
    ///
    /// # Errors
    /// As [`localization_maps`](Self::localization_maps).
    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError>;

    /// How its maps become masks.
    fn mask_rule(&self) -> MaskRule {
        self.map_kind().cut().into()
    }

    /// Where its maps are cut.
    fn cut(&self) -> MapCut {
        self.mask_rule().cut
    }
}

/// One network as a predictor, its own or borrowed from a training.
#[derive(Debug)]
pub struct NetworkPredictor<N = Network> {
    network: N,
    preprocessing: Preprocessing,
    classes: Vec<String>,
    device: Device,
}

impl NetworkPredictor {
    /// The network of a checkpoint.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load`].
    pub fn load(path: &Path, device: &Device) -> Result<Self, InferenceError> {
        let (checkpoint, network) = Checkpoint::load(path, device)?;
        Ok(Self::of(network, checkpoint, device))
    }

    /// The network of a checkpoint that is in memory.
    pub(crate) fn of(network: Network, checkpoint: Checkpoint, device: &Device) -> Self {
        let mut predictor = Self::new(network, checkpoint.preprocessing, device);
        if !checkpoint.classes.is_empty() {
            predictor.classes = checkpoint.classes;
        }
        predictor
    }
}

impl<N: Borrow<Network>> NetworkPredictor<N> {
    /// A network that sees images prepared in this way, on the device that its parameters are on. Classes have their numbers for
    /// names.
    pub fn new(network: N, preprocessing: Preprocessing, device: &Device) -> Self {
        let classes = network.borrow().architecture().classes().unwrap_or_default();
        Self {
            network,
            preprocessing,
            classes: (0..classes).map(|class| class.to_string()).collect(),
            device: device.clone(),
        }
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.network.borrow()
    }

    /// What is done to an image first.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What the network sees of images of its size.
    pub(crate) fn seen(&self, squares: &Tensor) -> Result<Tensor, InferenceError> {
        normalised(squares, &self.preprocessing, &self.device)
    }
}

impl<N: Borrow<Network>> Predictor for NetworkPredictor<N> {
    fn side(&self) -> Option<usize> {
        Some(self.preprocessing.size)
    }

    fn map_kind(&self) -> MapKind {
        match self.network().localizes() {
            true => MapKind::Probability,
            false => MapKind::ClassActivation,
        }
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn localization_maps(&self, images: &Tensor) -> Result<Tensor, InferenceError> {
        at_side(images, self.side(), |squares| {
            localization_map(self.network(), &self.seen(squares)?)
        })
    }

    fn class_logits(&self, images: &Tensor) -> Result<Option<Tensor>, InferenceError> {
        if self.classes.is_empty() {
            return Ok(None);
        }
        let squares = squares(images, self.preprocessing.size)?;
        Ok(self.network().outputs(&self.seen(&squares)?, Mode::Evaluate)?.classes)
    }
}

/// The localization maps of a network, as [`Predictor::localization_maps`] of its predictor: for a training that has the
/// batch already, normalised.
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
