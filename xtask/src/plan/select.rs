//! A part of an experiment: chosen settings or stages, the first seeds of every arm.
//!
//! The whole experiment is planned and then cut, so what remains has the same keys and a later, larger run finds it done.
//! The trainings whose disagreement is mined stay whole: a smaller population would mine other images.

use super::Experiment;
use crate::run_file::Setting;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};

/// What of an experiment to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Settings, `cross-fit`, or beginnings of stages' names; everything if empty.
    pub only: Vec<String>,
    /// First seeds of every arm; all if `None`.
    pub seeds: Option<u64>,
}

/// The stages that find out who is hard.
const CROSS_FIT: &str = "cross-fit";

impl Selection {
    fn takes(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// Leaves of the experiment what is selected and what that needs.
    ///
    /// # Errors
    /// When something selected does not exist; the message lists what does.
    pub fn cut(&self, mut experiment: Experiment) -> Result<Experiment> {
        let indices: BTreeMap<String, usize> = experiment
            .plan
            .stages
            .iter()
            .enumerate()
            .map(|(index, stage)| (stage.folder.clone(), index))
            .collect();
        let index = |path: &str| {
            let mut parts = path.splitn(3, '/');
            let folder = format!("{}/{}", parts.next()?, parts.next()?);
            indices.get(&folder).copied()
        };
        let beyond: BTreeSet<usize> = experiment
            .run_file
            .settings
            .values_mut()
            .flat_map(|setting| self.beyond(setting))
            .filter_map(|path| index(&path))
            .collect();

        let mut goals = BTreeSet::new();
        for (name, setting) in &experiment.run_file.settings {
            if self.takes(name) {
                goals.extend(files(setting).filter_map(index));
            }
        }
        for results in experiment.run_file.trivial.values() {
            goals.extend(index(&results.per_image));
        }
        if self.takes(CROSS_FIT) {
            let found = experiment.analysis_files.iter();
            goals.extend(found.filter_map(|path| index(path)));
        }
        for only in &self.only {
            let whole = only == CROSS_FIT || experiment.run_file.settings.contains_key(only);
            let named = experiment.plan.stages.iter().enumerate();
            let found: Vec<usize> = named
                .filter(|(_, stage)| !whole && stage.name.starts_with(only.as_str()))
                .map(|(index, _)| index)
                .collect();
            if found.is_empty() && !whole {
                let settings: Vec<&str> = experiment.run_file.settings.keys().map(String::as_str).collect();
                bail!(
                    "--only {only}: there is no such part; there are {}, {CROSS_FIT} and beginnings of stages' names such \
                     as {}",
                    settings.join(", "),
                    experiment.plan.stages[0].name
                );
            }
            goals.extend(found.into_iter().filter(|index| !beyond.contains(index)));
        }

        let kept = experiment.plan.keep(&goals);
        let there = |path: &str| index(path).is_none_or(|index| kept.contains(&index));
        experiment.run_file.settings.retain(|_, setting| {
            setting.arms.retain(|_, seeds| {
                seeds.retain(|seed| there(&seed.folder) && there(&seed.per_image));
                !seeds.is_empty()
            });
            let arms = &setting.arms;
            setting
                .compare
                .retain(|pair| pair.iter().all(|arm| arms.contains_key(arm)));
            let whole = [&setting.scores, &setting.sparsity, &setting.test_scores];
            !arms.is_empty() && whole.into_iter().all(|path| there(path))
        });
        experiment.run_file.analysis.maps.retain(|path| there(path));
        experiment.copies.retain(|(from, _)| there(from));
        experiment.long.retain(|path| there(path));
        Ok(experiment)
    }

    /// Takes the seeds that are not wanted from the arms and gives the files that are then of no use.
    fn beyond(&self, setting: &mut Setting) -> Vec<String> {
        let Some(count) = self.seeds else { return Vec::new() };
        let mut left = Vec::new();
        for seeds in setting.arms.values_mut() {
            let (kept, out): (Vec<_>, Vec<_>) = seeds.drain(..).partition(|seed| seed.seed < count);
            *seeds = kept;
            left.extend(out.into_iter().flat_map(|seed| [seed.folder, seed.per_image]));
        }
        left
    }
}

/// Everything a setting's results are read from.
fn files(setting: &Setting) -> impl Iterator<Item = &str> {
    let seeds = setting.arms.values().flatten();
    seeds
        .flat_map(|seed| [&seed.folder, &seed.per_image])
        .chain([&setting.scores, &setting.sparsity, &setting.maps, &setting.test_scores])
        .map(String::as_str)
}
