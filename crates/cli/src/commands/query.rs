use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use htl_datasets::write_ids;
use htl_mining::{FoldChoice, QueryRule, ScoreTable, default_score, query};

/// `htl query`.
#[derive(Args)]
pub struct Query {
    /// The score table of `htl mine`
    #[arg(long)]
    scores: PathBuf,
    /// How many images to annotate
    #[arg(long)]
    budget: usize,
    /// How they are chosen: drawn from the hardest fifth, the hardest, or at random
    #[arg(long, default_value = "top-fifth", value_parser = strategies())]
    strategy: QueryRule,
    /// The score that ranks: any column of the table; `htl mine --help` lists those it writes. Left out: forgetting_raw where
    /// the table has it, else disagreement
    #[arg(long)]
    by: Option<String>,
    /// The setting, where the table holds several
    #[arg(long)]
    setting: Option<String>,
    /// The fold: a number, all (out-of-fold) or none (in-sample), where the table holds several
    #[arg(long)]
    fold: Option<FoldChoice>,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// CSV with a column image_id
    #[arg(long)]
    out: PathBuf,
}

fn strategies() -> impl TypedValueParser<Value = QueryRule> {
    PossibleValuesParser::new(QueryRule::NAMED.map(|(name, _)| name))
        .try_map(|name| QueryRule::named(&name).ok_or("unknown strategy"))
}

impl Query {
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(self.budget >= 1, "--budget must be at least 1");
        let table = ScoreTable::read(&self.scores)?
            .choose(self.setting.as_deref(), self.fold)
            .with_context(|| self.scores.display().to_string())?;
        let by = self.by.as_deref().unwrap_or_else(|| default_score(&table));
        let ids = query(&table, by, self.budget, self.strategy, self.seed)
            .with_context(|| self.scores.display().to_string())?;
        Ok(write_ids(&self.out, ids.iter().map(String::as_str))?)
    }
}
