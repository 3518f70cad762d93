//! Every instruction set against the general `f64` convolution, and the same bits for any number of threads.
//!
//! One test function: the path is a setting of the whole process.

use candle_core::{DType, Device, Tensor, Var};
use htl_ops::*;

fn values(shape: &[usize], seed: u64) -> Tensor {
    let n: usize = shape.iter().product();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let data: Vec<f32> = (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(data, shape, &Device::Cpu).unwrap()
}

/// Output and gradients of x and weight.
fn convolve(x: &Tensor, weight: &Tensor, params: Conv2dParams) -> [Tensor; 3] {
    let (x, weight) = (Var::from_tensor(x).unwrap(), Var::from_tensor(weight).unwrap());
    let y = conv2d(&x, &weight, None, params).unwrap();
    let r = values(y.dims(), 5).to_dtype(x.dtype()).unwrap();
    let grads = (&y * r).unwrap().sum_all().unwrap().backward().unwrap();
    [
        y.detach(),
        grads.get(&x).unwrap().clone(),
        grads.get(&weight).unwrap().clone(),
    ]
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap()
        .into_iter()
        .map(f32::to_bits)
        .collect()
}

fn in_pool<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap()
        .install(run)
}

/// A small network through every operation that has a hand-written loop; loss and all gradients as bits.
fn network() -> Vec<Vec<u32>> {
    let x = values(&[3, 3, 20, 12], 1);
    let vars: Vec<Var> = [&[16, 3, 3, 3][..], &[24, 16, 3, 3], &[16, 40, 3, 3], &[1, 16, 1, 1]]
        .iter()
        .enumerate()
        .map(|(i, shape)| Var::from_tensor(&(values(shape, 10 + i as u64) * 0.3).unwrap()).unwrap())
        .collect();
    let affine = |n: usize| (Tensor::ones(n, DType::F32, &Device::Cpu).unwrap(), values(&[n], 3));
    let block = |x: &Tensor, w: &Var| {
        let (gamma, beta) = affine(w.dims()[0]);
        conv_norm_relu(x, w, &gamma, &beta, &Norm::Batch { eps: 1e-5 })
            .unwrap()
            .0
    };
    let a = block(&x, &vars[0]);
    let b = block(&max_pool2d(&a, 2, 2, 0).unwrap(), &vars[1]);
    let joined = block(&upsample_concat(&b, &a).unwrap(), &vars[2]);
    // The fused join gives the same without making it.
    let (gamma, beta) = affine(16);
    let fused = upsample_concat_conv_norm_relu(&b, &a, &vars[2], &gamma, &beta, &Norm::Batch { eps: 1e-5 })
        .unwrap()
        .0;
    let difference = (&fused - joined).unwrap().abs().unwrap().max_all().unwrap();
    assert!(difference.to_scalar::<f32>().unwrap() < 1e-5);
    let logits = conv2d(&fused, &vars[3], None, Conv2dParams::default()).unwrap();
    let target = values(&[3, 1, 20, 12], 4).abs().unwrap();
    let loss = (bce_with_logits(&logits, &target, None).unwrap() + soft_dice(&logits, &target, None).unwrap()).unwrap();
    let grads = loss.mean_all().unwrap().backward().unwrap();
    let mut all = vec![bits(&loss), bits(&logits)];
    all.extend(vars.iter().map(|v| bits(grads.get(v).unwrap())));
    all
}

/// Outputs and gradients of the operations whose loops are compiled, not written, for each instruction set.
fn families() -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    let mut record = |vars: &[&Var], y: Tensor| {
        let grads = (&y * values(y.dims(), 5))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        all.push(bits(&y));
        all.extend(vars.iter().map(|v| bits(grads.get(v).unwrap())));
    };
    let var = |shape: &[usize], seed| Var::from_tensor(&(values(shape, seed) * 3.0).unwrap()).unwrap();
    // 77 rows: more than one task; 2 100 elements: more than one chunk of a sum.
    for (shape, axes) in [(&[77, 45][..], 1), (&[11, 7, 2100], 1), (&[3, 5, 6, 7], 3)] {
        let (x, gamma) = (var(shape, 1), var(&shape[shape.len() - axes..], 2));
        let beta = var(gamma.dims(), 3);
        let y = layer_norm(&x, axes, Some(&gamma), Some(&beta), 1e-5).unwrap();
        record(&[&x, &gamma, &beta], y);
    }
    for (shape, groups) in [(&[3, 8, 20, 13][..], 4), (&[2, 6, 50, 50], 6), (&[5, 12], 3)] {
        let (x, gamma, beta) = (var(shape, 1), var(&shape[1..2], 2), var(&shape[1..2], 3));
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            let y = group_norm(&x, groups, Some(&gamma), Some(&beta), 1e-5, activation).unwrap();
            record(&[&x, &gamma, &beta], y);
        }
    }
    let x = var(&[3, 4, 23, 37], 1);
    for size in [(1, 1), (5, 9), (30, 40)] {
        record(&[&x], adaptive_avg_pool2d(&x, size).unwrap());
        record(&[&x], adaptive_max_pool2d(&x, size).unwrap());
    }
    let target = values(x.dims(), 4).abs().unwrap();
    let weights = values(x.dims(), 6).abs().unwrap();
    for weights in [None, Some(&weights)] {
        for gamma in [0.75, 2.0] {
            let params = TverskyParams {
                gamma,
                ..TverskyParams::default()
            };
            record(&[&x], tversky(&x, &target, weights, params).unwrap());
            let alpha = Some(0.25);
            record(
                &[&x],
                focal_with_logits(&x, &target, weights, FocalParams { alpha, gamma }).unwrap(),
            );
        }
    }
    all
}

/// Transposed convolution with every kind of geometry: output and gradients.
fn transposed() -> Vec<Vec<u32>> {
    let mut all = Vec::new();
    for (stride, padding, output_padding, dilation, groups) in [(2, 0, 0, 1, 1), (1, 1, 0, 1, 1), (3, 1, 2, 2, 2)] {
        let (x, weight) = (
            Var::from_tensor(&values(&[3, 8, 9, 16], 1)).unwrap(),
            Var::from_tensor(&values(&[8, 4, 3, 3], 2)).unwrap(),
        );
        let params = ConvTranspose2dParams {
            stride,
            padding,
            output_padding,
            dilation,
            groups,
        };
        let y = conv_transpose2d(&x, &weight, None, params).unwrap();
        let grads = (&y * values(y.dims(), 5))
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        all.extend([
            bits(&y),
            bits(grads.get(&x).unwrap()),
            bits(grads.get(&weight).unwrap()),
        ]);
    }
    all
}

#[test]
fn every_path_is_right_and_independent_of_threads() {
    // batch, in, out, height, width, kernel, padding, stride, groups
    let shapes = [
        [2, 3, 5, 7, 9, 3, 1, 1, 1],
        [3, 4, 16, 16, 16, 3, 1, 1, 1],
        [2, 9, 8, 16, 32, 3, 1, 1, 1],
        [5, 9, 32, 7, 9, 3, 1, 1, 1],
        [2, 21, 48, 6, 6, 3, 1, 1, 1],
        [1, 8, 16, 1, 1, 3, 1, 1, 1],
        [17, 8, 16, 4, 4, 3, 1, 1, 1],
        [2, 5, 3, 6, 5, 1, 0, 1, 1],
        [2, 16, 1, 16, 16, 1, 0, 1, 1],
        [2, 2, 3, 9, 20, 5, 2, 1, 1],
        [2, 2, 19, 9, 20, 7, 3, 1, 1],
        [2, 8, 16, 9, 20, 3, 0, 1, 1],
        [2, 8, 16, 9, 20, 3, 2, 1, 1],
        [1, 17, 4, 12, 48, 3, 1, 1, 1],
        [1, 2, 2, 70, 64, 3, 1, 1, 1],
        [2, 24, 24, 16, 16, 1, 0, 1, 1],
        [3, 10, 40, 4, 4, 1, 0, 1, 1],
        [8, 33, 13, 5, 7, 1, 0, 1, 1],
        [12, 10, 24, 12, 12, 1, 0, 1, 1],
        [3, 11, 20, 4, 12, 1, 0, 1, 1],
        [8, 32, 16, 4, 4, 3, 1, 1, 1],
        [6, 24, 9, 6, 6, 3, 1, 1, 1],
        [4, 40, 8, 8, 8, 3, 1, 1, 1],
        [16, 24, 24, 3, 3, 3, 1, 1, 1],
        [2, 8, 24, 9, 11, 3, 1, 1, 1],
        [41, 1024, 8, 6, 6, 3, 1, 1, 1],
        [2, 5, 5, 40, 40, 3, 1, 1, 5],
        [2, 6, 12, 9, 13, 3, 1, 2, 6],
        [1, 7, 7, 12, 70, 5, 2, 1, 7],
        [2, 4, 4, 4, 4, 3, 1, 1, 4],
        [2, 3, 8, 18, 20, 7, 3, 2, 1],
        [1, 8, 16, 20, 20, 3, 1, 2, 2],
        [3, 40, 72, 6, 6, 3, 1, 2, 1],
        [5, 40, 24, 4, 6, 1, 0, 2, 1],
        [5, 3, 16, 22, 32, 7, 3, 2, 1],
        [2, 9, 13, 11, 10, 4, 3, 3, 1],
        [2, 6, 4, 8, 8, 3, 1, 1, 2],
    ];
    let paths = CpuPath::available();
    assert!(paths.contains(&CpuPath::Plain));
    let mut same_on_every_path = None;
    for path in paths {
        path.force().unwrap();
        assert_eq!(CpuPath::active(), path);
        for shape in shapes {
            let [batch, cin, cout, h, w, k, padding, stride, groups] = shape;
            let (x, weight) = (values(&[batch, cin, h, w], 1), values(&[cout, cin / groups, k, k], 2));
            let params = Conv2dParams {
                padding,
                stride,
                groups,
                ..Conv2dParams::default()
            };
            let ours = in_pool(1, || convolve(&x, &weight, params));
            let exact = convolve(
                &x.to_dtype(DType::F64).unwrap(),
                &weight.to_dtype(DType::F64).unwrap(),
                params,
            );
            // Errors of long sums grow with the root of their length.
            let terms = (cin / groups * k * k).max(cout / groups * k * k).max(batch * h * w);
            let rounding = (terms as f64 / 1000.0).sqrt().max(1.0);
            for (what, (ours, exact)) in ["y", "dx", "dw"].iter().zip(ours.iter().zip(&exact)) {
                let error = (ours.to_dtype(DType::F64).unwrap() - exact).unwrap().abs().unwrap();
                let error = error.flatten_all().unwrap().max(0).unwrap().to_scalar::<f64>().unwrap();
                let scale = exact
                    .abs()
                    .unwrap()
                    .flatten_all()
                    .unwrap()
                    .max(0)
                    .unwrap()
                    .to_scalar::<f64>()
                    .unwrap();
                assert!(
                    error < 2e-6 * rounding * scale.max(1.0),
                    "{path:?} {shape:?} {what}: {error:e} at scale {scale}"
                );
            }
            for threads in [2, 3] {
                let again = in_pool(threads, || convolve(&x, &weight, params));
                for (what, (a, b)) in ["y", "dx", "dw"].iter().zip(ours.iter().zip(&again)) {
                    assert!(
                        bits(a) == bits(b),
                        "{path:?} {shape:?} {what} differs with {threads} threads"
                    );
                }
            }
        }
        let one = in_pool(1, network);
        assert!(one == in_pool(2, network) && one == in_pool(5, network), "{path:?}");
        let one = in_pool(1, transposed);
        assert!(
            one == in_pool(2, transposed) && one == in_pool(5, transposed),
            "{path:?}"
        );
        let one = in_pool(1, families);
        for threads in [2, 5] {
            let again = in_pool(threads, families);
            let differs = one.iter().zip(&again).position(|(a, b)| a != b);
            assert!(differs.is_none(), "{path:?}: entry {differs:?} with {threads} threads");
        }
        let first = same_on_every_path.get_or_insert_with(|| one.clone());
        let differs = first.iter().zip(&one).position(|(a, b)| a != b);
        assert!(
            differs.is_none(),
            "{path:?}: entry {differs:?} is not that of the plain path"
        );
    }
}
