/// CIELAB (L*, a*, b*) of an 8-bit sRGB colour, illuminant D65, 2 degree observer.
///
/// Matches `skimage.color.rgb2lab` 0.26 to 1e-9 (see `tests/lab_golden.rs`): same matrix, white point and constants.
pub fn lab_from_srgb(rgb: [u8; 3]) -> [f64; 3] {
    let [r, g, b] = rgb.map(linear);
    let x = 0.412453 * r + 0.357580 * g + 0.180423 * b;
    let y = 0.212671 * r + 0.715160 * g + 0.072169 * b;
    let z = 0.019334 * r + 0.119193 * g + 0.950227 * b;
    let [x, y, z] = [x / 0.95047, y, z / 1.08883].map(|value: f64| {
        if value > 0.008856 {
            value.cbrt()
        } else {
            7.787 * value + 16. / 116.
        }
    });
    [116. * y - 16., 500. * (x - y), 200. * (y - z)]
}

fn linear(value: u8) -> f64 {
    let value = f64::from(value) / 255.;
    if value > 0.04045 {
        ((value + 0.055) / 1.055).powf(2.4)
    } else {
        value / 12.92
    }
}

/// Colour difference of two CIELAB colours: their Euclidean distance (CIE 1976). About 2.3 is just noticeable.
pub fn delta_e_76(a: [f64; 3], b: [f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Individual typology angle of a skin colour in degrees: `atan2(L* - 50, b*)` (Chardon, Cretois and Hourseau 1991).
///
/// Above 55 very light, 41 to 55 light, 28 to 41 intermediate, 10 to 28 tan, -30 to 10 brown, below dark. For `b* <= 0`
/// (bluish, no skin) the angle passes 90 degrees instead of jumping.
pub fn ita_degrees(lab: [f64; 3]) -> f64 {
    (lab[0] - 50.).atan2(lab[2]).to_degrees()
}
