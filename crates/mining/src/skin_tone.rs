/// Names of the classes of [`skin_tone`], darkest first.
pub const SKIN_TONES: [&str; 6] = ["dark", "brown", "tan", "intermediate", "light", "very light"];

/// Class of skin by its individual typology angle in degrees: over 55 very light, over 41 light, over 28 intermediate,
/// over 10 tan, over -30 brown, else dark. `None` if the angle is not a number.
///
/// The cut points are those of Chardon, Cretois and Hourseau, "Skin colour typology and suntanning pathways",
/// International Journal of Cosmetic Science 13 (1991), with the sixth class that later authors added at -30 degrees.
/// They were made for a calibrated instrument on clean skin. A photograph has neither: illumination and white balance
/// shift whole sources of images across classes, so these are groups of pictures, not of people.
pub fn skin_tone(ita_degrees: f64) -> Option<&'static str> {
    let [dark, brown, tan, intermediate, light, very_light] = SKIN_TONES;
    match ita_degrees {
        angle if angle.is_nan() => None,
        angle if angle > 55.0 => Some(very_light),
        angle if angle > 41.0 => Some(light),
        angle if angle > 28.0 => Some(intermediate),
        angle if angle > 10.0 => Some(tan),
        angle if angle > -30.0 => Some(brown),
        _ => Some(dark),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_end_where_chardon_ends_them() {
        for (angle, class) in [
            (143.0, "very light"),
            (55.1, "very light"),
            (55.0, "light"),
            (41.0, "intermediate"),
            (28.0, "tan"),
            (10.0, "brown"),
            (-30.0, "dark"),
            (-80.0, "dark"),
        ] {
            assert_eq!(skin_tone(angle), Some(class), "{angle}");
        }
        assert_eq!(skin_tone(f64::NAN), None);
    }
}
