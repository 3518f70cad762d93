//! A check's outcome for a person.

use std::fmt;

use crate::check::{BandVerdict, CheckOutcome, GroupChange, Pairing};

/// Groups and images named in a message.
const NAMED: usize = 5;

impl fmt::Display for CheckOutcome {
    /// A few lines for a person: the verdict on the mean and on the groups, and for a regression the groups and images
    /// that lost most.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            BandVerdict::Inside => "inside the noise band",
            BandVerdict::Below => "WORSE than the noise band allows",
            BandVerdict::Above => "better than the noise band; consider a new baseline",
        };
        writeln!(
            f,
            "{}: {:.4} now, {:.4} in the baseline ({:+.4}, band +-{:.4}): {verdict}",
            self.metric, self.mean_fresh, self.mean_baseline, self.change, self.band
        )?;
        let compared = match (self.pairing, self.runs) {
            (Pairing::BySeed, runs) => format!("{runs} runs, each with the baseline's run of the same seed"),
            (Pairing::Unpaired, 1) => format!("1 run, with {} of the baseline", self.baseline_runs),
            (Pairing::Unpaired, runs) => {
                format!("median of {runs} runs, with {} of the baseline", self.baseline_runs)
            }
        };
        writeln!(f, "{} images; {compared}", self.images)?;
        let worse = self.worse_groups().count();
        match (self.tested_groups(), worse) {
            (0, _) => writeln!(f, "no group is large enough to be tested")?,
            (tested, 0) => writeln!(f, "none of {tested} tested groups is worse than chance allows")?,
            (tested, worse) => writeln!(f, "WORSE in {worse} of {tested} tested groups:")?,
        }
        if self.passed() {
            return Ok(());
        }
        self.worse_groups()
            .try_for_each(|group| writeln!(f, "  {}", line(group)))?;
        let lost = |group: &&GroupChange| !group.test.is_some_and(|test| test.worse);
        let others: Vec<&GroupChange> = self
            .groups
            .iter()
            .filter(lost)
            .take(NAMED.saturating_sub(worse))
            .collect();
        if !others.is_empty() {
            writeln!(f, "largest change of other groups:")?;
            others
                .into_iter()
                .try_for_each(|group| writeln!(f, "  {}", line(group)))?;
        }
        if !self.worst_images.is_empty() {
            writeln!(f, "images that lost most:")?;
        }
        self.worst_images.iter().take(NAMED).try_for_each(|image| {
            writeln!(
                f,
                "  {}: {:.4} -> {:.4} ({:+.4})",
                image.image_id, image.baseline, image.fresh, image.change
            )
        })
    }
}

/// `sex = female (40 images): 0.7100 -> 0.5200 (-0.1900, Holm p 0.0003)`.
fn line(group: &GroupChange) -> String {
    let test = match group.test {
        Some(test) => format!(", Holm p {:.4}", test.p_holm),
        None => ", too few images to be tested".to_owned(),
    };
    format!(
        "{} = {} ({} images): {:.4} -> {:.4} ({:+.4}{test})",
        group.attribute, group.level, group.n, group.baseline, group.fresh, group.change
    )
}
