use std::path::PathBuf;

use candle_core::{Device, Tensor};
use htl_datasets::{ImageSet, MaskUse, Sample};
use htl_metrics::{Confusion, Mask};
use htl_mining::{Damage, ForgettingCurves, MapKind, MiningError, ScoreParams, View, entropy};
use htl_models::Architecture;
use rayon::prelude::*;

use super::judgement::{ImageJudgement, Jaccards, Judged, Judgement, MapFacts, NetworkJudgement};
use super::signal::{Signal, SignalNeed};
use crate::ensemble::mean;
use crate::mask_rule::{Components, MaskRule};
use crate::population::load_like;
use crate::truth::{mask_at_stored_size, stored_mask};
use crate::views::{OneView, SquareView, ViewSet};
use crate::{CurveParams, InferenceError, NetworkPredictor, Predictor, forgetting_curves, localization_maps};

/// The networks that judge images, as checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefereeNetworks {
    dense: Vec<PathBuf>,
    sparse: Vec<PathBuf>,
}

impl RefereeNetworks {
    /// Dense networks, and their pruned and fine-tuned copies in the same order, or none.
    ///
    /// # Errors
    /// [`InferenceError::NoCheckpoints`] without a dense network, [`InferenceError::SparseCount`] if there are some sparse ones,
    /// but not one for each.
    pub fn new(dense: Vec<PathBuf>, sparse: Vec<PathBuf>) -> Result<Self, InferenceError> {
        if dense.is_empty() {
            return Err(InferenceError::NoCheckpoints);
        }
        if !sparse.is_empty() && sparse.len() != dense.len() {
            return Err(InferenceError::SparseCount {
                dense: dense.len(),
                sparse: sparse.len(),
            });
        }
        Ok(Self { dense, sparse })
    }

    /// All checkpoints, dense ones first.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.dense.iter().chain(&self.sparse)
    }
}

/// What is looked at.
#[derive(Debug, Clone)]
pub struct JudgeParams {
    /// The signals that are to have values.
    pub signals: Vec<&'static Signal>,
    /// The predictor whose maps are needed.
    pub judged: Judged,
    /// Sparsities of pruned copies, ascending, in [0, 1).
    pub sparsities: Vec<f64>,
    /// Seed of weight noise.
    pub seed: u64,
    /// The views that are averaged, and compared with the image as it is.
    pub views: ViewSet,
    /// What is kept of the masks of networks, views and ensembles; pruned copies are compared with all of a mask.
    pub components: Components,
}

impl JudgeParams {
    fn damages(&self) -> Vec<Damage> {
        let wanted = |damage: &Damage| self.needs(SignalNeed::Copies(*damage));
        Damage::ALL.into_iter().filter(wanted).collect()
    }

    fn views(&self) -> &'static [SquareView] {
        match self.needs(SignalNeed::Views) || self.judged == Judged::Views {
            true => self.views.views().get(1..).unwrap_or_default(),
            false => &[],
        }
    }

    fn needs(&self, need: SignalNeed) -> bool {
        self.signals.iter().any(|signal| signal.needs.contains(&need))
    }
}

/// Maps `[images, height, width]` of every network.
struct Maps {
    kind: MapKind,
    rule: MaskRule,
    size: usize,
    dense: Vec<Tensor>,
    sparse: Vec<Tensor>,
    /// Means of all views; none where they are not looked at.
    viewed: Vec<Tensor>,
    /// Disagreement of a network with itself on the other views, by network and image.
    views: Vec<Vec<f64>>,
}

/// Lets networks judge images: maps, views, pruned copies, and the Jaccard of those that have a mask.
///
/// Normalisation statistics of pruned copies are re-estimated on the images of `training`, whose masks are not read. `done` is
/// called with the passes over all images that are through and all of them. One network and one copy are in memory at a
/// time, and the maps of all networks.
///
/// # Errors
/// [`InferenceError::OtherArchitecture`] if networks are not alike, [`InferenceError::NotFinite`] for a broken one,
/// [`InferenceError::NoTrainingImages`], [`InferenceError::Mining`] for a bad grid or no image, and from reading the files.
pub fn judge(
    networks: &RefereeNetworks,
    samples: &[&Sample],
    training: &[&Sample],
    params: &JudgeParams,
    device: &Device,
    done: &mut dyn FnMut(usize, usize),
) -> Result<Judgement, InferenceError> {
    if samples.is_empty() {
        return Err(MiningError::EmptyPopulation {
            seeds: networks.dense.len(),
            images: 0,
        }
        .into());
    }
    let damages = params.damages();
    let views = params.views();
    let predicted = networks.dense.len() * (1 + views.len()) + networks.sparse.len();
    let total = predicted + networks.dense.len() * damages.len() * params.sparsities.len();
    let mut passes = 0;
    let maps = Maps::predict(networks, samples, params, device, &mut || {
        passes += 1;
        done(passes, total);
    })?;
    let curves = if damages.is_empty() {
        Vec::new()
    } else {
        let curve = CurveParams {
            sparsities: params.sparsities.clone(),
            damages,
            seed: params.seed,
            ..CurveParams::default()
        };
        let scoring = ScoreParams::default().check()?;
        let mut count = |through, _| done(predicted + through, total);
        let all = forgetting_curves(&networks.dense, samples, training, &curve, &scoring, device, &mut count)?;
        (0..networks.dense.len())
            .map(|network| all.with_seeds(&[network]))
            .collect::<Result<_, _>>()?
    };
    let images = samples.par_iter().enumerate();
    Ok(Judgement {
        kind: maps.kind,
        pixels: maps.size * maps.size,
        networks: networks.dense.len(),
        sparsities: params.sparsities.len(),
        views: params.views.views().len(),
        images: images
            .map(|(at, sample)| maps.image(at, sample, &curves))
            .collect::<Result<_, _>>()?,
    })
}

impl Maps {
    fn predict(
        networks: &RefereeNetworks,
        samples: &[&Sample],
        params: &JudgeParams,
        device: &Device,
        through: &mut dyn FnMut(),
    ) -> Result<Self, InferenceError> {
        let views = params.views();
        let mut first: Option<Architecture> = None;
        let mut images: Option<ImageSet> = None;
        let mut maps = Self {
            kind: MapKind::Probability,
            rule: MapKind::Probability.cut().into(),
            size: 0,
            dense: Vec::new(),
            sparse: Vec::new(),
            viewed: Vec::new(),
            views: Vec::new(),
        };
        for (place, path) in networks.paths().enumerate() {
            let predictor = load_like(path, &mut first, device)?;
            let size = predictor.preprocessing().size;
            let images = match &mut images {
                Some(loaded) if loaded.size() == size => &*loaded,
                Some(loaded) => {
                    return Err(InferenceError::OtherSize {
                        path: path.clone(),
                        expected: loaded.size(),
                        found: size,
                    });
                }
                slot => slot.insert(ImageSet::load(samples, size, MaskUse::Ignore)?),
            };
            (maps.kind, maps.size) = (predictor.map_kind(), size);
            maps.rule = MaskRule {
                components: params.components,
                ..predictor.mask_rule()
            };
            let plain = localization_maps(&predictor, images)?;
            through();
            if place < networks.dense.len() {
                if !views.is_empty() {
                    maps.look_around(&predictor, images, &plain, views, through)?;
                }
                maps.dense.push(plain);
            } else {
                maps.sparse.push(plain);
            }
        }
        Ok(maps)
    }

    /// Adds a network's other views.
    fn look_around(
        &mut self,
        predictor: &NetworkPredictor,
        images: &ImageSet,
        plain: &Tensor,
        views: &[SquareView],
        through: &mut dyn FnMut(),
    ) -> Result<(), InferenceError> {
        let mut sums = vec![0.0; images.len()];
        let seen = views.iter().map(|view| {
            let seen = localization_maps(&OneView::new(predictor, *view), images)?;
            let distances = (0..images.len()).into_par_iter().map(|image| {
                let [a, b] = [plain, &seen].map(|maps| self.mask(&plane(maps, image)?));
                disagreement(&a?, &b?)
            });
            let distances: Vec<f64> = distances.collect::<Result<_, InferenceError>>()?;
            sums.iter_mut()
                .zip(distances)
                .for_each(|(sum, distance)| *sum += distance);
            through();
            Ok(seen)
        });
        let viewed = mean(std::iter::once(Ok(plain.clone())).chain(seen))?;
        self.viewed.push(viewed);
        let count = views.len() as f64;
        self.views.push(sums.into_iter().map(|sum| sum / count).collect());
        Ok(())
    }

    fn mask(&self, plane: &[f32]) -> Result<Mask, InferenceError> {
        Ok(self.rule.mask(self.size, self.size, plane)?)
    }

    fn view(&self, maps: &[&Tensor], image: usize) -> Result<View, InferenceError> {
        let planes = maps.iter().map(|maps| plane(maps, image));
        let planes = planes.collect::<Result<_, _>>()?;
        let mut view = View::new(planes, (self.size, self.size), self.rule.cut)?;
        let masks = view.masks.into_iter();
        view.masks = masks.map(|mask| self.rule.kept(mask)).collect();
        view.consensus_mask = self.rule.kept(view.consensus_mask);
        Ok(view)
    }

    fn facts(&self, plane: &[f32], mask: &Mask) -> MapFacts {
        MapFacts {
            entropy: (self.kind == MapKind::Probability).then(|| entropy(plane)),
            area: mask.area() as f64 / plane.len().max(1) as f64,
        }
    }

    /// Everything about one image.
    fn image(&self, at: usize, sample: &Sample, curves: &[ForgettingCurves]) -> Result<ImageJudgement, InferenceError> {
        let dense = self.view(&self.dense.iter().collect::<Vec<_>>(), at)?;
        let viewed = match self.viewed.is_empty() {
            true => None,
            false => Some(self.view(&self.viewed.iter().collect::<Vec<_>>(), at)?),
        };
        let sparse: Vec<Mask> = self
            .sparse
            .iter()
            .map(|maps| self.mask(&plane(maps, at)?))
            .collect::<Result<_, _>>()?;
        let mut networks = Vec::with_capacity(dense.masks.len());
        for (place, (own, map)) in dense.masks.iter().zip(&dense.planes).enumerate() {
            let with = |other: Option<&Mask>| other.map(|other| disagreement(own, other)).transpose();
            let next = match dense.masks.len() {
                0 | 1 => None,
                count => dense.masks.get((place + 1) % count),
            };
            let mean_view = viewed.as_ref().and_then(|viewed| {
                let (plane, mask) = (viewed.planes.get(place)?, viewed.masks.get(place)?);
                Some(self.facts(plane, mask))
            });
            networks.push(NetworkJudgement {
                map: self.facts(map, own),
                mean_view,
                views: self.views.get(place).and_then(|of| of.get(at)).copied(),
                sparse: with(sparse.get(place))?,
                second: with(next)?,
                copies: curves
                    .get(place)
                    .and_then(|curves| curves.forgetting(&sample.image_id))
                    .map_or([None; 6], |found| found.areas),
            });
        }
        Ok(ImageJudgement {
            image_id: sample.image_id.clone(),
            networks,
            spread: spread(&dense.masks)?,
            ensemble: self.facts(&dense.consensus, &dense.consensus_mask),
            jaccard: match sample.mask {
                Some(_) => Some(self.jaccards(at, &stored_mask(sample)?, &dense, viewed.as_ref())?),
                None => None,
            },
        })
    }

    fn jaccards(
        &self,
        at: usize,
        truth: &Mask,
        dense: &View,
        viewed: Option<&View>,
    ) -> Result<Jaccards, InferenceError> {
        let of = |map: &Vec<f32>| -> Result<f64, InferenceError> {
            let mask = mask_at_stored_size(map, self.size, truth, self.rule)?;
            Ok(Confusion::of(&mask, truth)?.jaccard())
        };
        let each = |view: &View| view.planes.iter().map(of).collect::<Result<Vec<f64>, _>>();
        let both = match self.sparse.is_empty() {
            true => None,
            false => Some(self.view(&self.dense.iter().chain(&self.sparse).collect::<Vec<_>>(), at)?),
        };
        Ok(Jaccards {
            networks: each(dense)?,
            views: viewed.map(each).transpose()?,
            ensemble: of(&dense.consensus)?,
            ensemble_views: viewed.map(|viewed| of(&viewed.consensus)).transpose()?,
            dense_and_sparse: both.map(|both| of(&both.consensus)).transpose()?,
        })
    }
}

/// The map of one image, row by row.
fn plane(maps: &Tensor, image: usize) -> Result<Vec<f32>, InferenceError> {
    Ok(maps.get(image)?.flatten_all()?.to_vec1()?)
}

/// 1 - IoU of two masks; 1 where both are empty: networks that find nothing are not sure of anything.
fn disagreement(a: &Mask, b: &Mask) -> Result<f64, InferenceError> {
    if a.area() == 0 && b.area() == 0 {
        return Ok(1.0);
    }
    Ok(1.0 - Confusion::of(a, b)?.jaccard())
}

/// Mean pairwise disagreement; `None` of a single mask.
fn spread(masks: &[Mask]) -> Result<Option<f64>, InferenceError> {
    let (mut sum, mut pairs) = (0.0, 0u32);
    for (place, a) in masks.iter().enumerate() {
        for b in masks.iter().take(place) {
            sum += disagreement(a, b)?;
            pairs += 1;
        }
    }
    Ok((pairs > 0).then(|| sum / f64::from(pairs)))
}
