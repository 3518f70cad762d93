use super::{
    form::{Form, Parameter, Params, Rescoring},
    image_info::ImageInfo,
};

/// Draws images more often that the network in training forgets when it is pruned.
pub(super) struct Adaptive;

const EVERY: &str = "every";

impl Form for Adaptive {
    fn key(&self) -> &'static str {
        "adaptive"
    }

    fn about(&self) -> &'static str {
        "Images are drawn up to `weight` times as often, by how soon the network in training forgets them when it is pruned."
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter {
            key: EVERY,
            default: 2.0,
            least: 0.1,
            most: 1e9,
            about: "epochs after which images are scored anew",
        }]
    }

    fn sampling_weight(&self, image: &ImageInfo) -> Option<f64> {
        Some(image.weight)
    }

    fn rescoring(&self, params: &Params) -> Option<Rescoring> {
        Some(Rescoring {
            every: params.get(EVERY),
        })
    }
}
