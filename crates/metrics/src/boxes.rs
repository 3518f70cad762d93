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
}
