use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use htl_datasets::{
    Access, ColumnName, DataFolder, DatasetError, FetchLimits, FolderStats, MadeSplit, Manifest, OpenOptions,
    catalogue, fetch,
};
use htl_vocabulary::file;

use super::convert_masks::ConvertMasks;
use super::plant::Plant;
use super::print;
use crate::progress::Progress;

mod verified;

/// `htl data`.
#[derive(Subcommand)]
pub enum Data {
    /// The data sets this program knows
    List,
    /// Download the files of a data set; an interrupted download continues where it stopped
    Fetch {
        /// Name in `htl data list`
        name: String,
        /// The folder for the files
        #[arg(long)]
        out: PathBuf,
    },
    /// Check a data folder: its manifest's checksums if it has one, that every image and mask can be read, what is not read, and
    /// whether splits part lesions, patients or photographs that are alike
    Verify(Look),
    /// Make a data folder with a known weakness: a group made rare, or masks made wrong; the truth is kept aside
    Plant(Plant),
    /// Make masks of label maps, soft maps, 16-bit files or alpha channels
    ConvertMasks(ConvertMasks),
    /// Count a data folder: images per split, masks, demographics, lesion areas, as JSON
    Stats(Look),
}

/// A folder to look at; nothing is written.
#[derive(Args)]
pub struct Look {
    /// The data folder
    #[arg(long)]
    data: PathBuf,
    /// The name in metadata.csv for a column of ours, where it is not understood by itself, e.g. --map image_id=Bild
    #[arg(long = "map", value_name = "COLUMN=NAME")]
    names: Vec<ColumnName>,
}

impl Look {
    fn open(&self) -> Result<DataFolder, DatasetError> {
        let options = OpenOptions {
            made_split: MadeSplit::Forgotten,
            columns: self.names.clone(),
            ..OpenOptions::default()
        };
        DataFolder::open_with(&self.data, &options)
    }
}

impl Data {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List => return list(),
            Self::Fetch { name, out } => return fetch_all(&name, &out),
            Self::Verify(look) => return verify(&look),
            Self::Plant(plant) => return plant.run(),
            Self::ConvertMasks(convert) => return convert.run(),
            Self::Stats(look) => {
                let stats = FolderStats::of(&look.open()?)?;
                print(&serde_json::to_string_pretty(&stats)?)?;
            }
        }
        Ok(())
    }
}

fn list() -> anyhow::Result<()> {
    for entry in catalogue() {
        let how = match entry.access {
            Access::Embedded => "included in this repository",
            Access::Download => "htl data fetch",
            _ => "download by hand from its page",
        };
        print(&format!(
            "{}: {}\n  {how}; licence {}; {}\n",
            entry.name, entry.description, entry.licence, entry.page
        ))?;
    }
    Ok(())
}

fn fetch_all(name: &str, out: &Path) -> anyhow::Result<()> {
    let names: Vec<&str> = catalogue().iter().map(|e| e.name).collect();
    let entry = catalogue()
        .iter()
        .find(|e| e.name == name)
        .with_context(|| format!("unknown data set `{name}`; known are {}", names.join(", ")))?;
    if entry.files.is_empty() {
        bail!("`{name}` cannot be downloaded automatically: see {}", entry.page);
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for file in entry.files {
        let mut progress = Progress::new(file.name);
        let limits = FetchLimits::default();
        let fetched = fetch(file.url, &out.join(file.name), None, &limits, &mut |done, total| {
            progress.set(done as usize, total.unwrap_or(done) as usize);
        })?;
        print(&format!(
            "{}  {}  {} bytes",
            fetched.sha256,
            fetched.path.display(),
            fetched.bytes
        ))?;
    }
    Ok(())
}

fn verify(look: &Look) -> anyhow::Result<()> {
    let root = &look.data;
    let manifest = root.join(file::MANIFEST);
    if manifest.exists() {
        let verification = Manifest::read(&manifest)?.verify(root)?;
        let intact = verification.intact;
        verification.into_result(root)?;
        print(&format!("{intact} files match {}", manifest.display()))?;
    }
    verified::verified(&look.open()?)
}
