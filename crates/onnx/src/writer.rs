use std::collections::BTreeSet;

use crate::proto::{AttributeProto, AttributeType, DataType, NodeProto, TensorProto};

/// Nodes and constants of a graph that is being written. A node has one result, which bears the node's name.
#[derive(Default)]
pub(crate) struct Writer {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    known: BTreeSet<String>,
}

impl Writer {
    /// Adds a node, and returns the name of its result. An input without a name is one that is left out.
    pub fn node(&mut self, name: &str, operator: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes,
        });
        name.to_owned()
    }

    /// Adds a tensor of numbers, and returns its name. The same name again stands for the same numbers.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, DataType::Float, raw)
    }

    /// Adds a vector of whole numbers, and returns its name. The same name again stands for the same numbers.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, &[values.len()], DataType::Int64, raw)
    }

    fn constant(&mut self, name: &str, dims: &[usize], kind: DataType, raw_data: Vec<u8>) -> String {
        if self.known.insert(name.to_owned()) {
            self.constants.push(TensorProto {
                dims: dims.iter().map(|dim| *dim as i64).collect(),
                data_type: kind.into(),
                name: name.to_owned(),
                raw_data,
            });
        }
        name.to_owned()
    }

    /// The nodes, each after those it needs, and the constants.
    pub fn finish(self) -> (Vec<NodeProto>, Vec<TensorProto>) {
        (self.nodes, self.constants)
    }
}

/// An attribute that is one whole number.
pub(crate) fn integer(name: &str, value: usize) -> AttributeProto {
    AttributeProto {
        i: Some(value as i64),
        ..attribute(name, AttributeType::Int)
    }
}

/// An attribute that is several whole numbers.
pub(crate) fn integers(name: &str, values: &[usize]) -> AttributeProto {
    AttributeProto {
        ints: values.iter().map(|value| *value as i64).collect(),
        ..attribute(name, AttributeType::Ints)
    }
}

/// An attribute that is a number.
pub(crate) fn float(name: &str, value: f64) -> AttributeProto {
    AttributeProto {
        f: Some(value as f32),
        ..attribute(name, AttributeType::Float)
    }
}

/// An attribute that is a word.
pub(crate) fn word(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(value.as_bytes().to_vec()),
        ..attribute(name, AttributeType::String)
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind.into(),
        ..AttributeProto::default()
    }
}
