//! What of an image shows skin: all but the dark corners, and at its rim the skin's colour.

use super::plane::Plane;
use super::shape::radii;

/// Pixels darker than this L* that hang together with the border are the corner of a dermatoscope's field.
const DARK: f32 = 20.0;
/// Where the rim begins, in half sides from the centre.
const RIM: f32 = 0.85;
/// Pixels of the field nearer than this to a dark corner are shaded by it, as a part of the shorter side.
const SHADE: f64 = 0.03;
/// Width of the ring along dark corners that is rim too, as a part of the shorter side.
const RING: f64 = 0.08;
/// Fewest pixels that the skin's colour is taken from, as a part of the image.
const LEAST: f64 = 0.01;

/// The part of an image that is lit.
pub(super) struct Field {
    /// Whether a pixel is in it.
    pub(super) inside: Vec<bool>,
    rim: Vec<bool>,
}

impl Field {
    /// Of an image with this lightness.
    pub(super) fn of(size: (usize, usize), lightness: &[f32]) -> Self {
        let (height, width) = size;
        let side = height.min(width) as f64;
        let dark = dark_corners(size, lightness);
        let distance = if dark.contains(&true) {
            htl_metrics::squared_distances(height, width, &dark)
        } else {
            vec![f64::INFINITY; dark.len()]
        };
        let within = |at: usize, part: f64| distance[at] <= (part * side).powi(2);
        let inside: Vec<bool> = (0..dark.len()).map(|at| !within(at, SHADE)).collect();
        let radius = radii(size);
        let rim = (0..dark.len()).map(|at| inside[at] && (radius[at] > RIM || within(at, SHADE + RING)));
        Self {
            rim: rim.collect(),
            inside,
        }
    }

    /// The median colour of the rim; `None` if there is no rim.
    pub(super) fn skin(&self, colours: &[Plane; 3]) -> Option<[f32; 3]> {
        let rim: Vec<usize> = (0..self.rim.len()).filter(|&at| self.rim[at]).collect();
        if (rim.len() as f64) < LEAST * self.rim.len() as f64 || rim.is_empty() {
            return None;
        }
        Some(std::array::from_fn(|c| {
            let mut values: Vec<f32> = rim.iter().map(|&at| colours[c][at]).collect();
            let middle = values.len() / 2;
            *values.select_nth_unstable_by(middle, f32::total_cmp).1
        }))
    }
}

/// Dark pixels that hang together with the border.
fn dark_corners((height, width): (usize, usize), lightness: &[f32]) -> Vec<bool> {
    let mut dark = vec![false; lightness.len()];
    let border = (0..lightness.len()).filter(|at| {
        let (y, x) = (at / width, at % width);
        y == 0 || x == 0 || y + 1 == height || x + 1 == width
    });
    let mut open: Vec<usize> = border.filter(|&at| lightness[at] < DARK).collect();
    open.iter().for_each(|&at| dark[at] = true);
    while let Some(at) = open.pop() {
        let (y, x) = (at / width, at % width);
        let near = [
            (y > 0).then(|| at - width),
            (y + 1 < height).then(|| at + width),
            (x > 0).then(|| at - 1),
            (x + 1 < width).then(|| at + 1),
        ];
        for next in near.into_iter().flatten() {
            if !dark[next] && lightness[next] < DARK {
                dark[next] = true;
                open.push(next);
            }
        }
    }
    dark
}
