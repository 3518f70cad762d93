use super::{ChannelCriterion, ChannelScope, FilterGroup};
use crate::error::PruneError;
use crate::params::{check_sparsity, is_within};

/// Which channels to remove, by which criterion, and how many of them. [`check`](Self::check) makes it usable.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelParams {
    /// How channels are ranked.
    pub criterion: &'static ChannelCriterion,
    /// Fraction of the channels that go, in [0, 1). Default: 0.5.
    pub sparsity: f64,
    /// Seed of criteria that draw. Default: 0.
    pub seed: u64,
    /// Channels are kept in multiples of this, which some machines are faster at, or all of them. Default: 1.
    pub multiple: usize,
    /// Groups that stay whole: those that a layer of this name, or of these first parts of a name, makes.
    pub exclude: Vec<String>,
}

impl ChannelParams {
    /// Parameters with this criterion and the default for everything else.
    #[must_use]
    pub fn new(criterion: &'static ChannelCriterion) -> Self {
        Self {
            criterion,
            sparsity: 0.5,
            seed: 0,
            multiple: 1,
            exclude: Vec::new(),
        }
    }

    /// Sets the fraction of channels to remove, in [0, 1).
    #[must_use]
    pub fn sparsity(mut self, sparsity: f64) -> Self {
        self.sparsity = sparsity;
        self
    }

    /// Sets the seed of criteria that draw.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Keeps channels in multiples of this.
    #[must_use]
    pub fn multiple(mut self, multiple: usize) -> Self {
        self.multiple = multiple;
        self
    }

    /// Keeps the channels that these layers make.
    #[must_use]
    pub fn exclude<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.exclude.extend(names.into_iter().map(Into::into));
        self
    }

    /// Checks the numbers once.
    ///
    /// # Errors
    /// [`PruneError::Sparsity`] unless the sparsity is in [0, 1), [`PruneError::Multiple`] for multiples of 0.
    pub fn check(self) -> Result<ChannelValidParams, PruneError> {
        check_sparsity(self.sparsity)?;
        match self.multiple {
            0 => Err(PruneError::Multiple { found: 0 }),
            _ => Ok(ChannelValidParams(self)),
        }
    }
}

/// Parameters that made sense; made by [`ChannelParams::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelValidParams(ChannelParams);

impl ChannelValidParams {
    /// The parameters as given.
    #[must_use]
    pub fn params(&self) -> &ChannelParams {
        &self.0
    }

    /// The channels that go: for every group a sorted list, which may be empty.
    ///
    /// Within groups, `round(sparsity * n)` of `n` channels go, over all groups as many of all channels together; then as many
    /// stay besides as the multiple asks for, and at least one of every group. Among equals the first goes first.
    ///
    /// # Errors
    /// [`PruneError::NoChannels`] if no group has a channel to lose, [`PruneError::UnknownExclusion`],
    /// [`PruneError::NotFinite`], and [`PruneError::ChannelPlace`] if a group is not of its tensors.
    pub fn removed(&self, groups: &[FilterGroup]) -> Result<Vec<Vec<usize>>, PruneError> {
        let makes = |group: &FilterGroup, part: &str| {
            let made = group.places.iter().filter(|place| place.axis == 0);
            made.into_iter().any(|place| is_within(&place.name, part))
        };
        for name in &self.0.exclude {
            if !groups.iter().any(|group| makes(group, name)) {
                let known: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
                return Err(PruneError::UnknownExclusion {
                    name: name.clone(),
                    known: known.join(", "),
                });
            }
        }
        let stays = |group: &FilterGroup| self.0.exclude.iter().any(|part| makes(group, part));
        let open: Vec<bool> = groups.iter().map(|group| group.channels > 1 && !stays(group)).collect();
        if !open.contains(&true) {
            return Err(PruneError::NoChannels { groups: groups.len() });
        }
        let mut orders = Vec::with_capacity(groups.len());
        for (group, open) in groups.iter().zip(&open) {
            orders.push(match open {
                true => self.ranked(group)?,
                false => Vec::new(),
            });
        }
        let counts = match self.0.criterion.scope {
            ChannelScope::Group => orders
                .iter()
                .map(|order| (self.0.sparsity * order.len() as f64).round() as usize)
                .collect(),
            ChannelScope::All => self.over_all(&orders),
        };
        Ok(orders
            .into_iter()
            .zip(counts)
            .map(|(order, count)| {
                let stay = (order.len() - count.min(order.len())).max(1);
                let stay = stay.next_multiple_of(self.0.multiple).min(order.len());
                let mut gone: Vec<usize> = order[..order.len() - stay]
                    .iter()
                    .map(|(channel, _)| *channel)
                    .collect();
                gone.sort_unstable();
                gone
            })
            .collect())
    }

    /// Channels and scores from the first to go to the last.
    fn ranked(&self, group: &FilterGroup) -> Result<Vec<(usize, f64)>, PruneError> {
        let scores = (self.0.criterion.scores)(group, self.0.seed)?;
        let mut order: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        Ok(order)
    }

    /// How many go of each group where channels of all are compared.
    fn over_all(&self, orders: &[Vec<(usize, f64)>]) -> Vec<usize> {
        let mut all: Vec<(usize, f64)> = Vec::new();
        for (group, order) in orders.iter().enumerate() {
            let mean = order.iter().map(|(_, score)| score).sum::<f64>() / order.len().max(1) as f64;
            // The last of a group stays.
            let may_go = order.iter().take(order.len().saturating_sub(1));
            all.extend(may_go.map(|(_, score)| (group, if mean > 0.0 { score / mean } else { 0.0 })));
        }
        let channels: usize = orders.iter().map(Vec::len).sum();
        let asked = (self.0.sparsity * channels as f64).round() as usize;
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        let mut counts = vec![0; orders.len()];
        all.iter().take(asked).for_each(|(group, _)| counts[*group] += 1);
        counts
    }
}
