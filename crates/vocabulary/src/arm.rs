//! Arms: what is trained and compared inside a setting.

/// One arm of an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// Name in files and on the command line.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// Name inside a sentence.
    pub in_sentence: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
}

/// The setting's plain training.
pub const BASELINE: Arm = Arm {
    key: "baseline",
    label: "Baseline",
    in_sentence: "the baseline",
    about: "Same training, every sample alike.",
};

/// The method.
pub const HTL: Arm = Arm {
    key: "htl",
    label: "HTL attention",
    in_sentence: "HTL attention",
    about: "The method, in the form that came out best in its setting.",
};

/// The method's control: what seeds alone say.
pub const SEED_VARIANCE: Arm = Arm {
    key: "seed-variance",
    label: "Seed variance attention",
    in_sentence: "attention by seed variance",
    about: "The same by what differently seeded networks part on, without pruning.",
};

/// The method's control: by lot.
pub const RANDOM: Arm = Arm {
    key: "random",
    label: "Random attention",
    in_sentence: "random attention",
    about: "The same given by lot, redrawn per seed.",
};

/// The pruned population.
pub const PRUNED: Arm = Arm {
    key: "pruned",
    label: "Pruned",
    in_sentence: "the pruned network",
    about: "The baseline pruned, then fine-tuned.",
};

/// The pruned population's control: fine-tuning alone.
pub const SHAM: Arm = Arm {
    key: "sham",
    label: "Sham",
    in_sentence: "sham fine-tuning",
    about: "The baseline fine-tuned as after pruning, with nothing pruned.",
};

/// Few masks, and nothing else.
pub const LABELLED_ONLY: Arm = Arm {
    key: "labelled-only",
    label: "Labelled only",
    in_sentence: "training on the labelled images only",
    about: "The labelled images alone; the unlabelled ones unused.",
};

/// Half of the label budget spent by disagreement.
pub const HTL_QUERY: Arm = Arm {
    key: "htl-query",
    label: "HTL query",
    in_sentence: "HTL query",
    about: "The same label budget, half of it spent on unlabelled images chosen by disagreement.",
};

/// Boxes as masks.
pub const FILLED_BOX: Arm = Arm {
    key: "filled-box",
    label: "Filled box",
    in_sentence: "the filled box",
    about: "Trained on boxes filled as if they were masks.",
};

/// Ellipses in boxes as masks.
pub const ELLIPSE: Arm = Arm {
    key: "ellipse",
    label: "Inscribed ellipse",
    in_sentence: "the inscribed ellipse",
    about: "Trained on the ellipse inside each box as if it were the mask.",
};

/// An upper bound: thresholds chosen with masks.
pub const ORACLE_TUNED: Arm = Arm {
    key: "oracle-tuned",
    label: "Tuned threshold",
    in_sentence: "the tuned threshold",
    about: "The baseline's maps, with a threshold chosen by masks the setting does not have.",
};

/// A second cycle on what networks agree on.
pub const NEXT_CYCLE: Arm = Arm {
    key: "next-cycle",
    label: "Next cycle",
    in_sentence: "the next cycle",
    about: "Trained on the masks that the first networks agree on, all of them.",
};

/// A control: without the images on which networks and what was known before them part.
pub const PRIOR_FILTER: Arm = Arm {
    key: "prior-filter",
    label: "Colour filter",
    in_sentence: "a colour filter",
    about: "The next cycle without as many images, those on which networks and colours part most.",
};

/// A control: without the pixels near outlines.
pub const WITHOUT_OUTLINE: Arm = Arm {
    key: "without-outline",
    label: "Without outlines",
    in_sentence: "leaving out outlines",
    about: "As many pixels left out, those nearest to the outlines, without any pruning.",
};

/// The ceiling.
pub const ORACLE: Arm = Arm {
    key: "oracle",
    label: "Oracle",
    in_sentence: "the oracle",
    about: "The same as HTL attention, by the truth that the setting does not have: what no score can exceed.",
};

/// All arms, in the order in which they are read best.
pub const ARMS: &[Arm] = &[
    BASELINE,
    HTL,
    SEED_VARIANCE,
    PRIOR_FILTER,
    WITHOUT_OUTLINE,
    RANDOM,
    ORACLE,
    PRUNED,
    SHAM,
    LABELLED_ONLY,
    HTL_QUERY,
    FILLED_BOX,
    ELLIPSE,
    ORACLE_TUNED,
    NEXT_CYCLE,
];

/// The arm of that key.
pub fn named(key: &str) -> Option<&'static Arm> {
    ARMS.iter().find(|arm| arm.key == key)
}

/// Position of a key in [`ARMS`]; unknown ones come last.
pub fn position(key: &str) -> usize {
    ARMS.iter().position(|arm| arm.key == key).unwrap_or(ARMS.len())
}
