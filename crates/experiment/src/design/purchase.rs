//! Labels that are bought: who judges the candidates, what they look like, what is chosen of them.

use htl_vocabulary::{Setting, file};

use super::builder::{Builder, Config, Curve, Images, Masks, SMALL};
use super::outline::SeedOutline;
use crate::plan::{HtlCall, Kind, Native, StageName, StageRef, Value};

/// How labels are bought.
pub(crate) struct Purchase {
    /// Scores of the images that may be.
    pub candidates: StageRef,
    /// The images that are labelled already.
    pub list: Value,
    /// How many are bought.
    pub budget: Value,
    /// How they are chosen, as `htl query` has it.
    pub strategy: String,
    /// The score that ranks; the usual one if left out.
    pub by: Option<String>,
    /// What the images look like, and how many clusters of that are bought from alike; none if left out.
    pub looks: Option<(StageRef, u32)>,
}

/// An arm whose seeds bought labels.
pub(crate) struct Bought {
    /// Trainings and tests.
    pub seeds: Vec<SeedOutline>,
    /// The lists of what each bought.
    pub lists: Vec<Value>,
}

/// Images that may be labelled, judged by networks that were trained on those that are.
#[derive(Debug, Clone)]
pub(crate) struct Candidates {
    /// The networks.
    pub dense: Vec<StageRef>,
    /// Their scores.
    pub scores: StageRef,
}

impl Builder<'_> {
    /// Scores of the images outside a list, by networks trained on the list: candidates for annotation.
    pub fn candidates(
        &mut self,
        prefix: &str,
        setting: &Setting,
        config: &Config,
        list: &Value,
        curve: Curve,
        seeds: u64,
    ) -> Candidates {
        let dense = self.train_seeds(&format!("{prefix}-dense"), config, seeds);
        // Chosen with the labels of the list alone: the others are not bought yet.
        let sparsity = self.sparsity(prefix, &dense[0], config);
        let population = self.population(prefix, dense.clone(), config, &sparsity);
        let images = Images::Candidates(list.clone());
        let name = format!("{prefix}/mine");
        let scores = self.mine(&name, setting, &population, images, Masks::Ignore, curve);
        Candidates { dense, scores }
    }

    /// What training images look like to a network, those of the list that it was trained on left out; without a network
    /// their colours.
    pub fn features(&mut self, name: &str, network: Option<(&StageRef, &Value)>) -> StageRef {
        let mut call = HtlCall::new("features").flag("--data", self.data.clone());
        if let Some((network, list)) = network {
            call = call
                .flag("--checkpoint", network.file(file::CHECKPOINT))
                .flag("--exclude", list.clone());
        }
        let call = call.flag("--out", Value::Own(file::FEATURES.into()));
        self.plan.call(name, Kind::Query, SMALL, call)
    }

    /// A list of images that stand for all others.
    pub fn representatives(&mut self, prefix: &str, features: &StageRef, count: usize) -> Value {
        let call = HtlCall::new("query")
            .arg("--representative")
            .flag("--features", features.file(file::FEATURES))
            .flag("--budget", count)
            .flag("--seed", self.first_seed)
            .flag("--out", Value::Own(file::LABELLED.into()));
        let list = self.plan.call(&format!("{prefix}/list"), Kind::Query, SMALL, call);
        list.file(file::LABELLED)
    }

    /// An arm whose seeds buy labels beside those of a list, and train on both.
    pub fn bought(&mut self, prefix: &str, series: &str, config: &Config, purchase: &Purchase, seeds: u64) -> Bought {
        let mut arm = Bought {
            seeds: Vec::new(),
            lists: Vec::new(),
        };
        for seed in self.first_seed..self.first_seed + seeds {
            let mut call = HtlCall::new("query")
                .flag("--scores", purchase.candidates.file(file::SCORES))
                .flag("--budget", purchase.budget.clone())
                .flag("--strategy", purchase.strategy.as_str())
                .flag("--seed", seed)
                .flag("--out", Value::Own(file::QUERY.into()));
            if let Some(by) = &purchase.by {
                call = call.flag("--by", by.as_str());
            }
            if let Some((features, clusters)) = &purchase.looks {
                call = call
                    .flag("--features", features.file(file::FEATURES))
                    .flag("--clusters", u64::from(*clusters));
            }
            let (series_name, name) = (format!("{prefix}/choose"), format!("{prefix}-{seed}/choose"));
            let stage = StageName {
                series: &series_name,
                name: &name,
            };
            let queried = self.plan.call(stage, Kind::Query, 5., call);
            let (series_name, name) = (format!("{prefix}/labels"), format!("{prefix}-{seed}/labels"));
            let stage = StageName {
                series: &series_name,
                name: &name,
            };
            let lists = vec![purchase.list.clone(), queried.file(file::QUERY)];
            let union = self.plan.native(stage, Native::Union { lists });
            let config = config.clone().with("labelled", union.file(file::LABELLED));
            let training = self.train(series, seed, &config);
            arm.seeds.push(self.evaluate(series, seed, &training, None));
            arm.lists.push(queried.file(file::QUERY));
        }
        arm
    }
}
