//! All training masks. Hard-to-learn images are mined where they are attended to: in-sample.

use super::build::{Builder, Mining, PlannedSetting, pairs};

/// Adds the setting.
pub fn plan(builder: &mut Builder) -> PlannedSetting {
    let seeds = builder.profile.supervised_seeds;
    let config = builder.config("supervised");
    let dense = builder.train_seeds("supervised/baseline", &config, seeds);
    let sparsity = builder.sparsity("supervised", &dense[0], &config);
    let population = builder.population("supervised", dense, &config, &sparsity);
    let mining = Mining::default();
    let mined = builder.mine("supervised/mine", "supervised", &population, mining);
    let test_mined = builder.mine_test("supervised", &population);
    let mut arms = std::collections::BTreeMap::new();
    arms.insert(
        "baseline".into(),
        builder.evaluate_seeds("supervised/baseline", &population.dense),
    );
    arms.insert(
        "pruned".into(),
        builder.evaluate_seeds("supervised/sparse", &population.sparse),
    );
    arms.insert(
        "sham".into(),
        builder.evaluate_seeds("supervised/sham", &population.sham),
    );
    builder.attended_arms(&mut arms, "supervised", &config, &mined, seeds);
    let compare = pairs(&[
        ["htl", "baseline"],
        ["htl", "random"],
        ["random", "baseline"],
        ["pruned", "sham"],
    ]);
    PlannedSetting {
        arms,
        compare,
        mined,
        test_mined,
        sparsity,
    }
}
