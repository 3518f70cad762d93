use std::collections::{BTreeMap, BTreeSet};

use htl_vocabulary::file;
use htl_vocabulary::results::{Contrast, Dataset};
use htl_vocabulary::run_file::{Analysis, ArmSeed, Referral, Results, RunFile, Setting};

use crate::plan::StageRef;

/// What an experiment will have made, by stages: `run.json` before its files are named.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// The profile's name.
    pub profile: String,
    /// Kind of device that networks run on.
    pub device: String,
    /// The data folder as `run.json` names it.
    pub data: String,
    /// The data folder as it was asked for; `None` for the one that comes with the program.
    pub data_given: Option<String>,
    /// Further options as they were given.
    pub options_given: Vec<String>,
    /// Name and size of the data.
    pub dataset: Dataset,
    /// By setting.
    pub settings: BTreeMap<String, SettingOutline>,
    /// The comparison of each setting that the profile declares.
    pub primary: BTreeMap<String, Contrast>,
    /// By predictor that learns nothing.
    pub trivial: BTreeMap<String, StageRef>,
    /// Who is hard to learn, where that was asked.
    pub analysis: Option<AnalysisOutline>,
}

/// A setting.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingOutline {
    /// By arm.
    pub arms: BTreeMap<String, Vec<SeedOutline>>,
    /// Pairs (arm, against which arm) whose paired gains are reported.
    pub compare: Vec<[String; 2]>,
    /// The arm whose networks are mined.
    pub mined_arm: String,
    /// Scores of the training images.
    pub mined: StageRef,
    /// Scores of the test images.
    pub test_mined: StageRef,
    /// The choice of the sparsity.
    pub sparsity: StageRef,
    /// Quality by group of the arms' tests; `None` where only some of their seeds are run.
    pub performance: Option<StageRef>,
    /// Whom the mined networks would refer; `None` of settings without masks.
    pub referral: Option<StageRef>,
}

/// One training of an arm and its test.
#[derive(Debug, Clone, PartialEq)]
pub struct SeedOutline {
    /// Its seed.
    pub seed: u64,
    /// The training.
    pub training: StageRef,
    /// Its test.
    pub test: StageRef,
}

/// The out-of-fold analysis.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisOutline {
    /// Scores of each fold.
    pub mined: Vec<StageRef>,
    /// Seeds of each fold.
    pub seeds: u64,
    /// The folds' scores, one after another.
    pub scores: StageRef,
    /// Rates by group.
    pub rates: StageRef,
}

impl SettingOutline {
    /// Every stage that the setting's results are read from.
    pub(super) fn stages(&self) -> impl Iterator<Item = &StageRef> {
        let seeds = self.arms.values().flatten();
        seeds
            .flat_map(|seed| [&seed.training, &seed.test])
            .chain([&self.mined, &self.test_mined, &self.sparsity])
            .chain(&self.performance)
            .chain(&self.referral)
    }

    fn run_file(&self) -> Setting {
        let seed = |seed: &SeedOutline| ArmSeed {
            seed: seed.seed,
            folder: seed.training.folder.clone(),
            per_image: seed.test.relative(file::PER_IMAGE),
            summary: seed.test.relative(file::SUMMARY),
            history: Some(seed.training.relative(file::HISTORY)),
        };
        let arms = self.arms.iter();
        Setting {
            arms: arms
                .map(|(arm, seeds)| (arm.clone(), seeds.iter().map(seed).collect()))
                .collect(),
            compare: self.compare.clone(),
            mined_arm: Some(self.mined_arm.clone()),
            scores: self.mined.relative(file::SCORES),
            sparsity: self.sparsity.relative(file::SPARSITY),
            maps: self.mined.relative(file::MAPS),
            test_scores: self.test_mined.relative(file::SCORES),
            test_maps: Some(self.test_mined.relative(file::MAPS)),
            selection: Some(self.mined.relative(file::SELECTION)),
            performance: self.performance.as_ref().map(|stage| stage.relative(file::PERFORMANCE)),
            referral: self.referral.as_ref().map(|stage| Referral {
                signals: stage.relative(file::REFERRAL),
                ensembles: stage.relative(file::ENSEMBLES),
            }),
        }
    }
}

impl AnalysisOutline {
    /// Every stage that the analysis is read from.
    pub(super) fn stages(&self) -> impl Iterator<Item = &StageRef> {
        self.mined.iter().chain([&self.scores, &self.rates])
    }
}

impl Outline {
    /// Whether nothing of it can be reported.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.analysis.is_none()
    }

    /// `run.json`.
    pub fn run_file(&self) -> RunFile {
        let trivial = |(name, stage): (&String, &StageRef)| {
            let results = Results {
                per_image: stage.relative(file::PER_IMAGE),
                summary: stage.relative(file::SUMMARY),
            };
            (name.clone(), results)
        };
        let mined = || self.analysis.iter().flat_map(|analysis| &analysis.mined);
        let seeds = |analysis: &AnalysisOutline| analysis.seeds;
        let halved = mined().filter(|_| self.analysis.as_ref().map_or(0, seeds) > 1);
        RunFile {
            profile: self.profile.clone(),
            device: self.device.clone(),
            data: self.data.clone(),
            data_given: self.data_given.clone(),
            options_given: self.options_given.clone(),
            dataset: self.dataset.clone(),
            settings: self
                .settings
                .iter()
                .map(|(name, setting)| (name.clone(), setting.run_file()))
                .collect(),
            primary: self.primary.clone(),
            trivial: self.trivial.iter().map(trivial).collect(),
            analysis: Analysis {
                scores: format!("{}/{}", file::HTL_FOLDER, file::SCORES),
                demographics: file::DEMOGRAPHICS.into(),
                demographics_boundary: self.analysis.as_ref().map(|_| file::DEMOGRAPHICS_BOUNDARY.into()),
                omnibus: self.analysis_table(file::OMNIBUS),
                regression: self.analysis_table(file::REGRESSION),
                regression_tests: self.analysis_table(file::REGRESSION_TESTS),
                suspect_labels: self.analysis_table(file::SUSPECT_LABELS),
                forgetting: self.analysis_table(file::FORGETTING),
                reliability: halved.map(|stage| stage.relative(file::RELIABILITY)).collect(),
                maps: mined().map(|stage| stage.relative(file::MAPS)).collect(),
            },
        }
    }

    /// A table of the out-of-fold analysis.
    fn analysis_table(&self, name: &str) -> Option<String> {
        self.analysis.as_ref().map(|analysis| analysis.rates.relative(name))
    }

    /// Files to copy beside `run.json`: (from, to), relative to the output folder.
    pub fn copies(&self) -> Vec<(String, String)> {
        let settings = self.settings.iter();
        let mut copies: Vec<(String, String)> = settings
            .map(|(name, setting)| {
                let to = format!("{}/{name}.csv", file::HTL_FOLDER);
                (setting.mined.relative(file::SCORES), to)
            })
            .collect();
        if let Some(analysis) = &self.analysis {
            let tables = [file::DEMOGRAPHICS, file::DEMOGRAPHICS_BOUNDARY];
            copies.extend(tables.map(|table| (analysis.rates.relative(table), table.into())));
        }
        copies
    }

    /// The score tables whose rows, one after another, are the run's own: the folds' first, then those of the settings in
    /// the order in which they are read.
    pub fn score_tables(&self) -> Vec<String> {
        let mut settings: Vec<(&String, &SettingOutline)> = self.settings.iter().collect();
        settings.sort_by_key(|(name, _)| htl_vocabulary::setting::position(name));
        let folds = self.analysis.iter().map(|analysis| &analysis.scores);
        folds
            .chain(settings.into_iter().map(|(_, setting)| &setting.mined))
            .map(|stage| stage.relative(file::SCORES))
            .collect()
    }

    /// Seeds of each setting that are reported.
    pub fn seeds(&self) -> BTreeMap<String, BTreeSet<u64>> {
        let of = |setting: &SettingOutline| setting.arms.values().flatten().map(|seed| seed.seed).collect();
        let settings = self.settings.iter();
        settings.map(|(name, setting)| (name.clone(), of(setting))).collect()
    }
}
