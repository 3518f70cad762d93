//! The kernels' batches against the CPU's own augmentation.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use htl_datasets::{Geometry, GeometryParams, Photometry, PhotometryParams, generator};

use crate::OpsError;
#[path = "../../../tests/cases/draws.rs"]
mod draws;

use crate::augment::{Colours, Place, ResidentImages};
use crate::gpu::Engine;
use crate::gpu::emulated::{engine, everywhere};
use draws::{MEAN, STD, colours, on_the_cpu, place};

const COUNT: usize = 3;

/// Smooth pictures with an edge: what bilinear weights and mirrored borders show in.
fn pictures(side: usize) -> Vec<u8> {
    let pixel = |image: usize, channel: usize, at: usize| {
        let (x, y) = (at % side, at / side);
        let inside = usize::from(x > y + image) * 90;
        (40 * channel + 5 * x + 3 * y + x * y % 17 + inside) as u8
    };
    let channels = (0..COUNT * 3).map(|plane| (plane / 3, plane % 3));
    channels
        .flat_map(|(image, channel)| (0..side * side).map(move |at| pixel(image, channel, at)))
        .collect()
}

fn maps(side: usize) -> Vec<u8> {
    (0..COUNT * side * side)
        .map(|at| u8::from(at % side > 5 + at / (side * side)))
        .collect()
}

fn worst(found: &Tensor, expected: &[f32]) -> f32 {
    let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(found.len(), expected.len());
    // So that NaN is the worst.
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0., |worst, d| if d <= worst { worst } else { d })
}

/// All kinds of changes, all at once and one at a time.
fn kinds() -> Vec<PhotometryParams> {
    let nothing = PhotometryParams::identity;
    vec![
        PhotometryParams::weak(),
        PhotometryParams::strong(),
        PhotometryParams { blur: 1., ..nothing() },
        PhotometryParams {
            cutout: 1.,
            cutout_side: 0.9,
            ..nothing()
        },
        PhotometryParams {
            noise: 0.3,
            ..nothing()
        },
        PhotometryParams {
            blur: 1.,
            cutout: 1.,
            ..PhotometryParams::strong()
        },
        nothing(),
    ]
}

/// A set on the engine of tests.
fn made(
    engine: &Arc<dyn Engine>,
    images: &Tensor,
    maps: Option<&Tensor>,
    mean: [f32; 3],
    std: [f32; 3],
) -> Result<ResidentImages, OpsError> {
    everywhere(engine, || ResidentImages::new(images, maps, mean, std))
}

#[test]
fn batches_as_on_the_cpu() {
    let Some(engine) = engine() else { return };
    let wide = GeometryParams {
        rotation: 180.,
        scale: (0.3, 3.),
        shift: 1.,
        ..GeometryParams::default()
    };
    let moves = [
        GeometryParams::default(),
        wide,
        GeometryParams::symmetries(),
        GeometryParams::identity(),
    ];
    for side in [1, 24, 33] {
        let (pictures, maps) = (pictures(side), maps(side));
        let images = Tensor::from_slice(&pictures, (COUNT, 3, side, side), &Device::Cpu).unwrap();
        let targets = Tensor::from_slice(&maps, (COUNT, side, side), &Device::Cpu).unwrap();
        let targets = [targets.to_dtype(DType::F32).unwrap(), targets];
        for (case, params) in moves.iter().enumerate() {
            let targets = &targets[case % 2];
            let set = made(&engine, &images, Some(targets), MEAN, STD).unwrap();
            let mut random = generator(7, "test", (side * 10 + case) as u64);
            let indices = [2, 0, 1, 2, 0];
            let geometry = indices.map(|_| Geometry::sample(&mut random, params));
            let draws: Vec<[Photometry; 5]> = kinds()
                .iter()
                .map(|kind| indices.map(|_| Photometry::sample(&mut random, kind)))
                .collect();
            let places: Vec<Place> = indices.iter().zip(&geometry).map(|(&i, g)| place(i, g)).collect();
            let views: Vec<Vec<Colours>> = draws
                .iter()
                .map(|draws| draws.iter().map(|draw| colours(draw, side)).collect())
                .collect();
            let views: Vec<&[Colours]> = views.iter().map(Vec::as_slice).collect();
            let batch = set.batch(&places, &views).unwrap();
            assert_eq!(batch.views.len(), draws.len());
            let (image, plane) = (3 * side * side, side * side);
            for (kind, (view, draws)) in batch.views.iter().zip(&draws).enumerate() {
                assert_eq!(view.dims(), [5, 3, side, side]);
                let expected: Vec<f32> = (0..5)
                    .flat_map(|slot| {
                        let pixels = &pictures[indices[slot] * image..][..image];
                        on_the_cpu(pixels, &geometry[slot], &draws[slot], side)
                    })
                    .collect();
                let off = worst(view, &expected);
                assert!(off < 1e-5, "side {side}, move {case}, kind {kind}: off by {off}");
            }
            let moved = batch.targets.unwrap();
            assert_eq!(moved.dims(), [5, 1, side, side]);
            let expected: Vec<f32> = (0..5)
                .flat_map(|slot| {
                    let map = maps[indices[slot] * plane..][..plane].iter().map(|v| f32::from(*v));
                    geometry[slot].apply(&map.collect::<Vec<_>>(), side)
                })
                .collect();
            let off = worst(&moved, &expected);
            assert!(off < 1e-5, "side {side}, move {case}, targets: off by {off}");
        }
    }
}

/// A symmetry only permutes pixels, so its values are those of the CPU to the bit.
#[test]
fn symmetries_interpolate_nothing() {
    let Some(engine) = engine() else { return };
    let (side, pictures) = (24, pictures(24));
    let images = Tensor::from_slice(&pictures, (COUNT, 3, side, side), &Device::Cpu).unwrap();
    let targets = Tensor::from_slice(&pictures[..COUNT * side * side], (COUNT, side, side), &Device::Cpu).unwrap();
    let set = made(&engine, &images, Some(&targets), MEAN, STD).unwrap();
    let mut random = generator(1, "test", 0);
    let geometry = [(); 16].map(|()| Geometry::sample(&mut random, &GeometryParams::symmetries()));
    let places = geometry.each_ref().map(|geometry| place(1, geometry));
    let still = Photometry::sample(&mut random, &PhotometryParams::identity());
    let batch = set.batch(&places, &[&[colours(&still, side); 16]]).unwrap();
    let found = batch.targets.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let map: Vec<f32> = pictures[side * side..2 * side * side]
        .iter()
        .map(|v| f32::from(*v))
        .collect();
    let expected: Vec<f32> = geometry
        .iter()
        .flat_map(|geometry| geometry.apply(&map, side))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn what_does_not_fit_is_named() {
    let Some(engine) = engine() else { return };
    let device = Device::Cpu;
    let images = Tensor::zeros((2, 3, 4, 4), DType::U8, &device).unwrap();
    let said = |images: &Tensor, maps: Option<&Tensor>| {
        let set = made(&engine, images, maps, MEAN, STD);
        set.err().unwrap().to_string()
    };
    assert!(said(&images.to_dtype(DType::F32).unwrap(), None).contains("images"));
    assert!(said(&images.narrow(3, 0, 3).unwrap(), None).contains("images"));
    let maps = Tensor::zeros((1, 4, 4), DType::U8, &device).unwrap();
    assert!(said(&images, Some(&maps)).contains("maps"));
    let set = made(&engine, &images, None, MEAN, STD).unwrap();
    let place = place(2, &Geometry::identity());
    let said = set.batch(&[place], &[&[]]).err().unwrap().to_string();
    assert!(said.contains("below the number of images"), "{said}");
    let said = set.batch(&[Place { image: 0, ..place }], &[&[]]).err().unwrap();
    assert!(said.to_string().contains("as long as the batch"), "{said}");
}
