use crate::error::MetricError;
use crate::registry::{IMAGE_SCORE_COLUMNS, ImageScores};
use crate::runs::Attribute;

/// The table `per_image.csv`: the metrics of each image and the groups it belongs to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PerImage {
    /// Names of the group columns, which follow [`IMAGE_SCORE_COLUMNS`].
    pub group_columns: Vec<String>,
    /// A row per image.
    pub rows: Vec<PerImageRow>,
}

/// One image's metrics and groups.
#[derive(Debug, Clone, PartialEq)]
pub struct PerImageRow {
    /// The metrics.
    pub scores: ImageScores,
    /// Level in each group column; empty where it is not known.
    pub groups: Vec<String>,
}

impl PerImage {
    /// The table as CSV.
    ///
    /// # Errors
    /// [`MetricError::Length`] if a row has more or fewer groups than there are columns.
    pub fn to_csv(&self) -> Result<Vec<u8>, MetricError> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let columns = self.group_columns.iter().map(String::as_str);
        writer.write_record(IMAGE_SCORE_COLUMNS.into_iter().chain(columns))?;
        for row in &self.rows {
            if row.groups.len() != self.group_columns.len() {
                return Err(MetricError::Length {
                    what: format!("groups of the image {}", row.scores.image_id),
                    expected: self.group_columns.len(),
                    found: row.groups.len(),
                });
            }
            // The metrics serialise themselves; the groups follow in the same record.
            let mut scores = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            scores.serialize(&row.scores)?;
            let bytes = scores
                .into_inner()
                .map_err(|error| csv::Error::from(error.into_error()))?;
            let mut record = csv::StringRecord::new();
            csv::ReaderBuilder::new()
                .has_headers(false)
                .from_reader(bytes.as_slice())
                .read_record(&mut record)?;
            row.groups.iter().for_each(|group| record.push_field(group));
            writer.write_record(&record)?;
        }
        Ok(writer
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))?)
    }

    /// Reads a table; columns may come in any order, and every column that is not a metric is a group column.
    ///
    /// # Errors
    /// [`MetricError::Table`] for a missing column or a cell that is not a number, [`MetricError::Value`] for a metric
    /// outside its range, [`MetricError::Empty`] for a table without a row.
    pub fn from_csv(bytes: &[u8]) -> Result<Self, MetricError> {
        let mut reader = csv::Reader::from_reader(bytes);
        let headers = reader.headers()?.clone();
        for column in ["image_id", "jaccard"] {
            if !headers.iter().any(|header| header == column) {
                return Err(MetricError::Table {
                    reason: format!("no column `{column}` in the header"),
                });
            }
        }
        let groups: Vec<(usize, String)> = headers
            .iter()
            .enumerate()
            .filter(|(_, name)| !IMAGE_SCORE_COLUMNS.contains(name))
            .map(|(at, name)| (at, name.to_owned()))
            .collect();
        let mut rows = Vec::new();
        for (number, record) in reader.records().enumerate() {
            let record = record?;
            let wrong = |reason: String| MetricError::Table {
                reason: format!("row {}: {reason}", number + 2),
            };
            let scores: ImageScores = record
                .deserialize(Some(&headers))
                .map_err(|error| wrong(error.to_string()))?;
            scores.check_ranges().map_err(|error| wrong(error.to_string()))?;
            let groups = groups
                .iter()
                .map(|(at, _)| record.get(*at).unwrap_or_default().to_owned())
                .collect();
            rows.push(PerImageRow { scores, groups });
        }
        if rows.is_empty() {
            return Err(MetricError::Empty {
                what: "the table below its header",
            });
        }
        Ok(Self {
            group_columns: groups.into_iter().map(|(_, name)| name).collect(),
            rows,
        })
    }

    /// The groups as attributes of the images.
    pub fn attributes(&self) -> Vec<Attribute> {
        let attribute = |(column, name): (usize, &String)| Attribute {
            name: name.clone(),
            levels: self
                .rows
                .iter()
                .filter_map(|row| Some((row.scores.image_id.clone(), row.groups.get(column)?.clone())))
                .filter(|(_, level)| !level.is_empty())
                .collect(),
        };
        self.group_columns.iter().enumerate().map(attribute).collect()
    }

    /// The metrics alone.
    pub fn scores(&self) -> Vec<ImageScores> {
        self.rows.iter().map(|row| row.scores.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mask;

    fn row(id: &str, area: usize, group: &str) -> PerImageRow {
        let mut pixels = vec![0; 16];
        pixels[..area].fill(1);
        let mask = Mask::new(4, 4, pixels).unwrap();
        PerImageRow {
            scores: ImageScores::of(id, &mask, &mask).unwrap(),
            groups: vec![group.to_owned()],
        }
    }

    #[test]
    fn tables_come_back() {
        let table = PerImage {
            group_columns: vec!["sex".into()],
            rows: vec![row("a", 9, "female"), row("b, too", 1, "")],
        };
        let again = PerImage::from_csv(&table.to_csv().unwrap()).unwrap();
        assert_eq!(again, table);
        assert_eq!(again.attributes()[0].levels.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| PerImage::from_csv(text.as_bytes()).unwrap_err().to_string();
        assert!(said("image_id,dice\na,1\n").contains("`jaccard`"));
        let header = IMAGE_SCORE_COLUMNS.join(",");
        assert!(said(&format!("{header}\n")).contains("empty"));
        let message = said(&format!("{header}\na,57,0,1,1,1,1,1,0,0,1,0,0,1\n"));
        assert!(message.contains("row 2") && message.contains("57"), "{message}");
        let message = said(&format!("{header}\na,many,0,1,1,1,1,1,0,0,1,0,0,1\n"));
        assert!(message.contains("row 2"), "{message}");
    }
}
