//! No masks, a tight box per training image: pseudo-masks from the box itself, from the ellipse in it, and refined by the
//! method (`baseline`, `htl`, `random`).

use super::build::{Builder, Mining, PlannedSetting, pairs};

/// Adds the setting.
pub fn plan(builder: &mut Builder) -> PlannedSetting {
    let count = builder.profile.weak_seeds;
    let name = "weakly-supervised-boxes";
    let config = builder.config(name).with("boxes.targets", "refined");
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
    for targets in ["filled-box", "ellipse"] {
        let config = builder.config(name).with("boxes.targets", targets);
        arms.insert(
            targets.into(),
            builder.arm(&format!("{name}/{targets}"), &config, count),
        );
    }
    builder.attended_arms(&mut arms, name, &config, &mined, count);
    let compare = pairs(&[
        ["htl", "baseline"],
        ["htl", "random"],
        ["baseline", "ellipse"],
        ["baseline", "filled-box"],
    ]);
    PlannedSetting {
        arms,
        compare,
        mined,
        test_mined,
        sparsity,
    }
}
