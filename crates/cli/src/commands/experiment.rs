//! What `htl reproduce` and `htl plan` have in common: which experiment, on which data, where.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::Args;
use htl_device::Choice;
use htl_experiment::design::Selection;
use htl_experiment::engine::{StopAt, missing_library};
use htl_experiment::{Engine, PROFILES, Precision, Profile, Reproduce, usual_jobs};

use super::weights::located;

/// Exit code of what was stopped before its end and can continue: nothing is wrong. `EX_TEMPFAIL` of `sysexits.h`.
pub const TRY_AGAIN: u8 = 75;

/// Data that come with the repository.
const EMBEDDED_DATA: &str = "data-manifest/embedded";

/// Which experiment.
#[derive(Args)]
pub struct ExperimentArgs {
    /// Size of the experiment
    #[arg(long, default_value = "embedded", value_parser = PROFILES, conflicts_with = "profile_file")]
    profile: String,
    /// A profile of your own, TOML: any field of a profile, and `base`, the profile that gives the others
    #[arg(long, value_name = "FILE")]
    profile_file: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Training precision; tf32 and bf16 are for GPUs
    #[arg(long, value_name = "f32|tf32|bf16")]
    precision: Option<Precision>,
    /// Only these settings (supervised, semi-supervised, weakly-supervised, weakly-supervised-boxes), cross-fit (who is
    /// hard), or stages whose names begin like this, with what they need
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    only: Vec<String>,
    /// Only the first N seeds of every arm; the trainings that are mined for hard images stay complete
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
}

/// On which data, and where.
#[derive(Args)]
pub struct PlaceArgs {
    /// Data folder; the images that come with the repository if left out
    #[arg(long)]
    data: Option<PathBuf>,
    /// Weights that encoders begin with: a file, or a name of `htl weights list` that was fetched
    #[arg(long, value_name = "FILE|NAME")]
    pretrained: Option<PathBuf>,
    /// Output folder; out/NAME if left out, by the name of the profile or campaign
    #[arg(long)]
    out: Option<PathBuf>,
    /// The repository, whose images and output folder are used where others are not named; the one we stand in if left out
    #[arg(long, value_name = "DIR")]
    repository: Option<PathBuf>,
}

impl ExperimentArgs {
    /// The experiment, run by this program on this machine.
    pub fn reproduce(&self, device: Choice) -> anyhow::Result<Reproduce> {
        let mut profile = match &self.profile_file {
            Some(path) => Profile::from_file(path)?,
            None => Profile::named(&self.profile)?,
        };
        if let Some(precision) = self.precision {
            profile.precision = precision;
        }
        let mut reproduce = self.place.run_of(profile, device)?;
        reproduce.options_given = self.options_given();
        reproduce.selection = Selection {
            only: self.only.clone(),
            seeds: self.seeds,
        };
        Ok(reproduce)
    }

    /// The options besides profile and data, as they were given.
    fn options_given(&self) -> Vec<String> {
        let profile = self
            .profile_file
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        let pretrained = self
            .place
            .pretrained
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        let only = (!self.only.is_empty()).then(|| self.only.join(","));
        [
            ("--profile-file", profile),
            ("--pretrained", pretrained),
            ("--only", only),
            ("--seeds", self.seeds.map(|seeds| seeds.to_string())),
            (
                "--precision",
                self.precision.map(|precision| precision.name().to_owned()),
            ),
        ]
        .into_iter()
        .filter_map(|(option, value)| Some([option.to_owned(), value?]))
        .flatten()
        .collect()
    }
}

impl PlaceArgs {
    /// A run of this size by this program on this machine.
    pub fn run_of(&self, mut profile: Profile, device: Choice) -> anyhow::Result<Reproduce> {
        if let Some(pretrained) = &self.pretrained {
            profile.pretrained = Some(pretrained.clone());
        }
        profile.pretrained = profile.pretrained.as_deref().map(located).transpose()?;
        let (data, data_name) = self.data_folder(&profile)?;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => self.repository().unwrap_or_default().join("out").join(&profile.name),
        };
        let out = std::path::absolute(&out).with_context(|| format!("{} is no path", out.display()))?;
        let htl = std::env::current_exe().context("this program cannot find itself")?;
        let kind = kind_of_device(&htl, device)?;
        Ok(Reproduce {
            jobs: usual_jobs(&kind),
            device: match device {
                Choice::Cuda(number) if number > 0 => device.to_string(),
                _ => kind,
            },
            device_asked: device.to_string(),
            profile: profile.with_weights()?,
            data,
            data_name,
            options_given: Vec::new(),
            data_given: self.data.as_ref().map(|data| data.to_string_lossy().into_owned()),
            out,
            selection: Selection::default(),
            htl,
            stop: StopAt::default(),
            engine: Engine::Local,
        })
    }

    /// The repository: as named, else the nearest folder above that has the data that come with it.
    fn repository(&self) -> Option<PathBuf> {
        if let Some(named) = &self.repository {
            return Some(named.clone());
        }
        let here = std::env::current_dir().ok()?;
        let found = here.ancestors().find(|folder| folder.join(EMBEDDED_DATA).is_dir());
        found.map(Path::to_path_buf)
    }

    /// The data folder to use, and its name.
    fn data_folder(&self, profile: &Profile) -> anyhow::Result<(PathBuf, String)> {
        let folder = match &self.data {
            Some(folder) => folder.clone(),
            None if profile.own_data_only => bail!(
                "the profile {} needs --data DIR: its images do not come with the program (`htl data fetch` gets them, `htl data import` makes the folder)",
                profile.name
            ),
            None => match self.repository() {
                Some(repository) => repository.join(EMBEDDED_DATA),
                None => bail!("there is no {EMBEDDED_DATA} here or above, so no images come with it: give --data DIR"),
            },
        };
        let folder = folder
            .canonicalize()
            .with_context(|| format!("there is no data folder {}", folder.display()))?;
        let name = folder.file_name();
        let name = name.map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
        Ok((folder, name))
    }
}

/// The kind of device that a choice means here. Asked of another process, so that this one does not hold a GPU.
fn kind_of_device(htl: &Path, device: Choice) -> anyhow::Result<String> {
    let output = Command::new(htl)
        .args(["--device", &device.to_string(), "device"])
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", htl.display()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if let Some(advice) = missing_library(&said) {
        bail!("{} cannot start: {advice}", htl.display());
    }
    bail!("{}", said.trim().strip_prefix("error: ").unwrap_or(said.trim()))
}
