use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use htl_datasets::{DataFolder, LesionAttributes, Sample};
use htl_mining::{Adjustment, Attribute, ScoreTable, demographics, write_rates};

use super::write_atomically;

/// `htl analyze`.
#[derive(Args)]
pub struct Analyze {
    /// The score table of `htl mine`
    #[arg(long)]
    scores: PathBuf,
    /// Table with image_id and demographic columns
    #[arg(long)]
    metadata: PathBuf,
    /// The data folder, for attributes of the images themselves: lesion size, contrast, border contact, skin tone
    #[arg(long)]
    data: Option<PathBuf>,
    /// Further metadata columns to analyse, one level per value
    #[arg(long = "column")]
    columns: Vec<String>,
    /// Two attributes whose combinations are analysed as well, e.g. --cross sex,age
    #[arg(long, value_name = "A,B")]
    cross: Vec<String>,
    /// The folder for demographics.csv
    #[arg(long)]
    out: PathBuf,
}

/// The columns of the documented layout that are analysed wherever they have a value.
const CATEGORIES: [&str; 3] = ["sex", "anatom_site", "dx"];

impl Analyze {
    pub fn run(self) -> anyhow::Result<()> {
        let table = ScoreTable::read(&self.scores)?;
        let metadata = Metadata::read(&self.metadata)?;
        let known = table.ids().iter().filter(|id| metadata.rows.contains_key(*id)).count();
        if known == 0 {
            bail!(
                "{} and {} have no image_id in common",
                self.scores.display(),
                self.metadata.display()
            );
        }
        if known < table.len() {
            tracing::warn!(
                "{} of {} scored images are not in {}",
                table.len() - known,
                table.len(),
                self.metadata.display()
            );
        }
        let ids = table.ids();
        let mut attributes = vec![metadata.age(&ids)?];
        for column in CATEGORIES {
            attributes.push(metadata.category(column, &ids)?);
        }
        for column in &self.columns {
            ensure!(
                metadata.columns.contains(column),
                "{}: no column `{column}`; it has {}",
                self.metadata.display(),
                metadata.columns.join(", ")
            );
            attributes.push(metadata.category(column, &ids)?);
        }
        let lesions = match &self.data {
            Some(folder) => Some(lesions(&DataFolder::open(folder)?, &ids)?),
            None => None,
        };
        if let Some(lesions) = &lesions {
            attributes.extend(image_attributes(lesions)?);
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
        std::fs::create_dir_all(&self.out).with_context(|| format!("cannot make {}", self.out.display()))?;
        write_rates(&rows, self.out.join("demographics.csv"))?;
        if let Some(lesions) = &lesions {
            write_attributes(lesions, &self.out.join("attributes.csv"))?;
        }
        Ok(())
    }
}

/// A metadata table by image.
struct Metadata {
    path: PathBuf,
    columns: Vec<String>,
    rows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Metadata {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
        let columns: Vec<String> = reader.headers()?.iter().map(|h| h.trim().to_owned()).collect();
        let id_column = columns
            .iter()
            .position(|c| c == "image_id")
            .with_context(|| format!("{}: no column `image_id` in the header", path.display()))?;
        let mut rows = BTreeMap::new();
        for (number, record) in reader.records().enumerate() {
            let place = || format!("{}, row {}", path.display(), number + 2);
            let record = record.with_context(place)?;
            let id = record.get(id_column).unwrap_or_default().to_owned();
            let values = columns
                .iter()
                .cloned()
                .zip(record.iter().map(|v| v.trim().to_owned()))
                .collect();
            ensure!(
                rows.insert(id.clone(), values).is_none(),
                "{}: image_id `{id}` stands twice",
                place()
            );
        }
        Ok(Self {
            path: path.to_owned(),
            columns,
            rows,
        })
    }

    fn value(&self, id: &str, column: &str) -> Option<String> {
        self.rows.get(id)?.get(column).filter(|v| !v.is_empty()).cloned()
    }

    fn category(&self, column: &str, ids: &[String]) -> anyhow::Result<Attribute> {
        Ok(Attribute::categorical(
            column,
            ids.iter().map(|id| (id.clone(), self.value(id, column))),
        )?)
    }

    fn age(&self, ids: &[String]) -> anyhow::Result<Attribute> {
        let mut ages = Vec::with_capacity(ids.len());
        for id in ids {
            let age = match self.value(id, "age_approx") {
                Some(text) => Some(text.parse::<f64>().with_context(|| {
                    format!(
                        "{}: age_approx of `{id}` is `{text}`, expected a number",
                        self.path.display()
                    )
                })?),
                None => None,
            };
            ages.push((id.clone(), age));
        }
        Ok(Attribute::age_bands("age", ages)?)
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

fn image_attributes(lesions: &[Lesion]) -> anyhow::Result<Vec<Attribute>> {
    let value = |of: fn(&LesionAttributes) -> Option<f64>| {
        lesions
            .iter()
            .map(|(id, lesion)| (id.clone(), lesion.as_ref().and_then(of)))
            .collect::<Vec<_>>()
    };
    let border = lesions.iter().map(|(id, lesion)| {
        let word = lesion
            .as_ref()
            .map(|l| if l.touches_border { "touches" } else { "inside" });
        (id.clone(), word)
    });
    Ok(vec![
        Attribute::terciles(
            "lesion_size",
            ["small", "medium", "large"],
            value(|l| Some(l.area_fraction)),
        )?,
        Attribute::terciles("contrast", ["low", "medium", "high"], value(|l| l.delta_e))?,
        Attribute::terciles(
            "skin_tone_ita",
            ["darker", "medium", "lighter"],
            value(|l| l.ita_degrees),
        )?,
        Attribute::categorical("border", border)?,
    ])
}

/// The measured attributes of each image, for readers and plots.
fn write_attributes(lesions: &[Lesion], path: &Path) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["image_id", "area_fraction", "delta_e", "ita_degrees", "touches_border"])?;
    let number = |value: Option<f64>| value.map(|v| v.to_string()).unwrap_or_default();
    for (id, lesion) in lesions {
        let Some(lesion) = lesion else { continue };
        writer.write_record([
            id.clone(),
            lesion.area_fraction.to_string(),
            number(lesion.delta_e),
            number(lesion.ita_degrees),
            u8::from(lesion.touches_border).to_string(),
        ])?;
    }
    write_atomically(path, &writer.into_inner()?)
}
