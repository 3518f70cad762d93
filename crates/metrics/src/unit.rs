use std::fmt;

use serde::{Deserialize, Serialize};

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// Jaccard, Dice, ...
    #[default]
    Higher,
    /// Distances, calibration error, ...
    Lower,
}

impl Better {
    /// 1 where higher is better, -1 where lower is.
    pub fn sign(self) -> f64 {
        match self {
            Self::Higher => 1.0,
            Self::Lower => -1.0,
        }
    }
}

impl fmt::Display for Better {
    /// `higher is better` or `lower is better`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Higher => "higher is better",
            Self::Lower => "lower is better",
        })
    }
}

/// What a metric's numbers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A ratio, a probability, a share: differences are given in points (hundredths).
    Fraction,
    /// A length as a share of the image diagonal.
    ShareOfDiagonal,
    /// A number in its own unit.
    Raw,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fraction => "fraction",
            Self::ShareOfDiagonal => "share of the diagonal",
            Self::Raw => "raw",
        })
    }
}
