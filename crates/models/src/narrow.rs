//! Networks that are smaller for good: channels taken out of every layer that has them.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::architecture::Channels;
use crate::error::ModelError;
use crate::graph::{ChannelGroup, Graph, Operation};
use crate::network::Network;
use crate::parameters::Parameters;

/// Whether each position along an axis of a parameter stays, by the parameter's name and the axis.
type Kept<'a> = BTreeMap<(&'a str, usize), Vec<bool>>;

impl Network {
    /// A network without some channels, with variables of its own and the other weights of this one.
    ///
    /// Where the removed channels were zero after their activation, for all images, it computes the same.
    ///
    /// # Errors
    /// [`ModelError::Parts`] if a group is not of this network ([`Graph::channel_groups`]), a channel is not of the group, or
    /// none of a group's would be left.
    pub fn without_channels(&self, removed: &[(&ChannelGroup, &[usize])]) -> Result<Self, ModelError> {
        let kept = kept(self.parameters(), removed)?;
        let channels = channels(self.graph(), self.architecture().channels(), &kept);
        let architecture = self.architecture().narrowed(channels)?;
        let (dtype, device) = match self.parameters().trainable().first() {
            Some((_, var)) => (var.dtype(), var.device().clone()),
            None => (DType::F32, Device::Cpu),
        };
        let mut network = Self::build_with_dtype(&architecture, 0, dtype, &device)?;
        network.set_precision(self.precision());
        network.parameters().load(&taken(self.parameters(), &kept)?)?;
        Ok(network)
    }
}

fn problem<T>(problem: String) -> Result<T, ModelError> {
    Err(ModelError::Parts { problem })
}

fn kept<'a>(parameters: &Parameters, removed: &[(&'a ChannelGroup, &[usize])]) -> Result<Kept<'a>, ModelError> {
    let mut kept = Kept::new();
    for (group, channels) in removed {
        if let Some(channel) = channels.iter().find(|channel| **channel >= group.channels) {
            return problem(format!(
                "{} has no channel {channel} to remove, only {}",
                group.name(),
                group.channels
            ));
        }
        let mut stay = vec![true; group.channels];
        channels.iter().for_each(|channel| stay[*channel] = false);
        if !stay.contains(&true) {
            return problem(format!(
                "none of the {} channels of {} would be left: keep at least one",
                group.channels,
                group.name()
            ));
        }
        for member in &group.members {
            let length = parameters
                .get(&member.parameter)
                .and_then(|var| var.dims().get(member.axis));
            let Some(&length) = length.filter(|length| member.offset + group.channels * member.width <= **length)
            else {
                return problem(format!("{} is not a group of its channels", group.name()));
            };
            let along = kept
                .entry((&member.parameter, member.axis))
                .or_insert_with(|| vec![true; length]);
            for (channel, stays) in stay.iter().enumerate().filter(|(_, stays)| !**stays) {
                let first = member.offset + channel * member.width;
                along[first..first + member.width].fill(*stays);
            }
        }
    }
    Ok(kept)
}

/// The record of the smaller network: of every layer that chooses its channels how many are left.
fn channels(graph: &Graph, before: &Channels, kept: &Kept) -> Channels {
    let mut channels = before.clone();
    for node in graph.nodes() {
        let name = match &node.operation {
            Operation::ConvNorm(layer) | Operation::DoubledConvNorm(layer) if !layer.is_depthwise() => layer.names()[0],
            Operation::Conv(layer) if !layer.is_depthwise() => layer.name(),
            Operation::Linear(layer) => layer.name(),
            _ => continue,
        };
        let weight = format!("{name}.weight");
        let Some(along) = kept.get(&(weight.as_str(), 0)) else {
            continue;
        };
        let left = along.iter().filter(|stays| **stays).count();
        // A depthwise layer of a single channel looks like any other, and loses none.
        if left < along.len() {
            channels.insert(name.to_owned(), left);
        }
    }
    channels
}

/// What stays of every parameter.
fn taken(parameters: &Parameters, kept: &Kept) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let of = |name: &str, tensor: Tensor| -> Result<Tensor, ModelError> {
        (0..tensor.rank()).try_fold(tensor, |tensor, axis| {
            let Some(along) = kept.get(&(name, axis)) else {
                return Ok(tensor);
            };
            let stay: Vec<u32> = (0u32..)
                .zip(along)
                .filter(|(_, stays)| **stays)
                .map(|(at, _)| at)
                .collect();
            Ok(tensor.index_select(&Tensor::new(stay, tensor.device())?, axis)?)
        })
    };
    let all = parameters.all().into_iter();
    all.map(|(name, var)| {
        let tensor = of(&name, var.as_detached_tensor())?;
        Ok((name, tensor))
    })
    .collect()
}
