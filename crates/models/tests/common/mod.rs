//! Values that both sides of a comparison compute by themselves, from the names of tensors (`golden/networks.py`).

use candle_core::{Device, Tensor, Var};

const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;

fn fnv1a(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Numbers in [0, 1) that look random.
fn spread(name: &str, count: usize) -> Vec<f64> {
    let phase = (fnv1a(name) % 10007) as f64 / 10007.0;
    (0..count).map(|at| (at as f64 * GOLDEN_RATIO + phase) % 1.0).collect()
}

/// The tensor of a name.
pub fn filled(name: &str, shape: &[usize]) -> Tensor {
    let value = |x: f64| match name {
        _ if shape.len() > 1 => (2.0 * x - 1.0) * (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt(),
        _ if name.ends_with("running_var") || name.ends_with("weight") => 0.5 + x,
        _ => 0.6 * (x - 0.5),
    };
    let values: Vec<f64> = spread(name, shape.iter().product()).into_iter().map(value).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Images in [-1, 1).
pub fn images(shape: [usize; 4]) -> Var {
    let values: Vec<f64> = spread("images", shape.iter().product())
        .into_iter()
        .map(|x| 2.0 * x - 1.0)
        .collect();
    Var::from_vec(values, &shape, &Device::Cpu).unwrap()
}

/// The numbers of a tensor of f64.
pub fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
