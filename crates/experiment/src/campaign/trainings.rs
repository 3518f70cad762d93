use std::collections::BTreeMap;

use htl_vocabulary::campaign::{Arm, Role, SeedResult};
use htl_vocabulary::file;

use super::Query;
use super::arms::Wanted;
use super::keys::{OWN, dotted, with_defaults};
use super::scenario::PARITY;
use crate::design::builder::{Builder, Config, Curve, Images};
use crate::design::lists::Lists;
use crate::design::purchase::{Bought, Candidates, Purchase};
use crate::design::{Labels, SeedOutline, SettingPlan, Training, setting_plan};
use crate::plan::{Native, StageName, StageRef, Value};

/// The trainings of a scenario: those that are mined, planned when the first arm asks for their scores, and the arms'.
pub(super) struct Trainings<'a> {
    builder: Builder<'a>,
    row: &'a SettingPlan,
    prefix: &'a str,
    lists: &'a Lists,
    planted: Option<&'a StageRef>,
    curve: Curve,
    seeds: u64,
    dense: Option<Vec<StageRef>>,
    mined: Option<StageRef>,
    /// What is wrong with the masks that were mined.
    truth: Option<StageRef>,
    /// By the first list, networks that were trained on it.
    begun: BTreeMap<Start, Begun>,
    /// What images look like before there is a network.
    colours: Option<StageRef>,
}

impl<'a> Trainings<'a> {
    pub fn new(
        builder: Builder<'a>,
        row: &'a SettingPlan,
        prefix: &'a str,
        lists: &'a Lists,
        planted: Option<&'a StageRef>,
        curve: Curve,
        seeds: u64,
    ) -> Self {
        Self {
            builder,
            row,
            prefix,
            lists,
            planted,
            curve,
            seeds,
            dense: None,
            mined: None,
            truth: None,
            begun: BTreeMap::new(),
            colours: None,
        }
    }

    /// Plans an arm.
    pub fn arm(&mut self, wanted: &Wanted) -> Arm {
        let own = self.builder.config(&self.own(&wanted.change.train), Some(self.lists));
        let config = self.configured(own.clone(), &wanted.change.train);
        let series = format!("{}/{}", self.prefix, wanted.name);
        let mut bought = Vec::new();
        let results = match &wanted.change.query {
            Some(query) => {
                let arm = self.query(&series, &config, query);
                bought = self.annotations(&series, &arm.lists);
                arm.seeds
            }
            // The setting's own trainings may be those that are mined.
            None if config == own && own == self.mined_config() => {
                let dense = self.dense();
                self.builder.evaluate_seeds(&series, &dense, None)
            }
            None => self.builder.arm(&series, &config, self.seeds),
        };
        let result = |(at, seed): (usize, &SeedOutline)| SeedResult {
            seed: seed.seed,
            per_image: seed.test.relative(file::PER_IMAGE),
            annotation: bought.get(at).cloned(),
        };
        Arm {
            name: wanted.name.clone(),
            role: wanted.role,
            of: wanted.of.clone(),
            about: wanted.about.clone(),
            image_steps: config.images(),
            mined: wanted.mined() || (wanted.role != Role::Baseline && wanted.change.query.is_some()),
            seeds: results.iter().enumerate().map(result).collect(),
        }
    }

    /// What an arm is a change of: the setting's own training, or, if it names another setting, that one's with all labels.
    fn own(&self, train: &toml::Table) -> Training {
        let named = train.get("setting").and_then(toml::Value::as_str);
        let other = named.filter(|named| *named != self.row.setting.key);
        match other.and_then(setting_plan) {
            Some(row) => row.own.labels(Labels::All),
            None => self.row.own,
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
            .mine(&name, setting, &population, images, masks, self.curve);
        self.mined.insert(mined).clone()
    }

    /// What is wrong with the masks that were mined.
    fn truth(&mut self) -> StageRef {
        if let Some(truth) = &self.truth {
            return truth.clone();
        }
        let mined = self.mined();
        let truth = self.builder.truth(self.prefix, &mined);
        self.truth.insert(truth).clone()
    }

    /// A training with further keys.
    fn configured(&mut self, config: Config, train: &toml::Table) -> Config {
        // The file was checked.
        let keys = dotted(&with_defaults(train)).unwrap_or_default();
        keys.into_iter().fold(config, |config, (key, value)| {
            match (key.as_str(), self.meaning(value)) {
                (key, Value::Text(word)) if word == OWN => config.without(key),
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
            ("$true-scores", _) => self.truth().file(file::SCORES),
            ("$true-maps", _) => self.truth().file(file::MAPS),
            ("$planted", Some(planted)) => planted.file(file::SCORES),
            ("$parity", Some(planted)) => planted.number(PARITY, "parity"),
            _ => value,
        }
    }

    /// An arm that buys labels: networks trained on a first list judge the other images.
    fn query(&mut self, series: &str, config: &Config, query: &Query) -> Bought {
        let start = Start {
            count: query.start.unwrap_or(1),
            representative: query.representative.unwrap_or(false),
        };
        let begun = self.begin(start);
        let looks = query.clusters.map(|clusters| {
            let features = self.features(start, &begun);
            (features, clusters)
        });
        let purchase = Purchase {
            candidates: begun.candidates.scores,
            list: begun.list,
            budget: query.budget.unwrap_or(1).into(),
            strategy: query.strategy.clone().unwrap_or_else(|| "top-fifth".into()),
            by: query.by.clone(),
            looks,
        };
        self.builder.bought(series, series, config, &purchase, self.seeds)
    }

    /// What it takes to annotate what was bought, list by list.
    fn annotations(&mut self, series: &str, lists: &[Value]) -> Vec<String> {
        let seeds = self.builder.first_seed..;
        let planned = seeds.zip(lists).map(|(seed, list)| {
            let native = Native::Annotation {
                data: self.builder.data.clone(),
                list: list.clone(),
            };
            let (series, name) = (format!("{series}/annotation"), format!("{series}-{seed}/annotation"));
            let stage = StageName {
                series: &series,
                name: &name,
            };
            self.builder.plan.native(stage, native).relative(file::ANNOTATION)
        });
        planned.collect()
    }

    /// Trains on a first list, and scores the images outside it.
    fn begin(&mut self, start: Start) -> Begun {
        if let Some(begun) = self.begun.get(&start) {
            return begun.clone();
        }
        let prefix = self.of_start(start);
        let list = match start.representative {
            false => {
                let native = Native::Start {
                    data: self.builder.data.clone(),
                    count: start.count,
                    seed: self.builder.first_seed,
                };
                let list = self.builder.plan.native(&format!("{prefix}/list"), native);
                list.file(file::LABELLED)
            }
            true => {
                let colours = self.colours();
                self.builder.representatives(&prefix, &colours, start.count)
            }
        };
        let config = self.builder.config(&self.row.mined.labels(Labels::All), None);
        let config = config.with("labelled", list.clone());
        let candidates = self
            .builder
            .candidates(&prefix, &self.row.setting, &config, &list, self.curve, self.seeds);
        let begun = Begun {
            list,
            candidates,
            features: None,
        };
        self.begun.insert(start, begun.clone());
        begun
    }

    fn colours(&mut self) -> StageRef {
        if let Some(colours) = &self.colours {
            return colours.clone();
        }
        let colours = self.builder.features(&format!("{}/colours", self.prefix), None);
        self.colours.insert(colours).clone()
    }

    /// What the images outside the first list look like to a network that was trained on it.
    fn features(&mut self, start: Start, begun: &Begun) -> StageRef {
        if let Some(features) = &begun.features {
            return features.clone();
        }
        let name = format!("{}/features", self.of_start(start));
        let network = &begun.candidates.dense[0];
        let features = self.builder.features(&name, Some((network, &begun.list)));
        if let Some(begun) = self.begun.get_mut(&start) {
            begun.features = Some(features.clone());
        }
        features
    }

    fn of_start(&self, start: Start) -> String {
        let kind = if start.representative {
            "representative"
        } else {
            "start"
        };
        format!("{}/{kind}-{}", self.prefix, start.count)
    }
}

/// The labels that a purchase begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Start {
    count: usize,
    representative: bool,
}

/// What was made of them.
#[derive(Clone)]
struct Begun {
    list: Value,
    candidates: Candidates,
    features: Option<StageRef>,
}
