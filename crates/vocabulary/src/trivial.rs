//! Predictors that learn nothing: any localizer is judged against these.

/// A predictor that learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trivial {
    /// Name in files and on the command line.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// Name inside a sentence.
    pub in_sentence: &'static str,
}

/// Everything is lesion.
pub const WHOLE_IMAGE: Trivial = Trivial {
    key: "whole-image",
    label: "Whole image",
    in_sentence: "taking the whole image",
};

/// The disc in the middle whose size fits the training masks best.
pub const CENTRED_DISC: Trivial = Trivial {
    key: "centred-disc",
    label: "Best centred disc",
    in_sentence: "the best centred disc",
};

/// Otsu's threshold on darkness.
pub const OTSU: Trivial = Trivial {
    key: "otsu",
    label: "Otsu on darkness",
    in_sentence: "Otsu's threshold on darkness",
};

/// What differs in colour from the skin at the rim of the image and lies near its middle.
pub const COLOUR_PRIOR: Trivial = Trivial {
    key: "colour-prior",
    label: "Colour prior",
    in_sentence: "the colour prior",
};

/// All of them.
pub const TRIVIAL: &[Trivial] = &[WHOLE_IMAGE, CENTRED_DISC, OTSU, COLOUR_PRIOR];

/// The predictor of that key.
pub fn named(key: &str) -> Option<&'static Trivial> {
    TRIVIAL.iter().find(|trivial| trivial.key == key)
}
