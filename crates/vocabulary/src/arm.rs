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
    about: "Attends to the samples that networks forget first when they are pruned.",
};

/// The method with another score: after fine-tuning.
pub const HTL_FINE_TUNED: Arm = Arm {
    key: "htl-fine-tuned",
    label: "HTL attention, fine-tuned",
    in_sentence: "attention by fine-tuned disagreement",
    about: "The same attention to as many samples on which dense and pruned, fine-tuned networks part ways.",
};

/// The method's control: what seeds alone say.
pub const SEED_VARIANCE: Arm = Arm {
    key: "seed-variance",
    label: "Seed variance attention",
    in_sentence: "attention by seed variance",
    about: "The same attention to as many samples on which differently seeded networks part ways.",
};

/// The method's control: a random set.
pub const RANDOM: Arm = Arm {
    key: "random",
    label: "Random attention",
    in_sentence: "random attention",
    about: "The same attention on an equally large random set, redrawn per seed.",
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

/// A second cycle without the images on which networks and colours part.
pub const PRIOR_FILTER: Arm = Arm {
    key: "prior-filter",
    label: "Next cycle, colour filter",
    in_sentence: "the next cycle with a colour filter",
    about: "The next cycle without as many images, those on which networks and colours part ways most.",
};

/// A second cycle without the pixels on which dense and pruned networks part.
pub const AGREED_PIXELS: Arm = Arm {
    key: "agreed-pixels",
    label: "Next cycle, agreed pixels",
    in_sentence: "the next cycle on agreed pixels",
    about: "The next cycle on the pixels on which dense networks and their pruned copies agree.",
};

/// The control of agreed pixels.
pub const OUTLINE_BAND: Arm = Arm {
    key: "outline-band",
    label: "Next cycle, without outlines",
    in_sentence: "the next cycle without outlines",
    about: "The next cycle without as many pixels, those nearest to the outlines.",
};

/// All arms, in the order in which they are read best.
pub const ARMS: &[Arm] = &[
    BASELINE,
    HTL,
    HTL_FINE_TUNED,
    SEED_VARIANCE,
    RANDOM,
    PRUNED,
    SHAM,
    LABELLED_ONLY,
    HTL_QUERY,
    FILLED_BOX,
    ELLIPSE,
    ORACLE_TUNED,
    NEXT_CYCLE,
    PRIOR_FILTER,
    AGREED_PIXELS,
    OUTLINE_BAND,
];

/// The arm of that key.
pub fn named(key: &str) -> Option<&'static Arm> {
    ARMS.iter().find(|arm| arm.key == key)
}

/// Position of a key in [`ARMS`]; unknown ones come last.
pub fn position(key: &str) -> usize {
    ARMS.iter().position(|arm| arm.key == key).unwrap_or(ARMS.len())
}
