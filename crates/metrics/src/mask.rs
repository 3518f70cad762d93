use crate::boxes::PixelBox;
use crate::components::largest_component;
use crate::error::{MetricError, check_size};

/// A binary mask: which pixels belong to the lesion.
///
/// Pixels are stored row by row, one byte each, 0 or 1. A mask always has at least one pixel (not necessarily a set one).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    pixels: Vec<u8>,
}

impl Mask {
    /// Takes over a buffer of zeros and ones.
    ///
    /// # Shapes
    /// - `pixels`: `[height * width]`, row by row, values 0 or 1
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size, [`MetricError::MaskValue`] for
    /// any other value.
    pub fn new(height: usize, width: usize, pixels: Vec<u8>) -> Result<Self, MetricError> {
        check_size("a mask", height, width, pixels.len())?;
        match pixels.iter().position(|&p| p > 1) {
            None => Ok(Self { height, width, pixels }),
            Some(at) => Err(MetricError::MaskValue {
                row: at / width,
                column: at % width,
                found: pixels[at],
            }),
        }
    }

    /// Binarises 8-bit grey pixels: set where the pixel is `> 128`, as the official ISIC scorer does for truth and
    /// prediction alike.
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size.
    pub fn from_luma(height: usize, width: usize, luma: &[u8]) -> Result<Self, MetricError> {
        check_size("a grey image", height, width, luma.len())?;
        Ok(Self {
            height,
            width,
            pixels: luma.iter().map(|&p| u8::from(p > 128)).collect(),
        })
    }

    /// Binarises probabilities: set where the probability is `> 0.5`. NaN is not set.
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size.
    pub fn from_probabilities(height: usize, width: usize, probabilities: &[f32]) -> Result<Self, MetricError> {
        Self::above(height, width, probabilities, 0.5)
    }

    /// Binarises a map at any threshold: set where the value is strictly above it. NaN is not set.
    ///
    /// # Errors
    /// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size.
    pub fn above(height: usize, width: usize, map: &[f32], threshold: f32) -> Result<Self, MetricError> {
        check_size("a map", height, width, map.len())?;
        Ok(Self {
            height,
            width,
            pixels: map.iter().map(|&p| u8::from(p > threshold)).collect(),
        })
    }

    /// A mask with every pixel set to `value` (0, or anything else for 1).
    ///
    /// # Errors
    /// [`MetricError::NoPixels`] if a side is zero.
    pub fn filled(height: usize, width: usize, value: u8) -> Result<Self, MetricError> {
        check_size("a mask", height, width, height.saturating_mul(width))?;
        Ok(Self {
            height,
            width,
            pixels: vec![u8::from(value != 0); height * width],
        })
    }

    /// A mask with exactly the pixels of a box set; the part of the box outside the image is cut off.
    ///
    /// # Errors
    /// [`MetricError::NoPixels`] if a side is zero.
    pub fn from_box(height: usize, width: usize, pixel_box: PixelBox) -> Result<Self, MetricError> {
        let mut mask = Self::filled(height, width, 0)?;
        let right = pixel_box.right.min(width);
        for y in pixel_box.top..pixel_box.bottom.min(height) {
            if pixel_box.left < right {
                mask.pixels[y * width + pixel_box.left..y * width + right].fill(1);
            }
        }
        Ok(mask)
    }

    /// Builds a mask from a rule on (row, column).
    pub(crate) fn from_rule(height: usize, width: usize, rule: impl Fn(usize, usize) -> bool) -> Self {
        let pixels = (0..height * width)
            .map(|i| u8::from(rule(i / width, i % width)))
            .collect();
        Self { height, width, pixels }
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels, row by row, 0 or 1.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Whether the pixel is set; outside the image nothing is.
    pub fn get(&self, row: usize, column: usize) -> bool {
        row < self.height && column < self.width && self.pixels[row * self.width + column] == 1
    }

    /// Number of set pixels.
    pub fn area(&self) -> usize {
        self.pixels.iter().map(|&p| usize::from(p)).sum()
    }

    /// Share of set pixels, in [0, 1].
    pub fn area_fraction(&self) -> f64 {
        self.area() as f64 / self.pixels.len() as f64
    }

    /// The smallest box around all set pixels, `None` for an empty mask.
    pub fn tight_box(&self) -> Option<PixelBox> {
        PixelBox::around(self.pixels.iter().map(|&p| p == 1), self.width)
    }

    /// The connected component with the most pixels, as a mask of the same size; empty for an empty mask.
    ///
    /// Pixels that touch at an edge *or a corner* are connected (8-connectivity), as in OpenCV's contours, which the
    /// weak-localization metrics are defined with, and in scikit-image's `label`. Of components of equal size the first
    /// one in reading order is taken.
    pub fn largest_component(&self) -> Mask {
        let pixels = match largest_component(self.height, self.width, &self.pixels) {
            None => vec![0; self.pixels.len()],
            Some(found) => found
                .labels
                .iter()
                .map(|label| u8::from(*label == found.name))
                .collect(),
        };
        Self { pixels, ..*self }
    }

    /// The tight box of the largest component, `None` for an empty mask. This is a localizer's box.
    pub fn largest_component_box(&self) -> Option<PixelBox> {
        largest_component(self.height, self.width, &self.pixels).map(|found| found.pixel_box)
    }
}
