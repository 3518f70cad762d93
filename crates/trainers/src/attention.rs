use std::collections::BTreeMap;

use htl_datasets::Sampler;
use htl_mining::{Outcome, ScoreTable, Selection, column, random_like};

use crate::{
    TrainError,
    config::{AttendedSet, Attention, AttentionForm, Suspects},
};

/// Attention per training sample, in the order of the samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SampleWeights {
    /// How often each is drawn, relative to the others; `None`: all alike.
    pub sampling: Option<Vec<f64>>,
    /// Factor of each sample's loss.
    pub loss: Vec<f32>,
}

impl SampleWeights {
    /// No attention.
    pub fn uniform(samples: usize) -> Self {
        Self {
            sampling: None,
            loss: vec![1.0; samples],
        }
    }

    /// The order in which samples are drawn.
    pub fn sampler(&self, seed: u64) -> Result<Sampler, TrainError> {
        Ok(match &self.sampling {
            Some(weights) => Sampler::weighted(weights, seed)?,
            None => Sampler::uniform(self.loss.len(), seed)?,
        })
    }

    /// The factors of these samples' losses as parts of 1: they keep their mean, so a batch without attended images has
    /// the ordinary loss.
    pub fn of_batch(&self, indices: &[usize]) -> Vec<f32> {
        let weights: Vec<f32> = indices.iter().map(|&i| self.loss[i]).collect();
        let total: f32 = weights.iter().sum();
        weights.iter().map(|w| w / total).collect()
    }

    /// Reads the score table that `attention` names; samples that it does not hold get weight 1.
    pub fn read(attention: Option<&Attention>, ids: &[&str], seed: u64) -> Result<Self, TrainError> {
        match attention {
            None => Ok(Self::uniform(ids.len())),
            Some(a) => Self::from_table(a, &ScoreTable::read(&a.scores)?, ids, seed),
        }
    }

    fn from_table(attention: &Attention, table: &ScoreTable, ids: &[&str], seed: u64) -> Result<Self, TrainError> {
        let weights = attended(attention, table, seed)?;
        if !ids.iter().any(|id| weights.contains_key(*id)) {
            return Err(TrainError::NobodyAttended {
                scores: attention.scores.clone(),
            });
        }
        let weights: Vec<f64> = ids.iter().map(|id| weights.get(*id).copied().unwrap_or(1.0)).collect();
        Ok(match attention.form {
            AttentionForm::Sampling => Self {
                sampling: Some(weights),
                loss: vec![1.0; ids.len()],
            },
            AttentionForm::Loss => Self {
                sampling: None,
                loss: weights.iter().map(|w| *w as f32).collect(),
            },
        })
    }
}

/// Weight per attended image.
fn attended(attention: &Attention, table: &ScoreTable, seed: u64) -> Result<BTreeMap<String, f64>, TrainError> {
    let kept = |id: &String| match attention.suspects {
        Suspects::Keep => true,
        Suspects::LeaveOut => table.score(id, column::SUSPECT_LABEL) != Some(1.0),
    };
    let ids: Vec<String> = table.selected().into_iter().filter(kept).collect();
    let htl = Selection {
        ids,
        outcome: Outcome::Random { seed },
    };
    let chosen = match attention.set {
        AttendedSet::Htl => htl,
        AttendedSet::Random => {
            let all: Vec<String> = table.ids().into_iter().filter(kept).collect();
            random_like(&htl, &all, seed)?
        }
    };
    Ok(chosen.ids.into_iter().map(|id| (id, attention.weight)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_mining::ScoreRow;

    fn table() -> ScoreTable {
        let mut table = ScoreTable::new([column::DISAGREEMENT, column::SUSPECT_LABEL]);
        for i in 0..20 {
            table
                .push(ScoreRow {
                    image_id: format!("i{i:02}"),
                    setting: String::new(),
                    fold: None,
                    scores: vec![Some(i as f64), Some(f64::from(i == 19))],
                    htl: i >= 15,
                })
                .unwrap();
        }
        table
    }

    fn attention(set: AttendedSet, suspects: Suspects) -> Attention {
        Attention {
            scores: "unused".into(),
            set,
            form: AttentionForm::Sampling,
            weight: 3.0,
            suspects,
        }
    }

    #[test]
    fn htl_is_the_tables_column() {
        let ids: Vec<String> = table().ids();
        let ids: Vec<&str> = ids.iter().map(String::as_str).chain(["elsewhere"]).collect();
        let a = attention(AttendedSet::Htl, Suspects::Keep);
        let weights = SampleWeights::from_table(&a, &table(), &ids, 0)
            .unwrap()
            .sampling
            .unwrap();
        assert_eq!(&weights[14..], [1.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0]);
    }

    #[test]
    fn the_random_set_is_as_large_and_differs_between_seeds() {
        let draw = |seed| attended(&attention(AttendedSet::Random, Suspects::Keep), &table(), seed).unwrap();
        assert_eq!(draw(0).len(), 5);
        assert_eq!(draw(0), draw(0));
        assert!((1..9).any(|seed| draw(seed) != draw(0)));
    }

    #[test]
    fn suspects_can_be_left_out_of_both_sets() {
        for set in [AttendedSet::Htl, AttendedSet::Random] {
            for seed in 0..20 {
                let chosen = attended(&attention(set, Suspects::LeaveOut), &table(), seed).unwrap();
                assert_eq!(chosen.len(), 4);
                assert!(!chosen.contains_key("i19"));
            }
        }
    }
}
