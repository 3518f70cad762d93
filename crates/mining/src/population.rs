use std::collections::{HashMap, HashSet};

use candle_core::{DType, Device, Tensor};
use htl_metrics::Mask;
use rayon::prelude::*;

use crate::error::{MiningError, Result};
use crate::map_kind::MapKind;
use crate::view::{View, consensus};

/// K independently seeded trainings of one configuration, each judging the same images.
///
/// Maps stay as K tensors; everything else is computed image by image, so memory does not grow beyond them.
///
/// # Shapes
/// K tensors `[images, height, width]`.
#[derive(Debug, Clone)]
pub struct Population {
    kind: MapKind,
    ids: Vec<String>,
    index: HashMap<String, usize>,
    maps: Vec<Tensor>,
    height: usize,
    width: usize,
}

impl Population {
    /// A population of lesion probability maps, one floating point tensor per seed.
    ///
    /// # Shapes
    /// - `maps[k]`: `[images, height, width]`, values in [0, 1]
    ///
    /// # Errors
    /// No tensor or no id, shapes that differ, ids that repeat, values outside [0, 1] or not a number.
    pub fn new(ids: Vec<String>, maps: Vec<Tensor>) -> Result<Self> {
        Self::of_kind(MapKind::Probability, ids, maps)
    }

    /// A population of class activation maps, as [`MapKind::ClassActivation`]: each map already scaled to [0, 1] by its
    /// own minimum and maximum, as [`htl_metrics::ScoreMap`] does.
    ///
    /// # Errors
    /// As [`Population::new`].
    pub fn class_activation(ids: Vec<String>, maps: Vec<Tensor>) -> Result<Self> {
        Self::of_kind(MapKind::ClassActivation, ids, maps)
    }

    /// A population of the given kind; see [`Population::new`].
    ///
    /// # Errors
    /// As [`Population::new`].
    pub fn of_kind(kind: MapKind, ids: Vec<String>, maps: Vec<Tensor>) -> Result<Self> {
        let mut converted = Vec::with_capacity(maps.len());
        for (seed, map) in maps.into_iter().enumerate() {
            if !map.dtype().is_float() {
                return Err(MiningError::MapType {
                    seed,
                    found: map.dtype().as_str().to_string(),
                });
            }
            converted.push(
                map.to_device(&Device::Cpu)?
                    .to_dtype(DType::F32)?
                    .contiguous()?
                    .detach(),
            );
        }
        let population = Self::assemble(kind, ids, converted)?;
        population.check_values()?;
        Ok(population)
    }

    /// Shapes and ids checked, values not.
    pub(crate) fn assemble(kind: MapKind, ids: Vec<String>, maps: Vec<Tensor>) -> Result<Self> {
        let Some(first) = maps.first().filter(|_| !ids.is_empty()) else {
            return Err(MiningError::EmptyPopulation {
                seeds: maps.len(),
                images: ids.len(),
            });
        };
        let [_, height, width] = *first.dims() else {
            return Err(MiningError::MapShape {
                seed: 0,
                found: first.dims().to_vec(),
                expected: vec![ids.len(), 0, 0],
            });
        };
        let expected = [ids.len(), height, width];
        for (seed, map) in maps.iter().enumerate() {
            if map.dims() != expected || height * width == 0 {
                return Err(MiningError::MapShape {
                    seed,
                    found: map.dims().to_vec(),
                    expected: expected.to_vec(),
                });
            }
        }
        let mut index = HashMap::with_capacity(ids.len());
        for (position, id) in ids.iter().enumerate() {
            if index.insert(id.clone(), position).is_some() {
                return Err(MiningError::DuplicateId {
                    image_id: id.clone(),
                    place: "the population".into(),
                });
            }
        }
        Ok(Self {
            kind,
            ids,
            index,
            maps,
            height,
            width,
        })
    }

    pub(crate) fn check_values(&self) -> Result<()> {
        (0..self.len()).into_par_iter().try_for_each(|i| {
            for seed in 0..self.seeds() {
                let plane = self.plane(seed, i)?;
                let expected = match self.kind {
                    MapKind::Probability => "a probability in [0, 1] (apply the sigmoid to logits)",
                    MapKind::ClassActivation => "a value in [0, 1] (scale each map by its own minimum and maximum)",
                };
                if let Some(&found) = plane.iter().find(|p| !(0.0..=1.0).contains(*p)) {
                    return Err(MiningError::MapValue {
                        image_id: self.ids[i].clone(),
                        seed,
                        found,
                        expected,
                    });
                }
            }
            Ok(())
        })
    }

    /// Image ids, in the order of the maps' first dimension.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no images: never, a population has at least one.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of seeds, K.
    pub fn seeds(&self) -> usize {
        self.maps.len()
    }

    /// Height and width of the maps, in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// What the numbers mean.
    pub fn kind(&self) -> MapKind {
        self.kind
    }

    /// Position of an image by id.
    pub fn position(&self, image_id: &str) -> Option<usize> {
        self.index.get(image_id).copied()
    }

    /// Maps of one seed as given (`F32`), or as read from a file of 8 bits (`U8`, value q / 255): `[images, height, width]`.
    pub fn map(&self, seed: usize) -> Option<&Tensor> {
        self.maps.get(seed)
    }

    /// One seed's plane of one image.
    pub(crate) fn plane(&self, seed: usize, image: usize) -> Result<Vec<f32>> {
        let flat = self.maps[seed].get(image)?.flatten_all()?;
        Ok(match flat.dtype() {
            DType::U8 => flat.to_vec1::<u8>()?.into_iter().map(dequantise).collect(),
            _ => flat.to_vec1::<f32>()?,
        })
    }

    /// The K maps of one image, row by row, in [0, 1].
    ///
    /// # Shapes
    /// - result: K planes of `height * width`
    ///
    /// # Errors
    /// [`MiningError::Candle`] if `image` is out of range.
    pub fn planes(&self, image: usize) -> Result<Vec<Vec<f32>>> {
        (0..self.seeds()).map(|seed| self.plane(seed, image)).collect()
    }

    /// [`Population::planes`] by id.
    ///
    /// # Errors
    /// [`MiningError::MissingId`].
    pub fn planes_of(&self, image_id: &str) -> Result<Vec<Vec<f32>>> {
        let position = self.position(image_id).ok_or_else(|| MiningError::MissingId {
            image_id: image_id.to_string(),
            place: "the population".into(),
        })?;
        self.planes(position)
    }

    /// Mean of the K maps of one image, `height * width`, in [0, 1].
    ///
    /// # Errors
    /// [`MiningError::Candle`] if `image` is out of range.
    pub fn consensus(&self, image: usize) -> Result<Vec<f32>> {
        Ok(consensus(&self.planes(image)?))
    }

    /// Modal mask of one image: pixel-wise majority of the K masks for odd K, the mask of the consensus for even K; maps
    /// are cut as [`MapKind::cut`] says.
    ///
    /// # Errors
    /// [`MiningError::Candle`] if `image` is out of range.
    pub fn modal_mask(&self, image: usize) -> Result<Mask> {
        Ok(View::new(self.planes(image)?, self.size(), self.kind.cut())?.modal)
    }

    /// The same images judged by some of the seeds, in the order given.
    ///
    /// # Errors
    /// [`MiningError::EmptyPopulation`] if `seeds` is empty, [`MiningError::Parameter`] if a seed does not exist.
    pub fn with_seeds(&self, seeds: &[usize]) -> Result<Self> {
        let maps = seeds
            .iter()
            .map(|&seed| {
                self.maps.get(seed).cloned().ok_or(MiningError::Parameter {
                    name: "seed",
                    expected: "a position among the population's seeds",
                    found: seed as f64,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(self.kind, self.ids.clone(), maps)
    }

    /// The first seed's maps beside masks: one for each image, in order, as the maps 0 and 1 of a second seed.
    ///
    /// # Errors
    /// Masks of another number or size: [`MiningError::MapShape`].
    pub fn beside(&self, masks: &[Mask]) -> Result<Self> {
        let expected = [self.len(), self.height, self.width];
        let first = masks.first().map_or((0, 0), |mask| (mask.height(), mask.width()));
        let other = |mask: &Mask| (mask.height(), mask.width()) != (self.height, self.width);
        if masks.len() != self.len() || masks.iter().any(other) {
            return Err(MiningError::MapShape {
                seed: 1,
                found: vec![masks.len(), first.0, first.1],
                expected: expected.to_vec(),
            });
        }
        let values: Vec<f32> = masks
            .iter()
            .flat_map(Mask::pixels)
            .map(|pixel| f32::from(*pixel))
            .collect();
        let maps = vec![self.maps[0].clone(), Tensor::from_vec(values, &expected, &Device::Cpu)?];
        Self::assemble(self.kind, self.ids.clone(), maps)
    }

    /// The images named, in the order given, judged by all seeds.
    ///
    /// # Errors
    /// [`MiningError::MissingId`] if an image is not in the population, and as [`Population::new`] on repeated ids.
    pub fn with_images(&self, ids: &[String]) -> Result<Self> {
        if ids == self.ids {
            return Ok(self.clone());
        }
        let positions = ids
            .iter()
            .map(|id| match self.position(id) {
                Some(position) => Ok(position as u32),
                None => Err(MiningError::MissingId {
                    image_id: id.clone(),
                    place: "the population".into(),
                }),
            })
            .collect::<Result<Vec<_>>>()?;
        if positions.is_empty() {
            return Err(MiningError::EmptyPopulation {
                seeds: self.seeds(),
                images: 0,
            });
        }
        let count = positions.len();
        let positions = Tensor::from_vec(positions, count, &Device::Cpu)?;
        let maps = self
            .maps
            .iter()
            .map(|map| Ok(map.index_select(&positions, 0)?))
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(self.kind, ids.to_vec(), maps)
    }

    /// One population of all seeds of all parts; images are matched by id and take the order of the first part.
    ///
    /// # Errors
    /// No part, parts of different kind or map size, and parts that do not hold the same images.
    pub fn merge(parts: impl IntoIterator<Item = Population>) -> Result<Self> {
        let mut parts = parts.into_iter();
        let Some(mut merged) = parts.next() else {
            return Err(MiningError::EmptyPopulation { seeds: 0, images: 0 });
        };
        for (part, other) in parts.enumerate() {
            let name = format!("part {}", part + 2);
            same_images(("part 1", &merged), (&name, &other))?;
            merged.maps.extend(other.with_images(&merged.ids)?.maps);
        }
        Ok(merged)
    }
}

/// Checks that two populations can be compared image by image: same kind, map size and set of ids.
pub(crate) fn same_images(left: (&str, &Population), right: (&str, &Population)) -> Result<()> {
    let different = |left_is: String, right_is: String| MiningError::Incomparable {
        left: left.0.to_string(),
        right: right.0.to_string(),
        left_is,
        right_is,
    };
    if left.1.kind != right.1.kind {
        return Err(different(
            format!("{:?} maps", left.1.kind),
            format!("{:?} maps", right.1.kind),
        ));
    }
    if left.1.size() != right.1.size() {
        let words = |(height, width)| format!("maps of {height} x {width}");
        return Err(different(words(left.1.size()), words(right.1.size())));
    }
    let known: HashSet<&String> = left.1.ids.iter().collect();
    if let Some(id) = left.1.ids.iter().find(|id| right.1.position(id).is_none()) {
        return Err(MiningError::MissingId {
            image_id: id.clone(),
            place: right.0.to_string(),
        });
    }
    match right.1.ids.iter().find(|id| !known.contains(id)) {
        Some(id) => Err(MiningError::MissingId {
            image_id: id.clone(),
            place: left.0.to_string(),
        }),
        None => Ok(()),
    }
}

/// Value of an eight-bit level.
fn dequantise(level: u8) -> f32 {
    f32::from(level) / 255.0
}
