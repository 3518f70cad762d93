//! What was found, in words: Markdown on standard output, `analysis.json` for programs.

use std::fmt::Write;

use htl_mining::{AttributeTest, Cohort, Demographics, LEAST_SHOWN, LEAST_TESTED, RegressionTest};
use htl_vocabulary::{DisparityRow, PerformanceRow, RateRow};
use serde::Serialize;

/// Everything that the summary says.
#[derive(Serialize)]
pub(super) struct Summary {
    least_shown: u64,
    least_tested: u64,
    permutations: usize,
    seed: u64,
    notes: Vec<String>,
    hard: Vec<Hard>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspects: Option<Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<Quality>,
}

/// One hard set.
#[derive(Serialize)]
struct Hard {
    outcome: String,
    images: usize,
    hard: usize,
    both_empty: usize,
    unscored: usize,
    folds: usize,
    lesions: usize,
    torn: usize,
    not_permuted: usize,
    tests: Vec<AttributeTest>,
    #[serde(flatten)]
    found: Found,
    regression_images: usize,
    regression_parameters: usize,
    regression: Vec<RegressionTest>,
}

/// Groups that differ from the others.
#[derive(Serialize)]
struct Found {
    groups_tested: usize,
    groups_that_differ: Vec<Group>,
    /// The smallest odds ratios that the smallest and the largest group tested show with a probability of 80 %.
    detectable_odds_ratios: Vec<(String, u64, f64)>,
}

#[derive(Serialize)]
struct Group {
    attribute: String,
    level: String,
    n: u64,
    htl: u64,
    rate: f64,
    odds_ratio: Option<f64>,
    p_adjusted: f64,
}

#[derive(Serialize)]
struct Quality {
    images: usize,
    jaccard: Vec<PerformanceRow>,
    disparities: Vec<DisparityRow>,
}

impl Summary {
    pub(super) fn new(permutations: usize, seed: u64) -> Self {
        Self {
            least_shown: LEAST_SHOWN,
            least_tested: LEAST_TESTED,
            permutations,
            seed,
            notes: Vec::new(),
            hard: Vec::new(),
            suspects: None,
            quality: None,
        }
    }

    /// Something that a reader should know; said once, and as a warning while the command runs.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            tracing::warn!("{note}");
            self.notes.push(note);
        }
    }

    pub(super) fn who(
        &mut self,
        cohort: &Cohort,
        found: &Demographics,
        regression: &[RegressionTest],
        [incomplete, parameters]: [usize; 2],
    ) {
        if cohort.torn > 0 {
            self.note(format!(
                "{}: {} images are equal where the hard ones are cut off; a hash of the id decides",
                cohort.outcome, cohort.torn
            ));
        }
        let hits = cohort.hard_count();
        if parameters > 0 && hits < 10 * parameters && !regression.is_empty() {
            self.note(format!(
                "{}: {hits} hard images for {parameters} coefficients; under ten each the regression overfits",
                cohort.outcome
            ));
        }
        self.hard.push(Hard {
            outcome: cohort.outcome.clone(),
            images: cohort.len(),
            hard: hits,
            both_empty: cohort.empty.len(),
            unscored: cohort.unscored,
            folds: cohort.folds(),
            lesions: cohort.cluster_count(),
            torn: cohort.torn,
            not_permuted: found.fixed,
            tests: found.tests.clone(),
            found: Found::of(&found.rates),
            regression_images: cohort.len() - incomplete,
            regression_parameters: parameters,
            regression: regression.to_vec(),
        });
    }

    pub(super) fn suspects(&mut self, cohort: &Cohort, found: &Demographics) {
        if cohort.hard_count() > 0 {
            self.suspects = Some(Found::of(&found.rates));
        }
    }

    pub(super) fn quality(&mut self, images: usize, rows: &[PerformanceRow], apart: &[DisparityRow]) {
        let single = |attribute: &str| !attribute.contains(" x ");
        let jaccard = rows
            .iter()
            .filter(|row| row.metric == "jaccard" && single(&row.attribute));
        self.quality = Some(Quality {
            images,
            jaccard: jaccard.cloned().collect(),
            disparities: apart.iter().filter(|row| single(&row.attribute)).cloned().collect(),
        });
    }

    pub(super) fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    pub(super) fn markdown(&self) -> String {
        let mut text = String::new();
        for hard in &self.hard {
            hard.markdown(&mut text, self.permutations);
        }
        if let Some(suspects) = &self.suspects {
            line(&mut text, "## Suspected label errors\n");
            suspects.markdown(&mut text, "suspected");
        }
        if let Some(quality) = &self.quality {
            quality.markdown(&mut text);
        }
        line(&mut text, "## Read with care\n");
        line(
            &mut text,
            &format!(
                "- Groups under {LEAST_SHOWN} images are counted only, groups under {LEAST_TESTED} are not tested.\n\
                 - Skin tone is measured in uncalibrated pictures: its classes are groups of pictures, not of people.\n\
                 - What differs between groups is described, not explained."
            ),
        );
        for note in &self.notes {
            line(&mut text, &format!("- {note}."));
        }
        text
    }
}

impl Found {
    fn of(rows: &[RateRow]) -> Self {
        let tested: Vec<&RateRow> = rows.iter().filter(|row| row.p_adjusted.is_some()).collect();
        let differ = tested.iter().filter_map(|row| {
            let p_adjusted = row.p_adjusted.filter(|p| *p < 0.05)?;
            Some(Group {
                attribute: row.attribute.clone(),
                level: row.level.clone(),
                n: row.n,
                htl: row.htl,
                rate: row.rate?.value,
                odds_ratio: row.odds_ratio.map(|ratio| ratio.value),
                p_adjusted,
            })
        });
        let mut detectable: Vec<(String, u64, f64)> = tested
            .iter()
            .filter_map(|row| {
                let name = format!("{} {}", row.attribute, row.level);
                Some((
                    name,
                    row.n,
                    row.detectable_odds_ratio.filter(|ratio| ratio.is_finite())?,
                ))
            })
            .collect();
        detectable.sort_by_key(|(_, n, _)| *n);
        if detectable.len() > 2 {
            detectable.drain(1..detectable.len() - 1);
        }
        Self {
            groups_tested: tested.len(),
            groups_that_differ: differ.collect(),
            detectable_odds_ratios: detectable,
        }
    }

    fn markdown(&self, text: &mut String, what: &str) {
        if self.groups_tested == 0 {
            return line(text, "No group is large enough to be tested.\n");
        }
        if self.groups_that_differ.is_empty() {
            line(
                text,
                &format!(
                    "None of {} groups is shown to be {what} more or less often than the others (adjusted p >= .05).",
                    self.groups_tested
                ),
            );
        } else {
            line(
                text,
                &format!("Groups that are {what} more or less often than the others:\n"),
            );
            for group in &self.groups_that_differ {
                line(
                    text,
                    &format!(
                        "- {} {}: {} of {} ({:.0} %), odds ratio {}, adjusted p {}",
                        group.attribute,
                        group.level,
                        group.htl,
                        group.n,
                        100.0 * group.rate,
                        number(group.odds_ratio),
                        p(Some(group.p_adjusted))
                    ),
                );
            }
        }
        if !self.detectable_odds_ratios.is_empty() {
            let of = |(name, n, ratio): &(String, u64, f64)| format!("{ratio:.1} for {name} ({n} images)");
            let examples: Vec<String> = self.detectable_odds_ratios.iter().map(of).collect();
            line(
                text,
                &format!(
                    "\nSmallest odds ratio seen with a power of 80 %, one test at .05: {}.",
                    examples.join(", ")
                ),
            );
        }
        line(text, "");
    }
}

impl Hard {
    fn markdown(&self, text: &mut String, permutations: usize) {
        line(text, &format!("## Hard by {}\n", self.outcome));
        line(
            text,
            &format!(
                "{} of {} images are hard ({} lesions or patients, {}{}); {} in which nothing was found are kept aside.\n",
                self.hard,
                self.images,
                self.lesions,
                if self.folds > 1 {
                    format!("{} folds", self.folds)
                } else {
                    "no folds".to_owned()
                },
                if self.unscored > 0 {
                    format!(", {} without the score left out", self.unscored)
                } else {
                    String::new()
                },
                self.both_empty
            ),
        );
        self.found.markdown(text, "hard");
        if !self.tests.is_empty() {
            line(
                text,
                "| attribute | test | n | statistic | df | p by permutation | adjusted |",
            );
            line(text, "| --- | --- | --- | --- | --- | --- | --- |");
            for test in &self.tests {
                line(
                    text,
                    &format!(
                        "| {} | {} | {} | {:.2} | {} | {} | {} |",
                        test.attribute,
                        test.test,
                        test.n,
                        test.statistic,
                        test.df,
                        p(Some(test.p_permutation)),
                        p(Some(test.p_adjusted))
                    ),
                );
            }
            line(
                text,
                &format!(
                    "\n{permutations} permutations of whole lesions within folds ({} images have no other to change places \
                     with); adjusted by Westfall and Young.\n",
                    self.not_permuted
                ),
            );
        }
        if !self.regression.is_empty() {
            line(
                text,
                &format!(
                    "People beside lesions ({} images, {} coefficients):\n",
                    self.regression_images, self.regression_parameters
                ),
            );
            line(
                text,
                "| attribute | model | p alone | p beside the others | p with clustered errors | adjusted |",
            );
            line(text, "| --- | --- | --- | --- | --- | --- |");
            for test in &self.regression {
                let model = format!("{}, {}", test.model, test.method);
                let [alone, ratio, wald, adjusted] = [test.p_alone, test.p, test.p_wald, test.p_adjusted].map(p);
                line(
                    text,
                    &format!(
                        "| {} | {model} | {alone} | {ratio} | {wald} | {adjusted} |",
                        test.attribute
                    ),
                );
            }
            line(text, "");
        }
    }
}

impl Quality {
    fn markdown(&self, text: &mut String) {
        line(text, &format!("## Quality by group ({} images)\n", self.images));
        line(
            text,
            "| arm | attribute | group | n | Jaccard | 95 % interval | gap to the others | 95 % interval | adjusted p |",
        );
        line(text, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
        let span = |lo: Option<f64>, hi: Option<f64>| match (lo, hi) {
            (Some(lo), Some(hi)) => format!("{lo:.3} to {hi:.3}"),
            _ => "-".to_owned(),
        };
        for row in &self.jaccard {
            let arm = match row.against.as_str() {
                "" => row.arm.clone(),
                against => format!("{} less {against}", row.arm),
            };
            line(
                text,
                &format!(
                    "| {arm} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    row.attribute,
                    row.level,
                    row.n,
                    number(row.value),
                    span(row.lo, row.hi),
                    number(row.gap),
                    span(row.gap_lo, row.gap_hi),
                    p(row.p_adjusted)
                ),
            );
        }
        line(text, "");
        if self.jaccard.iter().any(|row| row.reading == "descriptive") {
            line(
                text,
                "Fewer than five networks: intervals describe these networks, and there is no p.\n",
            );
        }
    }
}

fn line(text: &mut String, words: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{words}");
}

fn number(value: Option<f64>) -> String {
    value
        .filter(|value| value.is_finite())
        .map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn p(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(p) if p < 0.001 => "<.001".to_owned(),
        Some(p) => format!("{p:.3}"),
    }
}
