//! Whom referral meets: the rates of `htl analyze`, of the referred instead of the hard.

use htl_datasets::{DataFolder, Sample};
use htl_metrics::{LESION_COLUMN, PATIENT_COLUMN};
use htl_mining::{Cohort, Demographics, Metadata, Permutations, ScoreRow, ScoreTable, demographics};
use htl_vocabulary::file;

use super::super::people::People;
use super::files::Referred;
use super::{Refer, Rule};

/// Rates of referral by level of each attribute of the metadata, and of the images where they have masks. An image is referred if
/// more than half of the judged predictors refer it.
pub(super) fn groups(
    options: &Refer,
    data: &DataFolder,
    samples: &[&Sample],
    rule: &Rule,
    referred: &Referred,
) -> anyhow::Result<Demographics> {
    let mut table = ScoreTable::new([rule.by.key]);
    for ((id, htl), score) in referred.by_most().zip(&referred.signal) {
        table.push(ScoreRow {
            image_id: id.clone(),
            scores: vec![Some(*score)],
            htl,
            ..ScoreRow::default()
        })?;
    }
    let metadata = data.root().join(file::METADATA);
    let metadata = metadata.exists().then(|| Metadata::read(metadata)).transpose()?;
    let measured = samples.iter().any(|sample| sample.mask.is_some()).then_some(data);
    let bound = [LESION_COLUMN, PATIENT_COLUMN].map(str::to_owned);
    let mut note = |note: String| tracing::info!("{note}");
    let people = People::new(table.ids(), metadata.as_ref(), measured, &bound, &mut note)?;
    let cohort = Cohort::selected(&table, rule.by.key, people.clusters())?;
    let permutations = Permutations {
        count: options.permutations,
        seed: options.seed,
    };
    Ok(demographics(&cohort, &people.attributes()?, &permutations))
}
