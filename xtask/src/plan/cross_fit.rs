//! Out-of-fold scores: each half of the training images is judged by networks that never saw it. They are what the
//! demographic analysis reads.

use super::build::{Builder, MAPS, Mining, SCORES};
use super::lists::Lists;
use crate::stage::{HtlCall, StageRef, Value};
use crate::table::concatenate;

/// What the analysis needs.
pub struct CrossFit {
    /// The folds' score tables, one after another.
    pub scores: String,
    /// Probability maps of the folds.
    pub maps: Vec<String>,
    /// The table of rates by group.
    pub demographics: String,
}

/// Adds the stages. `sparsity` is that of the supervised setting.
pub fn plan(builder: &mut Builder, lists: &Lists, sparsity: &StageRef) -> CrossFit {
    let seeds = builder.profile.cross_fit_seeds;
    let mut mined = Vec::new();
    for (fold, other) in [(0u64, 1u64), (1, 0)] {
        let name = format!("cross-fit-{fold}");
        let config = builder
            .config("supervised")
            .with("labelled", lists.folds.file(&format!("fold-{other}.csv")));
        let dense = builder.train_seeds(&format!("{name}/dense"), &config, seeds);
        let population = builder.population(&name, dense, &config, sparsity);
        let only = Some(lists.folds.file(&format!("fold-{fold}.csv")));
        let mining = Mining {
            only,
            except: None,
            fold: Some(fold),
            test: false,
        };
        mined.push(builder.mine(&format!("{name}/mine"), "supervised", &population, mining));
    }
    let parts: Vec<Value> = mined.iter().map(|stage| stage.file(SCORES)).collect();
    let reads = parts.clone();
    let joined = builder
        .plan
        .native("cross-fit/scores", "concatenate v1", reads, move |place| {
            let paths = parts
                .iter()
                .map(|part| place.path(part))
                .collect::<anyhow::Result<Vec<_>>>()?;
            crate::workspace::write_whole(&place.folder.join(SCORES), concatenate(&paths)?)
        });
    let metadata = builder.metadata();
    let call = HtlCall::new("analyze")
        .flag("--scores", joined.file(SCORES))
        .flag("--metadata", metadata)
        .flag("--data", builder.data.clone())
        .flag("--out", Value::Own(String::new()));
    let analyzed = builder.plan.call("cross-fit/analyze", 60., call);
    CrossFit {
        scores: joined.relative(SCORES),
        maps: mined.iter().map(|stage| stage.relative(MAPS)).collect(),
        demographics: analyzed.relative("demographics.csv"),
    }
}
