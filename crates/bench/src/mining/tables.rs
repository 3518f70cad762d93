use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use candle_core::Device;
use htl_datasets::{Sample, Split, read_mask};
use htl_inference::{CurveParams, PopulationPrediction, contrast_within, forgetting_curves, stored_mask};
use htl_metrics::Mask;
use htl_mining::{
    Comparison, Damage, ForgettingCurves, Population, ScoreParams, ScoreTable, ScoreValidParams, TruthError, column,
    dynamics_scores, gradient_scores, scores,
};

use super::networks::Networks;
use super::scenario::Ground;
use super::settings::Settings;

/// What the networks of a scenario say of the images of one split.
pub struct Judged<'a> {
    samples: BTreeMap<&'a str, &'a Sample>,
    truth_masks: &'a BTreeMap<String, PathBuf>,
    networks: &'a Networks,
    split: Split,
    params: ScoreValidParams,
    dense: Population,
    sparse: Population,
    sham: Population,
    curves: &'a ForgettingCurves,
}

/// Forgetting curves of the images of these splits: together, so that every pruned network's statistics are re-estimated once.
pub fn curves(
    ground: &Ground,
    splits: &[Split],
    networks: &Networks,
    settings: &Settings,
    device: &Device,
) -> Result<ForgettingCurves> {
    let samples: Vec<&Sample> = splits.iter().flat_map(|split| ground.data.split(*split)).collect();
    let curve = CurveParams {
        sparsities: settings.sparsities.clone(),
        damages: Damage::ALL.to_vec(),
        ..CurveParams::default()
    };
    let training = ground.data.split(Split::Train);
    let (params, done) = (ScoreParams::default().check()?, &mut |_, _| {});
    Ok(forgetting_curves(
        &networks.dense,
        &samples,
        &training,
        &curve,
        &params,
        device,
        done,
    )?)
}

impl<'a> Judged<'a> {
    pub fn of(
        ground: &'a Ground,
        split: Split,
        networks: &'a Networks,
        curves: &'a ForgettingCurves,
        device: &Device,
    ) -> Result<Self> {
        let samples = ground.data.split(split);
        let params = ScoreParams::default().check()?;
        let maps = |paths: &[PathBuf]| -> Result<Population> {
            Ok(PopulationPrediction::of_checkpoints(paths, &samples, device, &mut |_| {})?.maps)
        };
        Ok(Self {
            dense: maps(&networks.dense)?,
            sparse: maps(&networks.sparse)?,
            sham: maps(&networks.sham)?,
            samples: samples
                .iter()
                .map(|sample| (sample.image_id.as_str(), *sample))
                .collect(),
            truth_masks: &ground.masks,
            networks,
            split,
            params,
            curves,
        })
    }

    /// Every score by some of the seeds. Label-based scores see the labels that are in the folder, right or wrong.
    pub fn table(&self, seeds: &[usize]) -> Result<ScoreTable> {
        let some = |population: &Population| population.with_seeds(seeds);
        let (dense, sparse, sham) = (some(&self.dense)?, some(&self.sparse)?, some(&self.sham)?);
        // Exemplars are of all seeds together.
        let curves = match seeds.len() == self.curves.seeds() {
            true => self.curves.clone(),
            false => self.curves.with_seeds(seeds)?,
        };
        let given = |id: &str| self.given_mask(id);
        let contrast = |id: &str, mask: &Mask| -> Result<Option<f64>, TruthError> {
            let measured = self.samples.get(id).map(|sample| contrast_within(sample, mask));
            Ok(measured.transpose()?.flatten())
        };
        let comparison = Comparison::new(&dense, &sparse)
            .with_sham(&sham)
            .with_curves(&curves)
            .with_truth(&given)
            .with_contrast(&contrast);
        let mut table = scores(&comparison, &self.params)?;
        if self.split == Split::Train {
            let chosen = seeds
                .iter()
                .filter_map(|&seed| self.networks.histories.get(seed).cloned());
            table.join(&dynamics_scores(&chosen.collect::<Vec<_>>())?, "")?;
            let chosen = seeds
                .iter()
                .filter_map(|&seed| self.networks.gradients.get(seed).cloned());
            table.join(&gradient_scores(dense.ids(), &chosen.collect::<Vec<_>>())?, "")?;
        }
        Ok(table)
    }

    /// Error of the dense consensus of some of the seeds against the true masks, in the order of the table's rows.
    pub fn true_error(&self, seeds: &[usize]) -> Result<Vec<Option<f64>>> {
        let dense = self.dense.with_seeds(seeds)?;
        let truth = |id: &str| match self.truth_masks.get(id) {
            Some(path) => read_true(path).map(Some),
            None => self.given_mask(id),
        };
        let comparison = Comparison::of_dense(&dense).with_truth(&truth);
        Ok(scores(&comparison, &self.params)?.column(column::DENSE_ERROR)?)
    }

    fn given_mask(&self, id: &str) -> Result<Option<Mask>, TruthError> {
        let with_mask = self.samples.get(id).filter(|sample| sample.mask.is_some());
        Ok(with_mask.map(|sample| stored_mask(sample)).transpose()?)
    }
}

fn read_true(path: &Path) -> Result<Mask, TruthError> {
    let mask = read_mask(path)?;
    let pixels = mask.as_raw().iter().map(|value| u8::from(*value > 128)).collect();
    Ok(Mask::new(mask.height() as usize, mask.width() as usize, pixels)?)
}
