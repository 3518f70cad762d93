//! Diagnoses written as a column each, with a mark in one of them.

use crate::spelling::key;

/// Columns of the ISIC challenges of 2017, 2018 and 2019, and of PH2, as [`key`] gives them.
const DIAGNOSES: [&str; 14] = [
    "mel",
    "nv",
    "bcc",
    "akiec",
    "bkl",
    "df",
    "vasc",
    "ak",
    "scc",
    "unk",
    "common nevus",
    "atypical nevus",
    "melanoma",
    "seborrheic keratosis",
];

/// Places and names of such columns; none if there are fewer than two.
pub(crate) fn columns(headers: &[String]) -> Vec<(usize, String)> {
    let found = headers.iter().enumerate().filter_map(|(place, header)| {
        let name = key(header);
        DIAGNOSES.contains(&name.as_str()).then_some((place, name))
    });
    let found: Vec<(usize, String)> = found.collect();
    if found.len() < 2 { Vec::new() } else { found }
}

/// The diagnosis that is marked in a row; nothing if none is, or `UNK`.
///
/// # Errors
/// What is wrong, if several are marked, or a cell is no mark.
pub(crate) fn marked(columns: &[(usize, String)], cells: &[Option<String>]) -> Result<Option<String>, String> {
    let mut found: Option<&str> = None;
    for (place, name) in columns {
        let Some(text) = cells.get(*place).and_then(Option::as_deref) else {
            continue;
        };
        let mark = match text.parse::<f64>() {
            Ok(0.0) => false,
            Ok(1.0) => true,
            _ if text.eq_ignore_ascii_case("x") => true,
            _ => return Err(format!("has `{text}` under `{name}`; expected 0, 1 or x")),
        };
        if mark && let Some(other) = found.replace(name) {
            return Err(format!("is marked as `{other}` and as `{name}`; keep one"));
        }
    }
    Ok(found.filter(|name| *name != "unk").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_is_a_diagnosis() {
        let headers = ["Image Name", "Common Nevus", "Atypical Nevus", "Melanoma"].map(str::to_owned);
        let columns = columns(&headers);
        let row = |marks: [&str; 3]| {
            let cell = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            marked(
                &columns,
                &[Some("IMD003".into()), cell(marks[0]), cell(marks[1]), cell(marks[2])],
            )
        };
        assert_eq!(row(["X", "", ""]).unwrap().as_deref(), Some("common nevus"));
        assert_eq!(row(["0", "0.0", "1.0"]).unwrap().as_deref(), Some("melanoma"));
        assert_eq!(row(["", "", ""]).unwrap(), None);
        assert!(row(["X", "X", ""]).unwrap_err().contains("keep one"));
        assert!(row(["0.3", "0.7", ""]).unwrap_err().contains("`0.3`"));
    }
}
