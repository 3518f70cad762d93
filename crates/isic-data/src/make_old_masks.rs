//! Makes the masks of ISIC 2017 in the geometry of ISIC 2018: what a label was before it was revised.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use htl_datasets::{DataFolder, GrayImage, read_mask, resize_mask};
use image::ImageFormat;

use crate::fresh;
use crate::tables::{known, rows};

/// The masks that images of a data folder had in ISIC 2017: whole frames, squashed to squares, of which ISIC 2018's copy shows the
/// central square.
#[derive(Debug, clap::Args)]
pub struct MakeOldMasks {
    /// Folder with extra.csv, mask_revisions_2017_vs_2018.csv and isic2017_fullframe
    #[arg(long, value_name = "DIR")]
    isic: PathBuf,
    /// A data folder of isic2018: its images get masks, of their size
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder to write (`masks/ID.png`, and `revisions.csv` with the IoU of the two masks); must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Largest mean difference from the collected table of IoUs, which was computed at another size.
const LIKE_THE_TABLE: f64 = 0.02;

impl MakeOldMasks {
    /// Cuts, measures and writes.
    pub fn run(&self) -> Result<()> {
        ensure!(
            !self.out.exists(),
            "{} exists; remove it or choose another --out",
            self.out.display()
        );
        let data = DataFolder::open(&self.data)?;
        let collected: BTreeMap<String, f64> = self.collected()?;
        let shapes = self.shapes()?;
        let mut overlaps = Vec::new();
        let mut difference = 0.0;
        fresh::folder(&self.out, |folder| {
            fs::create_dir(folder.join("masks"))?;
            for sample in data.samples() {
                let id = &sample.image_id;
                let (Some(known), Some(&shape), Some(mask)) = (collected.get(id), shapes.get(id), &sample.mask) else {
                    continue;
                };
                let new = read_mask(mask)?;
                let path = self.isic.join("isic2017_fullframe/masks").join(format!("{id}.png"));
                let old = central_square(&read_mask(&path)?, shape, new.width());
                let overlap = iou(&old, &new);
                difference += (overlap - known).abs();
                overlaps.push((id.clone(), overlap));
                old.save_with_format(folder.join("masks").join(format!("{id}.png")), ImageFormat::Png)?;
            }
            ensure!(
                !overlaps.is_empty(),
                "no image of {} is in both sets",
                self.data.display()
            );
            let mean = difference / overlaps.len() as f64;
            ensure!(
                mean < LIKE_THE_TABLE,
                "the IoUs differ by {mean:.3} on average from the collected ones: is the geometry another?"
            );
            let mut table = csv::Writer::from_path(folder.join("revisions.csv"))?;
            table.write_record(["image_id", "iou"])?;
            for (id, overlap) in &overlaps {
                table.write_record([id.clone(), format!("{overlap:.4}")])?;
            }
            Ok(table.flush()?)
        })?;
        let redrawn = overlaps.iter().filter(|(_, overlap)| *overlap < 0.8).count();
        println!(
            "wrote {}: {} masks, {redrawn} with an IoU under 0.8; the IoUs differ by {:.4} on average from the collected ones",
            self.out.display(),
            overlaps.len(),
            difference / overlaps.len() as f64
        );
        Ok(())
    }

    fn collected(&self) -> Result<BTreeMap<String, f64>> {
        let (path, column) = ("mask_revisions_2017_vs_2018.csv", "iou_in_centre_crop_128px");
        let table = rows(&self.isic.join(path), &["image_id", column])?;
        table
            .iter()
            .map(|row| {
                let iou = row[column].parse().with_context(|| format!("{path}: {row:?}"))?;
                Ok((row["image_id"].clone(), iou))
            })
            .collect()
    }

    /// Width and height of the original frames.
    fn shapes(&self) -> Result<BTreeMap<String, (f64, f64)>> {
        let table = rows(
            &self.isic.join("extra.csv"),
            &["image_id", "source", "orig_width", "orig_height"],
        )?;
        let number = |row: &crate::tables::Row, column: &str| known(row, column)?.parse::<f64>().ok();
        let shapes = table
            .iter()
            .filter(|row| row["source"] == "isic2017_fullframe")
            .filter_map(|row| {
                let shape = (number(row, "orig_width")?, number(row, "orig_height")?);
                Some((row["image_id"].clone(), shape))
            });
        Ok(shapes.collect())
    }
}

/// The central square of a frame that was `width` x `height` before it was squashed to a square, at `side` pixels.
fn central_square(squashed: &GrayImage, (width, height): (f64, f64), side: u32) -> GrayImage {
    let part = |length: f64, other: f64, pixels: u32| {
        let kept = (other / length).min(1.0) * f64::from(pixels);
        let size = (kept.round() as u32).clamp(1, pixels);
        ((pixels - size) / 2, size)
    };
    let (left, wide) = part(width, height, squashed.width());
    let (top, tall) = part(height, width, squashed.height());
    let square = image::imageops::crop_imm(squashed, left, top, wide, tall).to_image();
    // Area averages shrink; a square that was squashed below the side grows first.
    let grown = (side.div_ceil(wide.min(tall)) + 1).max(2);
    let finer = image::imageops::resize(
        &square,
        wide * grown,
        tall * grown,
        image::imageops::FilterType::Triangle,
    );
    let finer = GrayImage::from_fn(finer.width(), finer.height(), |x, y| {
        image::Luma([if finer.get_pixel(x, y).0[0] > 127 { 255 } else { 0 }])
    });
    resize_mask(&finer, side, side)
}

fn iou(a: &GrayImage, b: &GrayImage) -> f64 {
    let pairs = || a.as_raw().iter().zip(b.as_raw()).map(|(a, b)| (*a > 128, *b > 128));
    let both = pairs().filter(|(a, b)| *a && *b).count() as f64;
    let either = pairs().filter(|(a, b)| *a || *b).count() as f64;
    if either == 0.0 { 1.0 } else { both / either }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    /// A wide frame loses its sides: what was its middle fills the square.
    #[test]
    fn the_centre_of_a_wide_frame() {
        // 400 x 200, squashed to 64 x 64: the middle half of the columns is the square.
        let squashed = GrayImage::from_fn(64, 64, |x, _| Luma([if (16..32).contains(&x) { 255 } else { 0 }]));
        let square = central_square(&squashed, (400.0, 200.0), 64);
        let expected = GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 255 } else { 0 }]));
        assert!(iou(&square, &expected) > 0.96, "{}", iou(&square, &expected));
        // And a tall one its top and bottom.
        let turned = image::imageops::rotate90(&squashed);
        let square = central_square(&turned, (200.0, 400.0), 64);
        assert!(iou(&square, &image::imageops::rotate90(&expected)) > 0.96);
    }
}
