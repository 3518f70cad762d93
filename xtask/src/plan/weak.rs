//! No masks, image labels only: a classifier's class maps. The quantile that makes a mask of a map is fixed beforehand;
//! `oracle-tuned` shows what the same maps give when masks choose it.

use super::build::{Builder, Mining, PlannedSetting, pairs};
use super::seeds;

/// Adds the setting.
pub fn plan(builder: &mut Builder) -> PlannedSetting {
    let count = builder.profile.weak_seeds;
    let name = "weakly-supervised";
    let config = builder.config(name);
    let dense = builder.train_seeds(&format!("{name}/baseline"), &config, count);
    let sparsity = builder.sparsity(name, &dense[0], &config);
    let population = builder.population(name, dense, &config, &sparsity);
    let mining = Mining::default();
    let mined = builder.mine(&format!("{name}/mine"), name, &population, mining);
    let test_mined = builder.mine_test(name, &population);
    let mut arms = std::collections::BTreeMap::new();
    arms.insert(
        "baseline".into(),
        builder.evaluate_seeds(&format!("{name}/baseline"), &population.dense),
    );
    let oracle = seeds(count)
        .zip(&population.dense)
        .map(|(seed, training)| builder.evaluate(&format!("{name}/oracle-tuned"), seed, training, Some("oracle")))
        .collect();
    arms.insert("oracle-tuned".into(), oracle);
    builder.attended_arms(&mut arms, name, &config, &mined, count);
    PlannedSetting {
        arms,
        compare: pairs(&[["htl", "baseline"], ["htl", "random"]]),
        mined,
        test_mined,
        sparsity,
    }
}
