use htl_metrics::PixelBox;

/// The filled box as a mask.
///
/// # Shapes
/// - result: `[height * width]`, values 0 or 1
pub fn box_mask(area: &PixelBox, height: usize, width: usize) -> Vec<f32> {
    paint(height, width, |row, column| area.contains(row, column))
}

/// The ellipse inscribed in the box as a mask: pixels whose centre lies in it.
///
/// # Shapes
/// - result: `[height * width]`, values 0 or 1
pub fn ellipse_mask(area: &PixelBox, height: usize, width: usize) -> Vec<f32> {
    let centre_x = (area.left + area.right) as f64 / 2.;
    let centre_y = (area.top + area.bottom) as f64 / 2.;
    let (radius_x, radius_y) = (area.width() as f64 / 2., area.height() as f64 / 2.);
    paint(height, width, |row, column| {
        let dx = (column as f64 + 0.5 - centre_x) / radius_x;
        let dy = (row as f64 + 0.5 - centre_y) / radius_y;
        dx * dx + dy * dy <= 1.
    })
}

fn paint(height: usize, width: usize, inside: impl Fn(usize, usize) -> bool) -> Vec<f32> {
    let mut mask = Vec::with_capacity(width * height);
    for row in 0..height {
        mask.extend((0..width).map(|column| f32::from(u8::from(inside(row, column)))));
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The tight box of a filled box is that box; the inscribed ellipse lies in it and has pi/4 of its area.
        #[test]
        fn boxes_come_back(top in 0usize..30, left in 0usize..40, h in 1usize..30, w in 1usize..30) {
            let area = PixelBox { top, left, bottom: top + h, right: left + w };
            let filled = box_mask(&area, 60, 70);
            prop_assert_eq!(PixelBox::tight(&filled, 70), Some(area));
            prop_assert_eq!(filled.iter().sum::<f32>() as usize, area.area());
            let ellipse = ellipse_mask(&area, 60, 70);
            prop_assert!(ellipse.iter().zip(&filled).all(|(inner, outer)| inner <= outer));
            if w >= 15 && h >= 15 {
                let part = ellipse.iter().sum::<f32>() / area.area() as f32;
                prop_assert!((part - std::f32::consts::FRAC_PI_4).abs() < 0.04, "{}", part);
            }
        }
    }
}
