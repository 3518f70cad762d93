use htl_datasets::{Geometry, GeometryParams, Photometry, PhotometryParams, generator};

/// The augmentation drawn for one image of a batch: one change of geometry, and one of colour for each view of it.
///
/// A draw depends on the seed and the place in the training alone, so that neither the device nor the number of threads nor
/// the time when a batch is made changes it.
pub(super) struct Augmentation<const VIEWS: usize> {
    /// Index in the set.
    pub image: usize,
    pub geometry: Geometry,
    pub colours: [Photometry; VIEWS],
}

/// What a draw is for: draws for different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Labelled,
    Unlabelled,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Labelled => "augmentation",
            Self::Unlabelled => "unlabelled augmentation",
        }
    }
}

/// Which image is drawn for, and how strong its augmentation is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw {
    /// Index in the set.
    pub image: usize,
    /// Factor of every range of places; 1 is the ordinary augmentation.
    pub geometry: f32,
    /// Factor of every range of colours.
    pub colours: f32,
}

/// Weak photometry.
pub(super) fn weak(draw: Draw, purpose: Purpose, seed: u64, place: u64) -> Augmentation<1> {
    drawn(draw, purpose, [PhotometryParams::weak()], seed, place)
}

/// Weak and strong photometry. The weak one is that of [`weak`].
pub(super) fn weak_and_strong(draw: Draw, purpose: Purpose, seed: u64, place: u64) -> Augmentation<2> {
    let params = [PhotometryParams::weak(), PhotometryParams::strong()];
    drawn(draw, purpose, params, seed, place)
}

fn drawn<const VIEWS: usize>(
    draw: Draw,
    purpose: Purpose,
    params: [PhotometryParams; VIEWS],
    seed: u64,
    place: u64,
) -> Augmentation<VIEWS> {
    let mut random = generator(seed, purpose.name(), place);
    let geometry = scaled_geometry(GeometryParams::default(), draw.geometry);
    Augmentation {
        image: draw.image,
        geometry: Geometry::sample(&mut random, &geometry),
        colours: params.map(|params| Photometry::sample(&mut random, &scaled_photometry(params, draw.colours))),
    }
}

/// Every range times `strength`; flips and quarter turns, which lose nothing, stay as they are.
fn scaled_geometry(params: GeometryParams, strength: f32) -> GeometryParams {
    if strength == 1.0 {
        return params;
    }
    let (smallest, largest) = params.scale;
    GeometryParams {
        rotation: (params.rotation * strength).min(180.0),
        scale: (smallest.powf(strength), largest.powf(strength)),
        shift: (params.shift * strength).min(0.5),
        ..params
    }
}

/// Every range and probability times `strength`, at most 1.
fn scaled_photometry(params: PhotometryParams, strength: f32) -> PhotometryParams {
    let scaled = |range: f32| (range * strength).min(1.0);
    PhotometryParams {
        brightness: scaled(params.brightness),
        contrast: scaled(params.contrast),
        saturation: scaled(params.saturation),
        channel_gain: scaled(params.channel_gain),
        blur: scaled(params.blur),
        noise: scaled(params.noise),
        cutout: scaled(params.cutout),
        cutout_side: scaled(params.cutout_side),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strength 1 is the ordinary augmentation to the bit; more strength moves colours further, from the same draws.
    #[test]
    fn strength_scales_the_ordinary_ranges() {
        let at = |strength, place| {
            weak_and_strong(
                Draw {
                    image: 2,
                    geometry: strength,
                    colours: strength,
                },
                Purpose::Labelled,
                5,
                place,
            )
        };
        assert_eq!(
            scaled_photometry(PhotometryParams::strong(), 1.0),
            PhotometryParams::strong()
        );
        assert_eq!(
            scaled_geometry(GeometryParams::default(), 1.0),
            GeometryParams::default()
        );
        for place in 0..20 {
            let [ordinary, twice] = [1.0, 2.0].map(|strength| at(strength, place));
            let pairs = ordinary.colours.iter().zip(&twice.colours);
            for (ordinary, twice) in pairs {
                assert!((twice.brightness - 2.0 * ordinary.brightness).abs() < 1e-6);
                assert!(twice.noise >= ordinary.noise);
            }
        }
    }

    /// A second view leaves the first as it is.
    #[test]
    fn a_second_view_does_not_change_the_first() {
        for place in 0..20 {
            let draw = Draw {
                image: 0,
                geometry: 1.0,
                colours: 1.0,
            };
            let one = weak(draw, Purpose::Labelled, 3, place);
            let two = weak_and_strong(draw, Purpose::Labelled, 3, place);
            assert_eq!(one.colours[0], two.colours[0]);
            assert_eq!(one.geometry.source(), two.geometry.source());
        }
    }
}
