//! The signals of uncertainty: one row each, in files by what they look at. In every one higher = referred first.
mod control;
mod own;
mod population;
mod pruning;

use htl_mining::Damage;

use super::judgement::Judged;

/// What a signal needs beyond one network; without it the signal is blank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalNeed {
    /// Copies of the network whose weights are damaged in this way, not trained any further.
    Copies(Damage),
    /// A pruned and fine-tuned copy of every network.
    Sparse,
    /// A second dense network.
    SecondNetwork,
    /// Flips and rotations.
    Views,
    /// Maps that are probabilities, not class activations.
    Probabilities,
    /// The image's true mask.
    Truth,
}

impl SignalNeed {
    /// In words, as in "needs masks".
    pub fn words(self) -> &'static str {
        match self {
            Self::Copies(_) => "pruned copies",
            Self::Sparse => "pruned and fine-tuned networks",
            Self::SecondNetwork => "a second dense network",
            Self::Views => "flips and rotations",
            Self::Probabilities => "probability maps",
            Self::Truth => "masks",
        }
    }
}

/// All that a signal may look at of one image, for one judged predictor. What an ensemble's members say of themselves is averaged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// The image.
    pub image_id: String,
    /// 1 - the area under IoU(network, damaged copy) over sparsity, by damage in the order of [`Damage::ALL`]; in [0, 1].
    pub copies: [Option<f64>; 6],
    /// 1 - IoU with the pruned and fine-tuned copy; here and below 1 where both masks are empty.
    pub sparse: Option<f64>,
    /// 1 - IoU with the next dense network.
    pub second: Option<f64>,
    /// Mean pairwise 1 - IoU among all dense networks.
    pub spread: Option<f64>,
    /// Mean 1 - IoU with the same network on the other views of the image.
    pub views: Option<f64>,
    /// Mean binary entropy of the judged map, bits per pixel.
    pub entropy: Option<f64>,
    /// Share of the picture inside the judged mask.
    pub area: f64,
    /// Pixels of the judged map.
    pub pixels: usize,
    /// 1 - Jaccard of the judged predictor.
    pub error: Option<f64>,
    /// Seed of what is drawn.
    pub seed: u64,
}

/// The networks at hand, and which predictor is judged: what costs depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// What is judged.
    pub judged: Judged,
    /// Dense networks.
    pub networks: usize,
    /// Sparsities of the pruned copies.
    pub sparsities: usize,
    /// Views of an image, as it is among them.
    pub views: usize,
}

/// What something takes: trainings, and forward passes per image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Trainings from scratch.
    pub trainings: usize,
    /// Fine-tunings beside them.
    pub fine_tunings: usize,
    /// Forward passes per image.
    pub passes: usize,
    /// How many of the passes the ensemble of all dense networks and views would make, too.
    pub shared: usize,
}

impl Setup {
    /// Networks that are judged together: one, or all of an ensemble.
    pub fn members(&self) -> usize {
        match self.judged {
            Judged::Network | Judged::Views => 1,
            Judged::Ensemble => self.networks,
        }
    }

    /// The judged predictor alone.
    pub fn base(&self) -> Cost {
        let passes = match self.judged {
            Judged::Views => self.views,
            Judged::Network | Judged::Ensemble => self.members(),
        };
        Cost {
            trainings: self.members(),
            fine_tunings: 0,
            passes,
            shared: passes,
        }
    }
}

/// A signal: a row of `referral.csv` and a column of `referred.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Signal {
    /// Name in files, and what `htl refer --by` takes.
    pub key: &'static str,
    /// Name for a heading or a legend.
    pub label: &'static str,
    /// What it measures, in a sentence without a full stop.
    pub about: &'static str,
    /// What it costs beyond the judged predictor, in words.
    pub costs: &'static str,
    /// What must be there for it to have a value.
    pub needs: &'static [SignalNeed],
    /// How its risk-coverage curve is made.
    pub curve: Curve,
    /// What it costs beyond the judged predictor.
    extra: fn(&Setup) -> Cost,
    /// Its value.
    of: fn(&Evidence) -> Option<f64>,
}

/// How a signal's risk-coverage curve is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// In the order of its values.
    Ranked,
    /// As the mean over all orders: what the luck of one draw is on average.
    Expected,
}

impl Signal {
    /// The value for an image; `None` where something is missing.
    pub fn value(&self, evidence: &Evidence) -> Option<f64> {
        (self.of)(evidence)
    }

    /// What it takes in all, the judged predictor included.
    pub fn cost(&self, setup: &Setup) -> Cost {
        let (base, extra) = (setup.base(), (self.extra)(setup));
        Cost {
            trainings: base.trainings + extra.trainings,
            fine_tunings: base.fine_tunings + extra.fine_tunings,
            passes: base.passes + extra.passes,
            shared: base.shared + extra.shared,
        }
    }
}

/// Every signal, in the order of `referral.csv`.
pub const SIGNALS: &[Signal] = &[
    pruning::FORGETTING,
    pruning::FORGETTING_RAW,
    pruning::NOISE,
    pruning::DISAGREEMENT,
    population::SECOND_NETWORK,
    population::SPREAD,
    own::VIEWS,
    own::ENTROPY,
    own::ENTROPY_OVER_AREA,
    own::AREA,
    control::RANDOM,
    control::ORACLE,
];

/// Keys that programs ask for.
pub mod key {
    /// Pruned copies, normalisation statistics re-estimated.
    pub const FORGETTING: &str = "forgetting";
    /// A second dense network.
    pub const SECOND_NETWORK: &str = "second-network";
    /// Mean entropy.
    pub const ENTROPY: &str = "entropy";
    /// Entropy by predicted pixel.
    pub const ENTROPY_OVER_AREA: &str = "entropy-over-area";
    /// Chance.
    pub const RANDOM: &str = "random";
}

/// The signal of that key.
pub fn signal_named(key: &str) -> Option<&'static Signal> {
    SIGNALS.iter().find(|signal| signal.key == key)
}

/// What costs nothing beyond the judged predictor.
fn nothing(_: &Setup) -> Cost {
    Cost::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> Evidence {
        Evidence {
            image_id: "a".into(),
            copies: [Some(0.3); 6],
            sparse: Some(0.2),
            second: Some(0.1),
            spread: Some(0.4),
            views: Some(0.5),
            entropy: Some(0.6),
            area: 0.25,
            pixels: 64,
            error: Some(0.7),
            seed: 0,
        }
    }

    #[test]
    fn keys_and_labels_are_unique() {
        for (i, signal) in SIGNALS.iter().enumerate() {
            let earlier = &SIGNALS[..i];
            assert!(
                earlier
                    .iter()
                    .all(|other| other.key != signal.key && other.label != signal.label)
            );
            assert!(
                !signal.about.ends_with('.') && !signal.about.is_empty(),
                "{}",
                signal.key
            );
            assert_eq!(signal_named(signal.key).map(|found| found.label), Some(signal.label));
        }
        for key in [
            key::FORGETTING,
            key::SECOND_NETWORK,
            key::ENTROPY,
            key::ENTROPY_OVER_AREA,
            key::RANDOM,
        ] {
            assert!(signal_named(key).is_some(), "{key}");
        }
    }

    /// With everything there every signal has a finite value; with one thing missing, those that need it have none.
    #[test]
    fn a_signal_with_unmet_needs_is_blank() {
        let all = evidence();
        let without = |need: SignalNeed| {
            let mut less = evidence();
            match need {
                SignalNeed::Copies(damage) => less.copies[damage as usize] = None,
                SignalNeed::Sparse => less.sparse = None,
                SignalNeed::SecondNetwork => (less.second, less.spread) = (None, None),
                SignalNeed::Views => less.views = None,
                SignalNeed::Probabilities => less.entropy = None,
                SignalNeed::Truth => less.error = None,
            }
            less
        };
        let mut needs = vec![
            SignalNeed::Sparse,
            SignalNeed::SecondNetwork,
            SignalNeed::Views,
            SignalNeed::Probabilities,
            SignalNeed::Truth,
        ];
        needs.extend(Damage::ALL.map(SignalNeed::Copies));
        for signal in SIGNALS {
            assert!(signal.value(&all).is_some_and(f64::is_finite), "{}", signal.key);
            for need in &needs {
                let blank = signal.value(&without(*need)).is_none();
                assert_eq!(blank, signal.needs.contains(need), "{} without {need:?}", signal.key);
            }
        }
    }

    #[test]
    fn costs_count_what_is_judged() {
        let cost = |key: &str, judged| {
            let setup = Setup {
                judged,
                networks: 3,
                sparsities: 6,
                views: 8,
            };
            let cost = signal_named(key).unwrap().cost(&setup);
            [cost.trainings, cost.fine_tunings, cost.passes, cost.shared]
        };
        assert_eq!(cost("entropy", Judged::Network), [1, 0, 1, 1]);
        assert_eq!(cost("forgetting", Judged::Network), [1, 0, 7, 1]);
        assert_eq!(cost("disagreement", Judged::Network), [1, 1, 2, 1]);
        assert_eq!(cost("second-network", Judged::Network), [2, 0, 2, 2]);
        assert_eq!(cost("spread", Judged::Network), [3, 0, 3, 3]);
        assert_eq!(cost("views", Judged::Network), [1, 0, 8, 8]);
        assert_eq!(cost("views", Judged::Views), [1, 0, 8, 8]);
        assert_eq!(cost("forgetting", Judged::Views), [1, 0, 14, 8]);
        assert_eq!(cost("spread", Judged::Ensemble), [3, 0, 3, 3]);
        assert_eq!(cost("second-network", Judged::Ensemble), [3, 0, 3, 3]);
        assert_eq!(cost("forgetting", Judged::Ensemble), [3, 0, 21, 3]);
        assert_eq!(cost("disagreement", Judged::Ensemble), [3, 3, 6, 3]);
    }

    /// What finds nothing is the least certain.
    #[test]
    fn empty_masks_are_uncertain() {
        let empty = Evidence {
            area: 0.0,
            ..evidence()
        };
        for key in ["area", "entropy-over-area"] {
            let signal = signal_named(key).unwrap();
            let (nothing, something) = (signal.value(&empty).unwrap(), signal.value(&evidence()).unwrap());
            assert!(nothing.is_finite() && nothing > something, "{key}");
        }
    }
}
