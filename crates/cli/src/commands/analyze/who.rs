//! Whom the hard images show.

use anyhow::ensure;
use htl_mining::column::SUSPECT_LABEL;
use htl_mining::{
    Attribute, Cohort, CurveTable, MOST_TIED, Permutations, Regressions, ScoreTable, Source, Subject, attribute_named,
    demographics, forgetting_by_group, regressions,
};
use htl_vocabulary::{file, write_rates};

use super::super::people::People;
use super::summary::Summary;
use super::{Analyze, write};

/// Writes the tables about hard images.
pub(super) fn analyse(
    options: &Analyze,
    by: &str,
    table: &ScoreTable,
    people: &People,
    attributes: &[Attribute],
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let out = &options.out;
    let boundary = format!("boundary_{}", by.trim_start_matches("soft_"));
    let selected = Cohort::selected(table, by, people.clusters())?;
    if selected.score.is_none() {
        summary.note(format!(
            "the score table has no column `{}`: only hard or not is tested",
            by
        ));
    }
    let mut cohorts = vec![(selected, file::DEMOGRAPHICS)];
    if table.columns().contains(&boundary) && boundary != by {
        let hardest = Cohort::hardest(table, &boundary, people.clusters())?;
        if hardest.torn as f64 > MOST_TIED * hardest.len() as f64 {
            summary.note(format!(
                "{} of {} images are equal where `{boundary}` would be cut: no second set",
                hardest.torn,
                hardest.len()
            ));
            write_rates(&out.join(file::DEMOGRAPHICS_BOUNDARY), &[])?;
        } else {
            cohorts.push((hardest, file::DEMOGRAPHICS_BOUNDARY));
        }
    } else {
        write_rates(&out.join(file::DEMOGRAPHICS_BOUNDARY), &[])?;
    }
    let permutations = Permutations {
        count: options.permutations,
        seed: options.seed,
    };
    if !options.curve.is_empty() {
        let table = CurveTable::read(&options.curve)?;
        let rows = forgetting_by_group(&table, &cohorts[0].0, attributes);
        ensure!(
            !rows.is_empty(),
            "--curve: none of the scored images has a forgetting curve"
        );
        write(out, file::FORGETTING, &rows)?;
    }
    let by_id = people.subjects();
    let (mut tests, mut coefficients, mut regression_tests) = (Vec::new(), Vec::new(), Vec::new());
    for (cohort, name) in &cohorts {
        let found = demographics(cohort, attributes, &permutations);
        write_rates(&out.join(name), &found.rates)?;
        let unknown = Subject::default();
        let subjects: Vec<&Subject> = cohort
            .ids
            .iter()
            .map(|id| by_id.get(id.as_str()).copied().unwrap_or(&unknown))
            .collect();
        let of_people: Vec<&Attribute> = attributes.iter().filter(|attribute| is_of_people(attribute)).collect();
        let Regressions {
            coefficients: more,
            tests: regressed,
            incomplete,
            parameters,
        } = regressions(cohort, &of_people, &subjects);
        summary.who(cohort, &found, &regressed, [incomplete, parameters]);
        tests.extend(found.tests);
        coefficients.extend(more);
        regression_tests.extend(regressed);
    }
    write(out, file::OMNIBUS, &tests)?;
    write(out, file::REGRESSION, &coefficients)?;
    write(out, file::REGRESSION_TESTS, &regression_tests)?;
    let suspects = if table.columns().iter().any(|column| column == SUSPECT_LABEL) {
        let cohort = Cohort::flagged(table, SUSPECT_LABEL, people.clusters())?;
        let found = demographics(&cohort, attributes, &permutations);
        summary.suspects(&cohort, &found);
        found.rates
    } else {
        Vec::new()
    };
    Ok(write_rates(&out.join(file::SUSPECT_LABELS), &suspects)?)
}

/// Attributes that the regressions take as levels: of people, not of pixels (those are numbers there), and no intersections.
fn is_of_people(attribute: &Attribute) -> bool {
    let of_pixels = attribute_named(attribute.name()).is_some_and(|row| row.source == Source::Image);
    !of_pixels && !attribute.name().contains(" x ")
}
