use std::fmt::Write;
use std::path::Path;

use anyhow::Result;
use htl_mining::SCORES;
use htl_vocabulary::write_whole;

use super::evaluate::{Interval, Row};
use super::settings::Settings;

/// What a row says to a question.
type Answer = fn(&Row) -> Option<Interval>;

const COLUMNS: [&str; 23] = [
    "scenario",
    "truth",
    "split",
    "score",
    "images",
    "special",
    "auroc",
    "auroc_lo",
    "auroc_hi",
    "average_precision",
    "average_precision_lo",
    "average_precision_hi",
    "error_rho",
    "error_rho_lo",
    "error_rho_hi",
    "added_auroc",
    "added_auroc_lo",
    "added_auroc_hi",
    "added_r2",
    "added_r2_lo",
    "added_r2_hi",
    "trainings",
    "passes",
];

/// Every row as CSV; what is not defined is blank.
pub fn csv(path: &Path, rows: &[Row]) -> Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for row in rows {
        let mut record = vec![
            row.scenario.clone(),
            row.truth.clone(),
            row.split.clone(),
            row.score.clone(),
        ];
        record.extend([row.images.to_string(), row.special.to_string()]);
        for interval in [
            row.auroc,
            row.average_precision,
            row.error_rho,
            row.added_auroc,
            row.added_r2,
        ] {
            let ends = interval.and_then(|interval| interval.ends);
            for value in [interval.map(|i| i.value), ends.map(|e| e.0), ends.map(|e| e.1)] {
                record.push(value.map(|value| format!("{value:.4}")).unwrap_or_default());
            }
        }
        record.extend([format!("{:.2}", row.trainings), format!("{:.0}", row.passes)]);
        writer.write_record(&record)?;
    }
    Ok(write_whole(path, writer.into_inner()?)?)
}

/// A table per question, scores down and scenarios across.
pub fn markdown(path: &Path, rows: &[Row], settings: &Settings) -> Result<()> {
    let mut text = String::from("# How well scores find what was planted\n\n");
    writeln!(
        text,
        "Made by `htl-bench mining`: {} trainings per scenario of {} image steps at {} px, width {}; fine-tuned at sparsity {} for \
         {} image steps. Every number is by all seeds together; brackets hold the 95 % interval over seeds (jackknife and \
         Student's t: other trainings, the same images and planting).\n",
        settings.seeds,
        settings.image_steps,
        settings.size,
        settings.width,
        settings.sparsity,
        settings.fine_tune_steps
    )?;
    let questions: [(&str, &str, Answer); 5] = [
        (
            "Area under the ROC curve",
            "0.5 is chance. `natural`: the same groups where nothing was planted; a group is found because it is rare only as far as \
             its number is above that.",
            |row| row.auroc,
        ),
        (
            "Average precision",
            "Chance is the share of special images, in the heading.",
            |row| row.average_precision,
        ),
        (
            "AUROC added to seed spread",
            "Of spread and score together (least squares on ranks), less that of spread.",
            |row| row.added_auroc,
        ),
        (
            "Rank correlation with the true error",
            "Spearman, with the error of the dense consensus against the true masks. Scores that read masks read those that the \
             networks were given.",
            |row| row.error_rho,
        ),
        (
            "R² of the true error added to seed spread",
            "Of ranks: spread and score together, less spread.",
            |row| row.added_r2,
        ),
    ];
    for split in ["train", "test"] {
        for (title, about, of) in questions {
            let here: Vec<&Row> = rows.iter().filter(|row| row.split == split).collect();
            table(&mut text, &format!("{title}, {split} images"), about, &here, of)?;
        }
    }
    text.push_str(
        "## Cost\n\nOf a score alone: dense trainings, and forward passes per image (a backward pass counts two).\n\n",
    );
    text.push_str("| score | trainings | passes |\n| --- | --- | --- |\n");
    for score in SCORES {
        if let Some(row) = rows.iter().find(|row| row.score == score.key) {
            writeln!(text, "| `{}` | {:.1} | {:.0} |", score.key, row.trainings, row.passes)?;
        }
    }
    Ok(write_whole(path, text)?)
}

fn table(
    text: &mut String,
    title: &str,
    about: &str,
    rows: &[&Row],
    of: impl Fn(&Row) -> Option<Interval>,
) -> Result<()> {
    let mut heads: Vec<(&str, &str)> = Vec::new();
    for row in rows {
        let head = (row.scenario.as_str(), row.truth.as_str());
        if !heads.contains(&head) {
            heads.push(head);
        }
    }
    if heads.is_empty() {
        return Ok(());
    }
    writeln!(text, "## {title}\n\n{about}\n")?;
    text.push_str("| score |");
    for (scenario, truth) in &heads {
        let count = rows.iter().find(|row| row.scenario == *scenario && row.truth == *truth);
        let (special, images) = count.map_or((0, 0), |row| (row.special, row.images));
        let name = match *scenario {
            "natural" => format!("natural: {truth}"),
            _ => (*scenario).to_owned(),
        };
        write!(text, " {name} ({special} of {images}) |")?;
    }
    text.push_str("\n| --- |");
    text.push_str(&" --- |".repeat(heads.len()));
    text.push('\n');
    for score in SCORES {
        let cells: Vec<Option<Interval>> = heads
            .iter()
            .map(|(scenario, truth)| {
                let found = rows
                    .iter()
                    .find(|row| row.score == score.key && row.scenario == *scenario && row.truth == *truth);
                found.and_then(|row| of(row))
            })
            .collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        write!(text, "| `{}` |", score.key)?;
        for cell in cells {
            match cell {
                None => text.push_str(" |"),
                Some(Interval { value, ends: None }) => write!(text, " {value:.2} |")?,
                Some(Interval {
                    value,
                    ends: Some((lo, hi)),
                }) => write!(text, " {value:.2} [{lo:.2}, {hi:.2}] |")?,
            }
        }
        text.push('\n');
    }
    text.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: &str, score: &str, value: f64) -> Row {
        let interval = Some(Interval {
            value,
            ends: Some((value - 0.1, value + 0.1)),
        });
        Row {
            scenario: scenario.into(),
            truth: "small, rare".into(),
            split: "train".into(),
            score: score.into(),
            images: 100,
            special: 8,
            auroc: interval,
            average_precision: Some(Interval { value, ends: None }),
            error_rho: None,
            added_auroc: interval,
            added_r2: None,
            trainings: 6.0,
            passes: 12.0,
        }
    }

    /// One line per row and one cell per scenario; what is not defined is blank.
    #[test]
    fn tables_hold_every_number() {
        let folder = tempfile::tempdir().unwrap();
        let rows = [
            row("rare-size-8", "random", 0.5),
            row("swapped", "random", 0.25),
            row("swapped", "softmin", 0.75),
        ];
        csv(&folder.path().join("m.csv"), &rows).unwrap();
        let text = std::fs::read_to_string(folder.path().join("m.csv")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("scenario,truth,split,score,images,special,auroc,auroc_lo,auroc_hi,"));
        assert!(lines[1].starts_with("rare-size-8,\"small, rare\",train,random,100,8,0.5000,0.4000,0.6000,0.5000,,,"));
        let settings = Settings {
            data_sha256: String::new(),
            revisions_sha256: None,
            seeds: 6,
            epochs: 30,
            size: 64,
            width: 8,
            batch: 16,
            image_steps: 1000,
            fine_tune_steps: 200,
            early_steps: 200,
            learning_rate: 1e-3,
            fine_tune_rate: 1e-3,
            sparsity: 0.8,
            sparsities: vec![0.5],
            judge_every: 1,
        };
        markdown(&folder.path().join("m.md"), &rows, &settings).unwrap();
        let text = std::fs::read_to_string(folder.path().join("m.md")).unwrap();
        assert!(
            text.contains("| score | rare-size-8 (8 of 100) | swapped (8 of 100) |"),
            "{text}"
        );
        assert!(
            text.contains("| `random` | 0.50 [0.40, 0.60] | 0.25 [0.15, 0.35] |"),
            "{text}"
        );
        assert!(text.contains("| `softmin` | | 0.75 [0.65, 0.85] |"), "{text}");
        assert!(text.contains("| `random` | 6.0 | 12 |"), "{text}");
    }
}
