//! A network against copies of itself with weights taken away.
use htl_mining::Damage;

use super::{Cost, Curve, Evidence, Setup, Signal, SignalNeed, key};

/// A pass per sparsity and judged network.
fn copies(setup: &Setup) -> Cost {
    Cost {
        passes: setup.members() * setup.sparsities,
        ..Cost::default()
    }
}

fn area(evidence: &Evidence, damage: Damage) -> Option<f64> {
    evidence.copies[damage as usize]
}

pub(super) const FORGETTING: Signal = Signal {
    key: key::FORGETTING,
    label: "Forgetting",
    about: "mean 1 - IoU of the network and its own pruned copies over sparsities, nothing trained, normalisation statistics re-estimated",
    costs: "a pass per sparsity",
    needs: &[SignalNeed::Copies(Damage::Pruned)],
    curve: Curve::Ranked,
    extra: copies,
    of: |evidence| area(evidence, Damage::Pruned),
};

pub(super) const FORGETTING_RAW: Signal = Signal {
    key: "forgetting-raw",
    label: "Forgetting, statistics kept",
    about: "`forgetting` with the normalisation statistics of the network",
    needs: &[SignalNeed::Copies(Damage::PrunedRaw)],
    of: |evidence| area(evidence, Damage::PrunedRaw),
    ..FORGETTING
};

pub(super) const NOISE: Signal = Signal {
    key: "noise",
    label: "Weight noise",
    about: "`forgetting` with weight noise as large as what pruning takes away: the control of pruning at equal cost",
    needs: &[SignalNeed::Copies(Damage::Noised)],
    of: |evidence| area(evidence, Damage::Noised),
    ..FORGETTING
};

pub(super) const DISAGREEMENT: Signal = Signal {
    key: "disagreement",
    label: "Disagreement",
    about: "1 - IoU of the network and its pruned and fine-tuned copy",
    costs: "a fine-tuning, a pass",
    needs: &[SignalNeed::Sparse],
    curve: Curve::Ranked,
    extra: |setup| Cost {
        fine_tunings: setup.members(),
        passes: setup.members(),
        ..Cost::default()
    },
    of: |evidence| evidence.sparse,
};
