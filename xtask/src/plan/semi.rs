//! Few masks, many images. `labelled-only` networks judge the unlabelled images; `htl-query` spends half of the label
//! budget on those they disagree about.

use super::build::{Builder, Config, Mining, PlannedSetting, SCORES, pairs};
use super::lists::Lists;
use super::seeds;
use crate::data;
use crate::run_file::ArmSeed;
use crate::stage::{HtlCall, Value};

/// Adds the setting.
pub fn plan(builder: &mut Builder, lists: &Lists) -> PlannedSetting {
    let count = builder.profile.semi_seeds;
    let labelled = lists.labelled.file("labelled.csv");
    let config = builder.config("supervised").with("labelled", labelled.clone());
    let dense = builder.train_seeds("semi-supervised/labelled-only", &config, count);
    let sparsity = builder.sparsity("semi-supervised", &dense[0], &config);
    let population = builder.population("semi-supervised", dense, &config, &sparsity);
    let mining = Mining {
        except: Some(labelled.clone()),
        ..Mining::default()
    };
    let mined = builder.mine("semi-supervised/mine", "semi-supervised", &population, mining);
    let test_mined = builder.mine_test("semi-supervised", &population);
    let mut arms = std::collections::BTreeMap::new();
    arms.insert(
        "labelled-only".into(),
        builder.evaluate_seeds("semi-supervised/labelled-only", &population.dense),
    );
    let semi = builder.config("semi-supervised").with("labelled", labelled);
    arms.insert("baseline".into(), builder.arm("semi-supervised/baseline", &semi, count));
    builder.attended_arms(&mut arms, "semi-supervised", &semi, &mined, count);
    arms.insert("htl-query".into(), query(builder, lists));
    let compare = pairs(&[
        ["htl", "baseline"],
        ["htl", "random"],
        ["baseline", "labelled-only"],
        ["htl-query", "labelled-only"],
    ]);
    PlannedSetting {
        arms,
        compare,
        mined,
        test_mined,
        sparsity,
    }
}

/// The arm that labels half of its budget at random and half by disagreement.
fn query(builder: &mut Builder, lists: &Lists) -> Vec<ArmSeed> {
    let name = "semi-supervised/query";
    let count = builder.profile.semi_seeds;
    let first = lists.labelled.file("first.csv");
    let config: Config = builder.config("supervised").with("labelled", first.clone());
    let dense = builder.train_seeds(&format!("{name}-dense"), &config, count);
    // Chosen with the labels of the first half alone: the second half is not bought yet.
    let sparsity = builder.sparsity(name, &dense[0], &config);
    let population = builder.population(name, dense, &config, &sparsity);
    let mining = Mining {
        except: Some(first.clone()),
        ..Mining::default()
    };
    let mined = builder.mine(&format!("{name}/mine"), "semi-supervised", &population, mining);
    let mut arm = Vec::new();
    for seed in seeds(count) {
        let call = HtlCall::new("query")
            .flag("--scores", mined.file(SCORES))
            .flag("--budget", lists.labelled.number("lists.json", "second"))
            .flag("--strategy", "top-fifth")
            .flag("--seed", seed)
            .flag("--out", Value::Own("query.csv".into()));
        let queried = builder.plan.call(&format!("{name}-{seed}/choose"), 5., call);
        let parts = vec![first.clone(), queried.file("query.csv")];
        let reads = parts.clone();
        let union = builder.plan.native(
            &format!("{name}-{seed}/labels"),
            "union of ids v1",
            reads,
            move |place| {
                let mut ids = std::collections::BTreeSet::new();
                for part in &parts {
                    ids.extend(data::read_ids(&place.path(part)?)?);
                }
                data::write_ids(&place.folder.join("labelled.csv"), ids.iter().map(String::as_str))
            },
        );
        let config = config
            .clone()
            .with("labelled", union.file("labelled.csv"))
            .with("seed", seed);
        let training = builder.train(&format!("semi-supervised/htl-query-{seed}"), &config);
        arm.push(builder.evaluate("semi-supervised/htl-query", seed, &training, None));
    }
    arm
}
