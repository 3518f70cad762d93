//! What one network says of itself.
use super::{Cost, Curve, Judged, Signal, SignalNeed, key, nothing};

pub(super) const VIEWS: Signal = Signal {
    key: "views",
    label: "Views",
    about: "mean 1 - IoU of the network's mask and its masks of the other views of the image (flips and rotations), laid back",
    costs: "a pass per view",
    needs: &[SignalNeed::Views],
    curve: Curve::Ranked,
    extra: |setup| {
        let passes = match setup.judged {
            Judged::Views => 0,
            Judged::Network | Judged::Ensemble => setup.views.saturating_sub(1) * setup.members(),
        };
        Cost {
            passes,
            shared: passes,
            ..Cost::default()
        }
    },
    of: |evidence| evidence.views,
};

pub(super) const ENTROPY: Signal = Signal {
    key: key::ENTROPY,
    label: "Entropy",
    about: "mean binary entropy of the map, bits per pixel",
    costs: "nothing",
    needs: &[SignalNeed::Probabilities],
    curve: Curve::Ranked,
    extra: nothing,
    of: |evidence| evidence.entropy,
};

pub(super) const ENTROPY_OVER_AREA: Signal = Signal {
    key: key::ENTROPY_OVER_AREA,
    label: "Entropy over area",
    about: "entropy of the map in bits over the predicted area in pixels, of which there is one at least",
    of: |evidence| {
        let pixels = evidence.pixels as f64;
        Some(evidence.entropy? * pixels / (evidence.area * pixels).max(1.0))
    },
    ..ENTROPY
};

pub(super) const AREA: Signal = Signal {
    key: "area",
    label: "Small area",
    about: "1 - share of the picture inside the predicted mask: small lesions are referred first",
    needs: &[],
    of: |evidence| Some(1.0 - evidence.area),
    ..ENTROPY
};
