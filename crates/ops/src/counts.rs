//! Pixel counts that overlaps of masks are computed from.

use candle_core::{DType, Tensor, WithDType};

use crate::OpsError;
use crate::real::{Reading, Real, by_dtype, check_real, check_shape};
use crate::{gpu, parallel, portable};

/// Pixels of each image that are above `threshold` in both maps, in `map`, and in `truth`; NaN is above nothing.
///
/// The Jaccard index of an image is `both / (map + truth - both)`: counts are exact, and stay on the device of the maps.
///
/// # Shapes
/// - `map`, `truth`: `[batch, ...]`, `f32` or `f64`, less than 2^24 pixels in an image
/// - result: `[batch, 3]`, `u32`
///
/// # Errors
/// [`OpsError`] if shapes or types differ, anything is empty, or an image has too many pixels.
pub fn overlap_counts(map: &Tensor, truth: &Tensor, threshold: f64) -> Result<Tensor, OpsError> {
    const OP: &str = "overlap_counts";
    if map.rank() < 2 {
        return Err(OpsError::Rank {
            op: OP,
            argument: "map",
            expected: "[batch, ...]",
            found: map.dims().to_vec(),
        });
    }
    check_real(OP, "map", map)?;
    check_shape(OP, "truth", truth, map.dims(), map)?;
    let batch = map.dims()[0];
    let area = map.elem_count() / batch;
    if area >= 1 << 24 {
        return Err(OpsError::Parameter {
            op: OP,
            parameter: "image",
            requirement: "smaller than 2^24 pixels",
            found: area.to_string(),
        });
    }
    let (map, truth) = (map.detach().contiguous()?, truth.detach().contiguous()?);
    if let Some(engine) = gpu::engine_of(&map)? {
        return Ok(gpu::mask_sums(&*engine, [&map, &truth], threshold)?.to_dtype(DType::U32)?);
    }
    if portable::takes(&map) {
        return Ok(portable::counts::overlap(&map, &truth, threshold)?);
    }
    Ok(by_dtype!(map.dtype(), OP, T => {
        let (map, truth) = (Reading::of(&map), Reading::of(&truth));
        let counts = counts::<T>(map.get()?, truth.get()?, batch, T::from_f64(threshold));
        Tensor::from_vec(counts, (batch, 3), &candle_core::Device::Cpu)
    })?)
}

fn counts<T: Real>(map: &[T], truth: &[T], batch: usize, threshold: T) -> Vec<u32> {
    let area = map.len() / batch;
    let mut counts = vec![0; 3 * batch];
    parallel::chunks(&mut counts, 3, |image, counts| {
        let part = image * area..(image + 1) * area;
        for (&m, &t) in map[part.clone()].iter().zip(&truth[part]) {
            let (m, t) = (m > threshold, t > threshold);
            counts[0] += u32::from(m && t);
            counts[1] += u32::from(m);
            counts[2] += u32::from(t);
        }
    });
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn counts_are_those_of_a_hand() {
        let map = Tensor::new(&[[0.9f32, 0.5, 0.6, f32::NAN], [0.1, 0.2, 0.3, 0.4]], &Device::Cpu).unwrap();
        let truth = Tensor::new(&[[1f32, 1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]], &Device::Cpu).unwrap();
        let expected = [[1, 2, 3], [0, 0, 1]];
        for run in [
            |f: &dyn Fn() -> Tensor| f(),
            |f: &dyn Fn() -> Tensor| portable::everywhere(f),
        ] {
            let found = run(&|| overlap_counts(&map, &truth, 0.5).unwrap());
            assert_eq!(found.to_vec2::<u32>().unwrap(), expected);
        }
        let double = |t: &Tensor| t.to_dtype(DType::F64).unwrap();
        let found = overlap_counts(&double(&map), &double(&truth), 0.5).unwrap();
        assert_eq!(found.to_vec2::<u32>().unwrap(), expected);
    }

    #[test]
    fn shapes_are_checked() {
        let map = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let other = Tensor::zeros((2, 4), DType::F32, &Device::Cpu).unwrap();
        assert!(matches!(overlap_counts(&map, &other, 0.5), Err(OpsError::Shape { .. })));
        let flat = map.flatten_all().unwrap();
        assert!(matches!(overlap_counts(&flat, &flat, 0.5), Err(OpsError::Rank { .. })));
    }
}
