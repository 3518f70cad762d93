//! Augmented batches: what a device makes of draws, and what the CPU does.

use candle_core::{Device, Result, Tensor};
use htl_datasets::{Geometry, GeometryParams, Photometry, PhotometryParams, generator};
use htl_ops::augment::{Colours, Place, ResidentImages};

#[path = "draws.rs"]
mod draws;

use draws::{MEAN, STD, colours, on_the_cpu, place};

const SIDE: usize = 64;
const COUNT: usize = 3;
const BATCH: usize = 8;

/// Smooth pictures with an edge.
fn pictures() -> Vec<u8> {
    let pixel = |plane: usize, at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        (30 * plane + 2 * x + y + x * y % 17 + usize::from(x > y + plane) * 60) as u8
    };
    (0..COUNT * 3)
        .flat_map(|plane| (0..SIDE * SIDE).map(move |at| pixel(plane, at)))
        .collect()
}

struct Draws {
    images: Vec<usize>,
    geometry: Vec<Geometry>,
    /// A weak and a strong view.
    views: [Vec<Photometry>; 2],
}

fn draws() -> Draws {
    let mut random = generator(3, "agreement", 0);
    Draws {
        images: (0..BATCH).map(|slot| slot % COUNT).collect(),
        geometry: (0..BATCH)
            .map(|_| Geometry::sample(&mut random, &GeometryParams::default()))
            .collect(),
        views: [PhotometryParams::weak(), PhotometryParams::strong()]
            .map(|params| (0..BATCH).map(|_| Photometry::sample(&mut random, &params)).collect()),
    }
}

/// Both views and the targets, made on a CUDA device.
pub fn on_device(device: &Device) -> Result<Vec<Tensor>> {
    let (draws, pictures) = (draws(), pictures());
    let images = Tensor::from_slice(&pictures, (COUNT, 3, SIDE, SIDE), device)?;
    let maps = Tensor::from_slice(&pictures[..COUNT * SIDE * SIDE], (COUNT, SIDE, SIDE), device)?;
    let set = ResidentImages::new(&images, Some(&maps), MEAN, STD)?;
    let places: Vec<Place> = draws
        .images
        .iter()
        .zip(&draws.geometry)
        .map(|(&image, geometry)| place(image, geometry))
        .collect();
    let views = draws
        .views
        .map(|view| view.iter().map(|draw| colours(draw, SIDE)).collect::<Vec<_>>());
    let batch = set.batch(&places, &[&views[0], &views[1]])?;
    Ok(batch.views.into_iter().chain(batch.targets).collect())
}

/// The same by htl-datasets.
pub fn on_host() -> Result<Vec<Tensor>> {
    let (draws, pictures) = (draws(), pictures());
    let (image, plane) = (3 * SIDE * SIDE, SIDE * SIDE);
    let mut results = Vec::new();
    for view in &draws.views {
        let values: Vec<f32> = (0..BATCH)
            .flat_map(|slot| {
                let pixels = &pictures[draws.images[slot] * image..][..image];
                on_the_cpu(pixels, &draws.geometry[slot], &view[slot], SIDE)
            })
            .collect();
        results.push(Tensor::from_vec(values, (BATCH, 3, SIDE, SIDE), &Device::Cpu)?);
    }
    let targets: Vec<f32> = (0..BATCH)
        .flat_map(|slot| {
            let map = pictures[draws.images[slot] * plane..][..plane].iter();
            draws.geometry[slot].apply(&map.map(|&v| f32::from(v)).collect::<Vec<_>>(), SIDE)
        })
        .collect();
    results.push(Tensor::from_vec(targets, (BATCH, 1, SIDE, SIDE), &Device::Cpu)?);
    Ok(results)
}
