use std::collections::HashMap;

use crate::error::{MiningError, Result};
use crate::forgetting::ForgettingCurves;
use crate::score::{CLASS_COLUMNS, ClassContext, Input, SCORES};
use crate::table::{ScoreRow, ScoreTable};

/// Class predictions of K seeds for the same images, for the classifiers of the weakly-supervised setting.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassPopulation {
    ids: Vec<String>,
    index: HashMap<String, usize>,
    predictions: Vec<Vec<u32>>,
}

impl ClassPopulation {
    /// Predictions, one list of class ids per seed, each in the order of `ids`.
    ///
    /// # Errors
    /// No seed or image, lists of another length, ids that repeat.
    pub fn new(ids: Vec<String>, predictions: Vec<Vec<u32>>) -> Result<Self> {
        if ids.is_empty() || predictions.is_empty() {
            return Err(MiningError::EmptyPopulation {
                seeds: predictions.len(),
                images: ids.len(),
            });
        }
        if let Some(wrong) = predictions.iter().find(|list| list.len() != ids.len()) {
            return Err(MiningError::Length {
                what: "class predictions",
                found: wrong.len(),
                expected: ids.len(),
            });
        }
        let mut index = HashMap::new();
        for (position, id) in ids.iter().enumerate() {
            if index.insert(id.clone(), position).is_some() {
                return Err(MiningError::DuplicateId {
                    image_id: id.clone(),
                    place: "the class population".into(),
                });
            }
        }
        Ok(Self {
            ids,
            index,
            predictions,
        })
    }

    /// Image ids.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// The same images judged by some of the seeds, in the order given.
    ///
    /// # Errors
    /// [`MiningError::Parameter`] if a seed does not exist, and as [`ClassPopulation::new`].
    pub fn with_seeds(&self, seeds: &[usize]) -> Result<Self> {
        let predictions = seeds.iter().map(|&seed| {
            self.predictions.get(seed).cloned().ok_or(MiningError::Parameter {
                name: "seed",
                expected: "a position among the population's seeds",
                found: seed as f64,
            })
        });
        Self::new(self.ids.clone(), predictions.collect::<Result<_>>()?)
    }

    fn votes(&self, image_id: &str, place: &str) -> Result<Vec<u32>> {
        match self.index.get(image_id) {
            Some(&i) => Ok(self.predictions.iter().map(|list| list[i]).collect()),
            None => Err(MiningError::MissingId {
                image_id: image_id.to_string(),
                place: place.to_string(),
            }),
        }
    }
}

/// The most frequent class; ties go to the larger class id (Hooker et al. 2019). `None` without votes.
pub fn modal_class(votes: &[u32]) -> Option<u32> {
    let count = |class: u32| votes.iter().filter(|&&vote| vote == class).count();
    votes.iter().copied().max_by_key(|&class| (count(class), class))
}

/// Half the sum of absolute differences of two vote shares.
pub(crate) fn vote_distance(a: &[u32], b: &[u32]) -> f64 {
    let mut classes: Vec<u32> = a.iter().chain(b).copied().collect();
    classes.sort_unstable();
    classes.dedup();
    let share = |votes: &[u32], class| votes.iter().filter(|&&vote| vote == class).count() as f64 / votes.len() as f64;
    classes
        .iter()
        .map(|&class| (share(a, class) - share(b, class)).abs())
        .sum::<f64>()
        / 2.0
}

/// Scores of the predicted classes: [`CLASS_COLUMNS`], rows in the order of the dense population.
/// [`ScoreTable::join`] puts them beside the map scores.
///
/// # Errors
/// [`MiningError::MissingId`] if the populations do not hold the same images.
pub fn class_scores(
    dense: &ClassPopulation,
    sparse: Option<&ClassPopulation>,
    sham: Option<&ClassPopulation>,
    curves: Option<&ForgettingCurves>,
) -> Result<ScoreTable> {
    let others = [sparse, sham];
    for id in others.iter().flatten().flat_map(|other| &other.ids) {
        dense.votes(id, "the dense class population")?;
    }
    let mut table = ScoreTable::new(CLASS_COLUMNS);
    for id in &dense.ids {
        let context = ClassContext {
            dense: dense.votes(id, "the dense class population")?,
            sparse: sparse
                .map(|sparse| sparse.votes(id, "the sparse class population"))
                .transpose()?,
            sham: sham
                .map(|sham| sham.votes(id, "the sham class population"))
                .transpose()?,
            forgetting: curves.and_then(|curves| curves.class_forgetting(id)),
        };
        let scores = SCORES.iter().filter(|score| score.input() == Input::Classes);
        table.push(ScoreRow {
            image_id: id.clone(),
            setting: String::new(),
            fold: None,
            scores: scores.map(|score| score.of_classes(&context)).collect(),
            htl: false,
        })?;
    }
    Ok(table)
}
