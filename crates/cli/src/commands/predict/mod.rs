mod pictures;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use candle_core::Device;
use clap::Args;
use htl_inference::{Coco, Components, Localization, Predictor, PredictorParams, TileParams};
use htl_mining::MapKind;
use htl_report::{Colour, overlay};
use htl_vocabulary::{file, write_rows, write_whole};
use serde::Serialize;

use super::predictor_options::{MaskOptions, TileOptions, predictor_params};
use super::{held, print};
use crate::progress::Progress;

/// `htl predict`.
#[derive(Args)]
#[command(
    after_help = "Writes masks/NAME.png, overlays/NAME.png and predictions.csv, as a viewer sees the photograph. An image that cannot be \
                  read does not end the command: it is named at the end, and the exit code is 1."
)]
pub struct Predict {
    /// The localizer; given several times, the maps of several are averaged
    #[arg(long, required = true)]
    checkpoint: Vec<PathBuf>,
    #[command(flatten)]
    masks: MaskOptions,
    #[command(flatten)]
    tiles: TileOptions,
    /// Images, JPEG or PNG: files, folders, patterns
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder to write to
    #[arg(long)]
    out: PathBuf,
    /// The lesion is where the probability is above this [default: the networks' own, one half]
    #[arg(long, value_parser = threshold)]
    threshold: Option<f32>,
    /// Write maps/NAME.png too, the probabilities in 8 bits
    #[arg(long)]
    maps: bool,
    /// Write coco.json too: boxes, areas and run lengths
    #[arg(long)]
    coco: bool,
    /// Print the rows of predictions.csv as JSON, a line for each image, instead of a summary
    #[arg(long)]
    json: bool,
}

/// What was found in an image, a row of `predictions.csv`.
#[derive(Debug, Default, Serialize)]
struct Found {
    image: String,
    width: usize,
    height: usize,
    /// Share of the image inside the mask.
    area_fraction: f64,
    /// Mean probability inside the mask; blank where no lesion was found, as is its box.
    confidence: Option<f64>,
    left: Option<usize>,
    top: Option<usize>,
    box_width: Option<usize>,
    box_height: Option<usize>,
    /// How many were averaged.
    networks: usize,
    /// Key of the views that were.
    views: &'static str,
    /// Side of the tiles and the share of one that lies on its neighbour; blank without tiles.
    tiles: Option<usize>,
    overlap: Option<f64>,
    largest_component: bool,
}

impl Predict {
    pub fn run(self, device: &Device) -> anyhow::Result<ExitCode> {
        let params = predictor_params(&self.masks, &self.tiles)?;
        let predictor = params.open(&self.checkpoint, device)?;
        if predictor.map_kind() != MapKind::Probability {
            let given = self.checkpoint.iter().map(|path| path.display().to_string());
            bail!(
                "{} is a classifier; predict needs a localizer",
                given.collect::<Vec<_>>().join(", ")
            );
        }
        let pictures = pictures::named_by(&self.images)?;
        let _alone = held(&self.out)?;
        let (mut rows, mut coco, mut failures) = (Vec::new(), Coco::new(), Vec::new());
        let mut progress = Progress::new("predict");
        for (index, (name, path)) in pictures.iter().enumerate() {
            match self.predict(name, path, &predictor) {
                Ok(found) => {
                    coco.add(&path.file_name().unwrap_or_default().to_string_lossy(), &found);
                    rows.push(self.row(name, &found, &params));
                }
                Err(error) => failures.push(crate::causes(&error)),
            }
            progress.set(index + 1, pictures.len());
        }
        write_rows(&self.out.join(file::PREDICTIONS), &rows)?;
        if self.coco {
            write_whole(&self.out.join(file::COCO), coco.to_json())?;
        }
        self.say(&rows, &failures)?;
        Ok(match failures.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    fn predict(&self, name: &str, path: &Path, predictor: &dyn Predictor) -> anyhow::Result<Localization> {
        let rgb = htl_datasets::read_rgb(path)?;
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let found = Localization::of(predictor, &path.display().to_string(), &rgb, self.threshold)?;
        let mask: Vec<u8> = found.mask.pixels().iter().map(|pixel| pixel * 255).collect();
        let drawn = overlay(rgb.as_raw(), height, width, &[(&mask, Colour::DENSE)], 1)?;
        self.write("masks", name, png(width, height, mask)?)?;
        self.write("overlays", name, drawn)?;
        if self.maps {
            self.write("maps", name, png(width, height, found.grey())?)?;
        }
        Ok(found)
    }

    fn row(&self, name: &str, found: &Localization, params: &PredictorParams) -> Found {
        let bounds = found.bounds();
        Found {
            image: name.to_owned(),
            width: found.mask.width(),
            height: found.mask.height(),
            area_fraction: found.mask.area_fraction(),
            confidence: found.confidence(),
            left: bounds.map(|bounds| bounds.left),
            top: bounds.map(|bounds| bounds.top),
            box_width: bounds.map(|bounds| bounds.width()),
            box_height: bounds.map(|bounds| bounds.height()),
            networks: self.checkpoint.len(),
            views: params.views.key(),
            tiles: params.tiles.map(TileParams::side),
            overlap: params.tiles.map(TileParams::overlap),
            largest_component: params.components == Components::Largest,
        }
    }

    fn write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        Ok(write_whole(&self.out.join(folder).join(format!("{name}.png")), bytes)?)
    }

    fn say(&self, rows: &[Found], failures: &[String]) -> anyhow::Result<()> {
        if self.json {
            for row in rows {
                print(&serde_json::to_string(row)?)?;
            }
        } else {
            let empty = rows.iter().filter(|row| row.confidence.is_none()).count();
            let images = match rows.len() {
                1 => "1 image".to_owned(),
                count => format!("{count} images"),
            };
            print(&format!(
                "{images} in {}, no lesion found in {empty}",
                self.out.display()
            ))?;
        }
        for failure in failures {
            eprintln!("{failure}");
        }
        if !failures.is_empty() {
            eprintln!(
                "{} of {} images could not be used",
                failures.len(),
                rows.len() + failures.len()
            );
        }
        Ok(())
    }
}

fn png(width: usize, height: usize, grey: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image::GrayImage::from_raw(u32::try_from(width)?, u32::try_from(height)?, grey)
        .context("a picture of another size")?
        .write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png)?;
    Ok(bytes)
}

fn threshold(text: &str) -> Result<f32, String> {
    let value = text.parse::<f32>().ok().filter(|value| (0.0..1.0).contains(value));
    value.ok_or_else(|| "a probability is from 0 to below 1".into())
}
