use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use htl_datasets::write_ids;
use htl_mining::{
    FeatureTable, FoldChoice, QueryRule, ScoreTable, clusters_of, column, default_score, query, query_balanced,
};

use super::telling::Telling;

/// `htl query`.
#[derive(Args)]
pub struct Query {
    /// The score table of `htl mine`
    #[arg(long, required_unless_present = "representative")]
    scores: Option<PathBuf>,
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
    /// What the images look like (of `htl features`): as many are chosen of each cluster of them
    #[arg(long)]
    features: Option<PathBuf>,
    /// Number of clusters
    #[arg(long, default_value_t = 10, requires = "features", value_parser = clap::value_parser!(u32).range(1..))]
    clusters: u32,
    /// No score: images that stand for the others, one for each of as many clusters as there is budget. To begin with
    #[arg(long, requires = "features", conflicts_with_all = ["scores", "strategy", "by", "clusters", "without_suspects"])]
    representative: bool,
    /// Not those whose mask all networks contradict, where the table knows
    #[arg(long)]
    without_suspects: bool,
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
    #[command(flatten)]
    telling: Telling,
}

fn strategies() -> impl TypedValueParser<Value = QueryRule> {
    PossibleValuesParser::new(QueryRule::NAMED.map(|(name, _)| name))
        .try_map(|name| QueryRule::named(&name).ok_or("unknown strategy"))
}

impl Query {
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(self.budget >= 1, "--budget must be at least 1");
        let features = self.features.as_deref().map(FeatureTable::read).transpose()?;
        let ids = match (&self.scores, features) {
            (Some(scores), features) => self.by_scores(scores, features.as_ref())?,
            (None, Some(features)) => self.representatives(&features)?,
            (None, None) => bail!("--scores, or --representative with --features"),
        };
        write_ids(&self.out, ids.iter().map(String::as_str))?;
        self.telling.tell(&ids, || {
            format!("{} images to annotate next, in {}", ids.len(), self.out.display())
        })
    }

    fn by_scores(&self, path: &Path, features: Option<&FeatureTable>) -> anyhow::Result<Vec<String>> {
        let table = ScoreTable::read(path)?
            .choose(self.setting.as_deref(), self.fold)
            .with_context(|| path.display().to_string())?;
        let table = match self.without_suspects {
            true => trusted(&table).with_context(|| path.display().to_string())?,
            false => table,
        };
        let by = self.by.as_deref().unwrap_or_else(|| default_score(&table));
        let chosen = match features {
            None => query(&table, by, self.budget, self.strategy, self.seed),
            Some(features) => {
                let clusters = clusters_of(features, self.clusters as usize, self.seed)?;
                query_balanced(&table, by, self.budget, self.strategy, &clusters.of, self.seed)
            }
        };
        chosen.with_context(|| path.display().to_string())
    }

    /// Where images are so alike that there are fewer clusters than budget, others of them make up for it, in turn.
    fn representatives(&self, features: &FeatureTable) -> anyhow::Result<Vec<String>> {
        let clusters = clusters_of(features, self.budget, self.seed)?;
        let mut chosen = clusters.representatives;
        let taken: BTreeSet<String> = chosen.iter().cloned().collect();
        let others = features.ids().iter().filter(|id| !taken.contains(*id)).cloned();
        chosen.extend(others.take(self.budget - chosen.len()));
        Ok(chosen)
    }
}

/// The rows whose label is not suspected to be wrong.
fn trusted(table: &ScoreTable) -> anyhow::Result<ScoreTable> {
    table
        .column(column::SUSPECT_LABEL)
        .context("--without-suspects needs what networks say of masks, and candidates for annotation have none")?;
    Ok(table.filtered(|row| table.score(&row.image_id, column::SUSPECT_LABEL) != Some(1.0)))
}
