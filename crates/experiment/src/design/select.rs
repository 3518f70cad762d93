use std::collections::BTreeSet;

use super::Experiment;
use super::outline::SettingOutline;
use crate::ExperimentError;
use crate::plan::StageRef;

/// A part of an experiment: chosen settings or stages, the first seeds of every arm.
///
/// The whole experiment is planned and then cut, so what remains has the same keys, and a later, larger run finds it done.
/// The trainings whose disagreement is mined stay whole: a smaller population would mine other images.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Settings, `cross-fit`, or beginnings of stages' names; everything if empty.
    pub only: Vec<String>,
    /// First seeds of every arm; all if `None`.
    pub seeds: Option<u64>,
}

/// The stages that find out who is hard.
pub const CROSS_FIT: &str = "cross-fit";

impl Selection {
    fn takes(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }

    /// Keeps what is selected and what that needs.
    ///
    /// # Errors
    /// [`ExperimentError::NoSuchPart`] when something selected does not exist; the message lists what does.
    pub fn cut(&self, mut experiment: Experiment) -> Result<Experiment, ExperimentError> {
        let outline = &mut experiment.outline;
        let settings: Vec<String> = outline.settings.keys().cloned().collect();
        let unwanted: BTreeSet<String> = outline
            .settings
            .values_mut()
            .flat_map(|setting| self.take_seeds_from(setting))
            .map(|stage| stage.name)
            .collect();

        let mut goals: BTreeSet<String> = BTreeSet::new();
        let mut add = |stage: &StageRef| {
            goals.insert(stage.name.clone());
        };
        for (name, setting) in &outline.settings {
            if self.takes(name) {
                setting.stages().for_each(&mut add);
            }
        }
        outline.trivial.values().for_each(&mut add);
        if self.takes(CROSS_FIT)
            && let Some(analysis) = &outline.analysis
        {
            analysis.stages().for_each(&mut add);
        }
        for only in &self.only {
            if only == CROSS_FIT || settings.contains(only) {
                continue;
            }
            let stages = experiment.plan.stages.iter();
            let found: Vec<&String> = stages
                .map(|stage| &stage.name)
                .filter(|name| name.starts_with(only.as_str()))
                .collect();
            if found.is_empty() {
                let example = experiment.plan.stages.first().map(|stage| stage.name.clone());
                return Err(ExperimentError::NoSuchPart {
                    only: only.clone(),
                    parts: settings.into_iter().chain([CROSS_FIT.to_owned()]).collect(),
                    example: example.unwrap_or_default(),
                });
            }
            goals.extend(found.into_iter().filter(|name| !unwanted.contains(*name)).cloned());
        }

        experiment.plan.keep(&goals);
        let kept: BTreeSet<&str> = experiment.plan.stages.iter().map(|stage| stage.name.as_str()).collect();
        let there = |stage: &StageRef| kept.contains(stage.name.as_str());
        outline.settings.retain(|_, setting| {
            setting.arms.retain(|_, seeds| {
                seeds.retain(|seed| there(&seed.training) && there(&seed.test));
                !seeds.is_empty()
            });
            // Results can do without it.
            setting.performance = setting.performance.take().filter(|stage| there(stage));
            let arms = &setting.arms;
            let both = |pair: &[String; 2]| pair.iter().all(|arm| arms.contains_key(arm));
            setting.compare.retain(both);
            !arms.is_empty() && setting.stages().all(there)
        });
        if !outline
            .analysis
            .as_ref()
            .is_some_and(|analysis| analysis.stages().all(there))
        {
            outline.analysis = None;
        }
        Ok(experiment)
    }

    /// Takes the seeds that are not wanted from the arms and gives the stages that are then of no use.
    fn take_seeds_from(&self, setting: &mut SettingOutline) -> Vec<StageRef> {
        let Some(count) = self.seeds else { return Vec::new() };
        let mut taken = Vec::new();
        for seeds in setting.arms.values_mut() {
            let (kept, out): (Vec<_>, Vec<_>) = seeds.drain(..).partition(|seed| seed.seed < count);
            *seeds = kept;
            taken.extend(out.into_iter().flat_map(|seed| [seed.training, seed.test]));
        }
        // It compares all seeds of the arms.
        if !taken.is_empty() {
            taken.extend(setting.performance.take());
        }
        taken
    }
}
