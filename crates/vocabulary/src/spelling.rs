//! One text per meaning: what different hands write for the same thing in one column of a table.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

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
const SEXES: &[(&str, &[&str])] = &[
    ("female", &["f", "female", "w", "woman", "weiblich", "femme"]),
    ("male", &["m", "male", "man", "maennlich", "männlich", "homme"]),
];

/// Codes of diagnoses as HAM10000 has them, and their names.
const DIAGNOSES: &[(&str, &[&str])] = &[
    (
        "nv",
        &["nv", "nevus", "naevus", "nevi", "melanocytic nevus", "melanocytic nevi"],
    ),
    ("mel", &["mel", "melanoma"]),
    ("bcc", &["bcc", "basal cell carcinoma"]),
    ("scc", &["scc", "squamous cell carcinoma"]),
    ("ak", &["ak", "actinic keratosis"]),
    ("akiec", &["akiec"]),
    ("bkl", &["bkl", "benign keratosis"]),
    ("df", &["df", "dermatofibroma"]),
    ("vasc", &["vasc", "vascular lesion", "vascular lesions"]),
];

/// A column whose words have synonyms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vocabulary {
    Sex,
    Site,
    Diagnosis,
    /// Only spelling counts.
    Any,
}

impl Vocabulary {
    /// That of a column, by its name here.
    fn of(column: &str) -> Self {
        match column {
            "sex" => Self::Sex,
            "anatom_site" => Self::Site,
            "dx" => Self::Diagnosis,
            _ => Self::Any,
        }
    }

    fn synonyms(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Sex => SEXES,
            Self::Diagnosis => DIAGNOSES,
            Self::Site | Self::Any => &[],
        }
    }

    /// What a text means: equal of texts that mean the same.
    fn meaning(self, text: &str) -> String {
        let key = key(text);
        if self == Self::Site {
            let apart = key.replace(['/', '&'], " ");
            let words = apart.split_whitespace().filter(|word| *word != "and");
            return words.collect::<Vec<_>>().join(" ");
        }
        let word = self.synonyms().iter().find(|(_, words)| words.contains(&key.as_str()));
        word.map_or(key, |(word, _)| (*word).to_owned())
    }
}

/// A column with more different meanings than this holds ids or free text, whose spelling is left alone.
const MOST_MEANINGS: usize = 200;

/// The trimmed text of a cell, `None` for what stands for nothing: blank, `unknown`, `NA`, `n/a`, `nan`, `none`, `null`,
/// `missing`, `not stated`, `?`, `-` and the like, whatever their case.
pub fn known(cell: &str) -> Option<&str> {
    let cell = cell.trim();
    let long = BLANKS.iter().all(|word| cell.len() > 2 * word.len());
    (long || !BLANKS.contains(&key(cell).as_str())).then_some(cell)
}

/// A text in Unicode's composed form: some systems write an umlaut as a letter and a mark, others as one letter, and both look
/// the same.
pub fn composed(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Texts of one key mean the same: case, underscores, hyphens between words and runs of spaces do not count.
pub(crate) fn key(text: &str) -> String {
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
    /// The column, as the table calls it.
    pub column: String,
    /// The text that stands for all of them.
    pub kept: String,
    /// The other texts, in alphabetical order.
    pub others: Vec<String>,
}

/// Makes the cells of one column that mean the same equal, and says which were: texts that differ in case, spaces,
/// underscores or hyphens only, and synonyms of `sex`, `anatom_site` and `dx` (`F` and `female`, `nv` and `nevus`). The most
/// frequent spelling stays, the alphabetically first of equally frequent ones; of the sexes the English word where it occurs.
/// `column` is the name here, `header` that in the table.
pub(crate) fn merge<'a>(
    column: &str,
    header: &str,
    cells: impl Iterator<Item = &'a mut Option<String>>,
) -> Vec<MergedSpelling> {
    let mut cells: Vec<&mut String> = cells.filter_map(Option::as_mut).collect();
    let vocabulary = Vocabulary::of(column);
    let meaning = |text: &str| vocabulary.meaning(text);
    let mut spellings: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for cell in &cells {
        let of_meaning = spellings.entry(meaning(cell)).or_default();
        *of_meaning.entry(cell.to_string()).or_default() += 1;
    }
    if spellings.len() > MOST_MEANINGS {
        return Vec::new();
    }
    let mut kept: HashMap<String, String> = HashMap::new();
    let mut merged = Vec::new();
    for (meaning, texts) in spellings {
        let most = texts.values().max().copied().unwrap_or(0);
        let frequent = texts
            .iter()
            .find(|(_, count)| **count == most)
            .map(|(text, _)| text.clone());
        let word = || texts.keys().find(|text| **text == meaning).cloned();
        let shown = match vocabulary {
            Vocabulary::Sex => word().or(frequent),
            _ => frequent,
        };
        let Some(shown) = shown else { continue };
        let others: Vec<String> = texts.into_keys().filter(|text| *text != shown).collect();
        if !others.is_empty() {
            merged.push(MergedSpelling {
                column: header.to_owned(),
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
        let mut cells: Vec<Option<String>> = texts.iter().map(|text| known(text).map(str::to_owned)).collect();
        merge(column, column, cells.iter_mut());
        cells.into_iter().map(Option::unwrap_or_default).collect()
    }

    #[test]
    fn spellings_of_one_word_are_one() {
        assert_eq!(
            merged(
                "anatom_site",
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
            merged("anatom_site", &["head/neck", "Head and Neck", "head/neck"]),
            ["head/neck"; 3]
        );
        assert_eq!(
            merged("dx", &["nevus", "NV", "nv", "NV", "AK"]),
            ["NV", "NV", "NV", "NV", "AK"]
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
        assert_eq!(known(" nail "), Some("nail"));
    }

    #[test]
    fn what_was_merged_is_said() {
        let mut cells = ["Torso", "torso", "torso"].map(|text| Some(text.to_owned()));
        let said = merge("anatom_site", "Site", cells.iter_mut());
        assert_eq!(said.len(), 1);
        assert_eq!(
            (
                said[0].column.as_str(),
                said[0].kept.as_str(),
                said[0].others.as_slice()
            ),
            ("Site", "torso", &["Torso".to_owned()][..])
        );
    }
}
