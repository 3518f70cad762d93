use candle_core::Tensor;
use htl_datasets::generator;
use htl_models::Preprocessing;
use rand::Rng;

use super::{
    change::{BatchChange, ChangeParts},
    form::Form,
};
use crate::{TrainError, batches::MaskBatch};

/// Draws hairs across attended images.
pub(super) struct Hair;

impl Form for Hair {
    fn key(&self) -> &'static str {
        "hair"
    }

    fn about(&self) -> &'static str {
        "Up to `weight` - 1 hairs are drawn across attended images."
    }

    fn change(&self, parts: &ChangeParts<'_>) -> Option<Box<dyn BatchChange>> {
        Some(Box::new(Hairs {
            most: parts.weight - 1.0,
            preprocessing: parts.preprocessing.clone(),
            seed: parts.seed,
        }))
    }
}

struct Hairs {
    /// Of an image that is fully attended to.
    most: f64,
    preprocessing: Preprocessing,
    seed: u64,
}

/// The lightest hair; its channels are in proportion to [`BROWN`].
const LIGHTEST: f32 = 0.35;
const BROWN: [f32; 3] = [1.0, 0.8, 0.65];
/// Half the thickness of hairs, as shares of the image's side.
const THICKNESS: (f32, f32) = (0.002, 0.006);

impl BatchChange for Hairs {
    fn before(&self, batch: MaskBatch, step: usize) -> Result<MaskBatch, TrainError> {
        let (count, _, height, width) = batch.targets.dims4()?;
        let side = height.max(width);
        let mut cover = Vec::with_capacity(count * height * width);
        let mut colours = Vec::with_capacity(3 * count);
        for (image, attended) in batch.attended.iter().enumerate() {
            let mut rng = generator(self.seed, "hair", (step * count + image) as u64);
            let hairs = (rng.random_range(0.0..1.0) * (self.most * f64::from(*attended)).max(0.0)).round() as usize;
            let light = rng.random_range(0.0..LIGHTEST);
            colours.extend(BROWN.map(|channel| channel * light));
            let mut covered = vec![0f32; height * width];
            for _ in 0..hairs {
                Strand::drawn(&mut rng, side).paint(&mut covered, width);
            }
            cover.extend(covered);
        }
        if cover.iter().all(|cover| *cover == 0.0) {
            return Ok(batch);
        }
        let device = batch.images.device();
        let cover = Tensor::from_vec(cover, (count, 1, height, width), device)?;
        let colours = Tensor::from_vec(colours, (count, 3, 1, 1), device)?;
        let hair = self.preprocessing.normalise(&colours)?.broadcast_mul(&cover)?;
        let rest = cover.affine(-1.0, 1.0)?;
        let covered = |images: &Tensor| images.broadcast_mul(&rest)? + &hair;
        Ok(MaskBatch {
            images: covered(&batch.images)?,
            strong: batch.strong.as_ref().map(covered).transpose()?,
            ..batch
        })
    }
}

/// A quadratic Bézier curve between two rims, in pixels.
struct Strand {
    points: [[f32; 2]; 3],
    radius: f32,
}

impl Strand {
    fn drawn(rng: &mut impl Rng, side: usize) -> Self {
        let side = side as f32;
        let mut at = || rng.random_range(0.0..side);
        let (first, second) = ([at(), at()], [at(), at()]);
        let middle = [at(), at()];
        // From one rim to the opposite one; which pair of rims is a toss.
        let (from, to) = match rng.random_bool(0.5) {
            true => ([0.0, first[1]], [side, second[1]]),
            false => ([first[0], 0.0], [second[0], side]),
        };
        // Bent, but not like a wire.
        let bent = |axis: usize| 0.5 * middle[axis] + 0.25 * (from[axis] + to[axis]);
        Self {
            points: [from, [bent(0), bent(1)], to],
            radius: side * rng.random_range(THICKNESS.0..THICKNESS.1),
        }
    }

    /// Covers the pixels it goes over, each by at most 1; those at its border less.
    fn paint(&self, cover: &mut [f32], width: usize) {
        let height = cover.len() / width.max(1);
        let [a, b, c] = self.points;
        // Neighbouring points are less than a pixel apart.
        let steps = 3 * width.max(height);
        let reach = (self.radius + 1.0).ceil() as isize;
        for step in 0..=steps {
            let t = step as f32 / steps as f32;
            let along = |axis: usize| (1.0 - t).powi(2) * a[axis] + 2.0 * t * (1.0 - t) * b[axis] + t * t * c[axis];
            let (x, y) = (along(0), along(1));
            for dy in -reach..=reach {
                for dx in -reach..=reach {
                    let (px, py) = (x as isize + dx, y as isize + dy);
                    let inside = (0..width as isize).contains(&px) && (0..height as isize).contains(&py);
                    if !inside {
                        continue;
                    }
                    let distance = (px as f32 + 0.5 - x).hypot(py as f32 + 0.5 - y);
                    let covered = (self.radius + 0.5 - distance).clamp(0.0, 1.0).min(2.0 * self.radius);
                    let pixel = &mut cover[py as usize * width + px as usize];
                    *pixel = pixel.max(covered);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    const SIDE: usize = 32;

    fn batch() -> MaskBatch {
        let device = Device::Cpu;
        let made = |channels: usize, value: f64| {
            let zeros = Tensor::zeros((3, channels, SIDE, SIDE), DType::F32, &device).unwrap();
            (zeros + value).unwrap()
        };
        MaskBatch {
            images: made(3, 1.0),
            targets: made(1, 0.0),
            weights: Tensor::ones(3, DType::F32, &device).unwrap(),
            pixels: None,
            strong: Some(made(3, 1.0)),
            attended: vec![0.0, 1.0, 1.0],
        }
    }

    fn hairs(most: f64) -> Hairs {
        Hairs {
            most,
            preprocessing: Preprocessing::default(),
            seed: 4,
        }
    }

    /// Hairs lie across attended images and no other, dark and thin, alike in both views.
    #[test]
    fn only_attended_images_have_hairs() {
        let mut seen = 0;
        for step in 0..10 {
            let drawn = hairs(6.0).before(batch(), step).unwrap();
            let images: Vec<Vec<f32>> = drawn.images.flatten_from(1).unwrap().to_vec2().unwrap();
            let second = drawn.strong.unwrap().flatten_from(1).unwrap();
            assert_eq!(images, second.to_vec2::<f32>().unwrap());
            assert!(images[0].iter().all(|value| *value == 1.0));
            for image in &images[1..] {
                let dark = image.iter().filter(|value| **value < 0.5).count();
                seen += usize::from(dark > 0);
                assert!(dark < 3 * SIDE * SIDE / 2, "{dark} of {}", 3 * SIDE * SIDE);
            }
        }
        assert!(seen > 8, "{seen} of 20 images");
        let none = hairs(0.0).before(batch(), 0).unwrap();
        assert!(
            none.images
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .iter()
                .all(|v| *v == 1.0)
        );
    }

    /// A strand goes from rim to rim without a gap.
    #[test]
    fn a_strand_has_no_gap() {
        for seed in 0..20 {
            let mut cover = vec![0f32; SIDE * SIDE];
            let strand = Strand::drawn(&mut generator(seed, "test", 0), SIDE);
            strand.paint(&mut cover, SIDE);
            let upright = strand.points[0][1] == 0.0 && strand.points[2][1] == SIDE as f32;
            for line in 0..SIDE {
                let at = |i: usize| if upright { line * SIDE + i } else { i * SIDE + line };
                assert!((0..SIDE).any(|i| cover[at(i)] > 0.0), "seed {seed}, line {line}");
            }
        }
    }
}
