use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::DatasetError;

/// What lies beyond the edge of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// The image mirrored at its edge. Image and mask stay consistent where a lesion is cut by the frame.
    Reflect,
    /// The nearest edge pixel.
    Edge,
    /// Zero.
    Zero,
}

/// How far [`Geometry::sample`] may go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeometryParams {
    /// Probability of a left-right flip.
    pub horizontal_flip: f32,
    /// Probability of an up-down flip.
    pub vertical_flip: f32,
    /// Probability of a quarter turn; with both flips at one half, all eight symmetries of the square are as likely.
    pub quarter_turn: f32,
    /// Largest rotation in degrees, either way.
    pub rotation: f32,
    /// Smallest and largest factor of size; drawn evenly in the logarithm.
    pub scale: (f32, f32),
    /// Largest shift as a part of the side, either way, in each direction.
    pub shift: f32,
}

impl Default for GeometryParams {
    /// All symmetries of the square, then up to 20 degrees, a factor from 0.85 to 1.2 and 8 % of shift.
    fn default() -> Self {
        Self {
            horizontal_flip: 0.5,
            vertical_flip: 0.5,
            quarter_turn: 0.5,
            rotation: 20.,
            scale: (0.85, 1.2),
            shift: 0.08,
        }
    }
}

impl GeometryParams {
    /// Nothing changes.
    pub fn identity() -> Self {
        Self {
            rotation: 0.,
            scale: (1., 1.),
            shift: 0.,
            horizontal_flip: 0.,
            vertical_flip: 0.,
            quarter_turn: 0.,
        }
    }

    /// The eight symmetries of the square only: no pixel is interpolated.
    pub fn symmetries() -> Self {
        Self {
            horizontal_flip: 0.5,
            vertical_flip: 0.5,
            quarter_turn: 0.5,
            ..Self::identity()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] names the first value out of range.
    pub fn check(&self) -> Result<(), DatasetError> {
        let probability = 0. ..=1.;
        let bad = |name, expected, found: String| Err(DatasetError::Parameter { name, expected, found });
        for (name, value) in [
            ("horizontal_flip", self.horizontal_flip),
            ("vertical_flip", self.vertical_flip),
            ("quarter_turn", self.quarter_turn),
        ] {
            if !probability.contains(&value) {
                return bad(name, "a probability from 0 to 1", value.to_string());
            }
        }
        if !(0. ..=180.).contains(&self.rotation) {
            return bad("rotation", "from 0 to 180 degrees", self.rotation.to_string());
        }
        if !(self.scale.0 >= 0.1 && self.scale.1 <= 10. && self.scale.0 <= self.scale.1) {
            return bad(
                "scale",
                "two factors from 0.1 to 10, the smaller first",
                format!("{:?}", self.scale),
            );
        }
        if !(0. ..=1.).contains(&self.shift) {
            return bad("shift", "from 0 to 1 of the side", self.shift.to_string());
        }
        Ok(())
    }
}

/// One change of place: an affine map about the centre of a square image.
///
/// Draw it once and apply it to an image, its mask and a teacher's probability map alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Geometry {
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
}

impl Geometry {
    /// Leaves everything where it is.
    pub fn identity() -> Self {
        Self {
            matrix: [[1., 0.], [0., 1.]],
            shift: [0., 0.],
        }
    }

    /// Draws one. Takes the same number of values from `rng` whatever the parameters.
    pub fn sample(rng: &mut impl Rng, params: &GeometryParams) -> Self {
        let mut draw = || rng.random::<f32>();
        let flip_x = if draw() < params.horizontal_flip { -1. } else { 1. };
        let flip_y = if draw() < params.vertical_flip { -1. } else { 1. };
        let quarter = draw() < params.quarter_turn;
        let angle = ((2. * draw() - 1.) * params.rotation).to_radians();
        let (low, high) = (params.scale.0.max(1e-3).ln(), params.scale.1.max(1e-3).ln());
        let scale = (low + (high - low) * draw()).exp();
        let shift = [(2. * draw() - 1.) * params.shift, (2. * draw() - 1.) * params.shift];
        let (sin, cos) = if angle == 0. { (0., 1.) } else { angle.sin_cos() };
        // Rotation and zoom first (target to source), then the symmetry.
        let turn = [[cos / scale, sin / scale], [-sin / scale, cos / scale]];
        let [[a, b], [c, d]] = turn;
        let turned = if quarter { [[c, d], [-a, -b]] } else { [[a, b], [c, d]] };
        let matrix = [
            [turned[0][0] * flip_x, turned[0][1] * flip_x],
            [turned[1][0] * flip_y, turned[1][1] * flip_y],
        ];
        Self { matrix, shift }
    }

    /// Where a pixel of the result comes from, for what moves pixels elsewhere than here: `source = matrix * result + shift`.
    ///
    /// Both places are (x, y) from the image's centre in units of the side, so the same numbers serve any size; `matrix`
    /// is by rows.
    pub fn source(&self) -> ([[f32; 2]; 2], [f32; 2]) {
        (self.matrix, self.shift)
    }

    /// The map that undoes this one (up to interpolation and what left the frame).
    pub fn inverse(&self) -> Self {
        let [[a, b], [c, d]] = self.matrix;
        let determinant = a * d - b * c;
        let inverse = [[d / determinant, -b / determinant], [-c / determinant, a / determinant]];
        let [x, y] = self.shift;
        let shift = [
            -(inverse[0][0] * x + inverse[0][1] * y),
            -(inverse[1][0] * x + inverse[1][1] * y),
        ];
        Self { matrix: inverse, shift }
    }

    /// Moves image planes, bilinear, mirrored at the edge.
    ///
    /// # Shapes
    /// - `planes`: `[k * size * size]`, any number `k` of square planes (3 for RGB, 1 for a map)
    /// - result: the same
    pub fn apply(&self, planes: &[f32], size: usize) -> Vec<f32> {
        self.apply_with(planes, size, Border::Reflect)
    }

    /// Moves a 0/1 mask as [`apply`](Self::apply) moves its image, then cuts at one half.
    ///
    /// # Shapes
    /// `mask` and result: `[size * size]`
    pub fn apply_mask(&self, mask: &[f32], size: usize) -> Vec<f32> {
        let mut moved = self.apply(mask, size);
        moved
            .iter_mut()
            .for_each(|value| *value = f32::from(u8::from(*value >= 0.5)));
        moved
    }

    /// Moves planes with a border of choice; [`Border::Zero`] on planes of ones tells which pixels came from inside.
    ///
    /// # Shapes
    /// As [`apply`](Self::apply).
    pub fn apply_with(&self, planes: &[f32], size: usize, border: Border) -> Vec<f32> {
        let plane = size * size;
        if plane == 0 || *self == Self::identity() {
            return planes.to_vec();
        }
        let mut result = vec![0f32; planes.len()];
        let side = size as f32;
        let half = (side - 1.) / 2.;
        let [[a, b], [c, d]] = self.matrix;
        let [shift_x, shift_y] = self.shift.map(|part| part * side);
        let mut row = vec![([0; 4], [0.; 4]); size];
        for y in 0..size {
            let from_centre_y = y as f32 - half;
            for (x, entry) in row.iter_mut().enumerate() {
                let from_centre_x = x as f32 - half;
                let source_x = half + a * from_centre_x + b * from_centre_y + shift_x;
                let source_y = half + c * from_centre_x + d * from_centre_y + shift_y;
                *entry = neighbours(source_x, source_y, size, border);
            }
            for (from, to) in planes.chunks_exact(plane).zip(result.chunks_exact_mut(plane)) {
                for (to, (at, weights)) in to[y * size..].iter_mut().zip(&row) {
                    *to = weights[0] * from[at[0]]
                        + weights[1] * from[at[1]]
                        + weights[2] * from[at[2]]
                        + weights[3] * from[at[3]];
                }
            }
        }
        result
    }
}

/// The four pixels around a point and their weights.
#[inline]
fn neighbours(x: f32, y: f32, size: usize, border: Border) -> ([usize; 4], [f32; 4]) {
    let last = (size - 1) as f32;
    if x >= 0. && y >= 0. && x < last && y < last {
        // Nearly all points: the same as below, without calls and choices.
        let (left, top) = (x as i32, y as i32);
        let (part_x, part_y) = (x - left as f32, y - top as f32);
        let at = top as usize * size + left as usize;
        let weights = [
            (1. - part_x) * (1. - part_y),
            part_x * (1. - part_y),
            (1. - part_x) * part_y,
            part_x * part_y,
        ];
        return ([at, at + 1, at + size, at + size + 1], weights);
    }
    let (floor_x, floor_y) = (x.floor(), y.floor());
    let (part_x, part_y) = (x - floor_x, y - floor_y);
    let (left, left_in) = place(floor_x as i64, size, border);
    let (right, right_in) = place(floor_x as i64 + 1, size, border);
    let (top, top_in) = place(floor_y as i64, size, border);
    let (bottom, bottom_in) = place(floor_y as i64 + 1, size, border);
    let weights = [
        (1. - part_x) * (1. - part_y) * left_in * top_in,
        part_x * (1. - part_y) * right_in * top_in,
        (1. - part_x) * part_y * left_in * bottom_in,
        part_x * part_y * right_in * bottom_in,
    ];
    let at = [
        top * size + left,
        top * size + right,
        bottom * size + left,
        bottom * size + right,
    ];
    (at, weights)
}

/// The pixel at `index`, and whether it counts.
fn place(index: i64, size: usize, border: Border) -> (usize, f32) {
    let last = size as i64 - 1;
    if (0..=last).contains(&index) {
        return (index as usize, 1.);
    }
    match border {
        Border::Edge => (index.clamp(0, last) as usize, 1.),
        Border::Zero => (index.clamp(0, last) as usize, 0.),
        Border::Reflect => {
            let period = 2 * size as i64;
            let folded = index.rem_euclid(period);
            (if folded > last { period - 1 - folded } else { folded } as usize, 1.)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator;
    use proptest::prelude::*;
    use rand::Rng;

    proptest! {
        /// Parameters that allow no change give the image back bit by bit, whatever the seed.
        #[test]
        fn identity_changes_nothing(seed: u64, size in 1usize..20) {
            let planes: Vec<f32> = (0..3 * size * size).map(|i| i as f32).collect();
            let geometry = Geometry::sample(&mut generator(seed, "test", 0), &GeometryParams::identity());
            prop_assert_eq!(geometry.apply(&planes, size), planes);
        }

        /// A symmetry of the square only permutes pixels, and its inverse undoes it.
        #[test]
        fn symmetries_permute(seed: u64, size in 1usize..20) {
            let planes: Vec<f32> = (0..size * size).map(|i| i as f32).collect();
            let geometry = Geometry::sample(&mut generator(seed, "test", 0), &GeometryParams::symmetries());
            let moved = geometry.apply(&planes, size);
            let mut sorted = moved.clone();
            sorted.sort_by(f32::total_cmp);
            prop_assert_eq!(&sorted, &planes);
            prop_assert_eq!(geometry.inverse().apply(&moved, size), planes);
        }

        /// Values stay within those of the image: bilinear weights are a convex combination.
        #[test]
        fn values_stay_in_range(seed: u64, size in 2usize..20, rotation in 0f32..180., shift in 0f32..1.) {
            let params = GeometryParams { rotation, shift, scale: (0.3, 3.), ..GeometryParams::default() };
            let mut rng = generator(seed, "test", 1);
            let planes: Vec<f32> = (0..size * size).map(|_| rng.random()).collect();
            let geometry = Geometry::sample(&mut rng, &params);
            for border in [Border::Reflect, Border::Edge, Border::Zero] {
                for value in geometry.apply_with(&planes, size, border) {
                    prop_assert!((-1e-5..=1.00001).contains(&value));
                }
            }
        }
    }

    #[test]
    fn all_eight_symmetries_occur() {
        let planes: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let mut rng = generator(1, "test", 2);
        let mut seen: Vec<Vec<f32>> = (0..200)
            .map(|_| Geometry::sample(&mut rng, &GeometryParams::symmetries()).apply(&planes, 3))
            .collect();
        seen.sort_by(|a, b| a.iter().map(|x| *x as u8).cmp(b.iter().map(|x| *x as u8)));
        seen.dedup();
        assert_eq!(seen.len(), 8);
    }

    #[test]
    fn inverse_brings_a_blob_back() {
        let size = 64;
        let blob: Vec<f32> = (0..size * size)
            .map(|i| {
                let (x, y) = ((i % size) as f32 - 25., (i / size) as f32 - 36.);
                (-(x * x + y * y) / 60.).exp()
            })
            .collect();
        let geometry = Geometry::sample(&mut generator(3, "test", 3), &GeometryParams::default());
        assert_ne!(geometry.apply(&blob, size), blob);
        let back = geometry.inverse().apply(&geometry.apply(&blob, size), size);
        let worst = back.iter().zip(&blob).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
        assert!(worst < 0.03, "{worst}");
    }

    /// A quarter turn alone is a rotation, not a reflection.
    #[test]
    fn a_quarter_turn_turns() {
        let turn = GeometryParams {
            quarter_turn: 1.,
            ..GeometryParams::identity()
        };
        let geometry = Geometry::sample(&mut generator(1, "test", 6), &turn);
        let moved = geometry.apply(&[0., 1., 2., 3.], 2);
        assert!(moved == [2., 0., 3., 1.] || moved == [1., 3., 0., 2.], "{moved:?}");
        let mut planes = vec![0., 1., 2., 3.];
        (0..4).for_each(|_| planes = geometry.apply(&planes, 2));
        assert_eq!(planes, [0., 1., 2., 3.]);
    }

    /// A factor of 2 makes things twice as large; a shift moves the content by that part of the side.
    #[test]
    fn scale_and_shift_mean_what_they_say() {
        let size = 40;
        let square: Vec<f32> = (0..size * size)
            .map(|i| {
                f32::from(u8::from(
                    (15..25).contains(&(i % size)) && (15..25).contains(&(i / size)),
                ))
            })
            .collect();
        let mut rng = generator(1, "test", 5);
        let larger = GeometryParams {
            scale: (2., 2.),
            ..GeometryParams::identity()
        };
        let moved = Geometry::sample(&mut rng, &larger).apply_mask(&square, size);
        assert!((moved.iter().sum::<f32>() - 400.).abs() < 1.);
        let centre = |mask: &[f32]| {
            let sum: f32 = mask.iter().sum();
            mask.iter().enumerate().map(|(i, v)| (i % size) as f32 * v).sum::<f32>() / sum
        };
        let shifted = GeometryParams {
            shift: 0.2,
            ..GeometryParams::identity()
        };
        let shifts: Vec<f32> = (0..100)
            .map(|_| centre(&Geometry::sample(&mut rng, &shifted).apply(&square, size)) - centre(&square))
            .collect();
        let largest = shifts.iter().copied().fold(0., f32::max);
        let smallest = shifts.iter().copied().fold(0., f32::min);
        assert!(
            (7. ..8.01).contains(&largest) && (-8.01..-7.).contains(&smallest),
            "{smallest} {largest}"
        );
    }

    #[test]
    fn image_and_mask_move_together() {
        let size = 32;
        let mask: Vec<f32> = (0..size * size)
            .map(|i| f32::from(u8::from(i % size < 12 && i / size > 9)))
            .collect();
        let geometry = Geometry::sample(&mut generator(4, "test", 4), &GeometryParams::default());
        let image = geometry.apply(&mask.repeat(3), size);
        let moved = geometry.apply_mask(&mask, size);
        for (pixel, inside) in image[..size * size].iter().zip(&moved) {
            assert_eq!(*inside, f32::from(u8::from(*pixel >= 0.5)));
        }
    }

    #[test]
    fn bad_parameters_are_named() {
        let cases = [
            (
                GeometryParams {
                    vertical_flip: 1.5,
                    ..Default::default()
                },
                "vertical_flip",
            ),
            (
                GeometryParams {
                    rotation: f32::NAN,
                    ..Default::default()
                },
                "rotation",
            ),
            (
                GeometryParams {
                    scale: (2., 1.),
                    ..Default::default()
                },
                "scale",
            ),
            (
                GeometryParams {
                    shift: -0.1,
                    ..Default::default()
                },
                "shift",
            ),
        ];
        for (params, name) in cases {
            assert!(params.check().unwrap_err().to_string().starts_with(name));
        }
        GeometryParams::default().check().unwrap();
    }
}
