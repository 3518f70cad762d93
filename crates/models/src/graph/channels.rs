//! Which channels of a network go together: what is removed from one layer has to be removed from all that are tied to it
//! by sums, gates, depthwise layers and group normalisation, and from the inputs of all that see it.

use std::collections::BTreeMap;

use super::{Graph, Operation};
use crate::layers::{ConvShape, GroupNorm};

/// Channels that can be removed one by one, each from all members at once, after DepGraph (Fang et al. 2023).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelGroup {
    /// How many there are. One of them at least has to stay.
    pub channels: usize,
    /// Where they are in the network's parameters; the first is where they are made.
    pub members: Vec<ChannelMember>,
}

/// A place where the channels of a group are in a parameter or buffer.
///
/// Channel `c` has the positions from `offset + c * width` on along the axis, `width` of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMember {
    /// The parameter's or buffer's name.
    pub parameter: String,
    /// 0 where the channels are outputs, or what is normalised; 1 where they are inputs.
    pub axis: usize,
    /// Position of the first channel.
    pub offset: usize,
    /// Positions of a channel: more than one where channels are normalised together, and only go together.
    pub width: usize,
}

impl ChannelGroup {
    /// A name for people: the layer that makes its first channels.
    #[must_use]
    pub fn name(&self) -> &str {
        let parameter = self.members.first().map_or("", |member| member.parameter.as_str());
        parameter.strip_suffix(".weight").unwrap_or(parameter)
    }
}

impl Graph {
    /// All groups of channels that can be removed, in the order in which they are made: every channel but those of the images
    /// and the logits, and those of convolutions in several groups that are not depthwise.
    #[must_use]
    pub fn channel_groups(&self) -> Vec<ChannelGroup> {
        let mut lanes = Lanes::default();
        let mut axes = Axes::default();
        let mut values: Vec<Vec<usize>> = Vec::with_capacity(self.nodes().len());
        for node in self.nodes() {
            let of = |input: usize| node.inputs.get(input).map_or(Vec::new(), |at| values[*at].clone());
            let all = || node.inputs.iter().flat_map(|at| values[*at].iter().copied()).collect();
            let value = match &node.operation {
                Operation::Images => lanes.kept(node.value.channels),
                Operation::ConvNorm(layer) | Operation::DoubledConvNorm(layer) => {
                    let [conv, norm] = layer.names();
                    let value = convolve(&mut lanes, &mut axes, conv, all(), node.value.channels, layer.shape());
                    for parameter in ["weight", "bias", "running_mean", "running_var"] {
                        axes.push(norm, parameter, 0, &value);
                    }
                    value
                }
                Operation::Conv(layer) => {
                    let name = layer.name();
                    let value = convolve(&mut lanes, &mut axes, name, all(), node.value.channels, layer.shape());
                    if layer.bias().is_some() {
                        axes.push(name, "bias", 0, &value);
                    }
                    value
                }
                Operation::Linear(layer) => {
                    let value = lanes.made(node.value.channels);
                    axes.push(layer.name(), "weight", 0, &value);
                    axes.push(layer.name(), "weight", 1, &all());
                    axes.push(layer.name(), "bias", 0, &value);
                    value
                }
                Operation::GroupNorm(layer) => normalise(&mut lanes, &mut axes, layer, of(0)),
                Operation::Add(_) | Operation::Gate => {
                    let value = of(0);
                    value.iter().zip(of(1)).for_each(|(a, b)| lanes.tie(*a, b));
                    value
                }
                Operation::Concat => all(),
                Operation::MaxPool { .. }
                | Operation::Nearest { .. }
                | Operation::Bilinear { .. }
                | Operation::Mean
                | Operation::Spread => of(0),
            };
            values.push(value);
        }
        for end in [self.ends().pixels, self.ends().classes].into_iter().flatten() {
            values[end.node()].iter().for_each(|lane| lanes.keep(*lane));
        }
        axes.groups(&mut lanes)
    }
}

/// The channels behind a convolution.
fn convolve(
    lanes: &mut Lanes,
    axes: &mut Axes,
    name: &str,
    inputs: Vec<usize>,
    outputs: usize,
    shape: &ConvShape,
) -> Vec<usize> {
    if shape.is_depthwise([inputs.len(), outputs]) {
        axes.push(name, "weight", 0, &inputs);
        return inputs;
    }
    if shape.groups > 1 {
        inputs.iter().for_each(|lane| lanes.keep(*lane));
        return lanes.kept(outputs);
    }
    let value = lanes.made(outputs);
    axes.push(name, "weight", 0, &value);
    axes.push(name, "weight", 1, &inputs);
    value
}

/// Channels that are normalised together depend on each other.
fn normalise(lanes: &mut Lanes, axes: &mut Axes, layer: &GroupNorm, value: Vec<usize>) -> Vec<usize> {
    for together in value.chunks((value.len() / layer.groups()).max(1)) {
        together.windows(2).for_each(|pair| lanes.tie(pair[0], pair[1]));
    }
    for parameter in ["weight", "bias"] {
        axes.push(layer.name(), parameter, 0, &value);
    }
    value
}

/// Every channel that a layer makes, and which go together.
#[derive(Default)]
struct Lanes {
    /// The way to the one that stands for all that go together.
    towards: Vec<usize>,
    /// Whether these stay; of those that stand for others.
    stay: Vec<bool>,
}

impl Lanes {
    fn made(&mut self, count: usize) -> Vec<usize> {
        let first = self.towards.len();
        self.towards.extend(first..first + count);
        self.stay.resize(first + count, false);
        (first..first + count).collect()
    }

    fn kept(&mut self, count: usize) -> Vec<usize> {
        let lanes = self.made(count);
        lanes.iter().for_each(|lane| self.keep(*lane));
        lanes
    }

    fn keep(&mut self, lane: usize) {
        let root = self.root(lane);
        self.stay[root] = true;
    }

    fn root(&mut self, mut lane: usize) -> usize {
        while self.towards[lane] != lane {
            self.towards[lane] = self.towards[self.towards[lane]];
            lane = self.towards[lane];
        }
        lane
    }

    fn tie(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.towards[b] = a;
        self.stay[a] |= self.stay[b];
    }
}

/// Which lanes are along an axis of which parameter.
#[derive(Default)]
struct Axes(Vec<(String, usize, Vec<usize>)>);

/// Positions of what goes together: which of the axes, the first position, how many.
type Run = (usize, usize, usize);

impl Axes {
    fn push(&mut self, layer: &str, parameter: &str, axis: usize, lanes: &[usize]) {
        self.0.push((format!("{layer}.{parameter}"), axis, lanes.to_vec()));
    }

    fn groups(&self, lanes: &mut Lanes) -> Vec<ChannelGroup> {
        // What goes together, in the order of the first positions.
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        let mut units: Vec<Vec<Run>> = Vec::new();
        for (at, (_, _, along)) in self.0.iter().enumerate() {
            for (position, lane) in along.iter().enumerate() {
                let root = lanes.root(*lane);
                if lanes.stay[root] {
                    continue;
                }
                let place = *places.entry(root).or_insert(units.len());
                if place == units.len() {
                    units.push(Vec::new());
                }
                match units[place].last_mut() {
                    Some((last, first, length)) if *last == at && *first + *length == position => *length += 1,
                    _ => units[place].push((at, position, 1)),
                }
            }
        }
        let mut groups: Vec<(Vec<Run>, usize)> = Vec::new();
        for unit in units {
            match groups.last_mut() {
                Some((first, count)) if follows(first, *count, &unit) => *count += 1,
                _ => groups.push((unit, 1)),
            }
        }
        groups
            .into_iter()
            .map(|(runs, channels)| ChannelGroup {
                channels,
                members: runs.into_iter().map(|run| self.member(run)).collect(),
            })
            .collect()
    }

    fn member(&self, (at, offset, width): Run) -> ChannelMember {
        let (parameter, axis, _) = &self.0[at];
        ChannelMember {
            parameter: parameter.clone(),
            axis: *axis,
            offset,
            width,
        }
    }
}

/// Whether a unit is behind `count` others, of which this is the first, wherever they are.
fn follows(first: &[Run], count: usize, unit: &[Run]) -> bool {
    let behind = |((at, start, length), (other, position, width)): (&Run, &Run)| {
        (at, length) == (other, width) && start + count * length == *position
    };
    first.len() == unit.len() && first.iter().zip(unit).all(behind)
}
