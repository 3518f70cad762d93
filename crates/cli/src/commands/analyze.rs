use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use htl_datasets::{DataFolder, LesionAttributes, MEASUREMENTS, Measurement, Sample};
use htl_mining::{ATTRIBUTES, Adjustment, Attribute, Metadata, ScoreTable, Source, Subject, demographics};
use htl_vocabulary::{file, write_rates, write_whole};

use super::choices;

/// `htl analyze`.
#[derive(Args)]
#[command(after_help = after_help())]
pub struct Analyze {
    /// The score table of `htl mine`
    #[arg(long)]
    scores: PathBuf,
    /// Table with image_id and demographic columns
    #[arg(long)]
    metadata: PathBuf,
    /// The data folder, for attributes of the images themselves
    #[arg(long)]
    data: Option<PathBuf>,
    /// Further metadata columns to analyse: words as they are, numbers of more than ten different values in thirds
    #[arg(long = "column")]
    columns: Vec<String>,
    /// Two attributes whose combinations are analysed as well, e.g. --cross sex,age
    #[arg(long, value_name = "A,B")]
    cross: Vec<String>,
    /// The folder for demographics.csv
    #[arg(long)]
    out: PathBuf,
}

/// The attributes, by where they come from.
fn after_help() -> String {
    let of = |source| {
        let rows = ATTRIBUTES.iter().filter(move |row| row.source == source);
        rows.map(|row| (row.key, row.label))
    };
    choices::list("Attributes of the metadata:", of(Source::Metadata))
        + &choices::list("Attributes of the images (`--data`):", of(Source::Image))
}

impl Analyze {
    pub fn run(self) -> anyhow::Result<()> {
        let table = ScoreTable::read(&self.scores)?;
        let metadata = Metadata::read(&self.metadata)?;
        let ids = table.ids();
        let known = ids.iter().filter(|id| metadata.contains(id)).count();
        if known == 0 {
            bail!(
                "{} and {} have no image_id in common",
                self.scores.display(),
                self.metadata.display()
            );
        }
        if known < ids.len() {
            tracing::warn!(
                "{} of {} scored images are not in {}",
                ids.len() - known,
                ids.len(),
                self.metadata.display()
            );
        }
        let lesions = match &self.data {
            Some(folder) => Some(lesions(&DataFolder::open(folder)?, &ids)?),
            None => None,
        };
        let subjects: Vec<(String, Subject)> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| {
                (
                    id.clone(),
                    measured(metadata.subject(id), lesions.as_ref().and_then(|l| l[i].1)),
                )
            })
            .collect();
        let of = |source| ATTRIBUTES.iter().filter(move |row| row.source == source);
        let mut attributes = Vec::new();
        for row in of(Source::Metadata) {
            attributes.push(row.attribute(&subjects)?);
        }
        for column in &self.columns {
            attributes.push(metadata.attribute(column, &ids)?);
        }
        if lesions.is_some() {
            for row in of(Source::Image) {
                attributes.push(row.attribute(&subjects)?);
            }
        }
        for pair in &self.cross {
            let find = |name: &str| {
                let names: Vec<&str> = attributes.iter().map(Attribute::name).collect();
                let found = attributes.iter().find(|a| a.name() == name);
                found.with_context(|| format!("--cross {pair}: no attribute `{name}`; there are {}", names.join(", ")))
            };
            let (a, b) = pair
                .split_once(',')
                .with_context(|| format!("--cross {pair}: expected two names, A,B"))?;
            let crossed = find(a)?.cross(find(b)?);
            attributes.push(crossed);
        }
        let rows = demographics(&table, &attributes, Adjustment::Holm)?;
        write_rates(&self.out.join(file::DEMOGRAPHICS), &rows)?;
        if let Some(lesions) = &lesions {
            write_attributes(lesions, &self.out.join("attributes.csv"))?;
        }
        Ok(())
    }
}

/// An image's id, and what its pixels tell where it has a mask.
type Lesion = (String, Option<LesionAttributes>);

/// What the images themselves tell of each scored image that has a mask.
fn lesions(data: &DataFolder, ids: &[String]) -> anyhow::Result<Vec<Lesion>> {
    let of = |sample: &Sample| -> anyhow::Result<Option<LesionAttributes>> {
        let Some(mask) = &sample.mask else { return Ok(None) };
        let (rgb, mask) = (htl_datasets::read_rgb(&sample.image)?, htl_datasets::read_mask(mask)?);
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

/// The measured attributes of each image, for readers and plots.
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

    /// `--help` names every attribute.
    #[test]
    fn help_lists_every_attribute() {
        let help = after_help();
        for row in ATTRIBUTES {
            assert!(
                help.contains(row.key) && help.contains(row.label),
                "{}:\n{help}",
                row.key
            );
        }
    }
}
