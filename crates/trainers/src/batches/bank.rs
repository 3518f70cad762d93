//! An image set and its draws as the kernels of htl-ops take them.

use candle_core::{Device, Result, Tensor, WithDType};
use htl_datasets::{Geometry, ImageSet, Photometry};
use htl_ops::augment::{Colours, Place};

/// Numbers that are gathered on the host for one copy.
const AT_A_TIME: usize = 1 << 24;

pub(super) fn place(image: usize, geometry: &Geometry) -> Place {
    let (matrix, shift) = geometry.source();
    Place { image, matrix, shift }
}

pub(super) fn colours(photometry: &Photometry, size: usize) -> Colours {
    Colours {
        gains: photometry.gains,
        saturation: photometry.saturation,
        contrast: photometry.contrast,
        brightness: photometry.brightness,
        blur_passes: photometry.blur_passes,
        cutout: photometry.cutout_pixels(size),
        noise: photometry.noise,
        noise_key: photometry.noise_key(),
    }
}

/// All images of a set, `[count, 3, size, size]`.
pub(super) fn images(set: &ImageSet, device: &Device) -> Result<Tensor> {
    let size = set.size();
    let row = |image: usize| set.image_bytes(image).iter().copied();
    rows(set.len(), &[3, size, size], row, device)
}

/// Target maps `[count, size, size]`: bytes if all are 0 or 1, else as they are.
pub(super) fn maps(targets: &[Vec<f32>], size: usize, device: &Device) -> Result<Tensor> {
    let dims = [size, size];
    match bytes_of_maps(targets) {
        1 => rows(targets.len(), &dims, |i| targets[i].iter().map(|v| *v as u8), device),
        _ => rows(targets.len(), &dims, |i| targets[i].iter().copied(), device),
    }
}

/// Bytes that [`maps`] takes for a pixel.
pub(super) fn bytes_of_maps(targets: &[Vec<f32>]) -> usize {
    let whole = targets.iter().flatten().all(|value| *value == 0.0 || *value == 1.0);
    if whole { 1 } else { 4 }
}

/// Rows of `[count, dims]`, never all of them a second time on the host.
fn rows<T: WithDType, R: Iterator<Item = T>>(
    count: usize,
    dims: &[usize],
    row: impl Fn(usize) -> R,
    device: &Device,
) -> Result<Tensor> {
    let all = Tensor::zeros([&[count], dims].concat(), T::DTYPE, device)?;
    let rows = (AT_A_TIME / dims.iter().product::<usize>().max(1)).max(1);
    for from in (0..count).step_by(rows) {
        let some = rows.min(count - from);
        let values: Vec<T> = (from..from + some).flat_map(&row).collect();
        let part = Tensor::from_vec(values, [&[some], dims].concat(), device)?;
        all.slice_set(&part, 0, from)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batches::augmentation::{Draw, Purpose, weak, weak_and_strong};
    use candle_core::DType;

    /// Rows arrive where they belong, in whole groups and in what is left over.
    #[test]
    fn rows_keep_their_order() {
        let side = 1 << 11;
        let pixels = side * side;
        for count in [1, AT_A_TIME / pixels, 2 * AT_A_TIME / pixels + 3] {
            let row = |image: usize| (0..pixels).map(move |at| (image * 31 + at) as u8);
            let all = rows(count, &[side, side], row, &Device::Cpu).unwrap();
            assert_eq!(all.dims(), [count, side, side]);
            let found = all.flatten_all().unwrap().to_vec1::<u8>().unwrap();
            let expected = (0..count).flat_map(row);
            assert!(found.into_iter().eq(expected), "{count} rows");
        }
    }

    #[test]
    fn only_masks_are_kept_as_bytes() {
        let masks = maps(&[vec![0., 1., 1., 0.]], 2, &Device::Cpu).unwrap();
        assert_eq!((masks.dtype(), masks.dims()), (DType::U8, [1, 2, 2].as_slice()));
        assert_eq!(masks.flatten_all().unwrap().to_vec1::<u8>().unwrap(), [0, 1, 1, 0]);
        let soft = maps(&[vec![0., 0.5, 1., 0.]], 2, &Device::Cpu).unwrap();
        assert_eq!(soft.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0., 0.5, 1., 0.]);
    }

    /// A place moves pixels as its geometry does: told by where a gradient along x and one along y go.
    #[test]
    fn places_are_those_of_the_geometry() {
        let size = 16;
        for at in 0..20 {
            let draw = Draw {
                image: 3,
                geometry: 1.0,
                colours: 1.0,
            };
            let drawn = weak(draw, Purpose::Labelled, 5, at);
            let Place { image, matrix, shift } = place(drawn.image, &drawn.geometry);
            assert_eq!(image, 3);
            let half = (size as f32 - 1.) / 2.;
            let across: Vec<f32> = (0..size * size).map(|i| (i % size) as f32).collect();
            let down: Vec<f32> = (0..size * size).map(|i| (i / size) as f32).collect();
            let moved = drawn.geometry.apply(&[across, down].concat(), size);
            let middle = [6, 9].map(|v: usize| v as f32 - half);
            let source = [0, 1].map(|axis| {
                let [x, y] = matrix[axis];
                half + x * middle[0] + y * middle[1] + shift[axis] * size as f32
            });
            let found = [0, 1].map(|axis| moved[axis * size * size + 9 * size + 6]);
            for (a, b) in source.iter().zip(found) {
                assert!((a - b).abs() < 1e-4, "{source:?} {found:?}");
            }
        }
    }

    /// Teacher and student see one place, and only the student's view is blurred, cut or noisy.
    #[test]
    fn colours_are_those_of_the_draw() {
        let size = 40;
        let mut seen = [false; 2];
        for at in 0..20 {
            let draw = Draw {
                image: 0,
                geometry: 1.0,
                colours: 1.0,
            };
            let drawn = weak_and_strong(draw, Purpose::Unlabelled, 5, at);
            let [teacher, student] = drawn.colours.each_ref().map(|photometry| colours(photometry, size));
            assert_eq!((teacher.blur_passes, teacher.cutout, teacher.noise), (0, None, 0.));
            assert!(student.noise > 0. && student.noise_key != teacher.noise_key);
            seen[0] |= student.blur_passes > 0;
            seen[1] |= student.cutout.is_some_and(|[_, _, width, height]| width * height > 0);
            assert!((student.gains[0] - 1.).abs() <= 0.1 && (student.contrast - 1.).abs() <= 0.35);
        }
        assert_eq!(seen, [true; 2]);
    }
}
