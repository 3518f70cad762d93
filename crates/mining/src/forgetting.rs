//! What networks forget when weights are taken away and nothing is learned again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use htl_vocabulary::write_whole_with;

use crate::correlate::spearman;
use crate::curve_table::CURVE_COLUMNS;
use crate::error::{MiningError, Result};

/// What is done to the weights of a dense network, which is not trained any further: three ways of taking the same amount away,
/// each followed by re-estimating the normalisation statistics on training images, or not ("raw").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Damage {
    /// Pruned by magnitude; statistics re-estimated.
    Pruned,
    /// Pruned by magnitude and left so.
    PrunedRaw,
    /// As large a part of the sum of squares taken away at random, layer by layer; statistics re-estimated.
    RandomlyPruned,
    /// The same, and left so.
    RandomlyPrunedRaw,
    /// Gaussian noise as large as what pruning takes away, layer by layer; statistics re-estimated.
    Noised,
    /// The same, and left so.
    NoisedRaw,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pruned,
        Self::PrunedRaw,
        Self::RandomlyPruned,
        Self::RandomlyPrunedRaw,
        Self::Noised,
        Self::NoisedRaw,
    ];

    /// Name in `curve.csv`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Pruned => "pruned",
            Self::PrunedRaw => "pruned-raw",
            Self::RandomlyPruned => "randomly-pruned",
            Self::RandomlyPrunedRaw => "randomly-pruned-raw",
            Self::Noised => "noised",
            Self::NoisedRaw => "noised-raw",
        }
    }

    /// Whether normalisation statistics are re-estimated after it.
    pub fn reestimates(self) -> bool {
        matches!(self, Self::Pruned | Self::RandomlyPruned | Self::Noised)
    }
}

/// Sparsities at which pruning-identified exemplars are told.
pub const EXEMPLAR_SPARSITIES: [f64; 4] = [0.3, 0.5, 0.7, 0.9];

/// The sparsity at which the order of classes is compared (Holste et al. 2023).
pub const CLASS_SPARSITY: f64 = 0.9;

/// What becomes of one image along the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forgetting {
    /// 1 - the normalised area under IoU(dense, pruned) over sparsity, mean over seeds, by damage in the order of [`Damage::ALL`]; in [0, 1].
    pub areas: [Option<f64>; 6],
    /// Area under the distance of outlines of dense and pruned masks, by damage, in units of [`crate::ScoreParams::band`].
    pub boundaries: [Option<f64>; 6],
    /// The sparsity at which the IoU falls under one half, mean over seeds; 1 where it never does.
    pub lost_at: Option<f64>,
    /// Whether the modal masks of dense and pruned networks part, at [`EXEMPLAR_SPARSITIES`].
    pub exemplar: [Option<bool>; 4],
}

/// What becomes of the predicted classes of one image along the curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassForgetting {
    /// Half the sum of absolute differences of the class probabilities, mean over sparsities and seeds; in [0, 1].
    pub change: f64,
    /// 1 - Spearman's correlation, across classes, of the mean probabilities before pruning and at [`CLASS_SPARSITY`]; `None`
    /// where the grid has no such sparsity.
    pub order_lost: Option<f64>,
}

/// One measure of one damage: `[seed][sparsity][image]`.
pub(crate) type Values = Vec<Vec<Vec<f32>>>;

/// Agreement of dense networks with their damaged copies, image by image, along a grid of sparsities.
#[derive(Debug, Clone, PartialEq)]
pub struct ForgettingCurves {
    pub(crate) ids: Vec<String>,
    pub(crate) index: HashMap<String, usize>,
    pub(crate) sparsities: Vec<f64>,
    pub(crate) iou: BTreeMap<Damage, Values>,
    pub(crate) boundary: BTreeMap<Damage, Values>,
    /// By position in [`EXEMPLAR_SPARSITIES`], of all seeds together.
    pub(crate) exemplars: [Option<Vec<bool>>; 4],
    pub(crate) classes: Option<ClassCurves>,
}

/// The same of class probabilities.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClassCurves {
    /// Half the sum of absolute differences.
    pub change: Values,
    /// Probabilities before pruning, `[seed][image][class]`.
    pub dense: Values,
    /// Probabilities at [`CLASS_SPARSITY`]; empty where the grid has no such sparsity.
    pub pruned: Values,
}

impl ForgettingCurves {
    /// Image ids.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The grid, ascending.
    pub fn sparsities(&self) -> &[f64] {
        &self.sparsities
    }

    /// Number of seeds.
    pub fn seeds(&self) -> usize {
        self.iou.values().next().map_or(0, Vec::len)
    }

    /// Mean over seeds of the IoU of the dense mask with that of the damaged copy, along the grid; `None` if this damage was
    /// not looked at or the image is not known.
    pub fn of_image(&self, image_id: &str, damage: Damage) -> Option<Vec<f64>> {
        let image = *self.index.get(image_id)?;
        let values = self.iou.get(&damage)?;
        let mean = |at: usize| mean(values.iter().map(|seed| f64::from(seed[at][image])));
        Some((0..self.sparsities.len()).map(mean).collect())
    }

    /// Mean over seeds of the common part of the class probabilities before and after pruning, along the grid; `None` if the
    /// networks tell no classes apart or the image is not known.
    pub fn classes_of_image(&self, image_id: &str) -> Option<Vec<f64>> {
        let image = *self.index.get(image_id)?;
        let change = &self.classes.as_ref()?.change;
        let kept = |at: usize| mean(change.iter().map(|seed| 1.0 - f64::from(seed[at][image])));
        let complete = change.iter().all(|seed| seed.len() == self.sparsities.len());
        complete.then(|| (0..self.sparsities.len()).map(kept).collect())
    }

    /// What becomes of one image; `None` if it is not known.
    pub fn forgetting(&self, image_id: &str) -> Option<Forgetting> {
        let image = *self.index.get(image_id)?;
        let areas = |of: &BTreeMap<Damage, Values>, turn: fn(f64) -> f64| {
            Damage::ALL.map(|damage| {
                let values = of.get(&damage)?;
                Some(turn(mean(
                    values.iter().map(|seed| area(&self.sparsities, &along(seed, image))),
                )))
            })
        };
        let lost_at = self
            .iou
            .get(&Damage::Pruned)
            .map(|values| mean(values.iter().map(|seed| lost_at(&self.sparsities, &along(seed, image)))));
        Some(Forgetting {
            areas: areas(&self.iou, |area| 1.0 - area),
            boundaries: areas(&self.boundary, |area| area),
            lost_at,
            exemplar: std::array::from_fn(|at| Some(self.exemplars[at].as_ref()?[image])),
        })
    }

    /// What becomes of the classes of one image; `None` if the networks tell none apart or the image is not known.
    pub fn class_forgetting(&self, image_id: &str) -> Option<ClassForgetting> {
        let image = *self.index.get(image_id)?;
        let classes = self.classes.as_ref()?;
        let change = mean(
            classes
                .change
                .iter()
                .map(|seed| area(&self.sparsities, &along(seed, image))),
        );
        let probabilities = |of: &Values| -> Vec<Option<f64>> {
            let count = of.first().map_or(0, |seed| seed[image].len());
            (0..count)
                .map(|class| Some(mean(of.iter().map(|seed| f64::from(seed[image][class])))))
                .collect()
        };
        let order = spearman(&probabilities(&classes.dense), &probabilities(&classes.pruned));
        Some(ClassForgetting {
            change,
            order_lost: order.ok().flatten().map(|correlation| 1.0 - correlation.rho),
        })
    }

    /// The same images judged by some of the seeds. Exemplars are of all seeds together and are left out.
    ///
    /// # Errors
    /// [`MiningError::Parameter`] if a seed does not exist.
    pub fn with_seeds(&self, seeds: &[usize]) -> Result<Self> {
        if let Some(&missing) = seeds.iter().find(|&&seed| seed >= self.seeds()) {
            return Err(MiningError::Parameter {
                name: "seed",
                expected: "a position among the seeds of the curves",
                found: missing as f64,
            });
        }
        let of = |values: &Values| -> Values {
            if values.is_empty() {
                return Vec::new();
            }
            seeds.iter().map(|&seed| values[seed].clone()).collect()
        };
        let all = |of_damage: &BTreeMap<Damage, Values>| of_damage.iter().map(|(damage, v)| (*damage, of(v))).collect();
        Ok(Self {
            ids: self.ids.clone(),
            index: self.index.clone(),
            sparsities: self.sparsities.clone(),
            iou: all(&self.iou),
            boundary: all(&self.boundary),
            exemplars: [const { None }; 4],
            classes: self.classes.as_ref().map(|classes| ClassCurves {
                change: of(&classes.change),
                dense: of(&classes.dense),
                pruned: of(&classes.pruned),
            }),
        })
    }

    /// Writes `curve.csv`, which [`crate::CurveTable`] reads: `image_id`, `damage`, `measure`, and the agreement at every
    /// sparsity (mean over seeds). A row per image and damage with the IoU of the masks (`iou`); where networks tell classes
    /// apart, also one with the common part of the class probabilities, one less half the sum of absolute differences
    /// (`classes`). Written whole or not at all.
    ///
    /// # Errors
    /// [`MiningError::Write`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let written = write_whole_with(path.as_ref(), |file| {
            let mut writer = csv::Writer::from_writer(file);
            let sparsities = self.sparsities.iter().map(f64::to_string);
            let columns = CURVE_COLUMNS.map(String::from);
            writer.write_record(columns.into_iter().chain(sparsities))?;
            for id in &self.ids {
                for damage in Damage::ALL {
                    let Some(curve) = self.of_image(id, damage) else {
                        continue;
                    };
                    let values = curve.iter().map(|value| format!("{value:.5}"));
                    let keys = [id.clone(), damage.key().into(), "iou".into()];
                    writer.write_record(keys.into_iter().chain(values))?;
                }
                if let Some(curve) = self.classes_of_image(id) {
                    let values = curve.iter().map(|value| format!("{value:.5}"));
                    let keys = [id.clone(), Damage::Pruned.key().into(), "classes".into()];
                    writer.write_record(keys.into_iter().chain(values))?;
                }
            }
            writer.flush()
        });
        written.map_err(MiningError::Write)
    }
}

/// Checks a grid of sparsities: ascending, in [0, 1), at least one.
///
/// # Errors
/// [`MiningError::Parameter`].
pub fn check_sparsities(sparsities: &[f64]) -> Result<()> {
    let wrong = |expected, found| {
        Err(MiningError::Parameter {
            name: "sparsities",
            expected,
            found,
        })
    };
    if sparsities.is_empty() {
        return wrong("a list of at least one", 0.0);
    }
    if let Some(&found) = sparsities.iter().find(|s| !(0.0..1.0).contains(*s)) {
        return wrong("in [0, 1)", found);
    }
    match sparsities.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => wrong("ascending", pair[1]),
        None => Ok(()),
    }
}

fn along(seed: &[Vec<f32>], image: usize) -> Vec<f64> {
    seed.iter().map(|at| f64::from(at[image])).collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    sum / count.max(1) as f64
}

/// Area under a curve by trapezoids, over the width of the grid; the value itself where the grid is one point.
fn area(x: &[f64], y: &[f64]) -> f64 {
    let (Some(first), Some(last)) = (x.first(), x.last()) else {
        return 0.0;
    };
    if last <= first {
        return y.first().copied().unwrap_or_default();
    }
    let pieces = x.windows(2).zip(y.windows(2));
    pieces.map(|(x, y)| (x[1] - x[0]) * (y[0] + y[1]) / 2.0).sum::<f64>() / (last - first)
}

/// Where the IoU first falls under one half, by a straight line between the points of the grid; 1 if it does not.
fn lost_at(sparsities: &[f64], iou: &[f64]) -> f64 {
    let Some(at) = iou.iter().position(|iou| *iou < 0.5) else {
        return 1.0;
    };
    let Some(before) = at.checked_sub(1) else {
        return sparsities[0];
    };
    let share = (iou[before] - 0.5) / (iou[before] - iou[at]);
    sparsities[before] + share * (sparsities[at] - sparsities[before])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_and_losses_of_simple_curves() {
        let grid = [0.0, 0.5, 0.9];
        assert_eq!(area(&grid, &[1.0, 1.0, 1.0]), 1.0);
        assert!((area(&grid, &[1.0, 0.0, 0.0]) - 0.25 / 0.9).abs() < 1e-12);
        assert_eq!(area(&[0.9], &[0.25]), 0.25);
        assert_eq!(lost_at(&grid, &[1.0, 1.0, 0.6]), 1.0);
        assert!((lost_at(&grid, &[1.0, 0.75, 0.25]) - 0.7).abs() < 1e-12);
        assert_eq!(lost_at(&[0.3, 0.5], &[0.1, 0.0]), 0.3);
    }

    #[test]
    fn grids_are_checked() {
        assert!(check_sparsities(&[0.0, 0.5, 0.95]).is_ok());
        for wrong in [&[][..], &[0.5, 0.5], &[0.5, 1.0], &[-0.1]] {
            assert!(check_sparsities(wrong).is_err(), "{wrong:?}");
        }
    }
}
