//! The tables beside the ISIC images, and which images belong together.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::{Context, Result, ensure};

/// A row by column name.
pub type Row = HashMap<String, String>;

/// All rows of a CSV file that has at least `columns`.
pub fn rows(path: &Path, columns: &[&str]) -> Result<Vec<Row>> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let header = reader.headers()?.clone();
    for column in columns {
        ensure!(
            header.iter().any(|found| found == *column),
            "{} has no column `{column}`",
            path.display()
        );
    }
    reader
        .deserialize()
        .collect::<Result<_, _>>()
        .with_context(|| format!("in {}", path.display()))
}

/// The field, or nothing if blank or unknown.
pub fn known(row: &Row, column: &str) -> Option<String> {
    row.get(column)
        .map(|value| value.trim())
        .filter(|value| !matches!(*value, "" | "unknown"))
        .map(str::to_owned)
}

/// For each id the smallest id of its group: images of one lesion, and near-duplicates, directly or through others.
///
/// `lesions` are (image id, lesion id); near-duplicate pairs come from `near_duplicates.csv`, of whatever source.
pub fn groups(lesions: &[(String, Option<String>)], near_duplicates: &Path) -> Result<BTreeMap<String, String>> {
    let mut parent: BTreeMap<String, String> = lesions.iter().map(|(id, _)| (id.clone(), id.clone())).collect();
    fn root(parent: &BTreeMap<String, String>, id: &str) -> String {
        let mut id = id;
        while let Some(up) = parent.get(id).filter(|up| *up != id) {
            id = up;
        }
        id.to_owned()
    }
    let mut join = |a: &str, b: &str| {
        if parent.contains_key(a) && parent.contains_key(b) {
            let (a, b) = (root(&parent, a), root(&parent, b));
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            parent.insert(high, low);
        }
    };
    let mut first: HashMap<&str, &str> = HashMap::new();
    for (id, lesion) in lesions {
        if let Some(lesion) = lesion {
            join(first.entry(lesion).or_insert(id), id);
        }
    }
    for row in rows(near_duplicates, &["image_id_a", "image_id_b"])? {
        join(&row["image_id_a"], &row["image_id_b"]);
    }
    Ok(parent.keys().map(|id| (id.clone(), root(&parent, id))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_join_through_lesions_and_pairs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("near_duplicates.csv");
        std::fs::write(&path, "image_id_a,image_id_b\nd,b\ne,unlisted\n").unwrap();
        let lesion = |id: &str, lesion: Option<&str>| (id.to_owned(), lesion.map(str::to_owned));
        let lesions = [
            lesion("a", Some("L")),
            lesion("b", None),
            lesion("c", None),
            lesion("d", Some("L")),
            lesion("e", None),
        ];
        let groups = groups(&lesions, &path).unwrap();
        let of = |id: &str| groups[id].as_str();
        assert_eq!([of("a"), of("b"), of("c"), of("d"), of("e")], ["a", "a", "c", "a", "e"]);
    }
}
