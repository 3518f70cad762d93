use std::path::PathBuf;

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_models::weights::{self, Adopted, Naming, Scope};
use htl_models::{Architecture, ENCODERS, Network, Part};
use serde::Serialize;

use super::super::telling::Telling;

/// `htl weights import`.
#[derive(Args)]
pub struct Import {
    /// The file: safetensors, or what torch.save wrote of a state dict
    file: PathBuf,
    /// The encoder, a name of `htl models list`, with settings behind it where it has some: "plain width=8"
    #[arg(long)]
    encoder: Part,
    /// Channels of the images
    #[arg(long, default_value_t = 3)]
    channels: usize,
    /// The result, safetensors
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    telling: Telling,
}

#[derive(Serialize)]
struct Imported {
    out: PathBuf,
    encoder: String,
    /// What training with these weights normalises images by.
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    taken: Vec<String>,
    left: Vec<String>,
}

impl Import {
    pub fn run(self) -> anyhow::Result<()> {
        let classifier = Part::new("classifier");
        let architecture = Architecture::new(self.encoder, None, classifier, self.channels)?;
        let network = Network::build(&architecture, 0, &Device::Cpu)?;
        let tensors = weights::read(&self.file)?;
        let adopted: Adopted = network
            .adopt(&tensors, Scope::Encoder)
            .with_context(|| self.file.display().to_string())?;
        let mut state = network.state_dict(Naming::Htl)?;
        state.retain(|name, _| adopted.taken.contains(name));
        weights::write(&self.out, &state)?;
        let encoder = architecture.encoder();
        let row = ENCODERS.iter().find(|row| row.name == encoder.name);
        let normalisation = row.and_then(|row| row.pretrained);
        let report = adopted.to_string();
        let imported = Imported {
            out: self.out,
            encoder: encoder.to_string(),
            mean: normalisation.map(|normalisation| normalisation.mean),
            std: normalisation.map(|normalisation| normalisation.std),
            taken: adopted.taken,
            left: adopted.left,
        };
        self.telling.tell(&imported, || {
            format!("{report}\n{} in {}", imported.encoder, imported.out.display())
        })
    }
}
