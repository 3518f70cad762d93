use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use htl_datasets::{
    Access, ColumnName, DataFolder, DatasetError, FetchLimits, FolderStats, MadeSplit, Manifest, OpenOptions,
    catalogue, fetch,
};
use htl_vocabulary::file;

use super::convert_masks::ConvertMasks;
use super::import::Import;
use super::plant::Plant;
use super::telling::Telling;
use super::{held, print};
use crate::progress::Progress;

mod verified;

use self::verified::Verified;

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
    /// Make a data folder of archives or folders as published, of COCO annotations, or of folders of your own
    Import(Import),
    /// Check a data folder: its manifest's checksums if it has one, that every image and mask can be read, what is not read, and
    /// whether splits part lesions, patients or photographs that are alike
    Verify {
        #[command(flatten)]
        look: Look,
        #[command(flatten)]
        telling: Telling,
    },
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
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List => list()?,
            Self::Fetch { name, out } => fetch_all(&name, &out)?,
            Self::Verify { look, telling } => return verify(&look, telling),
            Self::Import(import) => import.run()?,
            Self::Plant(plant) => plant.run()?,
            Self::ConvertMasks(convert) => convert.run()?,
            Self::Stats(look) => {
                let stats = FolderStats::of(&look.open()?)?;
                print(&serde_json::to_string_pretty(&stats)?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list() -> anyhow::Result<()> {
    for entry in catalogue() {
        let how = match entry.access {
            Access::Embedded => "included in this repository",
            Access::Download => "htl data fetch, then htl data import",
            _ => "download by hand from its page, then htl data import",
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
    let _alone = held(out)?;
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

fn verify(look: &Look, telling: Telling) -> anyhow::Result<ExitCode> {
    let root = &look.data;
    let manifest = root.join(file::MANIFEST);
    let mut intact_files = None;
    if manifest.exists() {
        let verification = Manifest::read(&manifest)?.verify(root)?;
        intact_files = Some(verification.intact);
        if let Err(difference) = verification.into_result(root) {
            eprintln!("{difference}");
            return Ok(ExitCode::FAILURE);
        }
    }
    let verified = Verified::of(&look.open()?, intact_files);
    telling.tell(&verified, || verified.words())?;
    Ok(verified.verdict())
}
