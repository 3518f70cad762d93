use super::{Graph, Operation, Value};

/// What a forward pass takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Products of convolutions and linear layers, each with its sum, for one image.
    pub multiply_adds: u64,
    /// Numbers that nodes write, for one image.
    pub written: u64,
}

impl Graph {
    /// The cost of a pass over one image of `side` x `side` pixels, which is rounded up to a multiple of
    /// [`stride`](Self::stride). Interpolations, normalisations and sums count as no products.
    #[must_use]
    pub fn cost(&self, side: usize) -> Cost {
        let side = side.next_multiple_of(self.stride());
        let mut cost = Cost::default();
        for node in self.nodes() {
            let positions = match node.value.stride {
                Value::POINT => 1,
                stride => (side / stride).pow(2) as u64,
            };
            let written = positions * node.value.channels as u64;
            let products = match &node.operation {
                Operation::ConvNorm(layer) | Operation::DoubledConvNorm(layer) => layer.products(),
                Operation::Conv(layer) => layer.products(),
                Operation::Linear(layer) => layer.products(),
                _ => 0,
            };
            cost.multiply_adds += written * products;
            if !matches!(node.operation, Operation::Images) {
                cost.written += written;
            }
        }
        cost
    }
}
