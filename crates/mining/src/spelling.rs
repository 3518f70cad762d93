//! One text per meaning: what different hands write for the same thing in one column of a table.

use std::collections::{BTreeMap, HashMap};

/// Written by people and programs where nothing is known, as [`key`] gives it.
const BLANKS: [&str; 18] = [
    "",
    "unknown",
    "na",
    "n/a",
    "n.a.",
    "nan",
    "none",
    "null",
    "nil",
    "missing",
    "not known",
    "not stated",
    "not available",
    "not specified",
    "unspecified",
    "undefined",
    "?",
    "-",
];

/// Words for the sexes, each list under the word that is shown.
const SEXES: [(&str, &[&str]); 2] = [
    ("female", &["f", "female", "w", "woman", "weiblich", "femme"]),
    ("male", &["m", "male", "man", "maennlich", "männlich", "homme"]),
];

/// The trimmed text of a cell, `None` for what stands for nothing.
pub(crate) fn known(cell: &str) -> Option<String> {
    let cell = cell.trim();
    (!BLANKS.contains(&key(cell).as_str())).then(|| cell.to_owned())
}

/// Texts of one key mean the same: case, underscores, hyphens between words and runs of spaces do not count.
fn key(text: &str) -> String {
    let lower = text.trim().to_lowercase();
    if lower.chars().all(|c| !c.is_alphanumeric()) {
        return lower;
    }
    let words: String = lower
        .chars()
        .map(|c| if c == '_' || c == '-' { ' ' } else { c })
        .collect();
    // A hyphen between digits is a range, before one a sign.
    if lower.chars().any(|c| c.is_ascii_digit()) {
        return lower.replace('_', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    }
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Spellings that were taken for one, in one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedSpelling {
    /// The column.
    pub column: String,
    /// The text that stands for all of them.
    pub kept: String,
    /// The other texts, in alphabetical order.
    pub others: Vec<String>,
}

/// Makes the cells of one column that mean the same equal, and says which were. The most frequent spelling stays, the
/// alphabetically first of equally frequent ones; in the column of the sex (`sex`, `gender`) also `F` and `female` are one.
pub(crate) fn merge<'a>(column: &str, cells: impl Iterator<Item = &'a mut Option<String>>) -> Vec<MergedSpelling> {
    let mut cells: Vec<&mut String> = cells.filter_map(Option::as_mut).collect();
    let of_sex = ["sex", "gender"].contains(&column.to_lowercase().as_str());
    let sex = |key: &str| {
        SEXES
            .iter()
            .find(|(_, words)| of_sex && words.contains(&key))
            .map(|(sex, _)| *sex)
    };
    let meaning = |text: &str| {
        let key = key(text);
        sex(&key).map_or(key, str::to_owned)
    };
    let mut spellings: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for cell in &cells {
        let of_meaning = spellings.entry(meaning(cell)).or_default();
        *of_meaning.entry(cell.to_string()).or_default() += 1;
    }
    let mut kept: HashMap<String, String> = HashMap::new();
    let mut merged = Vec::new();
    for (meaning, texts) in spellings {
        let most = texts.values().max().copied().unwrap_or(0);
        let frequent = texts
            .iter()
            .find(|(_, count)| **count == most)
            .map(|(text, _)| text.clone());
        let shown = match sex(&meaning) {
            Some(sex) => texts.keys().find(|text| text.as_str() == sex).cloned().or(frequent),
            None => frequent,
        };
        let Some(shown) = shown else { continue };
        let others: Vec<String> = texts.into_keys().filter(|text| *text != shown).collect();
        if !others.is_empty() {
            merged.push(MergedSpelling {
                column: column.to_owned(),
                kept: shown.clone(),
                others,
            });
            kept.insert(meaning, shown);
        }
    }
    for cell in &mut cells {
        if let Some(shown) = kept.get(&meaning(cell)) {
            **cell = shown.clone();
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(column: &str, texts: &[&str]) -> Vec<String> {
        let mut cells: Vec<Option<String>> = texts.iter().map(|text| known(text)).collect();
        merge(column, cells.iter_mut());
        cells.into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn spellings_of_one_word_are_one() {
        assert_eq!(
            merged(
                "site",
                &[
                    "Lower_extremity",
                    "lower extremity",
                    "lower  Extremity",
                    "lower extremity",
                    "head-neck"
                ]
            ),
            [
                "lower extremity",
                "lower extremity",
                "lower extremity",
                "lower extremity",
                "head-neck"
            ]
        );
        assert_eq!(
            merged("sex", &["M", "male", "F", "F", "f", "other"]),
            ["male", "male", "F", "F", "F", "other"]
        );
        assert_eq!(
            merged("grade", &["M", "male"]),
            ["M", "male"],
            "words of sexes mean nothing elsewhere"
        );
        assert_eq!(merged("range", &["1-2", "12", "-3", "3"]), ["1-2", "12", "-3", "3"]);
    }

    #[test]
    fn nothing_has_many_names() {
        for text in [
            "",
            "  ",
            "NA",
            "N/A",
            "NaN",
            "None",
            "UNKNOWN",
            "null",
            "Not known",
            "not_stated",
            "?",
            "-",
        ] {
            assert_eq!(known(text), None, "{text:?}");
        }
        assert_eq!(known(" nail "), Some("nail".into()));
    }

    #[test]
    fn what_was_merged_is_said() {
        let mut cells = ["Torso", "torso", "torso"].map(|text| Some(text.to_owned()));
        let said = merge("site", cells.iter_mut());
        assert_eq!(said.len(), 1);
        assert_eq!(
            (said[0].kept.as_str(), said[0].others.as_slice()),
            ("torso", &["Torso".to_owned()][..])
        );
    }
}
