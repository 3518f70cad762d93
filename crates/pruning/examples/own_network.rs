//! Prunes somebody else's candle network and trains on: `cargo run -p htl-pruning --example own_network`.

use candle_core::{DType, Device, Tensor, Var};
use htl_pruning::{Criterion, MaskSet, PruneParams, WeightSet};

/// A network as anybody writes it: all that pruning needs of it is the list of (name, variable).
struct Perceptron {
    vars: Vec<(String, Var)>,
}

impl Perceptron {
    fn new(inputs: usize, hidden: usize) -> candle_core::Result<Self> {
        let var = |values: Vec<f32>, shape: (usize, usize)| Var::from_vec(values, shape, &Device::Cpu);
        let first = (0..inputs * hidden).map(|i| (i as f32 * 1.7).sin() * 0.5).collect();
        let second = (0..hidden).map(|i| (i as f32 * 2.3).cos() * 0.2).collect();
        let vars = vec![
            ("hidden.weight".to_string(), var(first, (hidden, inputs))?),
            ("hidden.bias".to_string(), Var::zeros(hidden, DType::F32, &Device::Cpu)?),
            ("output.weight".to_string(), var(second, (1, hidden))?),
        ];
        Ok(Self { vars })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        let [(_, weight), (_, bias), (_, output)] = &self.vars[..] else {
            unreachable!("made with three")
        };
        x.matmul(&weight.t()?)?
            .broadcast_add(bias)?
            .tanh()?
            .matmul(&output.t()?)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let network = Perceptron::new(4, 64)?;
    let x: Vec<f32> = (0..256 * 4).map(|i| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::from_vec(x, (256, 4), &Device::Cpu)?;
    let y = (x.narrow(1, 0, 1)? * x.narrow(1, 1, 1)?)?;

    let params = PruneParams::new(Criterion::GLOBAL_MAGNITUDE)
        .sparsity(0.8)
        .exclude(["output"])
        .check()?;
    let mut masks: Option<MaskSet> = None;

    for step in 0..600 {
        if step == 300 {
            masks = Some(params.masks(&WeightSet::from_vars(&network.vars))?);
        }
        let loss = (network.forward(&x)? - &y)?.sqr()?.mean_all()?;
        let gradients = loss.backward()?;
        for (_, var) in &network.vars {
            if let Some(gradient) = gradients.get(var) {
                var.set(&(var.as_tensor() - (gradient * 0.2)?)?.detach())?;
            }
        }
        if let Some(masks) = &masks {
            masks.apply(&network.vars)?;
        }
        if step % 100 == 99 {
            let sparsity = masks.as_ref().map_or(0.0, MaskSet::sparsity);
            println!(
                "step {:3}  loss {:.4}  sparsity {sparsity:.3}",
                step + 1,
                loss.to_scalar::<f32>()?
            );
        }
    }
    for layer in MaskSet::from_zeros(&WeightSet::from_vars(&network.vars))?.table() {
        println!(
            "{:14} {:?}: {} of {} weights are zero",
            layer.name, layer.shape, layer.zeros, layer.weights
        );
    }
    Ok(())
}
