use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;
use htl_datasets::{DataFolder, OpenOptions};
use htl_metrics::PerImage;
use htl_mining::{
    ATTRIBUTES, ColumnChoice, ColumnName, FoldChoice, Metadata, Performance, Permutations, ScoreTable, Source,
    default_score,
};
use htl_vocabulary::{file, write_rows};

use self::summary::Summary;
use super::choices;
use super::people::People;

mod quality;
mod summary;
mod who;

/// `htl analyze`.
#[derive(Args)]
#[command(after_help = after_help())]
pub struct Analyze {
    /// The score table of `htl mine`: whom the hard images show
    #[arg(long, required_unless_present = "performance")]
    scores: Option<PathBuf>,
    /// Forgetting curves of the scored images (NAME.curve.csv of `htl mine --curve`), one table per fold: who is forgotten first
    #[arg(long, num_args = 1.., value_name = "FILE", requires = "scores")]
    curve: Vec<PathBuf>,
    /// Tables of `htl evaluate`, one per seed: how well each group is localized. A word that does not end in .csv names the arm
    /// of the tables after it; the first arm is what the others are compared with, its n-th table with their n-th, e.g.
    /// --performance baseline b0.csv b1.csv htl h0.csv h1.csv
    #[arg(long, num_args = 1.., value_name = "[ARM] FILE")]
    performance: Vec<String>,
    /// Table with image_id and demographic columns; without it metadata.csv of --data, and for --performance the group
    /// columns of its tables
    #[arg(long)]
    metadata: Option<PathBuf>,
    /// The table's name for a column of ours, where it is not understood by itself, e.g. --map sex=Geschlecht
    #[arg(long = "map", value_name = "COLUMN=NAME")]
    names: Vec<ColumnName>,
    /// The data folder, for attributes of the images themselves
    #[arg(long)]
    data: Option<PathBuf>,
    /// Only the rows of this setting, where the score table has several
    #[arg(long)]
    setting: Option<String>,
    /// Only in-sample rows (none), out-of-fold rows (all), or those of one fold (its number)
    #[arg(long)]
    fold: Option<FoldChoice>,
    /// The score behind the HTL set: its ranks are tested too, and its boundary-normalised form makes a second set [default:
    /// forgetting where the table has it, else disagreement]
    #[arg(long)]
    by: Option<String>,
    /// Further metadata columns to analyse: words as they are, numbers in thirds (fewer than eleven different ones as they
    /// are) or between cut points, e.g. --column bmi:18.5,25,30
    #[arg(long = "column", value_name = "NAME[:CUTS]")]
    columns: Vec<ColumnChoice>,
    /// Two attributes whose combinations are analysed as well, e.g. --cross sex,age; --performance has all pairs
    #[arg(long, value_name = "A,B")]
    cross: Vec<String>,
    /// Metadata columns that say which images show the same lesion or person: they are permuted and averaged as one
    #[arg(long, value_name = "COLUMN", default_values_t = ["lesion_id".to_owned(), "patient_id".to_owned()])]
    cluster: Vec<String>,
    /// Permutations for p values; the smallest p is one over their number
    #[arg(long, default_value_t = Permutations::default().count)]
    permutations: usize,
    /// Seed of the permutations
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How the summary on standard output is written
    #[arg(long, default_value = "markdown")]
    format: Format,
    /// The folder for the tables
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people
    Markdown,
    /// For programs, as analysis.json
    Json,
}

/// The attributes, by where they come from, and the tables.
fn after_help() -> String {
    let of = |source| {
        let rows = ATTRIBUTES.iter().filter(move |row| row.source == source);
        rows.map(|row| (row.key, row.label))
    };
    let tables = [
        (
            file::DEMOGRAPHICS,
            "rates of hard images by group, each against all others",
        ),
        (
            file::DEMOGRAPHICS_BOUNDARY,
            "the same for the boundary-normalised score",
        ),
        (file::OMNIBUS, "one test per attribute, and trends over ordered levels"),
        (file::REGRESSION, "people and lesions together: every coefficient"),
        (file::REGRESSION_TESTS, "people and lesions together: every attribute"),
        (file::SUSPECT_LABELS, "rates of suspected label errors by group"),
        (file::FORGETTING, "forgetting curves by group"),
        (
            file::PERFORMANCE,
            "quality by group and by pairs of groups, gaps, gains",
        ),
        (file::DISPARITY, "how far the groups of each attribute lie apart"),
        ("attributes.csv", "what was measured of each image"),
        (file::ANALYSIS, "sizes, choices and tests, for programs"),
    ];
    choices::list("Attributes of the metadata:", of(Source::Metadata))
        + &choices::list("Attributes of the images (`--data`):", of(Source::Image))
        + &choices::list("Tables in the folder --out:", tables.into_iter())
        + "Groups under 10 images are counted only, groups under 20 are not tested.\n"
}

impl Analyze {
    pub fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.permutations >= 99,
            "--permutations must be at least 99, found {}",
            self.permutations
        );
        let options = OpenOptions {
            columns: if self.metadata.is_none() {
                self.names.clone()
            } else {
                Vec::new()
            },
            ..OpenOptions::default()
        };
        let data = self.data.as_deref().map(|data| DataFolder::open_with(data, &options));
        let data = data.transpose()?;
        let metadata = self.read_metadata()?;
        let mut summary = Summary::new(self.permutations, self.seed);
        for (column, name) in metadata.iter().flat_map(Metadata::renamed) {
            summary.note(format!("column {name} read as {column}"));
        }
        for merged in metadata.iter().flat_map(Metadata::merged) {
            let others = merged.others.join("`, `");
            summary.note(format!(
                "column {}: `{others}` read as `{}`",
                merged.column, merged.kept
            ));
        }
        if let Some(path) = &self.scores {
            let table = ScoreTable::read(path)?;
            // Rows of folds alone are one table: each image is in one of them.
            let out_of_fold = || {
                table
                    .rows()
                    .iter()
                    .all(|row| row.fold.is_some())
                    .then_some(FoldChoice::OutOfFold)
            };
            let rows = table.choose(self.setting.as_deref(), self.fold.or_else(out_of_fold));
            let rows = rows.with_context(|| format!("{}", path.display()))?;
            if let Some(by) = &self.by {
                rows.column(by).with_context(|| format!("{}", path.display()))?;
            }
            let by = self.by.as_deref().unwrap_or_else(|| default_score(&rows));
            let metadata = metadata
                .as_ref()
                .context("--scores needs --metadata, or --data with a metadata.csv")?;
            let people = People::new(rows.ids(), Some(metadata), data.as_ref(), &self.cluster, &mut |note| {
                summary.note(note)
            })?;
            ensure!(
                people.known() > 0,
                "{} and the metadata have no image_id in common",
                path.display()
            );
            let attributes = self.attributes(&people, &self.cross)?;
            who::analyse(&self, by, &rows, &people, &attributes, &mut summary)?;
            people.write_attributes(&self.out.join("attributes.csv"))?;
        }
        if !self.performance.is_empty() {
            let arms = self.arms()?;
            // The ids alone decide whom the metadata know; lesions are looked up among them.
            let ids = Performance::new(&arms, &[])?.ids().to_vec();
            let people = People::new(ids, metadata.as_ref(), data.as_ref(), &self.cluster, &mut |note| {
                summary.note(note)
            })?;
            let performance = Performance::new(&arms, people.clusters())?;
            let attributes = if people.known() > 0 {
                self.attributes(&people, &[])?
            } else {
                performance.groups().to_vec()
            };
            quality::analyse(&self.out, &performance, &attributes, &mut summary)?;
        }
        htl_vocabulary::write_whole(&self.out.join(file::ANALYSIS), summary.json()?)?;
        match self.format {
            Format::Markdown => print!("{}", summary.markdown()),
            Format::Json => println!("{}", summary.json()?),
        }
        Ok(())
    }

    fn read_metadata(&self) -> anyhow::Result<Option<Metadata>> {
        if let Some(path) = &self.metadata {
            return Ok(Some(Metadata::read_as(path, &self.names)?));
        }
        let own = self.data.as_ref().map(|data| data.join(file::METADATA));
        let own = own.filter(|path| path.exists());
        Ok(own.map(|path| Metadata::read_as(path, &self.names)).transpose()?)
    }

    /// The tables of each arm, in the order in which arms are named first.
    fn arms(&self) -> anyhow::Result<Vec<(String, Vec<PerImage>)>> {
        let mut arms: Vec<(String, Vec<PerImage>)> = Vec::new();
        let mut arm = "network";
        for path in &self.performance {
            if !path.ends_with(".csv") {
                arm = path;
                continue;
            }
            let bytes = std::fs::read(path).with_context(|| path.to_owned())?;
            let table = PerImage::from_csv(&bytes).with_context(|| path.to_owned())?;
            match arms.iter_mut().find(|(name, _)| name == arm) {
                Some((_, tables)) => tables.push(table),
                None => arms.push((arm.to_owned(), vec![table])),
            }
        }
        Ok(arms)
    }

    /// The attributes of these people, then the columns asked for, then intersections.
    fn attributes(&self, people: &People, cross: &[String]) -> anyhow::Result<Vec<htl_mining::Attribute>> {
        let mut attributes = people.attributes()?;
        for column in &self.columns {
            attributes.push(people.column(column)?);
        }
        for pair in cross {
            let find = |name: &str| {
                let names: Vec<&str> = attributes.iter().map(htl_mining::Attribute::name).collect();
                let found = attributes.iter().find(|a| a.name() == name);
                found.with_context(|| format!("--cross {pair}: no attribute `{name}`; there are {}", names.join(", ")))
            };
            let Some((a, b)) = pair.split_once(',') else {
                bail!("--cross {pair}: expected two names, A,B");
            };
            let crossed = find(a)?.cross(find(b)?);
            attributes.push(crossed);
        }
        Ok(attributes)
    }
}

/// Writes a table of the analysis.
fn write<T: serde::Serialize + Default>(folder: &Path, name: &str, rows: &[T]) -> anyhow::Result<()> {
    Ok(write_rows(&folder.join(name), rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
