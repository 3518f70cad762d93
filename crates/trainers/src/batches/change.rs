use htl_datasets::{Geometry, GeometryParams, Photometry, PhotometryParams, generator};

/// What is drawn for one image of a batch: one change of place, and one of colour for each view of it.
///
/// A draw depends on the seed and the place in the training alone, so that neither the device nor the number of threads nor
/// the time when a batch is made changes it.
pub(super) struct Change<const VIEWS: usize> {
    /// Index in the set.
    pub image: usize,
    pub geometry: Geometry,
    pub colours: [Photometry; VIEWS],
}

/// Weak photometry.
pub(super) fn weak(image: usize, seed: u64, place: u64) -> Change<1> {
    drawn("augmentation", [PhotometryParams::weak()], image, seed, place)
}

/// Weak and strong photometry.
pub(super) fn weak_and_strong(image: usize, seed: u64, place: u64) -> Change<2> {
    let params = [PhotometryParams::weak(), PhotometryParams::strong()];
    drawn("unlabelled augmentation", params, image, seed, place)
}

fn drawn<const VIEWS: usize>(
    purpose: &str,
    params: [PhotometryParams; VIEWS],
    image: usize,
    seed: u64,
    place: u64,
) -> Change<VIEWS> {
    let mut random = generator(seed, purpose, place);
    Change {
        image,
        geometry: Geometry::sample(&mut random, &GeometryParams::default()),
        colours: params.map(|params| Photometry::sample(&mut random, &params)),
    }
}
