use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::{DatasetError, generator};

/// How far [`Photometry::sample`] may go. Every entry is 0 for "never".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PhotometryParams {
    /// Largest change of brightness, added to all values.
    pub brightness: f32,
    /// Largest relative change of contrast about the image's mean.
    pub contrast: f32,
    /// Largest relative change of saturation (distance from grey).
    pub saturation: f32,
    /// Largest relative change of each channel's gain: a change of hue or of the light's colour.
    pub channel_gain: f32,
    /// Probability of a blur (binomial, one to three passes over 3 x 3 pixels).
    pub blur: f32,
    /// Largest standard deviation of added Gaussian noise.
    pub noise: f32,
    /// Probability of cutting out a rectangle (filled with the image's mean colour).
    pub cutout: f32,
    /// Largest side of that rectangle as a part of the image's side.
    pub cutout_side: f32,
}

impl Default for PhotometryParams {
    /// [`PhotometryParams::weak`].
    fn default() -> Self {
        Self::weak()
    }
}

impl PhotometryParams {
    /// Nothing changes.
    pub fn identity() -> Self {
        Self {
            brightness: 0.,
            contrast: 0.,
            saturation: 0.,
            channel_gain: 0.,
            blur: 0.,
            noise: 0.,
            cutout: 0.,
            cutout_side: 0.,
        }
    }

    /// Mild colour changes: for supervised training and for teachers.
    pub fn weak() -> Self {
        Self {
            brightness: 0.08,
            contrast: 0.12,
            saturation: 0.12,
            channel_gain: 0.04,
            ..Self::identity()
        }
    }

    /// Strong colour changes, blur, noise and a cut-out: for students.
    pub fn strong() -> Self {
        Self {
            brightness: 0.2,
            contrast: 0.35,
            saturation: 0.4,
            channel_gain: 0.1,
            blur: 0.3,
            noise: 0.06,
            cutout: 0.5,
            cutout_side: 0.35,
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] names the first value outside [0, 1].
    pub fn check(&self) -> Result<(), DatasetError> {
        let all = [
            ("brightness", self.brightness),
            ("contrast", self.contrast),
            ("saturation", self.saturation),
            ("channel_gain", self.channel_gain),
            ("blur", self.blur),
            ("noise", self.noise),
            ("cutout", self.cutout),
            ("cutout_side", self.cutout_side),
        ];
        match all.into_iter().find(|(_, value)| !(0. ..=1.).contains(value)) {
            None => Ok(()),
            Some((name, value)) => Err(DatasetError::Parameter {
                name,
                expected: "from 0 to 1",
                found: value.to_string(),
            }),
        }
    }
}

/// One change of colour; pixels stay where they are (but for blur and cut-out), so masks do not change.
///
/// The numbers are public for what changes pixels elsewhere than here, such as on a GPU; [`apply`](Self::apply) takes them
/// in the order in which they stand.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Photometry {
    /// Factor of each channel, red, green, blue.
    pub gains: [f32; 3],
    /// Factor of the distance from grey (the pixel's luma after the gains).
    pub saturation: f32,
    /// Factor of the distance from the luma of the image's mean colour before any change.
    pub contrast: f32,
    /// Added to all values, which are then kept within [0, 1].
    pub brightness: f32,
    /// Passes of the blur, 0 to 3: (1 2 1) / 4 along rows and columns, edge pixels repeated.
    pub blur_passes: u32,
    /// Rectangle filled with each channel's mean; see [`cutout_pixels`](Self::cutout_pixels). Left, top, width, height as
    /// parts of the side; width 0 for none.
    pub cutout: [f32; 4],
    /// Standard deviation of the noise, after which values are kept within [0, 1]; 0 for none.
    pub noise: f32,
    /// What the noise is drawn from; see [`noise_key`](Self::noise_key).
    pub noise_seed: u64,
}

impl Photometry {
    /// Draws one. Takes the same number of values from `rng` whatever the parameters.
    pub fn sample(rng: &mut impl Rng, params: &PhotometryParams) -> Self {
        let noise_seed = rng.random::<u64>();
        let mut draw = || rng.random::<f32>();
        let mut around = |width: f32| (2. * draw() - 1.) * width;
        let brightness = around(params.brightness);
        let contrast = 1. + around(params.contrast);
        let saturation = 1. + around(params.saturation);
        let gains = [(); 3].map(|()| 1. + around(params.channel_gain));
        let (blurred, passes) = (draw() < params.blur, 1 + (draw() * 3.) as u32);
        let noise = draw() * params.noise;
        let cut = draw() < params.cutout;
        let (width, height) = (
            params.cutout_side * (0.3 + 0.7 * draw()),
            params.cutout_side * (0.3 + 0.7 * draw()),
        );
        let (left, top) = (draw() * (1. - width), draw() * (1. - height));
        Self {
            brightness,
            contrast,
            saturation,
            gains,
            blur_passes: if blurred { passes.min(3) } else { 0 },
            noise,
            noise_seed,
            cutout: if cut { [left, top, width, height] } else { [0.; 4] },
        }
    }

    /// Changes an image in place; values are kept within [0, 1].
    ///
    /// # Shapes
    /// `image`: `[3 * size * size]`, planar RGB. Anything else is left as it is.
    pub fn apply(&self, image: &mut [f32], size: usize) {
        let plane = size * size;
        if plane == 0 || image.len() != 3 * plane {
            return;
        }
        let (red, rest) = image.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let mean = |values: &[f32]| values.iter().sum::<f32>() / plane as f32;
        // The sums of three means at a time, each in its own order: an addition waits for the one before it.
        let sums = red
            .iter()
            .zip(green.iter())
            .zip(blue.iter())
            .fold([0f32; 3], |[r, g, b], ((red, green), blue)| {
                [r + red, g + green, b + blue]
            });
        let [r, g, b] = sums.map(|sum| sum / plane as f32);
        let centre = luma(r, g, b);
        for ((r, g), b) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
            let mut values = [*r * self.gains[0], *g * self.gains[1], *b * self.gains[2]];
            let grey = luma(values[0], values[1], values[2]);
            for value in &mut values {
                let saturated = grey + (*value - grey) * self.saturation;
                *value = (centre + (saturated - centre) * self.contrast + self.brightness).clamp(0., 1.);
            }
            [*r, *g, *b] = values;
        }
        for _ in 0..self.blur_passes {
            for channel in [&mut *red, &mut *green, &mut *blue] {
                blur(channel, size);
            }
        }
        if let Some([left, top, width, height]) = self.cutout_pixels(size) {
            for channel in [&mut *red, &mut *green, &mut *blue] {
                let fill = mean(channel);
                for row in channel.chunks_exact_mut(size).skip(top).take(height) {
                    row.iter_mut().skip(left).take(width).for_each(|value| *value = fill);
                }
            }
        }
        if self.noise > 0. {
            let mut rng = self.noise_generator();
            for value in image.iter_mut() {
                *value = (*value + self.noise * nearly_normal(rng.random())).clamp(0., 1.);
            }
        }
    }

    /// The cut-out of an image of `size` x `size`: left, top, width and height in pixels; it may reach beyond the image.
    pub fn cutout_pixels(&self, size: usize) -> Option<[usize; 4]> {
        (self.cutout[2] > 0.).then(|| self.cutout.map(|part| (part * size as f32).round() as usize))
    }

    /// The key of the noise's ChaCha8 stream (counter from 0, nonce 0). Each value of the image, in order, takes the next
    /// 64 bits of it: the sum of their four 16-bit parts over 65535, less 2, times the root of 3, times
    /// [`noise`](Self::noise).
    pub fn noise_key(&self) -> [u8; 32] {
        self.noise_generator().get_seed()
    }

    fn noise_generator(&self) -> ChaCha8Rng {
        generator(self.noise_seed, "noise", 0)
    }
}

fn luma(red: f32, green: f32, blue: f32) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// Sum of four even draws of 16 bits, scaled to variance 1: close to a normal, and cheap.
fn nearly_normal(bits: u64) -> f32 {
    let sum: u32 = (0..4).map(|part| (bits >> (16 * part)) as u32 & 0xffff).sum();
    (sum as f32 / 65535. - 2.) * 3f32.sqrt()
}

/// (1 2 1) / 4 along rows and columns, edge pixels repeated.
fn blur(plane: &mut [f32], size: usize) {
    for row in plane.chunks_exact_mut(size) {
        let mut before = row[0];
        for x in 0..size {
            let after = row[(x + 1).min(size - 1)];
            let here = row[x];
            row[x] = 0.25 * before + 0.5 * here + 0.25 * after;
            before = here;
        }
    }
    let mut before = plane[..size].to_vec();
    for y in 0..size {
        let next = (y + 1).min(size - 1) * size;
        for x in 0..size {
            let here = plane[y * size + x];
            let after = if y + 1 < size { plane[next + x] } else { here };
            plane[y * size + x] = 0.25 * before[x] + 0.5 * here + 0.25 * after;
            before[x] = here;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::Rng;

    fn picture(size: usize, seed: u64) -> Vec<f32> {
        let mut rng = generator(seed, "picture", 0);
        (0..3 * size * size).map(|_| rng.random()).collect()
    }

    proptest! {
        /// No change allowed, no change made (to rounding); any change stays within [0, 1].
        #[test]
        fn range_and_identity(seed: u64, size in 1usize..24) {
            let image = picture(size, seed);
            let mut rng = generator(seed, "test", 0);
            let mut same = image.clone();
            Photometry::sample(&mut rng, &PhotometryParams::identity()).apply(&mut same, size);
            for (a, b) in same.iter().zip(&image) {
                prop_assert!((a - b).abs() < 1e-6);
            }
            let mut changed = image.clone();
            Photometry::sample(&mut rng, &PhotometryParams::strong()).apply(&mut changed, size);
            prop_assert!(changed.iter().all(|value| (0. ..=1.).contains(value)));
        }
    }

    #[test]
    fn the_same_draw_gives_the_same_picture_and_streams_stay_aligned() {
        let image = picture(16, 1);
        let changed = |params: &PhotometryParams| {
            let mut rng = generator(5, "test", 1);
            let photometry = Photometry::sample(&mut rng, params);
            let mut image = image.clone();
            photometry.apply(&mut image, 16);
            (image, rng.random::<u64>())
        };
        assert_eq!(
            changed(&PhotometryParams::strong()),
            changed(&PhotometryParams::strong())
        );
        let (weak, after_weak) = changed(&PhotometryParams::weak());
        let (strong, after_strong) = changed(&PhotometryParams::strong());
        assert_ne!(weak, strong);
        assert_eq!(after_weak, after_strong);
    }

    #[test]
    fn blur_keeps_a_flat_plane_and_spreads_a_point() {
        let mut flat = vec![0.7f32; 25];
        blur(&mut flat, 5);
        assert!(flat.iter().all(|value| (value - 0.7).abs() < 1e-6));
        let mut point = vec![0f32; 25];
        point[12] = 1.;
        blur(&mut point, 5);
        let around = [
            (12, 0.25),
            (11, 0.125),
            (7, 0.125),
            (17, 0.125),
            (6, 0.0625),
            (18, 0.0625),
            (0, 0.),
        ];
        around
            .iter()
            .for_each(|(at, value)| assert!((point[*at] - value).abs() < 1e-6, "{at}"));
    }

    #[test]
    fn noise_has_the_stated_spread() {
        let mut rng = generator(9, "test", 2);
        let draws: Vec<f64> = (0..20_000).map(|_| f64::from(nearly_normal(rng.random()))).collect();
        let mean = draws.iter().sum::<f64>() / 2e4;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.).abs() < 0.04, "{mean} {variance}");
    }

    #[test]
    fn bad_parameters_are_named() {
        let params = PhotometryParams {
            noise: -1.,
            ..PhotometryParams::weak()
        };
        assert!(params.check().unwrap_err().to_string().starts_with("noise"));
        PhotometryParams::strong().check().unwrap();
    }
}
