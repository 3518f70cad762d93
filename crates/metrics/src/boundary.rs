use crate::distance::squared_distances;
use crate::error::MetricError;
use crate::mask::Mask;

/// Distance between the outlines of two masks.
///
/// The outline of a mask is its pixels with at least one of the four neighbours not set; pixels outside the image count
/// as not set. Each outline pixel of one mask has a Euclidean distance to the nearest outline pixel of the other.
///
/// Edge cases: two empty masks lie 0 apart; an empty mask and one that is not lie one image diagonal apart, the largest
/// distance there can be, so a missed lesion is the worst result and not a missing one.
///
/// Same definition as `medpy.metric.binary.assd` and `hd95` where both masks have pixels; golden values from SciPy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoundaryDistance {
    /// Mean over the outline pixels of both masks, in pixels (average symmetric surface distance).
    pub mean: f64,
    /// 95th percentile over the outline pixels of both masks (linear interpolation), in pixels.
    pub hd95: f64,
    /// Image diagonal in pixels, to divide by.
    pub diagonal: f64,
}

impl BoundaryDistance {
    /// Measures the distance between two masks of equal size.
    ///
    /// # Errors
    /// [`MetricError::Shape`] if the masks differ in size.
    pub fn between(a: &Mask, b: &Mask) -> Result<Self, MetricError> {
        let (height, width) = (a.height(), a.width());
        if (height, width) != (b.height(), b.width()) {
            return Err(MetricError::Shape {
                prediction: (height, width),
                truth: (b.height(), b.width()),
            });
        }
        let diagonal = ((height * height + width * width) as f64).sqrt();
        let (outline_a, outline_b) = (outline(a), outline(b));
        match (outline_a.contains(&true), outline_b.contains(&true)) {
            (false, false) => {
                return Ok(Self {
                    mean: 0.0,
                    hd95: 0.0,
                    diagonal,
                });
            }
            (true, true) => {}
            _ => {
                return Ok(Self {
                    mean: diagonal,
                    hd95: diagonal,
                    diagonal,
                });
            }
        }
        let to_a = squared_distances(height, width, &outline_a);
        let to_b = squared_distances(height, width, &outline_b);
        let mut distances: Vec<f64> = Vec::new();
        for (own, other) in [(&outline_a, &to_b), (&outline_b, &to_a)] {
            distances.extend(own.iter().zip(other).filter(|(own, _)| **own).map(|(_, d)| d.sqrt()));
        }
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        distances.sort_by(f64::total_cmp);
        Ok(Self {
            mean,
            hd95: percentile(&distances, 0.95),
            diagonal,
        })
    }

    /// [`mean`](Self::mean) as a share of the image diagonal, in [0, 1].
    pub fn mean_fraction(&self) -> f64 {
        self.mean / self.diagonal
    }

    /// [`hd95`](Self::hd95) as a share of the image diagonal, in [0, 1].
    pub fn hd95_fraction(&self) -> f64 {
        self.hd95 / self.diagonal
    }
}

/// Quantile of sorted values with linear interpolation, as NumPy's default.
pub(crate) fn percentile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let low = at.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (at - low as f64) * (sorted[high] - sorted[low])
}

fn outline(mask: &Mask) -> Vec<bool> {
    let (height, width) = (mask.height(), mask.width());
    let inner = |y: usize, x: usize| {
        y > 0 && x > 0 && mask.get(y - 1, x) && mask.get(y, x - 1) && mask.get(y + 1, x) && mask.get(y, x + 1)
    };
    (0..height * width)
        .map(|i| mask.pixels()[i] == 1 && !inner(i / width, i % width))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PixelBox;

    #[test]
    fn a_shifted_square_is_as_far_as_its_shift_at_most() {
        let square = |left| {
            Mask::from_box(
                20,
                30,
                PixelBox {
                    top: 5,
                    left,
                    bottom: 12,
                    right: left + 7,
                },
            )
            .unwrap()
        };
        let d = BoundaryDistance::between(&square(3), &square(6)).unwrap();
        assert!(d.mean > 0.0 && d.mean < 3.0 && d.hd95 <= 3.0, "{d:?}");
        let same = BoundaryDistance::between(&square(3), &square(3)).unwrap();
        assert_eq!((same.mean, same.hd95), (0.0, 0.0));
    }

    #[test]
    fn missed_is_the_diagonal_and_nothing_is_zero() {
        let (empty, full) = (Mask::filled(3, 4, 0).unwrap(), Mask::filled(3, 4, 1).unwrap());
        assert_eq!(BoundaryDistance::between(&empty, &empty).unwrap().mean, 0.0);
        let missed = BoundaryDistance::between(&empty, &full).unwrap();
        assert_eq!((missed.mean, missed.hd95_fraction()), (5.0, 1.0));
    }
}
