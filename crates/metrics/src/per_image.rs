use crate::calibration::CalibrationErrors;
use crate::clusters::clusters;
use crate::error::MetricError;
use crate::groups::ImageGroup;
use crate::registry::{IMAGE_SCORE_COLUMNS, ImageScores, Metric};
use crate::runs::Attribute;

/// The column of [`IMAGE_SCORE_COLUMNS`] that pixel counts begin with.
const FIRST_COUNT: &str = "tp";

/// Columns of `per_image.csv` that say which images belong together.
pub const LESION_COLUMN: &str = "lesion_id";
/// See [`LESION_COLUMN`]; written only where a patient is known.
pub const PATIENT_COLUMN: &str = "patient_id";

/// Columns of `per_image.csv` about the probabilities of an image's pixels; written, before `tp`, where a predictor gives
/// probabilities.
const CALIBRATION_COLUMNS: [&str; 2] = ["brier", "calibration_error"];

/// The table `per_image.csv`: the metrics of each image, the lesion and patient it shows and the groups it belongs to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PerImage {
    /// Names of the group columns, which come last.
    pub group_columns: Vec<String>,
    /// A row per image.
    pub rows: Vec<PerImageRow>,
}

/// One image's metrics and groups.
#[derive(Debug, Clone, PartialEq)]
pub struct PerImageRow {
    /// The metrics.
    pub scores: ImageScores,
    /// How far its probabilities are off; `None` for masks and class maps.
    pub calibration: Option<CalibrationErrors>,
    /// The lesion that the image shows, where known.
    pub lesion_id: Option<String>,
    /// The patient, where known.
    pub patient_id: Option<String>,
    /// Level in each group column; empty where it is not known.
    pub groups: Vec<String>,
}

impl PerImage {
    /// The table as CSV: [`IMAGE_SCORE_COLUMNS`] (but for metrics that no row has; before the counts `brier` and
    /// `calibration_error` where a row has them), `lesion_id`, `patient_id` (where one is known), the group columns.
    ///
    /// # Errors
    /// [`MetricError::Length`] if a row has more or fewer groups than there are columns.
    pub fn to_csv(&self) -> Result<Vec<u8>, MetricError> {
        let measured = |column: &&str| match Metric::named(column) {
            Some(metric) => self.rows.is_empty() || self.rows.iter().any(|row| metric.of_image(&row.scores).is_some()),
            None => true,
        };
        let kept: Vec<(usize, &str)> = IMAGE_SCORE_COLUMNS
            .into_iter()
            .enumerate()
            .filter(|(_, column)| measured(column))
            .collect();
        let patients = self.rows.iter().any(|row| row.patient_id.is_some());
        let calibrated = self.rows.iter().any(|row| row.calibration.is_some());
        let counts = kept.iter().position(|(_, column)| *column == FIRST_COUNT);
        let (metrics, counts) = kept.split_at(counts.unwrap_or(kept.len()));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut header: Vec<&str> = metrics.iter().map(|(_, column)| *column).collect();
        if calibrated {
            header.extend(CALIBRATION_COLUMNS);
        }
        header.extend(counts.iter().map(|(_, column)| *column));
        header.push(LESION_COLUMN);
        if patients {
            header.push(PATIENT_COLUMN);
        }
        header.extend(self.group_columns.iter().map(String::as_str));
        writer.write_record(header)?;
        for row in &self.rows {
            if row.groups.len() != self.group_columns.len() {
                return Err(MetricError::Length {
                    what: format!("groups of the image {}", row.scores.image_id),
                    expected: self.group_columns.len(),
                    found: row.groups.len(),
                });
            }
            let scores = row.scores_record()?;
            let cells = |columns: &[(usize, &str)]| -> Vec<String> {
                let cells = columns.iter().filter_map(|(at, _)| scores.get(*at));
                cells.map(str::to_owned).collect()
            };
            let mut record = csv::StringRecord::from(cells(metrics));
            if calibrated {
                let of = |value: fn(&CalibrationErrors) -> f64| row.calibration.as_ref().map(value);
                for value in [of(|errors| errors.brier), of(|errors| errors.calibration_error)] {
                    record.push_field(&value.map(|value| value.to_string()).unwrap_or_default());
                }
            }
            cells(counts).iter().for_each(|cell| record.push_field(cell));
            record.push_field(row.lesion_id.as_deref().unwrap_or_default());
            if patients {
                record.push_field(row.patient_id.as_deref().unwrap_or_default());
            }
            row.groups.iter().for_each(|group| record.push_field(group));
            writer.write_record(&record)?;
        }
        Ok(writer
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))?)
    }

    /// Reads a table; columns may come in any order, and every column that is not known is a group column.
    ///
    /// Tables of other versions are readable: `lesion_id`, `patient_id` and any metric but `jaccard` may be missing (such a
    /// metric is `None` in [`ImageScores::metric`]), and an unknown column between `image_id` and `tn`, where metrics are
    /// written, is a metric of a later version and is left out.
    ///
    /// # Errors
    /// [`MetricError::Table`] for a missing column or a cell that is not a number, [`MetricError::Value`] for a metric
    /// outside its range, [`MetricError::Empty`] for a table without a row.
    pub fn from_csv(bytes: &[u8]) -> Result<Self, MetricError> {
        let mut reader = csv::Reader::from_reader(bytes);
        let headers = reader.headers()?.clone();
        let place = |column: &str| headers.iter().position(|header| header == column);
        for column in ["image_id", "jaccard"] {
            if place(column).is_none() {
                return Err(MetricError::Table {
                    reason: format!("no column `{column}` in the header"),
                });
            }
        }
        let metrics: Vec<&Metric> = Metric::per_image()
            .filter(|metric| place(metric.key).is_some())
            .collect();
        let among_metrics = place("image_id").zip(place("tn")).map(|(first, last)| first..last);
        let known = |name: &str| {
            let further = [LESION_COLUMN, PATIENT_COLUMN];
            let columns = [&IMAGE_SCORE_COLUMNS[..], &CALIBRATION_COLUMNS, &further];
            columns.iter().any(|columns| columns.contains(&name))
        };
        let groups: Vec<(usize, String)> = headers
            .iter()
            .enumerate()
            .filter(|(at, name)| !known(name) && !among_metrics.as_ref().is_some_and(|range| range.contains(at)))
            .map(|(at, name)| (at, name.to_owned()))
            .collect();
        let (lesion, patient) = (place(LESION_COLUMN), place(PATIENT_COLUMN));
        let errors = CALIBRATION_COLUMNS.map(place);
        let mut rows = Vec::new();
        for (number, record) in reader.records().enumerate() {
            let record = record?;
            let wrong = |reason: String| MetricError::Table {
                reason: format!("row {}: {reason}", number + 2),
            };
            let scores: ImageScores = record
                .deserialize(Some(&headers))
                .map_err(|error| wrong(error.to_string()))?;
            for metric in &metrics {
                metric
                    .check(metric.of_image(&scores).unwrap_or(f64::NAN))
                    .map_err(|error| wrong(error.to_string()))?;
            }
            let id = |column: Option<usize>| {
                let cell = record.get(column?)?.trim();
                (!cell.is_empty()).then(|| cell.to_owned())
            };
            let error = |at: usize| -> Result<Option<f64>, MetricError> {
                let cell = errors[at].and_then(|column| record.get(column)).unwrap_or_default();
                if cell.is_empty() {
                    return Ok(None);
                }
                let value = cell.parse::<f64>().ok().filter(|value| (0.0..=1.0).contains(value));
                let reason = || {
                    format!(
                        "{}: expected a number in [0, 1], found `{cell}`",
                        CALIBRATION_COLUMNS[at]
                    )
                };
                value.map(Some).ok_or_else(|| wrong(reason()))
            };
            let both = error(0)?.zip(error(1)?);
            rows.push(PerImageRow {
                scores,
                calibration: both.map(|(brier, calibration_error)| CalibrationErrors {
                    brier,
                    calibration_error,
                }),
                lesion_id: id(lesion),
                patient_id: id(patient),
                groups: groups
                    .iter()
                    .map(|(at, _)| record.get(*at).unwrap_or_default().to_owned())
                    .collect(),
            });
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

    /// The groups of at least this many images, by column and then in alphabetical order; images as places in
    /// [`rows`](Self::rows).
    pub fn groups(&self, least: usize) -> Vec<ImageGroup> {
        let mut found = Vec::new();
        for (column, attribute) in self.group_columns.iter().enumerate() {
            let mut levels: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
            for (image, row) in self.rows.iter().enumerate() {
                if let Some(level) = row.groups.get(column).filter(|level| !level.is_empty()) {
                    levels.entry(level).or_default().push(image);
                }
            }
            let large = levels.into_iter().filter(|(_, images)| images.len() >= least);
            found.extend(large.map(|(level, images)| ImageGroup {
                attribute: attribute.clone(),
                level: level.to_owned(),
                images,
            }));
        }
        found
    }

    /// Which rows show one lesion or one patient: see [`clusters`].
    pub fn clusters(&self) -> Vec<usize> {
        clusters(
            self.rows
                .iter()
                .map(|row| [row.lesion_id.as_deref(), row.patient_id.as_deref()]),
        )
    }

    /// The metrics alone.
    pub fn scores(&self) -> Vec<ImageScores> {
        self.rows.iter().map(|row| row.scores.clone()).collect()
    }
}

impl PerImageRow {
    /// The metrics as they serialise themselves, a cell per column of [`IMAGE_SCORE_COLUMNS`].
    fn scores_record(&self) -> Result<csv::StringRecord, MetricError> {
        let mut scores = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        scores.serialize(&self.scores)?;
        let bytes = scores
            .into_inner()
            .map_err(|error| csv::Error::from(error.into_error()))?;
        let mut record = csv::StringRecord::new();
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes.as_slice())
            .read_record(&mut record)?;
        Ok(record)
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
            calibration: None,
            lesion_id: None,
            patient_id: None,
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

    /// Rows of one lesion or patient are one cluster, and come back so.
    #[test]
    fn lesions_and_patients_come_back() {
        let mut table = PerImage {
            group_columns: vec!["sex".into()],
            rows: ["a", "b", "c"].map(|id| row(id, 3, "female")).into(),
        };
        assert!(
            !String::from_utf8(table.to_csv().unwrap())
                .unwrap()
                .contains("patient_id")
        );
        table.rows[0].lesion_id = Some("L1".into());
        table.rows[2].lesion_id = Some("L1".into());
        table.rows[1].patient_id = Some("P1".into());
        let again = PerImage::from_csv(&table.to_csv().unwrap()).unwrap();
        assert_eq!(again, table);
        assert_eq!(again.clusters(), [0, 1, 0]);
        assert_eq!(again.groups(3)[0].images, [0, 1, 2]);
        assert!(again.groups(4).is_empty());
    }

    /// Errors of probabilities stand before the counts, and only where there are any.
    #[test]
    fn calibration_comes_back() {
        let mut table = PerImage {
            group_columns: vec!["sex".into()],
            rows: ["a", "b"].map(|id| row(id, 3, "female")).into(),
        };
        let header = |table: &PerImage| String::from_utf8(table.to_csv().unwrap()).unwrap();
        assert!(!header(&table).contains("brier"));
        table.rows[0].calibration = Some(CalibrationErrors {
            brier: 0.0625,
            calibration_error: 0.25,
        });
        let text = header(&table);
        assert!(
            text.lines().next().unwrap().contains(",brier,calibration_error,tp,"),
            "{text}"
        );
        assert!(text.contains(",0.0625,0.25,3,0,0,13,"), "{text}");
        assert_eq!(PerImage::from_csv(text.as_bytes()).unwrap(), table);
        let broken = text.replace("0.0625", "6.25");
        let said = PerImage::from_csv(broken.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("brier") && said.contains("6.25"), "{said}");
    }

    /// A table of before `hd95` and lesions, and one with a metric of a later version, are read for what they have.
    #[test]
    fn tables_of_other_versions_are_read() {
        let older = "image_id,jaccard,dice,tp,fp,fn,tn,sex\na,0.5,0.6,1,1,1,1,female\n";
        let table = PerImage::from_csv(older.as_bytes()).unwrap();
        let scores = &table.rows[0].scores;
        assert_eq!((scores.metric("dice"), scores.metric("hd95")), (Some(0.6), None));
        assert_eq!(table.group_columns, ["sex"]);
        assert_eq!((table.clusters(), &table.rows[0].lesion_id), (vec![0], &None));
        let written = String::from_utf8(table.to_csv().unwrap()).unwrap();
        assert_eq!(
            written,
            older.replace(",sex", ",lesion_id,sex").replace(",female", ",,female")
        );
        let newer = "image_id,jaccard,jaccard_of_tomorrow,tp,fp,fn,tn,lesion_id,sex\na,0.5,0.123,1,1,1,1,L,female\n";
        assert_eq!(PerImage::from_csv(newer.as_bytes()).unwrap().group_columns, ["sex"]);
        for broken in ["NaN", "", "inf"] {
            let table = older.replace("0.6", broken);
            assert!(PerImage::from_csv(table.as_bytes()).is_err(), "dice of `{broken}`");
        }
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
