use serde::{Deserialize, Serialize};

/// A box of whole pixels, half-open: rows `top..bottom`, columns `left..right`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PixelBox {
    /// First row inside.
    pub top: usize,
    /// First column inside.
    pub left: usize,
    /// First row below.
    pub bottom: usize,
    /// First column to the right.
    pub right: usize,
}

impl PixelBox {
    /// The smallest box around all pixels that are inside; `None` if there is none.
    ///
    /// # Shapes
    /// - `inside`: `[height * width]`, row by row
    pub fn around(inside: impl IntoIterator<Item = bool>, width: usize) -> Option<Self> {
        let (mut found, width): (Option<Self>, usize) = (None, width.max(1));
        for (index, _) in inside.into_iter().enumerate().filter(|(_, inside)| *inside) {
            let (row, column) = (index / width, index % width);
            let grown = found.get_or_insert(Self {
                top: row,
                left: column,
                bottom: row + 1,
                right: column + 1,
            });
            grown.left = grown.left.min(column);
            grown.right = grown.right.max(column + 1);
            grown.bottom = row + 1;
        }
        found
    }

    /// The smallest box around all values of at least one half; `None` if there is none.
    ///
    /// # Shapes
    /// - `map`: `[height * width]`, row by row
    pub fn tight(map: &[f32], width: usize) -> Option<Self> {
        Self::around(map.iter().map(|value| *value >= 0.5), width)
    }

    /// Whether the pixel is in the box.
    pub fn contains(&self, row: usize, column: usize) -> bool {
        (self.top..self.bottom).contains(&row) && (self.left..self.right).contains(&column)
    }

    /// Number of rows; 0 for a box turned inside out.
    pub fn height(&self) -> usize {
        self.bottom.saturating_sub(self.top)
    }

    /// Number of columns; 0 for a box turned inside out.
    pub fn width(&self) -> usize {
        self.right.saturating_sub(self.left)
    }

    /// Number of pixels.
    pub fn area(&self) -> usize {
        self.height() * self.width()
    }

    /// The smallest box around both.
    pub fn hull(self, other: PixelBox) -> PixelBox {
        PixelBox {
            top: self.top.min(other.top),
            left: self.left.min(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }

    /// The pixels in both; of area 0 where there are none.
    pub fn intersection(self, other: PixelBox) -> PixelBox {
        PixelBox {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.min(other.bottom),
            right: self.right.min(other.right),
        }
    }
}

/// Intersection over union of two boxes, in [0, 1], pixels counted exactly (half-open boxes, so no `+ 1`).
///
/// Equal to the Jaccard index of the two filled boxes. Two boxes without pixels score 1, as two empty masks do.
pub fn box_iou(a: PixelBox, b: PixelBox) -> f64 {
    let shared = a.intersection(b).area();
    let union = a.area() + b.area() - shared;
    if union == 0 { 1.0 } else { shared as f64 / union as f64 }
}

/// [`box_iou`] where a box may be missing: both missing agree perfectly (1), one missing scores 0.
pub fn optional_box_iou(a: Option<PixelBox>, b: Option<PixelBox>) -> f64 {
    match (a, b) {
        (None, None) => 1.0,
        (Some(a), Some(b)) => box_iou(a, b),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_overlap_is_a_third() {
        let a = PixelBox {
            top: 0,
            left: 0,
            bottom: 2,
            right: 4,
        };
        let b = PixelBox {
            top: 0,
            left: 2,
            bottom: 2,
            right: 6,
        };
        assert_eq!(box_iou(a, b), 4.0 / 12.0);
        assert_eq!(
            box_iou(
                a,
                PixelBox {
                    top: 5,
                    left: 5,
                    bottom: 6,
                    right: 6
                }
            ),
            0.0
        );
        assert_eq!(optional_box_iou(Some(a), None), 0.0);
        assert_eq!(optional_box_iou(None, None), 1.0);
    }

    #[test]
    fn a_tight_box_touches_the_outermost_pixels() {
        let map = [0.0, 0.4, 0.0, 0.9, 0.0, 0.5, 0.2, 0.0, 0.0];
        let found = PixelBox::tight(&map, 3).unwrap();
        let expected = PixelBox {
            top: 1,
            left: 0,
            bottom: 2,
            right: 3,
        };
        assert_eq!(found, expected);
        assert!(found.contains(1, 2) && !found.contains(0, 1) && !found.contains(1, 3));
        assert_eq!(PixelBox::tight(&[0.1; 9], 3), None);
        assert_eq!(PixelBox::tight(&[], 0), None);
    }
}
