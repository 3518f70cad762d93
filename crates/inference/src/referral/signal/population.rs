//! Networks of several trainings against each other.
use super::{Cost, Curve, Setup, Signal, SignalNeed, key};

/// Trainings up to so many, with a pass each that an ensemble would make, too.
fn trainings(setup: &Setup, all: usize) -> Cost {
    let more = all.saturating_sub(setup.members());
    let shared = match setup.judged {
        super::Judged::Network | super::Judged::Views => more,
        super::Judged::Ensemble => 0,
    };
    Cost {
        trainings: more,
        fine_tunings: 0,
        passes: more,
        shared,
    }
}

pub(super) const SECOND_NETWORK: Signal = Signal {
    key: key::SECOND_NETWORK,
    label: "Second network",
    about: "1 - IoU of the network and the next dense one",
    costs: "a training, a pass",
    needs: &[SignalNeed::SecondNetwork],
    curve: Curve::Ranked,
    extra: |setup| trainings(setup, 2),
    of: |evidence| evidence.second,
};

pub(super) const SPREAD: Signal = Signal {
    key: "spread",
    label: "Seed spread",
    about: "mean pairwise 1 - IoU among all dense networks",
    costs: "all other trainings, a pass each",
    extra: |setup| trainings(setup, setup.networks),
    of: |evidence| evidence.spread,
    ..SECOND_NETWORK
};
