use std::fmt;

/// What a criterion needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// The weights alone.
    Weights,
    /// Gradients of a loss too, as SNIP does.
    Gradients,
    /// Activations on data too, as Wanda does.
    Activations,
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Weights => "weights",
            Self::Gradients => "gradients",
            Self::Activations => "activations",
        })
    }
}
