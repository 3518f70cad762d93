//! From checkpoints to maps, masks and results, image by image.
//!
//! A [`Predictor`] takes images and says where the lesion is; a [`NetworkPredictor`] is one network. An [`Evaluation`]
//! cuts its maps at the predictor's [`cut`](Predictor::cut) and scores the masks image by image, a [`Validator`] gives the
//! one number that a training may choose by, and a [`PopulationPrediction`] holds the maps of several seeds for mining.
//!
//! ```
//! use candle_core::Device;
//! use htl_datasets::{DataFolder, Split};
//! use htl_inference::{Evaluation, NetworkPredictor, Predictor, summary, with_masks};
//! use htl_models::{Architecture, Network, Preprocessing};
//!
//! // Of a trained network: NetworkPredictor::load("checkpoint.safetensors".as_ref(), &Device::Cpu)?
//! let architecture = Architecture::unet(4)?;
//! let network = Network::build(&architecture, 7, &Device::Cpu)?;
//! let preprocessing = Preprocessing { size: 32, ..Preprocessing::default() };
//! let predictor = NetworkPredictor::new(network, preprocessing, &Device::Cpu);
//!
//! let data = DataFolder::open("../../data-manifest/embedded")?;
//! let samples = with_masks(&data, Split::Test)?;
//! let evaluation = Evaluation::of(&predictor, &samples[..12])?;
//! let table = evaluation.per_image(predictor.cut(), &data)?;
//! assert_eq!(table.rows.len(), 12);
//! assert!((0.0..=1.0).contains(&summary(&table)?.numbers["jaccard"]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | what | names |
//! | --- | --- |
//! | predictors | [`Predictor`], [`NetworkPredictor`], [`Ensemble`], [`Views`], [`OneView`], [`Tiles`], [`LargestComponent`], [`localization_map`] |
//! | predictors of checkpoints, and what is written down of them | [`PredictorParams`], [`PredictorRecord`] |
//! | how maps become masks | [`MaskRule`], [`Components`] |
//! | what they say of many images, of one | [`localization_maps`], [`class_logits`], [`map_of`], [`for_each_output`], [`picture`] |
//! | where the lesion of a photograph is, for people and as COCO JSON | [`Localization`], [`Coco`] |
//! | populations | [`PopulationPrediction`], [`consensus`], [`consensus_pair`] |
//! | what pruning without further training does | [`forgetting_curves`], [`forgetting_of`], [`CurveParams`], [`recalibrate`] |
//! | who is referred, and what that is worth | [`referral`] |
//! | the truth | [`with_masks`], [`stored_mask`], [`stored_masks`], [`judge_pseudo_masks`] |
//! | results | [`Evaluation`], [`summary`], [`Summary`] |
//! | predictors that learn nothing | [`evaluate_trivial`] |
//! | choosing by validation | [`Validator`] |
//! | what images look like | [`deep_features`], [`colour_features`] |
//!
//! A map with a NaN or an infinity in it is an error everywhere ([`InferenceError::NotFinite`]): a broken network must not pass
//! for one that found no lesion.
mod coco;
mod consensus;
mod contrast;
mod curve;
mod ensemble;
mod error;
mod evaluate;
mod features;
mod forwarding;
mod largest_component;
mod localization;
mod mask_rule;
mod params;
mod pixels;
mod population;
mod predict;
mod predictor;
mod pseudo;
mod recalibration;
pub mod referral;
mod summary;
mod tiles;
mod trivial;
mod truth;
mod validation;
mod views;
mod windows;

pub use coco::Coco;
pub use consensus::{consensus, consensus_pair};
pub use contrast::contrast_within;
pub use curve::{CurveParams, forgetting_curves, forgetting_of, recalibrate};
pub use ensemble::Ensemble;
pub use error::InferenceError;
pub use evaluate::Evaluation;
pub use features::{colour_features, deep_features};
pub use largest_component::LargestComponent;
pub use localization::Localization;
pub use mask_rule::{Components, MaskRule};
pub use params::{PredictorParams, PredictorRecord};
pub use pixels::picture;
pub use population::PopulationPrediction;
pub use predict::{class_logits, for_each_output, localization_maps, map_of};
pub use predictor::{NetworkPredictor, Predictor, localization_map};
pub use pseudo::judge_pseudo_masks;
pub use recalibration::recalibration_images;
pub use summary::{Summary, summary};
pub use tiles::{TileParams, Tiles};
pub use trivial::evaluate_trivial;
pub use truth::{stored_mask, stored_masks, with_masks};
pub use validation::Validator;
pub use views::{OneView, SquareView, ViewSet, Views};

/// The README's example, run as a test.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
struct Readme;
