use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_datasets::{ImageSet, MaskUse, Sample};
use htl_mining::{CurveBuilder, Damage, ForgettingCurves, ScoreParams, ScoreValidParams};
use htl_models::{Checkpoint, Mode, Network, Preprocessing};
use htl_pruning::{Criterion, PruneParams, WeightSet};

use crate::predict::{class_logits, localization_maps, plain_batch};
use crate::{InferenceError, NetworkPredictor, Predictor};

/// Images per batch of re-estimated statistics.
const BATCH: usize = 64;

/// How forgetting curves are made.
#[derive(Debug, Clone, PartialEq)]
pub struct CurveParams {
    /// Which weights go first.
    pub criterion: &'static Criterion,
    /// Sparsities, ascending, in [0, 1).
    pub sparsities: Vec<f64>,
    /// What is done to the weights at each of them.
    pub damages: Vec<Damage>,
    /// Seed of random pruning and of noise.
    pub seed: u64,
}

impl Default for CurveParams {
    /// Global magnitude, 0 to .95 in steps of .05 (Holste et al. 2023), every damage, seed 0.
    fn default() -> Self {
        Self {
            criterion: Criterion::GLOBAL_MAGNITUDE,
            sparsities: (0..20).map(|step| f64::from(step) / 20.0).collect(),
            damages: Damage::ALL.to_vec(),
            seed: 0,
        }
    }
}

/// Forgetting curves: the networks of several checkpoints pruned in one shot at every sparsity, not trained
/// any further, and compared with themselves on `samples`.
///
/// Normalisation statistics are re-estimated on the images of `training`, whose masks are not read. `done` is called with
/// passes that are through and all passes. One network and one of its copies are in memory at a time.
///
/// # Errors
/// [`InferenceError::OtherArchitecture`] if the networks are not alike, [`InferenceError::NoTrainingImages`] without images to
/// estimate statistics on, and those of pruning, of predicting and of the grid.
pub fn forgetting_curves(
    paths: &[PathBuf],
    samples: &[&Sample],
    training: &[&Sample],
    params: &CurveParams,
    scoring: &ScoreValidParams,
    device: &Device,
    done: &mut dyn FnMut(usize, usize),
) -> Result<ForgettingCurves, InferenceError> {
    let total = paths.len() * params.sparsities.len() * params.damages.len();
    let mut passes = 0;
    let mut builder: Option<CurveBuilder> = None;
    let mut images: Option<(ImageSet, ImageSet)> = None;
    let mut first = None;
    for (seed, path) in paths.iter().enumerate() {
        let (checkpoint, network) = Checkpoint::load(path, device)?;
        let expected = first.get_or_insert_with(|| checkpoint.architecture.whole());
        if *expected != checkpoint.architecture.whole() {
            return Err(InferenceError::OtherArchitecture {
                path: path.clone(),
                expected: expected.to_string(),
                found: checkpoint.architecture.to_string(),
            });
        }
        let preprocessing = checkpoint.preprocessing;
        let size = preprocessing.size;
        let (images, training) = match &mut images {
            Some((loaded, training)) if loaded.size() == size => (&*loaded, &*training),
            slot => {
                if training.is_empty() {
                    return Err(InferenceError::NoTrainingImages);
                }
                let load = |samples: &[&Sample]| ImageSet::load(samples, size, MaskUse::Ignore);
                let (loaded, training) = slot.insert((load(samples)?, load(training)?));
                (&*loaded, &*training)
            }
        };
        let dense = NetworkPredictor::new(&network, preprocessing.clone(), device);
        let builder = match &mut builder {
            Some(builder) => builder,
            slot => {
                let ids = images.ids().into_iter().map(str::to_owned).collect();
                slot.insert(CurveBuilder::new(ids, dense.map_kind(), &params.sparsities, scoring)?)
            }
        };
        builder.seed(&localization_maps(&dense, images)?)?;
        if let Some(logits) = class_logits(&dense, images)? {
            builder.class_seed(&logits)?;
        }
        for (at, &sparsity) in params.sparsities.iter().enumerate() {
            for &damage in &params.damages {
                let copy = damaged(&network, params.criterion, damage, sparsity, params.seed + seed as u64)?;
                if damage.reestimates() {
                    recalibrate(&copy, training, &preprocessing, device)?;
                }
                let copy = NetworkPredictor::new(&copy, preprocessing.clone(), device);
                builder.add(damage, at, &localization_maps(&copy, images)?)?;
                if damage == Damage::Pruned
                    && let Some(logits) = class_logits(&copy, images)?
                {
                    builder.add_classes(at, &logits)?;
                }
                passes += 1;
                done(passes, total);
            }
        }
    }
    Ok(builder.ok_or(InferenceError::NoCheckpoints)?.finish()?)
}

/// How soon a network forgets each image: the mean of 1 - IoU with its own copies, pruned in one shot (global magnitude) to
/// these sparsities and not changed otherwise. One value in [0, 1] per image; `maps` are the network's own of the same images.
///
/// # Shapes
/// - `maps`: `[images, size, size]`, as [`localization_maps`] gives them
///
/// # Errors
/// Those of pruning, of predicting, and of sparsities that make no grid.
pub fn forgetting_of(
    network: &Network,
    maps: &Tensor,
    images: &ImageSet,
    preprocessing: &Preprocessing,
    sparsities: &[f64],
    device: &Device,
) -> Result<Vec<f64>, InferenceError> {
    let kind = NetworkPredictor::new(network, preprocessing.clone(), device).map_kind();
    let ids: Vec<String> = images.ids().into_iter().map(str::to_owned).collect();
    let scoring = ScoreParams::default().check()?;
    let mut builder = CurveBuilder::new(ids.clone(), kind, sparsities, &scoring)?;
    builder.seed(maps)?;
    for (at, &sparsity) in sparsities.iter().enumerate() {
        let copy = damaged(network, Criterion::GLOBAL_MAGNITUDE, Damage::PrunedRaw, sparsity, 0)?;
        let copy = NetworkPredictor::new(&copy, preprocessing.clone(), device);
        builder.add(Damage::PrunedRaw, at, &localization_maps(&copy, images)?)?;
    }
    let curves = builder.finish()?;
    let forgotten = |id: &String| {
        let kept = curves.of_image(id, Damage::PrunedRaw).unwrap_or_default();
        1.0 - kept.iter().sum::<f64>() / kept.len().max(1) as f64
    };
    Ok(ids.iter().map(forgotten).collect())
}

/// A copy of a network with its weights damaged as pruning to a sparsity would.
fn damaged(
    network: &Network,
    criterion: &'static Criterion,
    damage: Damage,
    sparsity: f64,
    seed: u64,
) -> Result<Network, InferenceError> {
    let copy = network.duplicate()?;
    let vars = copy.parameters().trainable();
    let weights = WeightSet::from_vars(vars);
    let masks = PruneParams::new(criterion)
        .sparsity(sparsity)
        .check()?
        .masks(&weights)?;
    match damage {
        Damage::Pruned | Damage::PrunedRaw => masks.apply(vars)?,
        Damage::RandomlyPruned | Damage::RandomlyPrunedRaw => {
            masks.random_of_equal_dose(&weights, seed)?.apply(vars)?
        }
        Damage::Noised | Damage::NoisedRaw => {
            for (name, noise) in masks.noise_of_equal_dose(&weights, seed)? {
                if let Some((_, var)) = vars.iter().find(|(known, _)| *known == name) {
                    var.set(&(var.as_detached_tensor() + noise)?)?;
                }
            }
        }
    }
    Ok(copy)
}

/// Estimates a network's normalisation statistics anew, as the mean over batches of images; nothing else of it changes.
///
/// # Errors
/// Those of the forward pass.
pub fn recalibrate(
    network: &Network,
    images: &ImageSet,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<(), InferenceError> {
    // Batches of nearly equal size: a small rest would count as much as the others.
    let batches = images.len().div_ceil(BATCH).max(1);
    for batch in 0..batches {
        let range = images.len() * batch / batches..images.len() * (batch + 1) / batches;
        if range.is_empty() {
            continue;
        }
        let pixels = plain_batch(images, range, preprocessing, device)?;
        let before = u32::try_from(batch).unwrap_or(u32::MAX);
        network.forward(&pixels, Mode::Recalibrate { before })?;
    }
    Ok(())
}
