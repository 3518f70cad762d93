//! What was found, in words.

use std::fmt::Write;

use htl_inference::referral::{Judged, SignalTables};
use htl_mining::Demographics;
use htl_vocabulary::{EnsembleRow, ReferralChoice};

use super::Rule;

/// Level of p under which a group is named.
const NAMED: f64 = 0.05;

/// Everything for standard output, as Markdown.
pub(super) fn summary(
    rule: &Rule,
    choice: &ReferralChoice,
    tables: &SignalTables,
    ensembles: &[EnsembleRow],
    groups: &Demographics,
) -> String {
    let mut text = String::new();
    let images = tables.signals.first().map_or(0, |row| row.images);
    let of_masks = match images {
        0 => "none has a mask, so no risk is known and the tables of Jaccard are empty".to_owned(),
        some if some == choice.images => "all have masks".to_owned(),
        some => format!("{some} have a mask, and risk is theirs"),
    };
    line(
        &mut text,
        format!(
            "{} images ({}) judged by {}; {of_masks}.\n",
            choice.images,
            choice.split,
            rule.judged.about()
        ),
    );
    signals(&mut text, tables);
    threshold(&mut text, rule, choice);
    against(&mut text, rule, tables);
    ensembles_in_words(&mut text, ensembles);
    groups_in_words(&mut text, groups);
    text.trim_end().to_owned()
}

/// A table of what each signal is worth, and what is missing.
fn signals(text: &mut String, tables: &SignalTables) {
    let (known, blank): (Vec<_>, Vec<_>) = tables.signals.iter().partition(|row| row.aurc.is_some());
    if !known.is_empty() {
        line(
            text,
            "| signal | trainings | passes | AURC | excess | AUGRC | Jaccard | 10 % referred | 20 % referred |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
                .into(),
        );
        for row in known {
            let numbers = [
                row.aurc,
                row.excess_aurc,
                row.augrc,
                row.jaccard,
                row.jaccard_without_10,
                row.jaccard_without_20,
            ];
            let cells: String = numbers.map(|number| format!(" {} |", decimal(number))).concat();
            line(
                text,
                format!(
                    "| {} | {} | {} |{cells}",
                    row.signal,
                    trainings(row.trainings, row.fine_tunings),
                    row.passes
                ),
            );
        }
        line(text, String::new());
    }
    for row in blank.into_iter().filter(|row| !row.missing.is_empty()) {
        line(text, format!("- {} is left out: it needs {}.", row.signal, row.missing));
    }
    if tables.signals.iter().any(|row| !row.missing.is_empty()) {
        line(text, String::new());
    }
}

fn trainings(from_scratch: usize, fine_tunings: usize) -> String {
    match fine_tunings {
        0 => from_scratch.to_string(),
        more => format!("{from_scratch} + {more} fine-tuned"),
    }
}

/// The threshold, and what it does.
fn threshold(text: &mut String, rule: &Rule, choice: &ReferralChoice) {
    let thresholds: Vec<String> = choice
        .thresholds
        .iter()
        .map(|one| format!("{:.4}", one.above))
        .collect();
    let mean = |of: fn(&htl_vocabulary::ReferralThreshold) -> Option<f64>| {
        let known: Option<Vec<f64>> = choice.thresholds.iter().map(of).collect();
        known.map(|known| known.iter().sum::<f64>() / known.len().max(1) as f64)
    };
    let whose = match (rule.judged, choice.thresholds.len()) {
        (Judged::Ensemble, _) | (_, 1) => String::new(),
        _ => " (network by network)".to_owned(),
    };
    let percent = |share: Option<f64>| format!("{:.0} %", 100.0 * share.unwrap_or_default());
    line(
        text,
        format!(
            "An image is referred if its {} is above {}{whose}: {} of the val images. Here that refers {}.",
            choice.by,
            thresholds.join(", "),
            percent(mean(|one| Some(one.val_referred))),
            percent(mean(|one| Some(one.referred))),
        ),
    );
    match (mean(|one| one.jaccard), mean(|one| one.jaccard_kept)) {
        (Some(all), Some(kept)) => line(text, format!("Jaccard {kept:.3} of the others, {all:.3} of all.")),
        (Some(_), None) => line(text, "Of the others none has a mask.".into()),
        _ => {}
    }
    if choice.split == htl_datasets::Split::Val.name() {
        line(
            text,
            "The threshold was chosen on these very images: look at another split for what it keeps.".into(),
        );
    }
    if choice
        .thresholds
        .iter()
        .any(|one| one.val_referred < 0.5 * choice.share)
    {
        line(
            text,
            format!(
                "Fewer val images than the {} asked for lie above a threshold: the split is small, or images tie.",
                percent(Some(choice.share))
            ),
        );
    }
    line(text, String::new());
}

/// The signal that refers against the others.
fn against(text: &mut String, rule: &Rule, tables: &SignalTables) {
    let rows = tables
        .differences
        .iter()
        .filter(|row| row.signal == rule.by.key && row.measure == "aurc");
    let mut any = false;
    for row in rows {
        any = true;
        line(
            text,
            format!(
                "- AURC of {} less that of {}: {:+.4} ({:+.4} to {:+.4}); below 0 is better",
                row.signal, row.against, row.difference, row.lo, row.hi
            ),
        );
    }
    if any {
        line(
            text,
            "\nIntervals are 95 %, for further images and these networks.\n".into(),
        );
    }
}

fn ensembles_in_words(text: &mut String, ensembles: &[EnsembleRow]) {
    if ensembles.len() < 2 {
        return;
    }
    line(
        text,
        "| predictor | trainings | passes | Jaccard | gain | 95 % interval |\n| --- | --- | --- | --- | --- | --- |"
            .into(),
    );
    for row in ensembles {
        let signed = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:+.3}"));
        let interval = match (row.lo, row.hi) {
            (Some(lo), Some(hi)) => format!("{lo:+.3} to {hi:+.3}"),
            _ => "-".to_owned(),
        };
        line(
            text,
            format!(
                "| {} | {} | {} | {:.3} | {} | {interval} |",
                row.predictor,
                trainings(row.trainings, row.fine_tunings),
                row.passes,
                row.jaccard,
                signed(row.gain)
            ),
        );
    }
    line(text, String::new());
}

/// Groups that are referred more or less often than the others.
fn groups_in_words(text: &mut String, groups: &Demographics) {
    let tested = groups.rates.iter().filter(|row| row.p_adjusted.is_some()).count();
    if tested == 0 {
        return line(
            text,
            "No group is large enough to say whether it is referred more often.".into(),
        );
    }
    let named = groups
        .rates
        .iter()
        .filter(|row| row.p_adjusted.is_some_and(|p| p < NAMED));
    let mut any = false;
    for row in named {
        any = true;
        let rate = row.rate.map_or(0.0, |rate| 100.0 * rate.value);
        line(
            text,
            format!(
                "- {} {}: {rate:.0} % of {} images are referred, {} times as often as the others",
                row.attribute,
                row.level,
                row.n,
                row.rate_ratio
                    .map_or_else(|| "-".to_owned(), |ratio| format!("{:.1}", ratio.value))
            ),
        );
    }
    if any {
        line(
            text,
            format!("\n{tested} groups were tested, p adjusted over all of them."),
        );
    } else {
        line(
            text,
            format!("None of {tested} groups is shown to be referred more or less often than the others."),
        );
    }
}

fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}

fn line(text: &mut String, words: String) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{words}");
}
