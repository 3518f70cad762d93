//! Shapes: thin lines, the central part of what stands out, holes.

use htl_metrics::{ComponentMap, label_components};

use super::plane::{Plane, largest, smallest};

/// Reach of the closing that removes thin dark lines, as a part of the shorter side.
const HAIR: f64 = 1.0 / 80.0;
/// How much lighter a closing must make a pixel for it to be a hair's.
const HAIR_DEPTH: f32 = 0.06;
/// Reach of the opening that parts what barely hangs together, as a part of the shorter side.
const OPENING: f64 = 1.0 / 96.0;
/// How fast parts count less away from the centre, in half sides.
const CENTRAL: f32 = 0.4;

/// Distance of every pixel from the centre, in half sides of the image: 1 at the middle of each side.
pub(super) fn radii((height, width): (usize, usize)) -> Plane {
    let offsets = |length: usize| -> Plane {
        let offset = |at: usize| (at as f32 + 0.5) / (length as f32 / 2.0) - 1.0;
        (0..length).map(offset).collect()
    };
    let columns = offsets(width);
    let mut radii = Vec::with_capacity(height * width);
    for y in offsets(height) {
        radii.extend(columns.iter().map(|x| (x * x + y * y).sqrt()));
    }
    radii
}

/// The image with thin dark lines filled from their sides (a closing, after DullRazor, Lee et al. 1997).
pub(super) fn without_hair(size: (usize, usize), rgb: &[f32]) -> Vec<f32> {
    let pixels = size.0 * size.1;
    let reach = ((HAIR * size.0.min(size.1) as f64).round() as usize).max(1);
    let planes: Vec<&[f32]> = rgb.chunks_exact(pixels).collect();
    let closed: Vec<Plane> = planes
        .iter()
        .map(|plane| smallest(size, &largest(size, plane, reach), reach))
        .collect();
    let mut clean = rgb.to_vec();
    for at in 0..pixels {
        let depth = (0..3).map(|c| closed[c][at] - planes[c][at]).sum::<f32>() / 3.0;
        if depth > HAIR_DEPTH {
            (0..3).for_each(|c| clean[c * pixels + at] = closed[c][at]);
        }
    }
    clean
}

/// Of the connected parts of a mask, the one that is largest near the centre, without holes; `None` of an empty mask.
pub(super) fn central_part(size: (usize, usize), mask: &[u8]) -> Option<Vec<u8>> {
    let (height, width) = size;
    let reach = ((OPENING * height.min(width) as f64).round() as usize).max(1);
    let numbers: Plane = mask.iter().map(|pixel| f32::from(*pixel)).collect();
    let opened = largest(size, &smallest(size, &numbers, reach), reach);
    let opened: Vec<u8> = opened.iter().map(|value| u8::from(*value > 0.5)).collect();
    let ComponentMap { labels, count } = label_components(height, width, &opened);
    let mut weights = vec![0.0; count + 1];
    for (label, radius) in labels.iter().zip(radii(size)) {
        weights[*label as usize] += f64::from((-(radius / CENTRAL).powi(2)).exp());
    }
    let best = (1..=count).max_by(|a, b| weights[*a].total_cmp(&weights[*b]))?;
    let part: Vec<u8> = labels.iter().map(|label| u8::from(*label as usize == best)).collect();
    Some(without_holes(size, &part))
}

/// A mask with everything filled that is not connected to the border.
fn without_holes((height, width): (usize, usize), mask: &[u8]) -> Vec<u8> {
    let outside: Vec<u8> = mask.iter().map(|pixel| 1 - pixel).collect();
    let ComponentMap { labels, count } = label_components(height, width, &outside);
    let mut open = vec![false; count + 1];
    for (at, label) in labels.iter().enumerate() {
        let (y, x) = (at / width, at % width);
        if y == 0 || x == 0 || y + 1 == height || x + 1 == width {
            open[*label as usize] = true;
        }
    }
    let filled = |(pixel, label): (&u8, &u32)| u8::from(*pixel == 1 || !open[*label as usize]);
    mask.iter().zip(&labels).map(filled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_and_far_parts_are_left() {
        let size = (40, 40);
        let on = |at: usize, rows: [usize; 2], columns: [usize; 2]| {
            let (y, x) = (at / 40, at % 40);
            (rows[0]..rows[1]).contains(&y) && (columns[0]..columns[1]).contains(&x)
        };
        let ring = |at: usize| on(at, [12, 26], [12, 26]) && !on(at, [16, 22], [16, 22]);
        let corner = |at: usize| on(at, [0, 16], [28, 40]);
        let mask: Vec<u8> = (0..1600).map(|at| u8::from(ring(at) || corner(at))).collect();
        let part = central_part(size, &mask).unwrap();
        assert_eq!((part[19 * 40 + 19], part[3 * 40 + 35]), (1, 0));
        assert_eq!(central_part(size, &[0; 1600]), None);
    }
}
