use std::collections::BTreeMap;

use htl_vocabulary::campaign::{Arm, Role, SeedResult};
use htl_vocabulary::file;

use super::Query;
use super::arms::Wanted;
use super::keys::{OWN, dotted, with_defaults};
use super::scenario::PARITY;
use crate::design::builder::{Builder, Config, Curve, Images, Purchase};
use crate::design::lists::Lists;
use crate::design::{Labels, SeedOutline, SettingPlan};
use crate::plan::{Native, StageRef, Value};

/// The trainings of a scenario: those that are mined, planned when the first arm asks for their scores, and the arms'.
pub(super) struct Trainings<'a> {
    builder: Builder<'a>,
    row: &'a SettingPlan,
    prefix: &'a str,
    lists: &'a Lists,
    planted: Option<&'a StageRef>,
    seeds: u64,
    dense: Option<Vec<StageRef>>,
    mined: Option<StageRef>,
    /// By the size of the random list, the list and the scores of the images outside it.
    candidates: BTreeMap<usize, (Value, StageRef)>,
}

impl<'a> Trainings<'a> {
    pub fn new(
        builder: Builder<'a>,
        row: &'a SettingPlan,
        prefix: &'a str,
        lists: &'a Lists,
        planted: Option<&'a StageRef>,
        seeds: u64,
    ) -> Self {
        Self {
            builder,
            row,
            prefix,
            lists,
            planted,
            seeds,
            dense: None,
            mined: None,
            candidates: BTreeMap::new(),
        }
    }

    /// Plans an arm.
    pub fn arm(&mut self, wanted: &Wanted) -> Arm {
        let own = self.builder.config(&self.row.own, Some(self.lists));
        let config = self.configured(own.clone(), &wanted.change.train);
        let series = format!("{}/{}", self.prefix, wanted.name);
        let results = match &wanted.change.query {
            Some(query) => self.query(&series, &config, query),
            // The setting's own trainings may be those that are mined.
            None if config == own && own == self.mined_config() => {
                let dense = self.dense();
                self.builder.evaluate_seeds(&series, &dense, None)
            }
            None => self.builder.arm(&series, &config, self.seeds),
        };
        let result = |seed: &SeedOutline| SeedResult {
            seed: seed.seed,
            per_image: seed.test.relative(file::PER_IMAGE),
        };
        Arm {
            name: wanted.name.clone(),
            role: wanted.role,
            of: wanted.of.clone(),
            about: wanted.about.clone(),
            image_steps: config.images(),
            mined: wanted.mined() || (wanted.role != Role::Baseline && wanted.change.query.is_some()),
            seeds: results.iter().map(result).collect(),
        }
    }

    fn mined_config(&self) -> Config {
        self.builder.config(&self.row.mined, Some(self.lists))
    }

    /// The trainings that are mined.
    fn dense(&mut self) -> Vec<StageRef> {
        if self.dense.is_none() {
            let config = self.mined_config();
            let series = format!("{}/{}", self.prefix, self.row.mined_arm.key);
            self.dense = Some(self.builder.train_seeds(&series, &config, self.seeds));
        }
        self.dense.clone().unwrap_or_default()
    }

    /// Scores of the training images.
    fn mined(&mut self) -> StageRef {
        if let Some(mined) = &self.mined {
            return mined.clone();
        }
        let (dense, config) = (self.dense(), self.mined_config());
        let sparsity = self.builder.sparsity(self.prefix, &dense[0], &config);
        let population = self.builder.population(self.prefix, dense, &config, &sparsity);
        let (images, masks) = Images::mined(self.row.mining, self.lists);
        let name = format!("{}/mine", self.prefix);
        let setting = &self.row.setting;
        let mined = self
            .builder
            .mine(&name, setting, &population, images, masks, Curve::Alone);
        self.mined.insert(mined).clone()
    }

    /// A training with further keys.
    fn configured(&mut self, config: Config, train: &toml::Table) -> Config {
        // The file was checked.
        let keys = dotted(&with_defaults(train)).unwrap_or_default();
        keys.into_iter().fold(config, |config, (key, value)| {
            match (key.as_str(), self.meaning(value)) {
                (_, Value::Text(word)) if word == OWN => config,
                ("image_steps", Value::Integer(steps)) => config.image_steps(usize::try_from(steps).unwrap_or(0)),
                (key, value) => config.with(key, value),
            }
        })
    }

    fn meaning(&mut self, value: Value) -> Value {
        let Value::Text(text) = &value else { return value };
        match (text.as_str(), self.planted) {
            ("$scores", _) => self.mined().file(file::SCORES),
            ("$maps", _) => self.mined().file(file::MAPS),
            ("$planted", Some(planted)) => planted.file(file::SCORES),
            ("$parity", Some(planted)) => planted.number(PARITY, "parity"),
            _ => value,
        }
    }

    /// An arm that buys labels: networks trained on a random list judge the other images.
    fn query(&mut self, series: &str, config: &Config, query: &Query) -> Vec<SeedOutline> {
        let (start, budget) = (query.start.unwrap_or(1), query.budget.unwrap_or(1));
        let (list, candidates) = self.candidates(start);
        let purchase = Purchase {
            candidates,
            list,
            budget: budget.into(),
            strategy: query.strategy.clone().unwrap_or_else(|| "top-fifth".into()),
            by: query.by.clone(),
        };
        self.builder.bought(series, series, config, &purchase, self.seeds)
    }

    fn candidates(&mut self, start: usize) -> (Value, StageRef) {
        if let Some(found) = self.candidates.get(&start) {
            return found.clone();
        }
        let prefix = format!("{}/start-{start}", self.prefix);
        let native = Native::Start {
            data: self.builder.data.clone(),
            count: start,
            seed: self.builder.first_seed,
        };
        let list = self.builder.plan.native(&format!("{prefix}/list"), native);
        let list = list.file(file::LABELLED);
        let config = self.builder.config(&self.row.mined.labels(Labels::All), None);
        let config = config.with("labelled", list.clone());
        let setting = &self.row.setting;
        let candidates = self.builder.candidates(&prefix, setting, &config, &list, self.seeds);
        self.candidates.insert(start, (list.clone(), candidates.clone()));
        (list, candidates)
    }
}
