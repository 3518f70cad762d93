use std::collections::BTreeSet;
use std::str::FromStr;

use crate::error::{MiningError, Result};
use crate::table::ScoreTable;

/// Which rows of a long score table: those of networks that saw an image, or of networks that did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folds {
    /// Rows with a fold: each image judged by networks that never saw it.
    OutOfFold,
    /// Rows without one.
    InSample,
    /// The rows of this fold.
    One(u32),
}

impl FromStr for Folds {
    type Err = String;

    /// `out`, `in` or the number of a fold.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "out" => Ok(Self::OutOfFold),
            "in" => Ok(Self::InSample),
            number => number
                .parse()
                .map(Self::One)
                .map_err(|_| format!("`{text}`: expected out, in or the number of a fold")),
        }
    }
}

/// The rows of one setting and one kind of fold, one per image. What is not given is chosen where there is no choice.
///
/// # Errors
/// [`MiningError::Rows`] naming what there is, if the table holds several settings or both in-sample and out-of-fold rows
/// and none is chosen, or if nothing is left.
pub fn choose_rows(table: &ScoreTable, setting: Option<&str>, folds: Option<Folds>) -> Result<ScoreTable> {
    let settings = table.settings();
    let setting = match (setting, settings.as_slice()) {
        (Some(wanted), _) if settings.contains(&wanted) => wanted,
        (None, [only]) => only,
        (None, []) => "",
        (wanted, _) => {
            let names: Vec<String> = settings.iter().map(|name| format!("`{name}`")).collect();
            let problem = match wanted {
                Some(wanted) => format!("no row of setting `{wanted}`; there are {}", names.join(", ")),
                None => format!("several settings ({}): choose one with --setting", names.join(", ")),
            };
            return Err(MiningError::Rows { problem });
        }
    };
    let rows = table.filtered(|row| row.setting == setting);
    let known: BTreeSet<Option<u32>> = rows.rows().iter().map(|row| row.fold).collect();
    let (inside, outside) = (known.contains(&None), known.iter().any(Option::is_some));
    let folds = match folds {
        Some(folds) => folds,
        None if inside && outside => {
            let problem = format!(
                "{} rows without a fold (in-sample) and {} with one (out-of-fold): choose with --fold in or --fold out",
                rows.rows().iter().filter(|row| row.fold.is_none()).count(),
                rows.rows().iter().filter(|row| row.fold.is_some()).count(),
            );
            return Err(MiningError::Rows { problem });
        }
        None if outside => Folds::OutOfFold,
        None => Folds::InSample,
    };
    let chosen = rows.filtered(|row| match folds {
        Folds::OutOfFold => row.fold.is_some(),
        Folds::InSample => row.fold.is_none(),
        Folds::One(number) => row.fold == Some(number),
    });
    if chosen.is_empty() && !table.is_empty() {
        let name = |fold: &Option<u32>| fold.map_or("in".to_owned(), |fold| fold.to_string());
        let there: Vec<String> = known.iter().map(name).collect();
        let problem = format!(
            "no row of setting `{setting}` in that fold; there are {}",
            there.join(", ")
        );
        return Err(MiningError::Rows { problem });
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ScoreRow;

    fn table(rows: &[(&str, &str, Option<u32>)]) -> ScoreTable {
        let mut table = ScoreTable::new(["score"]);
        for (id, setting, fold) in rows {
            let row = ScoreRow {
                image_id: (*id).into(),
                setting: (*setting).into(),
                fold: *fold,
                scores: vec![Some(1.0)],
                htl: false,
            };
            table.push(row).unwrap();
        }
        table
    }

    #[test]
    fn a_choice_is_asked_for_where_there_is_one() {
        let long = table(&[
            ("a", "supervised", None),
            ("a", "supervised", Some(0)),
            ("b", "supervised", Some(1)),
            ("a", "weak", None),
        ]);
        let said = |setting, folds| choose_rows(&long, setting, folds).unwrap_err().to_string();
        assert!(said(None, None).contains("`supervised`, `weak`") && said(None, None).contains("--setting"));
        assert!(said(Some("supervised"), None).contains("--fold"));
        assert!(said(Some("boxes"), None).contains("no row of setting `boxes`"));
        assert!(said(Some("weak"), Some(Folds::One(3))).contains("there are in"));
        let count = |setting, folds| choose_rows(&long, setting, folds).unwrap().len();
        assert_eq!(count(Some("supervised"), Some(Folds::OutOfFold)), 2);
        assert_eq!(count(Some("supervised"), Some(Folds::One(1))), 1);
        assert_eq!(count(Some("supervised"), Some(Folds::InSample)), 1);
        assert_eq!(count(Some("weak"), None), 1);
        assert_eq!(choose_rows(&table(&[("a", "", Some(0))]), None, None).unwrap().len(), 1);
        assert!(choose_rows(&ScoreTable::default(), None, None).unwrap().is_empty());
        assert_eq!("out".parse(), Ok(Folds::OutOfFold));
        assert!("outside".parse::<Folds>().is_err());
    }
}
