use std::collections::BTreeMap;

use super::builder::{Builder, Curve, Images, Masks};
use super::lists::Lists;
use super::outline::{AnalysisOutline, SeedOutline, SettingOutline};
use super::purchase::Purchase;
use super::setting_plan::{Mining, Networks, SettingPlan};
use crate::plan::{HtlCall, Kind, Native, StageRef, Value};
use htl_vocabulary::arm::{BASELINE, HTL, RANDOM};
use htl_vocabulary::{file, setting};

/// Lays out a setting: trainings, sparsity, pruned copies and sham, mining, arms, tests.
pub(super) fn setting(row: &SettingPlan, builder: &mut Builder, lists: &Lists) -> SettingOutline {
    let key = row.setting.key;
    let seeds = (row.seeds)(builder.profile);
    let config = builder.config(&row.mined, Some(lists));
    let dense = builder.train_seeds(&format!("{key}/{}", row.mined_arm.key), &config, seeds);
    let sparsity = builder.sparsity(key, &dense[0], &config);
    let population = builder.population(key, dense, &config, &sparsity);
    let (images, masks) = Images::mined(row.mining, lists);
    let mined = builder.mine(
        &format!("{key}/mine"),
        &row.setting,
        &population,
        images,
        masks,
        Curve::Alone,
    );
    let name = format!("{key}/mine-test");
    let test_mined = builder.mine(
        &name,
        &row.setting,
        &population,
        Images::Test,
        Masks::Ignore,
        Curve::Alone,
    );

    let own = builder.config(&row.own, Some(lists));
    let mut arms = BTreeMap::new();
    for plan in row.arms {
        let series = format!("{key}/{}", plan.arm.key);
        let results = match plan.networks {
            Networks::Dense => builder.evaluate_seeds(&series, &population.dense, None),
            Networks::Pruned => builder.evaluate_seeds(&format!("{key}/sparse"), &population.sparse, None),
            Networks::Sham => builder.evaluate_seeds(&format!("{key}/sham"), &population.sham, None),
            Networks::Threshold(name) => builder.evaluate_seeds(&series, &population.dense, Some(name)),
            Networks::Trained(training) => {
                let config = builder.config(&training, Some(lists));
                builder.arm(&series, &config, seeds)
            }
            // Its score is not defined.
            Networks::Attending(attending) if seeds < attending.least_seeds => continue,
            Networks::Attending(attending) => {
                let config = builder.attending(&own, &mined, &attending);
                builder.arm(&series, &config, seeds)
            }
            Networks::NextCycle(cycle) => {
                let config = builder.next_cycle(key, &own, &mined, cycle);
                builder.arm(&series, &config, seeds)
            }
            Networks::Query(training) => {
                let (prefix, list) = (format!("{key}/query"), lists.first_half());
                let config = builder.config(&training, Some(lists));
                let purchase = Purchase {
                    candidates: builder
                        .candidates(&prefix, &row.setting, &config, &list, Curve::Alone, seeds)
                        .scores,
                    list,
                    budget: lists.second_half_size(),
                    strategy: "top-fifth".into(),
                    by: None,
                    looks: None,
                };
                builder.bought(&prefix, &series, &config, &purchase, seeds).seeds
            }
        };
        arms.insert(plan.arm.key.to_owned(), results);
    }
    let referral = match row.mining {
        Mining::WithMasks => Some(builder.refer(key, &population)),
        Mining::LabelFree | Mining::Unlabelled => None,
    };
    let performance = performance(builder, key, &arms);
    let compare = row.compare.iter();
    SettingOutline {
        arms,
        compare: compare.map(|pair| pair.map(|arm| arm.key.to_owned())).collect(),
        mined_arm: row.mined_arm.key.to_owned(),
        mined,
        test_mined,
        sparsity,
        performance,
        referral,
    }
}

/// Quality by group of the baseline and of what attends, seed by seed; `None` without a baseline.
fn performance(builder: &mut Builder, key: &str, arms: &BTreeMap<String, Vec<SeedOutline>>) -> Option<StageRef> {
    let baseline = arms.get(BASELINE.key)?;
    let mut tables: Vec<Value> = Vec::new();
    for arm in [BASELINE, HTL, RANDOM] {
        let seeds = arms.get(arm.key).filter(|seeds| seeds.len() == baseline.len());
        let Some(seeds) = seeds.filter(|seeds| !seeds.is_empty()) else {
            continue;
        };
        tables.push(arm.key.into());
        tables.extend(seeds.iter().map(|seed| seed.test.file(file::PER_IMAGE)));
    }
    if tables.is_empty() {
        return None;
    }
    let metadata = builder.metadata();
    let call = HtlCall::new("analyze")
        .flags("--performance", tables)
        .flag("--metadata", metadata)
        .flag("--data", builder.data.clone())
        .flag("--out", Value::Own(String::new()));
    Some(
        builder
            .plan
            .call(&format!("{key}/performance"), Kind::Analyze, 60., call),
    )
}

/// Out-of-fold scores: each half of the training images is judged by networks that never saw it. They are what the
/// demographic analysis reads. `sparsity` is that of the supervised setting.
pub(super) fn cross_fit(builder: &mut Builder, lists: &Lists, sparsity: &StageRef) -> AnalysisOutline {
    let seeds = builder.profile.cross_fit_seeds;
    let mut mined = Vec::new();
    for (fold, other) in [(0, 1), (1, 0)] {
        let prefix = format!("cross-fit-{fold}");
        let config = builder.fold_config(lists.fold(other));
        let dense = builder.train_seeds(&format!("{prefix}/dense"), &config, seeds);
        let population = builder.population(&prefix, dense, &config, sparsity);
        let images = Images::Fold(lists.fold(fold), fold as u64);
        let name = format!("{prefix}/mine");
        mined.push(builder.mine(
            &name,
            &setting::SUPERVISED,
            &population,
            images,
            Masks::Read,
            Curve::WithShams,
        ));
    }
    let of_folds = |name: &str| -> Vec<Value> { mined.iter().map(|stage| stage.file(name)).collect() };
    let (tables, curves) = (of_folds(file::SCORES), of_folds(file::CURVE));
    let scores = builder.plan.native("cross-fit/scores", Native::Concatenate { tables });
    let metadata = builder.metadata();
    let call = HtlCall::new("analyze")
        .flag("--scores", scores.file(file::SCORES))
        .flags("--curve", curves)
        .flag("--metadata", metadata)
        .flag("--data", builder.data.clone())
        .flag("--out", Value::Own(String::new()));
    let rates = builder.plan.call("cross-fit/analyze", Kind::Analyze, 60., call);
    AnalysisOutline {
        mined,
        seeds,
        scores,
        rates,
    }
}

/// Test results of the predictors that learn nothing.
pub(super) fn trivial(builder: &mut Builder) -> BTreeMap<String, StageRef> {
    let mut results = BTreeMap::new();
    for trivial in htl_vocabulary::trivial::TRIVIAL {
        let call = HtlCall::new("evaluate")
            .flag("--predictor", trivial.key)
            .flag("--data", builder.data.clone())
            .flag("--split", "test")
            .flag("--out", Value::Own(file::PER_IMAGE.into()));
        let name = format!("trivial/{}", trivial.key);
        let stage = builder.plan.call(&name, Kind::Evaluate, 30., call);
        results.insert(trivial.key.to_owned(), stage);
    }
    results
}
