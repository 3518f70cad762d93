use crate::boxes::PixelBox;
use crate::components::{Component, holes, label};

/// Boxes of the components above a threshold, reusing buffers between thresholds.
#[derive(Default)]
pub(crate) struct Contours {
    set: Vec<u8>,
    labels: Vec<u32>,
}

impl Contours {
    /// The 8-connected components of the pixels strictly above `level`, in reading order.
    pub(crate) fn above(&mut self, height: usize, width: usize, grey: &[u8], level: u8) -> Vec<Component> {
        self.set.clear();
        self.set.extend(grey.iter().map(|&g| u8::from(g > level)));
        label(height, width, &self.set, &mut self.labels)
    }

    /// The box of the component whose outer outline encloses most, of those that [`above`](Self::above) found last.
    pub(crate) fn largest(&self, height: usize, width: usize, found: &[Component]) -> Option<PixelBox> {
        match found {
            [] => None,
            [only] => Some(only.pixel_box),
            _ => {
                let areas = found.iter().enumerate().map(|(i, component)| {
                    twice_enclosed_area(height, width, &self.labels, i as u32 + 1, component.first)
                });
                // Of equal areas (dots and lines enclose nothing) the last in reading order: OpenCV lists contours
                // from the bottom up and Python's `max` keeps the first.
                let best = areas.enumerate().max_by_key(|(_, area)| *area)?;
                Some(found[best.0].pixel_box)
            }
        }
    }

    /// Boxes of the outlines of holes of the cut that [`above`](Self::above) made last.
    ///
    /// A hole is a 4-connected region of pixels not above the level that does not reach the image border; its outline
    /// runs through the set pixels around it, so the box is the hole's own, one pixel larger on every side.
    pub(crate) fn hole_boxes(&self, height: usize, width: usize) -> Vec<PixelBox> {
        let around = |hole: PixelBox| PixelBox {
            top: hole.top - 1,
            left: hole.left - 1,
            bottom: hole.bottom + 1,
            right: hole.right + 1,
        };
        holes(height, width, &self.set).into_iter().map(around).collect()
    }
}

/// The eight neighbours, clockwise from the east (row, column).
const RING: [(isize, isize); 8] = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)];

/// Twice the area inside the polygon through the centres of a component's outer outline pixels.
///
/// The outline is followed clockwise from the component's first pixel in reading order, which has nothing above or to
/// the left of it; the shoelace sum of its steps is what `cv2.contourArea` of the outer contour doubles to.
fn twice_enclosed_area(height: usize, width: usize, labels: &[u32], name: u32, first: (usize, usize)) -> u64 {
    let neighbour = |at: (usize, usize), direction: usize| -> Option<(usize, usize)> {
        let y = at.0.checked_add_signed(RING[direction].0).filter(|&y| y < height)?;
        let x = at.1.checked_add_signed(RING[direction].1).filter(|&x| x < width)?;
        (labels[y * width + x] == name).then_some((y, x))
    };
    let next = |at: (usize, usize), came_from: usize| -> Option<((usize, usize), usize)> {
        // Start right after the direction in which we look back, and turn clockwise.
        (1..=8)
            .map(|turn| (came_from + turn) % 8)
            .find_map(|d| neighbour(at, d).map(|to| (to, d)))
    };
    let Some((second, mut direction)) = next(first, 4) else {
        return 0;
    };
    let first_direction = direction;
    let mut sum = 0i64;
    let (mut at, mut to) = (first, second);
    // Each pixel is entered from each side at most once.
    for _ in 0..8 * labels.len() {
        sum += at.1 as i64 * to.0 as i64 - to.1 as i64 * at.0 as i64;
        at = to;
        let Some((following, d)) = next(at, (direction + 4) % 8) else {
            break;
        };
        if at == first && d == first_direction {
            break;
        }
        to = following;
        direction = d;
    }
    sum.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(rows: &[&str]) -> f64 {
        let grey: Vec<u8> = rows
            .iter()
            .flat_map(|r| r.bytes().map(|b| if b == b'#' { 255 } else { 0 }))
            .collect();
        let mut contours = Contours::default();
        let found = contours.above(rows.len(), rows[0].len(), &grey, 0);
        assert_eq!(found.len(), 1, "one component expected");
        twice_enclosed_area(rows.len(), rows[0].len(), &contours.labels, 1, found[0].first) as f64 / 2.0
    }

    #[test]
    fn outlines_run_through_pixel_centres() {
        assert_eq!(area(&["#"]), 0.0);
        assert_eq!(area(&["####"]), 0.0);
        assert_eq!(area(&["###", "###"]), 2.0);
        assert_eq!(area(&["###", "#.#", "###"]), 4.0); // the hole is inside
        assert_eq!(area(&[".#.", "###", ".#."]), 2.0); // a diamond
        assert_eq!(area(&["#..##", ".#.##", "..#.."]), 1.0); // lines back and forth add nothing
    }
}
