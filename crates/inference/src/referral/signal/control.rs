//! Floor and ceiling.
use htl_mining::hashed_uniform;

use super::{Curve, Signal, SignalNeed, key, nothing};

pub(super) const RANDOM: Signal = Signal {
    key: key::RANDOM,
    label: "Random",
    about: "uniform in [0, 1), from a hash of seed and image id; its curve is the mean over all orders",
    costs: "nothing",
    needs: &[],
    curve: Curve::Expected,
    extra: nothing,
    of: |evidence| Some(hashed_uniform(evidence.seed, &evidence.image_id)),
};

pub(super) const ORACLE: Signal = Signal {
    key: "oracle",
    label: "Oracle",
    about: "1 - Jaccard of the judged predictor itself: the ceiling, which nobody has who needs one",
    needs: &[SignalNeed::Truth],
    curve: Curve::Ranked,
    of: |evidence| evidence.error,
    ..RANDOM
};
