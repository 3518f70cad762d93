use anyhow::ensure;
use clap::Args;
use htl_models::Network;
use htl_models::graph::{ChannelGroup, Graph};
use htl_pruning::{
    ChannelCriterion, ChannelParams, Criterion, FilterGroup, Filters, MaskSet, PruneError, PruneParams, WeightSet,
};

use crate::commands::choices;

/// What goes first, by the name of a row in one of two lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Single weights, which become zero.
    Weights(&'static Criterion),
    /// Whole channels, out of a network that is smaller then.
    Channels(&'static ChannelCriterion),
}

impl Method {
    /// The method of that name.
    ///
    /// # Errors
    /// [`PruneError::UnknownCriterion`].
    pub fn named(name: &str) -> Result<Self, PruneError> {
        match ChannelCriterion::named(name) {
            Ok(criterion) => Ok(Self::Channels(criterion)),
            Err(_) => Criterion::named(name).map(Self::Weights),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Weights(criterion) => criterion.name,
            Self::Channels(criterion) => criterion.name,
        }
    }
}

/// How a network is pruned, but for how much of it.
#[derive(Args, Clone, Debug)]
pub struct How {
    /// Which weights go first, or which whole channels
    #[arg(long, default_value = Criterion::GLOBAL_MAGNITUDE.name, value_parser = choices::method())]
    pub method: Method,
    /// Seed of the random methods
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Layers that stay whole, by name or by a name's first parts; `first` are those that see the images, `last` those that
    /// make the logits
    #[arg(long, value_delimiter = ',', value_name = "LAYER,...")]
    pub exclude: Vec<String>,
    /// What share of the sparsity depthwise convolutions get, in [0, 1]: at 0 they stay dense; for methods of single weights
    #[arg(long, value_name = "SHARE")]
    pub depthwise: Option<f64>,
    /// Keep channels in multiples of this; for methods of whole channels
    #[arg(long, value_name = "N")]
    pub multiple: Option<usize>,
}

impl How {
    /// By a method's defaults.
    #[cfg(test)]
    pub fn by(name: &str) -> Self {
        Self {
            method: Method::named(name).unwrap(),
            seed: 0,
            exclude: Vec::new(),
            depthwise: None,
            multiple: None,
        }
    }

    /// The network pruned: the same with zeros, or another of fewer channels.
    pub fn prune(&self, network: Network, sparsity: f64) -> anyhow::Result<Network> {
        match self.method {
            Method::Weights(criterion) => {
                ensure!(
                    self.multiple.is_none(),
                    "--multiple is for methods that remove whole channels, and {} removes single weights",
                    criterion.name
                );
                let trainable = network.parameters().trainable();
                let params = PruneParams::new(criterion)
                    .sparsity(sparsity)
                    .seed(self.seed)
                    .depthwise_share(self.depthwise.unwrap_or(1.0))
                    .exclude(self.excluded(network.graph(), |_| true));
                params
                    .check()?
                    .masks(&WeightSet::from_vars(trainable))?
                    .apply(trainable)?;
                Ok(network)
            }
            Method::Channels(criterion) => {
                ensure!(
                    self.depthwise.is_none(),
                    "--depthwise is for methods that remove single weights; by {} depthwise convolutions lose the channels of \
                     the layers that they are on",
                    criterion.name
                );
                let groups = network.graph().channel_groups();
                let filters: Vec<FilterGroup> = groups.iter().map(|group| filters(group, &network)).collect();
                let makes = |layer: &str| {
                    let weight = format!("{layer}.weight");
                    let places = filters.iter().flat_map(|group| &group.places);
                    places.into_iter().any(|place| place.axis == 0 && place.name == weight)
                };
                let params = ChannelParams::new(criterion)
                    .sparsity(sparsity)
                    .seed(self.seed)
                    .multiple(self.multiple.unwrap_or(1))
                    .exclude(self.excluded(network.graph(), makes));
                let removed = params.check()?.removed(&filters)?;
                let removed: Vec<(&ChannelGroup, &[usize])> =
                    groups.iter().zip(removed.iter().map(Vec::as_slice)).collect();
                Ok(network.without_channels(&removed)?)
            }
        }
    }

    /// The layers to leave alone; of those that a word stands for only those that `counts`.
    fn excluded(&self, graph: &Graph, counts: impl Fn(&str) -> bool) -> Vec<String> {
        let words = |word: &str| match word {
            "first" => Some(graph.first_layers()),
            "last" => Some(graph.last_layers()),
            _ => None,
        };
        let mut names = Vec::new();
        for part in &self.exclude {
            match words(part) {
                Some(layers) => names.extend(layers.into_iter().filter(|layer| counts(layer)).map(str::to_owned)),
                None => names.push(part.clone()),
            }
        }
        names
    }
}

/// The weights of a group: what makes, scales and sees its channels, not biases and running statistics.
fn filters(group: &ChannelGroup, network: &Network) -> FilterGroup {
    let weights = group
        .members
        .iter()
        .filter(|member| member.parameter.ends_with(".weight"));
    let places = weights.filter_map(|member| {
        Some(Filters {
            tensor: network.parameters().get(&member.parameter)?.as_detached_tensor(),
            name: member.parameter.clone(),
            axis: member.axis,
            offset: member.offset,
            width: member.width,
        })
    });
    FilterGroup {
        name: group.name().to_owned(),
        channels: group.channels,
        places: places.collect(),
    }
}

/// Zeros of a network, as masks.
pub fn zeros(network: &Network) -> Result<MaskSet, PruneError> {
    MaskSet::from_zeros(&WeightSet::from_vars(network.parameters().trainable()))
}
