//! Where help is needed: names of subsets of the test images, and what their gains say.

use htl_mining::ATTRIBUTES;
use htl_vocabulary::arm;
use htl_vocabulary::results::{Gain, Subset, Weak};

use crate::summary::Verdict;
use crate::words;

/// Name of a subset for a table.
pub(crate) fn name(subset: &Subset) -> String {
    match subset {
        Subset::WorstDecile => "Worst tenth".to_owned(),
        Subset::Htl => "Hard to learn".to_owned(),
        Subset::Group { attribute, level } => group(attribute, level),
    }
}

/// `Sex: female`; the attribute is a group column of `per_image.csv`.
pub(crate) fn group(column: &str, level: &str) -> String {
    let row = ATTRIBUTES
        .iter()
        .find(|row| row.group.is_some_and(|group| group.column == column));
    let attribute = row.map_or_else(|| words::spell(column), |row| row.label.to_owned());
    format!("{attribute}: {level}")
}

/// A gain as it is read once p is adjusted.
pub(crate) fn verdict(metric: &str, gain: &Gain, p_holm: Option<f64>) -> Verdict {
    let adjusted = Gain {
        p: p_holm.or(gain.p),
        ..gain.clone()
    };
    Verdict::of(metric, &adjusted)
}

/// Who said which images are the worst and which are hard, and whether that favours a side.
pub(crate) fn origin(weak: &Weak) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(by) = &weak.worst_decile_by {
        said.push(format!(
            "The worst tenth are the test images with the lowest mean over the seeds of {}, which takes no part in this \
             comparison.",
            words::arm_in_sentence(by)
        ));
    }
    if let Some(by) = &weak.htl_by {
        let networks = if by == arm::BASELINE.key {
            "the baselines".to_owned()
        } else {
            format!("the networks of {}", words::arm_in_sentence(by))
        };
        said.push(if *by == weak.contrast.method || *by == weak.contrast.control {
            format!(
                "The hard-to-learn test images are defined by {networks}, one of the two sides compared: part of a gain there \
                 may be chance that does not come again."
            )
        } else {
            format!(
                "The hard-to-learn test images are defined by {networks} and their pruned copies, without masks; these networks \
                 are on neither side of this comparison."
            )
        });
    }
    said.push(format!(
        "Adjusted p: Holm's method over the {} of this setting with at least {} images; smaller ones are described.",
        words::count(weak.tested, "subset"),
        htl_metrics::LEAST_TESTED
    ));
    said
}

/// What the comparison says about hard images and about the groups in which it shows something.
pub(crate) fn sentences(weak: &Weak) -> Vec<String> {
    let metric = &weak.contrast.metric;
    let (name_of_metric, unit) = (words::metric_in_sentence(metric), words::points(metric));
    let pair = format!(
        "{} against {}",
        words::arm_in_sentence(&weak.contrast.method),
        words::arm_in_sentence(&weak.contrast.control)
    );
    let numbers = |gain: &Gain| {
        format!(
            "{}{unit} (95\u{a0}% interval {})",
            words::difference(metric, gain.mean),
            words::interval(metric, gain.ci95)
        )
    };
    let mut said = Vec::new();
    let hard = weak.subsets.iter().find(|subset| subset.subset == Subset::Htl);
    if let (Some(hard), Some(interaction)) = (hard, &weak.interaction) {
        let verdict = Verdict::of(metric, interaction);
        let reading = match verdict {
            Verdict::Better => "more than on the others",
            Verdict::Worse => "less than on the others",
            Verdict::Descriptive => "described, not tested",
            _ => "no difference from the others is shown",
        };
        said.push(format!(
            "On the {} hard-to-learn test images the gain in {name_of_metric} of {pair} is {}, its difference from the gain on \
             all others {}: {reading}.",
            hard.n,
            numbers(&hard.gain),
            numbers(interaction)
        ));
    }
    for subset in &weak.subsets {
        let verb = match verdict(metric, &subset.gain, subset.p_holm) {
            Verdict::Better => "improves",
            Verdict::Worse => "worsens",
            _ => continue,
        };
        said.push(format!(
            "{} {verb} {name_of_metric} on {} ({}) by {}, adjusted p {}.",
            words::capital(&pair),
            name(&subset.subset).to_lowercase(),
            words::count(subset.n, "image"),
            numbers(&subset.gain),
            words::p(subset.p_holm)
        ));
    }
    said
}

#[cfg(test)]
mod tests {
    use htl_vocabulary::results::{Contrast, SubsetGain};

    use super::*;

    fn weak(mined_by: &str, interaction: Gain, p_holm: f64) -> Weak {
        let hard = SubsetGain {
            subset: Subset::Htl,
            n: 24,
            gain: Gain::new(0.032, [0.003, 0.06], Some(0.031), 5),
            p_holm: Some(p_holm),
        };
        Weak {
            contrast: Contrast::new("htl", "random"),
            subsets: vec![hard],
            tested: 1,
            worst_decile_by: Some("baseline".into()),
            htl_by: Some(mined_by.into()),
            interaction: Some(interaction),
        }
    }

    #[test]
    fn hard_images_are_told_apart_from_others() {
        let clear = Gain::new(0.041, [0.01, 0.07], Some(0.02), 5);
        let said = sentences(&weak("baseline", clear.clone(), 0.04)).join(" ");
        for words in [
            "+3.2 points",
            "+4.1 points",
            "more than on the others",
            "improves Jaccard on hard to learn",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        let open = Gain::new(0.041, [-0.01, 0.09], Some(0.1), 5);
        let said = sentences(&weak("baseline", open, 0.3)).join(" ");
        assert!(
            said.contains("no difference from the others") && !said.contains("improves"),
            "{said}"
        );
    }

    /// Whoever defines the hard images is named, with a caution if that is a side of the comparison.
    #[test]
    fn circular_definitions_are_said_to_be() {
        let gain = Gain::new(0.01, [0.0, 0.02], Some(0.5), 5);
        let of = |arm: &str| origin(&weak(arm, gain.clone(), 1.0)).join(" ");
        assert!(of("baseline").contains("defined by the baselines and their pruned copies"));
        assert!(of("random").contains("one of the two sides"));
    }

    #[test]
    fn groups_have_the_names_of_their_attributes() {
        assert_eq!(group("age_band", "<40"), "Age: <40");
        assert_eq!(group("hospital", "A"), "Hospital: A");
    }
}
