use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use candle_core::Device;
use clap::Args;
use htl_datasets::sha256_file;
use htl_models::weights::{self, PUBLISHED, Scope};
use htl_models::{Architecture, Network, Part};
use serde::Serialize;

use super::super::telling::Telling;

/// Endings of files of weights in a folder.
const ENDINGS: [&str; 3] = ["safetensors", "pth", "pt"];

/// `htl weights verify`.
#[derive(Args)]
#[command(after_help = "Exit code 1 if a file is not a whole encoder that is known here.")]
pub struct Verify {
    /// A file, or a folder of them (.safetensors, .pth, .pt)
    path: PathBuf,
    #[command(flatten)]
    telling: Telling,
}

/// What a file holds.
#[derive(Serialize)]
struct Verified {
    file: PathBuf,
    sha256: String,
    /// The name in `htl weights list` of what this very file is.
    published: Option<&'static str>,
    /// The encoder that is in it, all of it, with finite values.
    encoder: Option<String>,
    /// Tensors of that encoder, and others in the file.
    tensors: usize,
    others: usize,
    /// Why it cannot be used.
    problem: Option<String>,
}

impl Verify {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let files = files(&self.path)?;
        let verified = files.iter().map(|file| Verified::of(file));
        let verified = verified.collect::<anyhow::Result<Vec<Verified>>>()?;
        self.telling.tell(&verified, || {
            let texts: Vec<String> = verified.iter().map(Verified::words).collect();
            texts.join("\n")
        })?;
        Ok(match verified.iter().any(|file| file.problem.is_some()) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        })
    }
}

fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let unread = || format!("cannot read the folder {}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).with_context(unread)? {
        let file = entry.with_context(unread)?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) {
            files.push(file);
        }
    }
    files.sort();
    ensure!(
        !files.is_empty(),
        "{} has no files of weights: they end in .safetensors, .pth or .pt",
        path.display()
    );
    Ok(files)
}

impl Verified {
    fn of(file: &Path) -> anyhow::Result<Self> {
        let sha256 = sha256_file(file)?;
        let published = PUBLISHED.iter().find(|row| row.has(&sha256)).map(|row| row.name);
        let mut verified = Self {
            file: file.to_path_buf(),
            sha256,
            published,
            encoder: None,
            tensors: 0,
            others: 0,
            problem: None,
        };
        if let Err(problem) = verified.look() {
            verified.problem = Some(format!("{problem:#}"));
        }
        Ok(verified)
    }

    fn look(&mut self) -> anyhow::Result<()> {
        let tensors = weights::read(&self.file)?;
        let identified = weights::identify(&tensors)?.with_context(|| {
            format!(
                "its {} tensors are not a whole encoder that is known here; `htl weights import --encoder NAME` says what is missing",
                tensors.len()
            )
        })?;
        let (encoder, classifier) = (identified.encoder, Part::new("classifier"));
        let architecture = Architecture::new(encoder.clone(), None, classifier, identified.in_channels)?;
        let network = Network::build(&architecture, 0, &Device::Cpu)?;
        let adopted = network.adopt(&tensors, Scope::Encoder)?;
        self.encoder = Some(encoder.to_string());
        self.tensors = adopted.taken.len();
        self.others = adopted.left.len();
        Ok(())
    }

    fn words(&self) -> String {
        let path = self.file.display();
        let published = match self.published {
            Some(name) => format!("as published under the name {name}"),
            None => "not a file of `htl weights list`".to_owned(),
        };
        match (&self.problem, &self.encoder) {
            (Some(problem), _) => format!("{path}: {published}; {problem}"),
            (None, encoder) => format!(
                "{path}: {published}; encoder {}, {} tensors, {} others",
                encoder.as_deref().unwrap_or_default(),
                self.tensors,
                self.others
            ),
        }
    }
}
