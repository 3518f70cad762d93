//! Training steps fed by batches as a training makes them, from a synthetic data folder.

use std::{path::Path, time::Instant};

use anyhow::{Context, ensure};
use candle_core::Device;
use htl_datasets::{DataFolder, ImageSet, MaskUse, Split};
use htl_device::Spread;
use htl_models::Preprocessing;
use htl_trainers::MaskBatches;

/// Images of the synthetic set.
const IMAGES: u32 = 48;

/// The first of the synthetic images, dark ellipses on textured skin, read and cached as any data folder is.
pub fn images(size: usize, count: usize) -> anyhow::Result<ImageSet> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    write(folder.path(), u32::try_from(size)?)?;
    let data = DataFolder::open(folder.path())?;
    let samples = data.split(Split::Train);
    ensure!(
        count <= samples.len(),
        "there are {} images, not {count}",
        samples.len()
    );
    Ok(ImageSet::load(&samples[..count], size, MaskUse::Required)?)
}

fn write(folder: &Path, size: u32) -> anyhow::Result<()> {
    for kind in ["images", "masks"] {
        std::fs::create_dir(folder.join(kind))?;
    }
    let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
    // A data folder has all three splits.
    let others = [(IMAGES, "val"), (IMAGES + 1, "test")];
    for (index, split) in (0..IMAGES).map(|i| (i, "train")).chain(others) {
        let half = f64::from(size) / 2.0;
        let radius = half * (0.3 + 0.5 * f64::from(index) / f64::from(IMAGES));
        let inside = |x: u32, y: u32| (f64::from(x) - half).hypot(1.3 * (f64::from(y) - half)) < radius;
        let pixel = |x: u32, y: u32| {
            let texture = ((x * 7 + y * 13 + index * 29) % 32) as u8;
            let skin = if inside(x, y) { [90, 60, 50] } else { [215, 170, 150] };
            image::Rgb(skin.map(|value: u8| value + texture))
        };
        let mask = |x: u32, y: u32| image::Luma([if inside(x, y) { 255 } else { 0 }]);
        let name = format!("b{index:03}");
        image::RgbImage::from_fn(size, size, pixel).save(folder.join(format!("images/{name}.png")))?;
        image::GrayImage::from_fn(size, size, mask).save(folder.join(format!("masks/{name}.png")))?;
        table.push_str(&format!("{name},{split},,,,\n"));
    }
    std::fs::write(folder.join("metadata.csv"), table)?;
    Ok(())
}

/// Batches for `steps` steps.
pub fn batches(size: usize, batch: usize, steps: usize, device: &Device) -> anyhow::Result<MaskBatches> {
    let preprocessing = Preprocessing {
        size,
        ..Preprocessing::default()
    };
    Ok(MaskBatches::new(
        images(size, IMAGES as usize)?,
        &preprocessing,
        batch,
        steps,
        0,
        device,
    )?)
}

/// Milliseconds to make one batch on the host, on all threads: the median of a few.
pub fn batch_ms(size: usize, batch: usize) -> anyhow::Result<f64> {
    const BATCHES: usize = 9;
    let mut batches = batches(size, batch, BATCHES, &Device::Cpu)?;
    let mut times = Vec::with_capacity(BATCHES);
    for step in 0..BATCHES {
        let start = Instant::now();
        batches.take(step)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Spread::of(times).median)
}
