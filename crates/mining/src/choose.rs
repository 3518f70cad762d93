use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::column;
use crate::error::{MiningError, Result};
use crate::table::ScoreTable;

/// Which rows of a long score table: an image may have one in-sample and one out-of-fold row per setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum FoldChoice {
    /// In-sample: rows without a fold. `none` on a command line.
    InSample,
    /// All out-of-fold rows together. `all` on a command line.
    OutOfFold,
    /// The images that one fold held out, by its number.
    Fold(u32),
}

impl FoldChoice {
    fn holds(self, fold: Option<u32>) -> bool {
        match self {
            Self::InSample => fold.is_none(),
            Self::OutOfFold => fold.is_some(),
            Self::Fold(number) => fold == Some(number),
        }
    }
}

impl fmt::Display for FoldChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InSample => f.write_str("in-sample"),
            Self::OutOfFold => f.write_str("out-of-fold"),
            Self::Fold(number) => write!(f, "fold {number}"),
        }
    }
}

impl FromStr for FoldChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "none" => Ok(Self::InSample),
            "all" => Ok(Self::OutOfFold),
            number => number
                .parse()
                .map(Self::Fold)
                .map_err(|_| format!("`{text}`: choose none (in-sample), all (out-of-fold), or the number of a fold")),
        }
    }
}

impl TryFrom<String> for FoldChoice {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<FoldChoice> for String {
    fn from(choice: FoldChoice) -> Self {
        match choice {
            FoldChoice::InSample => "none".into(),
            FoldChoice::OutOfFold => "all".into(),
            FoldChoice::Fold(number) => number.to_string(),
        }
    }
}

impl ScoreTable {
    /// The rows of one setting and one fold.
    ///
    /// Without a wish, the setting and the fold that all rows have.
    ///
    /// # Errors
    /// [`MiningError::SeveralTables`] if that leaves a choice, [`MiningError::NoSuchTable`] if it leaves nothing.
    pub fn choose(&self, setting: Option<&str>, fold: Option<FoldChoice>) -> Result<Self> {
        let chosen = self.filtered(|row| {
            setting.is_none_or(|setting| row.setting == setting) && fold.is_none_or(|fold| fold.holds(row.fold))
        });
        let tables = |table: &Self| -> Vec<String> {
            let keys: BTreeSet<(&str, Option<u32>)> = table
                .rows()
                .iter()
                .map(|row| (row.setting.as_str(), row.fold))
                .collect();
            keys.into_iter()
                .map(|(setting, fold)| in_words(setting, fold))
                .collect()
        };
        // Rows of several folds are one table: each image is in one of them.
        let several = match fold {
            Some(FoldChoice::OutOfFold) => {
                chosen
                    .rows()
                    .iter()
                    .map(|row| &row.setting)
                    .collect::<BTreeSet<_>>()
                    .len()
                    > 1
            }
            _ => tables(&chosen).len() > 1,
        };
        if chosen.is_empty() && !self.is_empty() {
            let setting = setting.map_or_else(|| "any setting".into(), |setting| format!("setting `{setting}`"));
            let fold = fold.map_or_else(String::new, |fold| format!(", {fold}"));
            return Err(MiningError::NoSuchTable {
                asked: setting + &fold,
                found: tables(self),
            });
        }
        if several {
            return Err(MiningError::SeveralTables { found: tables(&chosen) });
        }
        Ok(chosen)
    }
}

/// The score that a table is ranked by unasked: `forgetting_raw` where it is known, else `disagreement`.
pub fn default_score(table: &ScoreTable) -> &'static str {
    let known = table
        .column(column::FORGETTING_RAW)
        .is_ok_and(|values| values.iter().any(Option::is_some));
    if known {
        column::FORGETTING_RAW
    } else {
        column::DISAGREEMENT
    }
}

fn in_words(setting: &str, fold: Option<u32>) -> String {
    let setting = if setting.is_empty() { "no setting" } else { setting };
    match fold {
        Some(fold) => format!("{setting} (fold {fold})"),
        None => format!("{setting} (in-sample)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ScoreRow;

    fn table() -> ScoreTable {
        let mut table = ScoreTable::new(["x"]);
        let rows = [
            ("a", "supervised", None),
            ("a", "supervised", Some(0)),
            ("b", "supervised", Some(1)),
            ("a", "semi-supervised", None),
        ];
        for (image_id, setting, fold) in rows {
            table
                .push(ScoreRow {
                    image_id: image_id.into(),
                    setting: setting.into(),
                    fold,
                    scores: vec![None],
                    htl: false,
                })
                .unwrap();
        }
        table
    }

    #[test]
    fn a_choice_has_to_be_made_where_there_is_one() {
        let table = table();
        let error = table.choose(None, None).unwrap_err().to_string();
        for words in ["supervised (in-sample)", "supervised (fold 1)", "--setting", "--fold"] {
            assert!(error.contains(words), "{error}");
        }
        assert!(table.choose(Some("supervised"), None).is_err());
        assert_eq!(table.choose(Some("semi-supervised"), None).unwrap().len(), 1);
        let chosen = |fold: &str| table.choose(Some("supervised"), Some(fold.parse().unwrap()));
        assert_eq!(chosen("none").unwrap().len(), 1);
        assert_eq!(chosen("all").unwrap().len(), 2);
        assert_eq!(chosen("1").unwrap().ids(), ["b"]);
        let error = chosen("7").unwrap_err().to_string();
        assert!(error.contains("supervised") && error.contains("fold 7"), "{error}");
    }

    #[test]
    fn folds_are_known_by_their_words() {
        assert_eq!("none".parse(), Ok(FoldChoice::InSample));
        assert!("x".parse::<FoldChoice>().unwrap_err().contains("all"));
    }
}
