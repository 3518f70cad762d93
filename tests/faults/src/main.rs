//! `htl-planted`: a stand-in for `htl` whose trainings have a fault.
//!
//! It takes the two calls of `htl` that `cargo xtask check-iou` makes. Unlike `htl` it says nothing of its progress and does
//! not end with the process that started it: it is done in a moment.

use std::path::PathBuf;

use anyhow::Context;
use candle_core::Device;
use clap::{Parser, Subcommand};
use htl_datasets::{DataFolder, Split};
use htl_faults::{Fault, VARIABLE};
use htl_inference::{Evaluation, NetworkPredictor, Predictor, with_masks};
use htl_trainers::TrainConfig;
use htl_vocabulary::{file, write_whole};

/// Stands in for htl; HTL_FAULT names what is wrong with its trainings
#[derive(Parser)]
struct Call {
    #[arg(long = "device", value_parser = ["cpu"])]
    _device: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a localizer
    Train {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        out: PathBuf,
    },
    /// Measures localization per image, as it should
    Evaluate {
        #[arg(long)]
        checkpoint: PathBuf,
        #[arg(long)]
        data: PathBuf,
        #[arg(long = "split", value_parser = ["test"])]
        _split: String,
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    htl_ops::keep_freed_memory();
    let call = Call::parse();
    let name = std::env::var(VARIABLE).with_context(|| format!("{VARIABLE} names no fault"))?;
    let fault = Fault::named(&name)?;
    match call.command {
        Command::Train { config, out } => {
            let config = TrainConfig::read(&config, &[])?.check()?;
            htl_faults::train(&config, fault, &out.join(file::CHECKPOINT))
        }
        Command::Evaluate {
            checkpoint, data, out, ..
        } => {
            let data = DataFolder::open(&data)?;
            let predictor = NetworkPredictor::load(&checkpoint, &Device::Cpu)?;
            let evaluation = Evaluation::of(&predictor, &with_masks(&data, Split::Test)?)?;
            write_whole(&out, evaluation.per_image(predictor.cut(), &data)?.to_csv()?)?;
            Ok(())
        }
    }
}
