//! What is known of the images: the table of metadata, and what their pixels tell.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use htl_datasets::{DataFolder, LesionAttributes, MEASUREMENTS, Measurement, Sample};
use htl_mining::{ATTRIBUTES, Attribute, AttributeRow, ColumnChoice, Metadata, Source, Subject};
use htl_vocabulary::write_whole;

/// The images of an analysis, in order, with everything known of them.
pub(super) struct People<'a> {
    subjects: Vec<(String, Subject)>,
    lesions: Option<Vec<Lesion>>,
    metadata: Option<&'a Metadata>,
    clusters: Vec<HashMap<String, String>>,
}

/// An image's id, and what its pixels tell where it has a mask.
type Lesion = (String, Option<LesionAttributes>);

impl<'a> People<'a> {
    pub(super) fn new(
        ids: Vec<String>,
        metadata: Option<&'a Metadata>,
        data: Option<&DataFolder>,
        cluster: &[String],
        note: &mut dyn FnMut(String),
    ) -> anyhow::Result<Self> {
        if let Some(metadata) = metadata {
            let missing = ids.iter().filter(|id| !metadata.contains(id)).count();
            if missing > 0 {
                note(format!("{missing} of {} images are not in the metadata", ids.len()));
            }
        }
        let lesions = data.map(|data| lesions(data, &ids)).transpose()?;
        let subject = |(i, id): (usize, &String)| {
            let subject = metadata.map(|metadata| metadata.subject(id)).unwrap_or_default();
            let lesion = lesions.as_ref().and_then(|lesions| lesions[i].1);
            (id.clone(), measured(subject, lesion))
        };
        let subjects: Vec<(String, Subject)> = ids.iter().enumerate().map(subject).collect();
        let key = |column: &String| -> HashMap<String, String> {
            let cells = subjects
                .iter()
                .filter_map(|(id, s)| Some((id.clone(), s.cell(column)?.to_owned())));
            cells.collect()
        };
        let clusters = cluster.iter().map(key).filter(|keys| !keys.is_empty()).collect();
        let people = Self {
            subjects,
            lesions,
            metadata,
            clusters,
        };
        for row in ATTRIBUTES
            .iter()
            .filter(|row| row.source == Source::Metadata && !people.has(row))
        {
            if metadata.is_some() {
                note(format!(
                    "the metadata have no column for {0}: no analysis by {0}",
                    row.in_sentence
                ));
            }
        }
        Ok(people)
    }

    /// Whether an attribute can be told: its column is there, or some image has a level.
    fn has(&self, row: &AttributeRow) -> bool {
        match row.source {
            Source::Image => self.lesions.is_some(),
            Source::Metadata => {
                let subjects: Vec<&Subject> = self.subjects.iter().map(|(_, subject)| subject).collect();
                let column = self.metadata.is_some_and(|metadata| metadata.has(row.key));
                column || row.levels_of(&subjects).iter().any(Option::is_some)
            }
        }
    }

    /// Images of which anything is known.
    pub(super) fn known(&self) -> usize {
        let known = |(id, subject): &&(String, Subject)| {
            !subject.measured.is_empty() || self.metadata.is_some_and(|metadata| metadata.contains(id))
        };
        self.subjects.iter().filter(known).count()
    }

    /// Lesion and patient by image.
    pub(super) fn clusters(&self) -> &[HashMap<String, String>] {
        &self.clusters
    }

    /// What is known of an image.
    pub(super) fn subjects(&self) -> HashMap<&str, &Subject> {
        self.subjects
            .iter()
            .map(|(id, subject)| (id.as_str(), subject))
            .collect()
    }

    /// The attributes of the metadata that have a column, and those of the images where pixels were looked at.
    pub(super) fn attributes(&self) -> anyhow::Result<Vec<Attribute>> {
        let wanted = ATTRIBUTES.iter().filter(|row| self.has(row));
        wanted.map(|row| Ok(row.attribute(&self.subjects)?)).collect()
    }

    /// A further column of the metadata.
    pub(super) fn column(&self, choice: &ColumnChoice) -> anyhow::Result<Attribute> {
        let metadata = self.metadata.context("--column needs --metadata")?;
        let ids: Vec<String> = self.subjects.iter().map(|(id, _)| id.clone()).collect();
        Ok(metadata.attribute(choice, &ids)?)
    }

    /// The measured attributes of each image, for readers and plots; nothing if no pixel was looked at.
    pub(super) fn write_attributes(&self, path: &Path) -> anyhow::Result<()> {
        match &self.lesions {
            Some(lesions) => write_attributes(lesions, path),
            None => Ok(()),
        }
    }
}

/// What the images themselves tell of each image that has a mask.
fn lesions(data: &DataFolder, ids: &[String]) -> anyhow::Result<Vec<Lesion>> {
    let of = |sample: &Sample| -> anyhow::Result<Option<LesionAttributes>> {
        let Some(mask) = &sample.mask else { return Ok(None) };
        let rgb = htl_datasets::read_rgb(&sample.image)?;
        let mask = htl_datasets::read_mask_for(mask, &sample.image, rgb.dimensions())?;
        Ok(Some(htl_datasets::attributes(&rgb, &mask)?))
    };
    ids.iter()
        .map(|id| {
            let lesion = match data.get(id) {
                Some(sample) => of(sample).with_context(|| format!("image {id}"))?,
                None => None,
            };
            Ok((id.clone(), lesion))
        })
        .collect()
}

/// A subject with what its image tells.
fn measured(subject: Subject, lesion: Option<LesionAttributes>) -> Subject {
    let value = |lesion: &LesionAttributes, row: &Measurement| Some((row.key.to_owned(), (row.of)(lesion)?));
    let measured = lesion
        .iter()
        .flat_map(|lesion| MEASUREMENTS.iter().filter_map(|row| value(lesion, row)));
    Subject {
        measured: measured.collect(),
        ..subject
    }
}

fn write_attributes(lesions: &[Lesion], path: &Path) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let keys = MEASUREMENTS.iter().map(|row| row.key);
    writer.write_record(std::iter::once("image_id").chain(keys))?;
    let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    for (id, lesion) in lesions {
        let Some(lesion) = lesion else { continue };
        let numbers = MEASUREMENTS.iter().map(|row| number((row.of)(lesion)));
        writer.write_record(std::iter::once(id.clone()).chain(numbers))?;
    }
    Ok(write_whole(path, writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;

    /// A dark square on skin.
    fn lesion() -> LesionAttributes {
        let inside = |x: u32, y: u32| (20..40).contains(&x) && (20..40).contains(&y);
        let colour = |x, y| Rgb(if inside(x, y) { [90, 60, 50] } else { [220, 180, 160] });
        let mask = GrayImage::from_fn(64, 64, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        htl_datasets::attributes(&RgbImage::from_fn(64, 64, colour), &mask).unwrap()
    }

    /// What a row asks for is measured, under that name.
    #[test]
    fn every_attribute_of_images_is_measured() {
        let subject = measured(Subject::default(), Some(lesion()));
        for row in ATTRIBUTES.iter().filter(|row| row.source == Source::Image) {
            assert!(row.levels_of(&[&subject])[0].is_some(), "{}", row.key);
        }
    }

    /// The columns of `attributes.csv` are the measurements; an image without a mask has no row.
    #[test]
    fn measurements_are_written_under_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attributes.csv");
        let lesion = lesion();
        write_attributes(&[("a".into(), Some(lesion)), ("b".into(), None)], &path).unwrap();
        let mut expected = ["image_id".to_owned(), "a".to_owned()];
        for row in MEASUREMENTS {
            expected[0] += &format!(",{}", row.key);
            expected[1] += &format!(",{}", (row.of)(&lesion).unwrap());
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected.join("\n") + "\n");
    }
}
