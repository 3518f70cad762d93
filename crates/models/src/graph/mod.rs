//! A network as data: what is computed from what. Forward passes, costs, exports and the dependencies of channels are read
//! from the same graph, so that an encoder, decoder or head says once what it is.

mod builder;
mod channels;
mod cost;
mod operation;
mod run;

pub use builder::{Bias, GraphBuilder};
pub use channels::{ChannelGroup, ChannelMember};
pub use cost::Cost;
pub use operation::Operation;
pub(crate) use run::Pass;

/// The result of a node: maps whose height and width are those of the images divided by `stride`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    node: usize,
    /// How many channels the maps have.
    pub channels: usize,
    /// By how much they are smaller than the images; [`Value::POINT`] for one number per channel.
    pub stride: usize,
}

impl Value {
    /// The stride of what has one number for each channel of an image.
    pub const POINT: usize = usize::MAX;

    /// Where its node stands in [`Graph::nodes`].
    #[must_use]
    pub fn node(self) -> usize {
        self.node
    }
}

/// A step of a network.
#[derive(Debug)]
pub struct Node {
    /// What is done.
    pub operation: Operation,
    /// To what, as positions of earlier nodes.
    pub inputs: Vec<usize>,
    /// What comes out.
    pub value: Value,
}

/// What heads end in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// One logit for each pixel.
    pub pixels: Option<Value>,
    /// One logit for each class.
    pub classes: Option<Value>,
}

/// The nodes of a network, each after those it needs.
#[derive(Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    deepest: Value,
    ends: Ends,
    stride: usize,
}

impl Graph {
    /// Every node, each after those it needs; the first is the images.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The encoder's last maps.
    #[must_use]
    pub fn deepest(&self) -> Value {
        self.deepest
    }

    /// What the head ends in.
    #[must_use]
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// The largest stride: images are padded to a multiple of it.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The layers that see the images, by what their parameters' names begin with.
    #[must_use]
    pub fn first_layers(&self) -> Vec<&str> {
        let sees = |node: &&Node| self.behind(&node.inputs).contains(&0);
        self.nodes
            .iter()
            .filter(sees)
            .filter_map(|node| node.operation.layer())
            .collect()
    }

    /// The layers that make the logits, by what their parameters' names begin with.
    #[must_use]
    pub fn last_layers(&self) -> Vec<&str> {
        let ends = [self.ends.pixels, self.ends.classes].into_iter().flatten();
        let ends: Vec<usize> = ends.map(Value::node).collect();
        let last = self.behind(&ends).into_iter();
        last.filter_map(|at| self.nodes[at].operation.layer()).collect()
    }

    /// The nearest layers that values come from, the images among them.
    fn behind(&self, values: &[usize]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut open = values.to_vec();
        while let Some(at) = open.pop() {
            match self.nodes[at].operation.layer() {
                None if at != 0 => open.extend(&self.nodes[at].inputs),
                _ => found.push(at),
            }
        }
        found
    }
}
