//! `per_image.csv`: the metrics of each image and the groups it belongs to.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use htl_datasets::Sample;
use htl_metrics::{Attribute, IMAGE_SCORE_COLUMNS, ImageScores};
use htl_mining::age_band;

/// The group columns after the metrics.
pub const GROUP_COLUMNS: [&str; 5] = ["sex", "age_band", "anatom_site", "dx", "size_tercile"];

/// One image's metrics and groups; an unknown group is empty.
#[derive(Debug, Clone)]
pub struct Row {
    pub scores: ImageScores,
    pub groups: [String; GROUP_COLUMNS.len()],
}

/// The groups of a sample that its metadata tells; the size tercile is filled in by [`set_terciles`].
pub fn groups_of(sample: Option<&Sample>) -> [String; GROUP_COLUMNS.len()] {
    let text = |field: fn(&Sample) -> Option<String>| sample.and_then(field).unwrap_or_default();
    [
        text(|s| s.sex.clone()),
        text(|s| s.age_approx.and_then(age_band).map(str::to_owned)),
        text(|s| s.anatom_site.clone()),
        text(|s| s.dx.clone()),
        String::new(),
    ]
}

/// Terciles of the true lesion area over these images.
pub fn set_terciles(rows: &mut [Row]) {
    let area = |row: &Row| {
        let s = &row.scores;
        (s.tp + s.fn_) as f64 / (s.tp + s.fp + s.fn_ + s.tn).max(1) as f64
    };
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|&a, &b| area(&rows[a]).total_cmp(&area(&rows[b])).then(a.cmp(&b)));
    let count = rows.len().max(1);
    for (rank, index) in order.into_iter().enumerate() {
        rows[index].groups[4] = ["small", "medium", "large"][rank * 3 / count].to_owned();
    }
}

/// The table as CSV.
pub fn to_csv(rows: &[Row]) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(IMAGE_SCORE_COLUMNS.iter().chain(&GROUP_COLUMNS))?;
    for row in rows {
        // The metrics serialise themselves; the groups follow in the same record.
        let mut scores = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        scores.serialize(&row.scores)?;
        let bytes = scores.into_inner()?;
        let mut record = csv::StringRecord::new();
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes.as_slice())
            .read_record(&mut record)?;
        row.groups.iter().for_each(|group| record.push_field(group));
        writer.write_record(&record)?;
    }
    Ok(writer.into_inner()?)
}

/// Reads a table; the group columns may be missing.
pub fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    let headers = reader.headers().with_context(|| path.display().to_string())?.clone();
    for column in ["image_id", "jaccard"] {
        ensure!(
            headers.iter().any(|h| h == column),
            "{}: no column `{column}` in the header",
            path.display()
        );
    }
    let group_columns = GROUP_COLUMNS.map(|name| headers.iter().position(|h| h == name));
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let place = || format!("{}, row {}", path.display(), number + 2);
        let record = record.with_context(place)?;
        let scores: ImageScores = record.deserialize(Some(&headers)).with_context(place)?;
        let groups = group_columns.map(|column| column.and_then(|c| record.get(c)).unwrap_or_default().to_owned());
        rows.push(Row { scores, groups });
    }
    if rows.is_empty() {
        bail!("{}: no row below the header", path.display());
    }
    Ok(rows)
}

/// The groups as attributes of the images.
pub fn attributes(rows: &[Row]) -> Vec<Attribute> {
    GROUP_COLUMNS
        .iter()
        .enumerate()
        .map(|(column, name)| Attribute {
            name: (*name).to_owned(),
            levels: rows
                .iter()
                .filter(|row| !row.groups[column].is_empty())
                .map(|row| (row.scores.image_id.clone(), row.groups[column].clone()))
                .collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use htl_metrics::Mask;

    fn row(id: &str, area: usize) -> Row {
        let mut pixels = vec![0; 16];
        pixels[..area].fill(1);
        let mask = Mask::new(4, 4, pixels).unwrap();
        Row {
            scores: ImageScores::of(id, &mask, &mask).unwrap(),
            groups: groups_of(None),
        }
    }

    #[test]
    fn csv_round_trip_with_terciles() {
        let mut rows = vec![row("a", 9), row("b", 1), row("c", 4)];
        set_terciles(&mut rows);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("per_image.csv");
        std::fs::write(&path, to_csv(&rows).unwrap()).unwrap();
        let again = read(&path).unwrap();
        assert_eq!(
            again.iter().map(|r| r.groups[4].as_str()).collect::<Vec<_>>(),
            ["large", "small", "medium"]
        );
        assert_eq!(again[1].scores, rows[1].scores);
    }

    #[test]
    fn a_missing_column_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("per_image.csv");
        std::fs::write(&path, "image_id,dice\na,1\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("`jaccard`"));
    }
}
