use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Tensor};
use htl_metrics::Mask;
use rayon::prelude::*;

use crate::error::{MiningError, Result};
use crate::forgetting::{
    CLASS_SPARSITY, ClassCurves, Damage, EXEMPLAR_SPARSITIES, ForgettingCurves, Values, check_sparsities,
};
use crate::map_kind::MapKind;
use crate::overlap::{iou, largest_distance, outline_distance};
use crate::params::ScoreValidParams;

/// Makes [`ForgettingCurves`] seed by seed, sparsity by sparsity: maps are compared and let go, so that memory does not grow
/// with the grid.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use htl_mining::{CurveBuilder, Damage, MapKind, ScoreParams};
///
/// let params = ScoreParams::default().check()?;
/// let mut builder = CurveBuilder::new(vec!["a".into()], MapKind::Probability, &[0.0, 0.9], &params)?;
/// let dense = Tensor::new(&[[[0.9f32, 0.9]]], &Device::Cpu)?; // [images, height, width]
/// let pruned = Tensor::new(&[[[0.9f32, 0.1]]], &Device::Cpu)?;
/// builder.seed(&dense)?;
/// builder.add(Damage::Pruned, 0, &dense)?;
/// builder.add(Damage::Pruned, 1, &pruned)?;
/// let curves = builder.finish()?;
/// assert_eq!(curves.forgetting("a").and_then(|image| image.areas[0]), Some(0.25));
/// # Ok::<(), htl_mining::MiningError>(())
/// ```
#[derive(Debug)]
pub struct CurveBuilder<'a> {
    params: &'a ScoreValidParams,
    kind: MapKind,
    ids: Vec<String>,
    sparsities: Vec<f64>,
    size: (usize, usize),
    /// Of the current seed.
    dense: Vec<Mask>,
    seeds: usize,
    iou: BTreeMap<Damage, Values>,
    boundary: BTreeMap<Damage, Values>,
    dense_votes: Votes,
    votes: [Votes; 4],
    classes: Option<ClassCurves>,
}

/// What a modal mask is made of.
#[derive(Debug, Default)]
struct Votes {
    seeds: usize,
    sums: Vec<Vec<f64>>,
    counts: Vec<Vec<u16>>,
}

impl<'a> CurveBuilder<'a> {
    /// For these images and sparsities.
    ///
    /// # Errors
    /// As [`check_sparsities`]; [`MiningError::EmptyPopulation`] without an image; [`MiningError::DuplicateId`].
    pub fn new(ids: Vec<String>, kind: MapKind, sparsities: &[f64], params: &'a ScoreValidParams) -> Result<Self> {
        check_sparsities(sparsities)?;
        if ids.is_empty() {
            return Err(MiningError::EmptyPopulation { seeds: 0, images: 0 });
        }
        Ok(Self {
            params,
            kind,
            ids,
            sparsities: sparsities.to_vec(),
            size: (0, 0),
            dense: Vec::new(),
            seeds: 0,
            iou: BTreeMap::new(),
            boundary: BTreeMap::new(),
            dense_votes: Votes::default(),
            votes: Default::default(),
            classes: None,
        })
    }

    /// Begins with a further seed: its maps before any damage.
    ///
    /// # Shapes
    /// - `dense`: `[images, height, width]`, in [0, 1]
    ///
    /// # Errors
    /// [`MiningError::MapShape`] for another number of images or another size than before.
    pub fn seed(&mut self, dense: &Tensor) -> Result<()> {
        let planes = self.planes(dense)?;
        self.dense = self.masks(&planes)?;
        let masks = std::mem::take(&mut self.dense);
        self.dense_votes.add(&planes, &masks);
        self.dense = masks;
        self.seeds += 1;
        Ok(())
    }

    /// Adds the maps of the current seed's damaged copy; `at` is the position in the grid.
    ///
    /// # Shapes
    /// - `maps`: as in [`seed`](Self::seed)
    ///
    /// # Errors
    /// [`MiningError::MapShape`], [`MiningError::Parameter`] for a position that the grid does not have.
    pub fn add(&mut self, damage: Damage, at: usize, maps: &Tensor) -> Result<()> {
        let Some(&sparsity) = self.sparsities.get(at) else {
            return Err(MiningError::Parameter {
                name: "position in the grid of sparsities",
                expected: "one of the grid's",
                found: at as f64,
            });
        };
        let planes = self.planes(maps)?;
        let masks = self.masks(&planes)?;
        let (height, width) = self.size;
        let band = self.params.band * (height as f64).hypot(width as f64);
        let compared = self
            .dense
            .par_iter()
            .zip(&masks)
            .map(|(dense, damaged)| {
                if dense.area() == 0 && damaged.area() == 0 {
                    // Nothing found is nothing remembered.
                    return Ok((0.0, (largest_distance(height, width) / band) as f32));
                }
                let distance = outline_distance(dense, damaged) / band;
                Ok((iou(dense, damaged)? as f32, distance as f32))
            })
            .collect::<Result<Vec<(f32, f32)>>>()?;
        let (ious, distances): (Vec<f32>, Vec<f32>) = compared.into_iter().unzip();
        let seed = self.seeds.saturating_sub(1);
        for (values, found) in [(&mut self.iou, ious), (&mut self.boundary, distances)] {
            let values = values.entry(damage).or_default();
            values.resize_with(seed + 1, Vec::new);
            values[seed].push(found);
        }
        if damage == Damage::Pruned {
            let place = EXEMPLAR_SPARSITIES
                .iter()
                .position(|known| (known - sparsity).abs() < 1e-9);
            if let Some(place) = place {
                self.votes[place].add(&planes, &masks);
            }
        }
        Ok(())
    }

    /// Adds class logits of the current seed before any damage.
    ///
    /// # Shapes
    /// - `logits`: `[images, classes]`
    ///
    /// # Errors
    /// Those of candle.
    pub fn class_seed(&mut self, logits: &Tensor) -> Result<()> {
        let dense = probabilities(logits)?;
        let classes = self.classes.get_or_insert(ClassCurves {
            change: Vec::new(),
            dense: Vec::new(),
            pruned: Vec::new(),
        });
        classes.dense.push(dense);
        classes.change.push(Vec::new());
        Ok(())
    }

    /// Adds class logits of the current seed's pruned copy; `at` is the position in the grid.
    ///
    /// # Errors
    /// Those of candle.
    pub fn add_classes(&mut self, at: usize, logits: &Tensor) -> Result<()> {
        let found = probabilities(logits)?;
        let sparsity = self.sparsities.get(at).copied().unwrap_or_default();
        let Some(classes) = &mut self.classes else {
            return Ok(());
        };
        if let (Some(dense), Some(change)) = (classes.dense.last(), classes.change.last_mut()) {
            let difference =
                |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f32>() / 2.0;
            change.push(dense.iter().zip(&found).map(difference).collect());
        }
        if (sparsity - CLASS_SPARSITY).abs() < 1e-9 {
            classes.pruned.push(found);
        }
        Ok(())
    }

    /// The curves of everything added.
    ///
    /// # Errors
    /// [`MiningError::Length`] if a seed lacks a sparsity, [`MiningError::EmptyPopulation`] if there is no seed.
    pub fn finish(self) -> Result<ForgettingCurves> {
        if self.seeds == 0 || self.iou.is_empty() {
            return Err(MiningError::EmptyPopulation {
                seeds: self.seeds,
                images: self.ids.len(),
            });
        }
        for values in self.iou.values() {
            let short = values.iter().find(|seed| seed.len() != self.sparsities.len());
            if values.len() != self.seeds || short.is_some() {
                return Err(MiningError::Length {
                    what: "sparsities of a seed",
                    found: short.map_or(values.len(), Vec::len),
                    expected: self.sparsities.len(),
                });
            }
        }
        let cut = self.params.cut(self.kind);
        let dense = self.dense_votes.modal(self.size, cut)?;
        let exemplar = |votes: &Votes| -> Result<Option<Vec<bool>>> {
            if votes.seeds == 0 {
                return Ok(None);
            }
            let pruned = votes.modal(self.size, cut)?;
            let parts = dense
                .iter()
                .zip(&pruned)
                .map(|(a, b)| Ok(iou(a, b)? < self.params.pie_iou));
            parts.collect::<Result<Vec<bool>>>().map(Some)
        };
        let [a, b, c, d] = &self.votes;
        let exemplars = [exemplar(a)?, exemplar(b)?, exemplar(c)?, exemplar(d)?];
        let index: HashMap<String, usize> = self.ids.iter().cloned().zip(0..).collect();
        Ok(ForgettingCurves {
            ids: self.ids,
            index,
            sparsities: self.sparsities,
            iou: self.iou,
            boundary: self.boundary,
            exemplars,
            classes: self.classes,
        })
    }

    fn planes(&mut self, maps: &Tensor) -> Result<Vec<Vec<f32>>> {
        let dims = maps.dims();
        let known = self.seeds > 0;
        let fits = dims.len() == 3 && dims[0] == self.ids.len() && (!known || (dims[1], dims[2]) == self.size);
        if !fits {
            return Err(MiningError::MapShape {
                seed: self.seeds,
                found: dims.to_vec(),
                expected: vec![self.ids.len(), self.size.0, self.size.1],
            });
        }
        self.size = (dims[1], dims[2]);
        Ok(maps.flatten_from(1)?.to_dtype(DType::F32)?.to_vec2()?)
    }

    fn masks(&self, planes: &[Vec<f32>]) -> Result<Vec<Mask>> {
        let cut = self.params.cut(self.kind);
        let mask = |plane: &Vec<f32>| Ok(cut.mask(self.size.0, self.size.1, plane)?);
        planes.par_iter().map(mask).collect()
    }
}

impl Votes {
    fn add(&mut self, planes: &[Vec<f32>], masks: &[Mask]) {
        self.sums.resize_with(planes.len(), Vec::new);
        self.counts.resize_with(planes.len(), Vec::new);
        for (((sums, counts), plane), mask) in self.sums.iter_mut().zip(&mut self.counts).zip(planes).zip(masks) {
            sums.resize(plane.len(), 0.0);
            counts.resize(plane.len(), 0);
            for (((sum, count), value), inside) in sums.iter_mut().zip(counts).zip(plane).zip(mask.pixels()) {
                *sum += f64::from(*value);
                *count += u16::from(*inside);
            }
        }
        self.seeds += 1;
    }

    /// As [`crate::View`] has it: the majority for an odd number of seeds, the mask of the mean for an even one.
    fn modal(&self, (height, width): (usize, usize), cut: htl_metrics::MapCut) -> Result<Vec<Mask>> {
        let images = self.sums.iter().zip(&self.counts);
        images
            .map(|(sums, counts)| {
                if self.seeds.is_multiple_of(2) {
                    let mean: Vec<f32> = sums.iter().map(|sum| (sum / self.seeds as f64) as f32).collect();
                    return Ok(cut.mask(height, width, &mean)?);
                }
                let majority = |count: &u16| u8::from(2 * usize::from(*count) > self.seeds);
                Ok(Mask::new(height, width, counts.iter().map(majority).collect())?)
            })
            .collect()
    }
}

/// Class probabilities, `[image][class]`.
fn probabilities(logits: &Tensor) -> Result<Vec<Vec<f32>>> {
    let rows: Vec<Vec<f32>> = logits.to_dtype(DType::F32)?.to_vec2()?;
    let softmax = |row: Vec<f32>| {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exponentials: Vec<f32> = row.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f32 = exponentials.iter().sum();
        exponentials.into_iter().map(|value| value / sum).collect()
    };
    Ok(rows.into_iter().map(softmax).collect())
}
