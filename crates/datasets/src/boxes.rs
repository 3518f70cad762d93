use image::GrayImage;

/// A box in pixels, half-open: `x0 <= x < x1`, `y0 <= y < y1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PixelBox {
    /// Left column.
    pub x0: usize,
    /// Top row.
    pub y0: usize,
    /// Column after the last.
    pub x1: usize,
    /// Row after the last.
    pub y1: usize,
}

impl PixelBox {
    /// The smallest box around all values of at least one half; `None` if there is none.
    ///
    /// # Shapes
    /// `mask`: rows of `width` values
    pub fn tight(mask: &[f32], width: usize) -> Option<Self> {
        around(mask.iter().map(|value| *value >= 0.5), width)
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.x1.saturating_sub(self.x0)
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.y1.saturating_sub(self.y0)
    }

    /// Number of pixels.
    pub fn area(&self) -> usize {
        self.width() * self.height()
    }
}

/// The smallest box around all white pixels of a 0/255 mask, of whatever component; `None` if it is empty.
pub fn tight_box(mask: &GrayImage) -> Option<PixelBox> {
    around(mask.as_raw().iter().map(|value| *value > 128), mask.width() as usize)
}

fn around(inside: impl Iterator<Item = bool>, width: usize) -> Option<PixelBox> {
    let mut found: Option<PixelBox> = None;
    for (index, _) in inside.enumerate().filter(|(_, inside)| *inside) {
        let (x, y) = (index % width, index / width);
        let grown = found.get_or_insert(PixelBox {
            x0: x,
            y0: y,
            x1: x + 1,
            y1: y + 1,
        });
        grown.x0 = grown.x0.min(x);
        grown.x1 = grown.x1.max(x + 1);
        grown.y1 = y + 1;
    }
    found
}

/// The filled box as a 0/1 mask, `[height * width]`.
pub fn box_mask(area: &PixelBox, width: usize, height: usize) -> Vec<f32> {
    paint(width, height, |x, y| {
        (area.x0..area.x1).contains(&x) && (area.y0..area.y1).contains(&y)
    })
}

/// The ellipse inscribed in the box as a 0/1 mask, `[height * width]`: pixels whose centre lies in it.
pub fn ellipse_mask(area: &PixelBox, width: usize, height: usize) -> Vec<f32> {
    let (centre_x, centre_y) = ((area.x0 + area.x1) as f64 / 2., (area.y0 + area.y1) as f64 / 2.);
    let (radius_x, radius_y) = (area.width() as f64 / 2., area.height() as f64 / 2.);
    paint(width, height, |x, y| {
        let (dx, dy) = (
            (x as f64 + 0.5 - centre_x) / radius_x,
            (y as f64 + 0.5 - centre_y) / radius_y,
        );
        dx * dx + dy * dy <= 1.
    })
}

fn paint(width: usize, height: usize, inside: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let mut mask = Vec::with_capacity(width * height);
    for y in 0..height {
        mask.extend((0..width).map(|x| f32::from(u8::from(inside(x, y)))));
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The tight box of a filled box is that box, and of its inscribed ellipse too; the ellipse has pi/4 of its area.
        #[test]
        fn boxes_come_back(x0 in 0usize..30, y0 in 0usize..30, w in 1usize..30, h in 1usize..30) {
            let area = PixelBox { x0, y0, x1: x0 + w, y1: y0 + h };
            let filled = box_mask(&area, 60, 60);
            prop_assert_eq!(PixelBox::tight(&filled, 60), Some(area));
            prop_assert_eq!(filled.iter().sum::<f32>() as usize, area.area());
            let ellipse = ellipse_mask(&area, 60, 60);
            prop_assert!(ellipse.iter().zip(&filled).all(|(inner, outer)| inner <= outer));
            if w >= 15 && h >= 15 {
                let part = ellipse.iter().sum::<f32>() / area.area() as f32;
                prop_assert!((part - std::f32::consts::FRAC_PI_4).abs() < 0.04, "{}", part);
            }
        }
    }

    #[test]
    fn empty_masks_have_no_box() {
        assert_eq!(tight_box(&GrayImage::new(4, 4)), None);
        assert_eq!(PixelBox::tight(&[], 0), None);
        let mut mask = GrayImage::new(4, 3);
        mask.put_pixel(2, 1, image::Luma([255]));
        assert_eq!(
            tight_box(&mask),
            Some(PixelBox {
                x0: 2,
                y0: 1,
                x1: 3,
                y1: 2
            })
        );
    }
}
