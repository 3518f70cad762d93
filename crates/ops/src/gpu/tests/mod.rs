//! The device's operations, on the CPU, against the CPU's own.

mod augment;
mod launches;
mod operations;
mod optimisers;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};

use super::block::Block;
use super::conv::{Convolution, add_bias, backward_bias};
use super::emulated::{engine, everywhere as on};
use super::engine::Engine;
use super::map::{Map, to_channels_last, turn};
use super::norm::Affine;
use super::shape::Shape;
use super::{join, pool};
use crate::conv::Geometry;
use crate::norm::{Activation, Norm};
use crate::pool::{Kind, Window};
use crate::{Conv2dParams, Precision};

/// Deterministic values in [-1, 1], different for every seed.
fn values(dims: &[usize], seed: u64) -> Tensor {
    let count: usize = dims.iter().product();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let numbers: Vec<f32> = (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(numbers, dims, &Device::Cpu).unwrap()
}

fn dims4(x: &Tensor) -> [usize; 4] {
    let (a, b, c, d) = x.dims4().unwrap();
    [a, b, c, d]
}

/// What bfloat16 keeps of a tensor.
fn rounded(x: &Tensor, precision: Precision) -> Tensor {
    match precision {
        Precision::Bf16 => x.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap(),
        _ => x.clone(),
    }
}

fn tolerance(precision: Precision) -> f32 {
    if precision == Precision::Bf16 { 2e-2 } else { 2e-5 }
}

/// Largest difference, over the largest value.
fn difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let most = |t: &Tensor| {
        t.abs()
            .unwrap()
            .flatten_all()
            .unwrap()
            .max(0)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    most(&(a - b).unwrap()) / most(b).max(1e-3)
}

#[track_caller]
fn assert_close(found: &Tensor, expected: &Tensor, precision: Precision, what: &str) {
    let difference = difference(found, expected);
    assert!(
        difference < tolerance(precision),
        "{what} in {precision}: off by {difference}"
    );
}

struct Case {
    engine: Arc<dyn Engine>,
    precision: Precision,
}

impl Case {
    fn map(&self, x: &Tensor) -> Map {
        Map::of(x, self.engine.clone(), self.precision, dims4(x)).unwrap()
    }

    /// A gradient as it comes from behind: channels last, in the maps' type.
    fn gradient(&self, map: &Map, grad: &Tensor) -> Tensor {
        to_channels_last(&*self.engine, grad, map.dtype(), turn(dims4(grad))).unwrap()
    }

    /// A gradient of `map` as a tensor.
    fn tensor(&self, map: &Map, gradient: Tensor) -> Tensor {
        map.beside(map.dims, gradient).to_tensor().unwrap()
    }
}

/// Both precisions, if there is a compiler.
fn each(run: impl Fn(&Case)) {
    let Some(engine) = engine() else { return };
    for precision in [Precision::F32, Precision::Bf16] {
        run(&Case {
            engine: engine.clone(),
            precision,
        });
    }
}

#[test]
fn layouts_come_back() {
    each(|case| {
        for dims in [[2, 3, 4, 5], [1, 16, 3, 3], [3, 1, 7, 2]] {
            let x = rounded(&values(&dims, 1), case.precision);
            assert_eq!(difference(&case.map(&x).to_tensor().unwrap(), &x), 0.0);
        }
    });
}

#[test]
fn max_pooling_as_on_the_cpu() {
    each(|case| {
        for (dims, kernel, stride, padding) in [
            ([2, 8, 6, 6], 2, 2, 0),
            ([1, 3, 7, 5], 3, 2, 1),
            ([2, 16, 5, 5], 3, 1, 1),
        ] {
            // Few different values: ties.
            let x = (values(&dims, 2) * 2.0).unwrap().round().unwrap();
            let x = Var::from_tensor(&x).unwrap();
            let y = crate::max_pool2d(&x, kernel, stride, padding).unwrap();
            let grad = rounded(&values(y.dims(), 3), case.precision);
            let dx = (&y * &grad).unwrap().sum_all().unwrap().backward().unwrap();
            let dx = dx.get(&x).unwrap().clone();
            let window = Window::new("test", dims, kernel, stride, padding).unwrap();
            let map = case.map(&x);
            let pooled = pool::pool(Kind::Max, &map, &window).unwrap();
            assert_eq!(difference(&pooled.to_tensor().unwrap(), &y), 0.0);
            let found = pool::pool_backward(Kind::Max, &map, &window, &case.gradient(&pooled, &grad)).unwrap();
            assert_close(&case.tensor(&map, found), &dx, case.precision, "gradient");
        }
    });
}

#[test]
fn a_nan_wins_its_windows() {
    each(|case| {
        let mut numbers = vec![1f32; 16];
        numbers[5] = f32::NAN;
        let x = Tensor::from_vec(numbers, (1, 1, 4, 4), &Device::Cpu).unwrap();
        let window = Window::new("test", [1, 1, 4, 4], 2, 2, 0).unwrap();
        let y = pool::pool(Kind::Max, &case.map(&x), &window)
            .unwrap()
            .to_tensor()
            .unwrap();
        let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(y[0].is_nan() && y[1..] == [1.0; 3]);
    });
}

#[test]
fn joins_as_on_the_cpu() {
    each(|case| {
        for (a, b, h, w) in [(8, 16, 3, 2), (3, 5, 2, 4), (8, 3, 1, 1)] {
            let low = Var::from_tensor(&rounded(&values(&[2, a, h, w], 4), case.precision)).unwrap();
            let skip = Var::from_tensor(&rounded(&values(&[2, b, 2 * h, 2 * w], 5), case.precision)).unwrap();
            let y = crate::upsample_concat(&low, &skip).unwrap();
            let grad = rounded(&values(y.dims(), 6), case.precision);
            let gradients = (&y * &grad).unwrap().sum_all().unwrap().backward().unwrap();
            let (l, s) = (case.map(&low), case.map(&skip));
            let joined = join::join(&l, Some(&s)).unwrap();
            assert_eq!(difference(&joined.to_tensor().unwrap(), &y), 0.0);
            let dy = case.gradient(&joined, &grad);
            let dlow = case.tensor(&l, join::backward_low(&l, Some(&s), &dy).unwrap());
            assert_close(&dlow, gradients.get(&low).unwrap(), case.precision, "low");
            let dskip = case.tensor(&s, join::backward_skip(&l, &s, &dy).unwrap());
            assert_eq!(difference(&dskip, gradients.get(&skip).unwrap()), 0.0);
        }
    });
}

const CONVOLUTIONS: [([usize; 4], [usize; 4], Conv2dParams); 6] = [
    ([2, 3, 6, 5], [8, 3, 3, 3], plain(1, 1, 1, 1)),
    ([1, 16, 5, 5], [8, 16, 1, 1], plain(1, 0, 1, 1)),
    ([2, 4, 7, 8], [6, 2, 3, 2], plain(2, 1, 1, 2)),
    ([1, 2, 9, 9], [3, 2, 3, 3], plain(2, 2, 2, 1)),
    ([2, 16, 6, 6], [16, 1, 3, 3], plain(2, 1, 1, 16)),
    ([1, 5, 7, 4], [5, 1, 3, 3], plain(1, 2, 2, 5)),
];

const fn plain(stride: usize, padding: usize, dilation: usize, groups: usize) -> Conv2dParams {
    Conv2dParams {
        stride,
        padding,
        dilation,
        groups,
    }
}

#[test]
fn convolutions_as_on_the_cpu() {
    each(|case| {
        for (xd, wd, params) in CONVOLUTIONS {
            let x = Var::from_tensor(&rounded(&values(&xd, 7), case.precision)).unwrap();
            let weight = Var::from_tensor(&rounded(&values(&wd, 8), case.precision)).unwrap();
            let bias = Var::from_tensor(&values(&[wd[0]], 9)).unwrap();
            let y = crate::conv2d(&x, &weight, Some(&bias), params).unwrap();
            let grad = rounded(&values(y.dims(), 10), case.precision);
            let gradients = (&y * &grad).unwrap().sum_all().unwrap().backward().unwrap();

            let shape = Shape::of(&Geometry::new("test", xd, wd, params).unwrap()).unwrap();
            let map = case.map(&x);
            let convolution = Convolution::new(&map, &weight, shape).unwrap();
            let result = map.beside(dims4(&y), convolution.forward(&map).unwrap());
            add_bias(&result, &bias).unwrap();
            assert_close(&result.to_tensor().unwrap(), &y, case.precision, "result");
            let dy = case.gradient(&result, &grad);
            let dx = case.tensor(&map, convolution.backward_input(&map, &dy).unwrap());
            assert_close(&dx, gradients.get(&x).unwrap(), case.precision, "input");
            let dw = convolution.backward_weight(&map, &dy, &weight).unwrap();
            assert_close(&dw, gradients.get(&weight).unwrap(), case.precision, "weight");
            let db = backward_bias(&result, &dy).unwrap();
            assert_close(&db, gradients.get(&bias).unwrap(), case.precision, "bias");
        }
    });
}

#[test]
fn blocks_as_on_the_cpu() {
    each(|case| {
        for (at, (xd, wd, params)) in CONVOLUTIONS.into_iter().enumerate() {
            let channels = wd[0];
            let x = Var::from_tensor(&rounded(&values(&xd, 11), case.precision)).unwrap();
            let weight = Var::from_tensor(&rounded(&values(&wd, 12), case.precision)).unwrap();
            let gamma = Var::from_tensor(&(values(&[channels], 13) + 1.5).unwrap()).unwrap();
            let beta = Var::from_tensor(&values(&[channels], 14)).unwrap();
            let norm = if at % 2 == 0 {
                Norm::Batch { eps: 1e-5 }
            } else {
                let (mean, var) = (
                    values(&[channels], 15),
                    (values(&[channels], 16).abs().unwrap() + 0.5).unwrap(),
                );
                Norm::Running { mean, var, eps: 1e-3 }
            };
            let activation = [Activation::Relu, Activation::Relu6, Activation::None][at % 3];
            let (z, statistics) = crate::conv_norm(&x, &weight, &gamma, &beta, &norm, params, activation).unwrap();
            let grad = rounded(&values(z.dims(), 17), case.precision);
            let gradients = (&z * &grad).unwrap().sum_all().unwrap().backward().unwrap();

            let shape = Shape::of(&Geometry::new("test", xd, wd, params).unwrap()).unwrap();
            let map = case.map(&x);
            let affine = Affine {
                gamma: &gamma,
                beta: &beta,
                norm: &norm,
                activation,
            };
            let (block, out, found) = Block::forward(&map, &weight, shape, &affine).unwrap();
            assert_close(&out.to_tensor().unwrap(), &z, case.precision, "result");
            assert_eq!(statistics.is_some(), found.is_some());
            if let (Some(expected), Some(found)) = (statistics, found) {
                assert_close(&found.mean, &expected.mean, case.precision, "mean");
                assert_close(&found.var, &expected.var, case.precision, "variance");
            }
            let dy = case.gradient(&out, &grad);
            let g = block.backward(&map, &weight, &dy, [true, true]).unwrap();
            // A pre-activation rounded across a kink passes its gradient or not: compare means in bfloat16.
            let near = |found: &Tensor, expected: &Tensor, what: &str| match case.precision {
                Precision::Bf16 => {
                    let mean = |t: &Tensor| t.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
                    let off = mean(&(found - expected).unwrap()) / mean(expected).max(1e-3);
                    assert!(off < 0.1, "{what} of case {at} in bf16: off by {off}");
                }
                _ => assert!(
                    difference(found, expected) < 2e-4,
                    "{what} of case {at}: off by {}",
                    difference(found, expected)
                ),
            };
            near(
                &case.tensor(&map, g.input.unwrap()),
                gradients.get(&x).unwrap(),
                "input",
            );
            near(&g.weight.unwrap(), gradients.get(&weight).unwrap(), "weight");
            near(&g.gamma, gradients.get(&gamma).unwrap(), "gamma");
            near(&g.beta, gradients.get(&beta).unwrap(), "beta");
        }
    });
}

/// A small U-Net's parts: entry, blocks, pooling, joining, a residual sum, the last convolution.
fn small_network(x: &crate::Features, w: &[Var]) -> Tensor {
    let norm = Norm::Batch { eps: 1e-5 };
    let same = Conv2dParams::same(3);
    let block = |x: &crate::Features, at: usize| {
        let (y, _) = x
            .conv_norm(&w[at], &w[at + 1], &w[at + 2], &norm, same, Activation::Relu)
            .unwrap();
        y
    };
    let top = block(x, 0);
    let deep = block(&top.max_pool(2, 2, 0).unwrap(), 3);
    let deep = deep.add(&block(&deep, 6)).unwrap();
    let (joined, _) = deep
        .upsample_concat_conv_norm_relu(Some(&top), &w[9], &w[10], &w[11], &norm)
        .unwrap();
    joined
        .conv(&w[12], Some(&w[13]), Conv2dParams::default())
        .unwrap()
        .into_tensor()
        .unwrap()
}

#[test]
fn a_network_as_on_the_cpu() {
    each(|case| {
        let var = |dims: &[usize], seed| Var::from_tensor(&values(dims, seed)).unwrap();
        let mut w = Vec::new();
        for (at, dims) in [[8, 3, 3, 3], [16, 8, 3, 3], [16, 16, 3, 3], [8, 24, 3, 3]]
            .iter()
            .enumerate()
        {
            let seed = 20 + 3 * at as u64;
            w.push(var(dims, seed));
            w.push(Var::from_tensor(&(values(&dims[..1], seed + 1) + 1.5).unwrap()).unwrap());
            w.push(var(&dims[..1], seed + 2));
        }
        w.push(var(&[1, 8, 1, 1], 40));
        w.push(var(&[1], 41));
        let x = var(&[2, 3, 8, 8], 42);
        let target = values(&[2, 1, 8, 8], 43);
        let run = |features: crate::Features| {
            let logits = small_network(&features, &w);
            let gradients = (&logits * &target).unwrap().sum_all().unwrap().backward().unwrap();
            (logits, gradients)
        };
        let (expected, expected_gradients) = run(crate::Features::of(&x).unwrap());
        let engine = case.engine.clone();
        let entered = on(&engine, || crate::Features::with_precision(&x, case.precision));
        let (found, gradients) = run(entered.unwrap());
        let near = |a: &Tensor, b: &Tensor, what: &str| {
            let mean = |t: &Tensor| t.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            let off = mean(&(a - b).unwrap()) / mean(b).max(1e-3);
            // Eight bits of fraction, rounded at every map of four blocks, forward and backward.
            let most = if case.precision == Precision::Bf16 { 0.2 } else { 1e-4 };
            assert!(off < most, "{what} in {}: off by {off}", case.precision);
        };
        near(&found, &expected, "logits");
        near(gradients.get(&x).unwrap(), expected_gradients.get(&x).unwrap(), "x");
        for (at, w) in w.iter().enumerate() {
            near(
                gradients.get(w).unwrap(),
                expected_gradients.get(w).unwrap(),
                &format!("parameter {at}"),
            );
        }
    });
}

/// An activation behind a residual sum, and a map doubled without a skip connection.
#[test]
fn sums_within_bounds_and_doubled_maps_as_on_the_cpu() {
    each(|case| {
        for (channels, activation) in [(8, Activation::Relu), (5, Activation::Relu6), (16, Activation::None)] {
            let var = |dims: &[usize], seed| Var::from_tensor(&values(dims, seed)).unwrap();
            let vars = [
                var(&[2, channels, 6, 4], 50),
                var(&[2, channels, 6, 4], 51),
                var(&[8, channels, 3, 3], 52),
                var(&[8], 53),
                var(&[8], 54),
            ];
            let run = |enter: &dyn Fn(&Tensor) -> crate::Features| {
                let (a, b) = (enter(&vars[0]), enter(&vars[1]));
                let sum = a.add_activated(&b, activation).unwrap();
                let norm = Norm::Batch { eps: 1e-5 };
                let (y, _) = sum
                    .add(&a)
                    .unwrap()
                    .upsample_concat_conv_norm_relu(None, &vars[2], &vars[3], &vars[4], &norm)
                    .unwrap();
                let y = y.into_tensor().unwrap();
                let gradients = (&y * values(y.dims(), 9))
                    .unwrap()
                    .sum_all()
                    .unwrap()
                    .backward()
                    .unwrap();
                let mut all = vec![y];
                all.extend(vars.iter().map(|var| gradients.get(var).unwrap().clone()));
                all
            };
            let expected = run(&|x| crate::Features::of(x).unwrap());
            let found = run(&|x| on(&case.engine, || crate::Features::with_precision(x, case.precision)).unwrap());
            let mean = |t: &Tensor| t.sqr().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
            let most = if case.precision == Precision::Bf16 { 0.1 } else { 1e-5 };
            for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let off = mean(&(found - expected).unwrap()) / mean(expected).max(1e-3);
                assert!(
                    off < most,
                    "{activation:?}, {channels} channels, result {at} in {}: off by {off}",
                    case.precision
                );
            }
        }
    });
}
