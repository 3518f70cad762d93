//! Whole channels: which of those that go together matter least. One file per criterion gives scores; this one lists them.

mod filters;
mod norm;
mod params;
mod random;

use std::fmt;

pub use filters::{FilterGroup, Filters};
pub use params::{ChannelParams, ChannelValidParams};

use crate::error::PruneError;

/// How channels are ranked; those of lowest score go first.
pub struct ChannelCriterion {
    /// The name used on the command line.
    pub name: &'static str,
    /// What goes first, in a sentence without a full stop.
    pub about: &'static str,
    /// Whose behaviour it matches, or the paper that defines it.
    pub reference: &'static str,
    /// Over what scores are compared.
    pub scope: ChannelScope,
    /// A score per channel of one group, finite and not negative; the seed is for criteria that draw.
    pub scores: fn(&FilterGroup, u64) -> Result<Vec<f64>, PruneError>,
}

/// Over what channels are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelScope {
    /// Within their group: all groups lose the same share.
    Group,
    /// Over all groups together, scores relative to the mean of their group.
    All,
}

/// Every criterion, in the order of the documentation.
pub static CHANNEL_CRITERIA: &[&ChannelCriterion] = &[
    ChannelCriterion::STRUCTURED_L2,
    &norm::STRUCTURED_L1,
    &norm::STRUCTURED_GLOBAL_L2,
    &random::STRUCTURED_RANDOM,
];

impl ChannelCriterion {
    /// Smallest sum of squares over all that a channel takes part in, within each group.
    pub const STRUCTURED_L2: &'static Self = &norm::STRUCTURED_L2;

    /// The criterion of that name.
    ///
    /// # Errors
    /// [`PruneError::UnknownCriterion`], which lists the names.
    pub fn named(name: &str) -> Result<&'static Self, PruneError> {
        let known = CHANNEL_CRITERIA
            .iter()
            .copied()
            .find(|criterion| criterion.name == name);
        known.ok_or_else(|| PruneError::UnknownCriterion {
            found: name.to_string(),
            known: CHANNEL_CRITERIA
                .iter()
                .map(|criterion| criterion.name)
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

impl fmt::Debug for ChannelCriterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for ChannelCriterion {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CRITERIA;

    /// Names are unique, also among the criteria of single weights, since one option takes both.
    #[test]
    fn names_are_unique_and_found() {
        for (at, criterion) in CHANNEL_CRITERIA.iter().enumerate() {
            assert!(CHANNEL_CRITERIA[..at].iter().all(|other| other.name != criterion.name));
            assert!(CRITERIA.iter().all(|other| other.name != criterion.name));
            assert_eq!(ChannelCriterion::named(criterion.name).unwrap(), *criterion);
            assert!(!criterion.about.ends_with('.') && !criterion.reference.is_empty());
        }
        let message = ChannelCriterion::named("structured-l3").unwrap_err().to_string();
        assert!(
            message.contains("structured-l3") && message.contains("structured-l2"),
            "{message}"
        );
    }
}
