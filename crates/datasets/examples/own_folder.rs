//! Opens a data folder, says what is in it and what is wrong, and measures augmentation.
//!
//! `cargo run --release -p htl-datasets --example own_folder -- data-manifest/embedded`

use std::{error::Error, time::Instant};

use htl_datasets::{
    DataFolder, FolderStats, Geometry, GeometryParams, ImageSet, MaskUse, Photometry, PhotometryParams, Sampler, Split,
    attributes, generator, read_mask, read_rgb,
};

fn main() -> Result<(), Box<dyn Error>> {
    let root = std::env::args().nth(1).ok_or("say which data folder")?;
    let data = DataFolder::open(&root)?;
    println!("{}", serde_json::to_string_pretty(&FolderStats::of(&data)?)?);
    for problem in data.problems() {
        println!("problem: {problem}");
    }
    println!("sha256 {}", data.sha256()?);

    let train = data.split(Split::Train);
    for sample in train.iter().take(3) {
        if let Some(mask) = &sample.mask {
            println!(
                "{}: {:?}",
                sample.image_id,
                attributes(&read_rgb(&sample.image)?, &read_mask(mask)?)?
            );
        }
    }

    let size = 64;
    let start = Instant::now();
    let set = ImageSet::load(&train, size, MaskUse::IfPresent)?;
    println!(
        "{} images read in {:.0} ms",
        set.len(),
        start.elapsed().as_secs_f64() * 1e3
    );
    let sampler = Sampler::uniform(set.len(), 0)?;
    let mut times = Vec::new();
    for step in 0..30 {
        let start = Instant::now();
        let mut rng = generator(0, "augmentation", step);
        for index in sampler.batch(step, 16) {
            let geometry = Geometry::sample(&mut rng, &GeometryParams::default());
            let mut image = geometry.apply(&set.image(index), size);
            Photometry::sample(&mut rng, &PhotometryParams::strong()).apply(&mut image, size);
            let _mask = set.mask(index).map(|mask| geometry.apply_mask(&mask, size));
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!(
        "a batch of 16 at {size} px is augmented in {:.1} ms (median), {:.1} ms (best)",
        times[15], times[0]
    );
    Ok(())
}
