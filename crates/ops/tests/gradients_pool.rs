//! Gradients of pooling and upsampling against central differences in `f64`.

mod common;

use candle_core::{Device, Tensor, Var};
use common::{check, config, distinct, scattered, values, var};
use htl_ops::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn pooling(
        batch in 1usize..3, c in 1usize..4, kernel in 1usize..4, stride in 1usize..4, pad in 0usize..2,
        extra_h in 0usize..6, extra_w in 0usize..6, seed in 1u64..1000,
    ) {
        let padding = pad.min(kernel / 2);
        let x = distinct(&[batch, c, kernel + extra_h, kernel + extra_w], seed);
        check(&[&x], |t| Ok(max_pool2d(&scattered(&t[0])?, kernel, stride, padding)?));
        check(&[&x], |t| Ok(avg_pool2d(&scattered(&t[0])?, kernel, stride, padding)?));
        check(&[&x], |t| Ok(global_avg_pool2d(&scattered(&t[0])?)?));
    }

    #[test]
    fn adaptive_pooling(
        batch in 1usize..3, c in 1usize..4, h in 1usize..9, w in 1usize..9, oh in 1usize..11, ow in 1usize..11,
        seed in 1u64..1000,
    ) {
        let x = distinct(&[batch, c, h, w], seed);
        check(&[&x], |t| Ok(adaptive_avg_pool2d(&scattered(&t[0])?, (oh, ow))?));
        check(&[&x], |t| Ok(adaptive_max_pool2d(&scattered(&t[0])?, (oh, ow))?));
    }

    /// Where bins are equal windows, adaptive pooling is pooling; one bin is the mean of the plane.
    #[test]
    fn adaptive_pooling_with_equal_bins(
        batch in 1usize..3, kernel in 1usize..4, oh in 1usize..5, ow in 1usize..5, seed in 1u64..1000,
    ) {
        let x = values(&[batch, 2, kernel * oh, kernel * ow], seed);
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (ours, plain) = (adaptive_max_pool2d(&x, (oh, ow)).unwrap(), max_pool2d(&x, kernel, kernel, 0).unwrap());
        prop_assert_eq!(numbers(&ours), numbers(&plain));
        for (ours, plain) in [
            (adaptive_avg_pool2d(&x, (oh, ow)).unwrap(), avg_pool2d(&x, kernel, kernel, 0).unwrap()),
            (adaptive_avg_pool2d(&x, (1, 1)).unwrap(), global_avg_pool2d(&x).unwrap()),
        ] {
            for (a, b) in numbers(&ours).into_iter().zip(numbers(&plain)) {
                prop_assert!((a - b).abs() < 1e-14, "{a} {b}");
            }
        }
    }

    #[test]
    fn upsampling(
        batch in 1usize..3, c in 1usize..4, h in 1usize..6, w in 1usize..6, oh in 1usize..12, ow in 1usize..12,
        seed in 1u64..1000,
    ) {
        let x = var(&[batch, c, h, w], seed);
        let skip = var(&[batch, 2, 2 * h, 2 * w], seed + 1);
        check(&[&x], |t| Ok(upsample_nearest2d(&scattered(&t[0])?, (oh, ow))?));
        check(&[&x], |t| Ok(upsample_bilinear2d(&scattered(&t[0])?, (oh, ow), Corners::HalfPixel)?));
        check(&[&x], |t| Ok(upsample_bilinear2d(&scattered(&t[0])?, (oh, ow), Corners::Aligned)?));
        check(&[&x, &skip], |t| Ok(upsample_concat(&scattered(&t[0])?, &scattered(&t[1])?)?));
    }
}

/// A gradient must add up over several consumers of one tensor, whatever the operation.
#[test]
fn several_consumers_add_up() {
    let x = distinct(&[1, 2, 4, 4], 7);
    check(&[&x], |t| {
        let a = max_pool2d(&t[0], 2, 2, 0)?;
        let b = upsample_nearest2d(&a, (4, 4))?;
        let c = upsample_concat(&a, &t[0])?.narrow(1, 0, 2)?;
        let d = upsample_bilinear2d(&a, (4, 4), Corners::HalfPixel)?;
        (b + c)? + d
    });
}

/// NaN anywhere in a window is its maximum, as in PyTorch, whichever loop is taken.
#[test]
fn nan_is_the_maximum() {
    for position in 0..4 {
        let mut data = [0.5f32, 1.0, 2.0, 3.0];
        data[position] = f32::NAN;
        let x = Tensor::from_slice(&data, (1, 1, 2, 2), &Device::Cpu).unwrap();
        for y in [
            max_pool2d(&x, 2, 2, 0).unwrap(),
            max_pool2d(&x, 2, 1, 0).unwrap(),
            adaptive_max_pool2d(&x, (1, 1)).unwrap(),
        ] {
            let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(y[0].is_nan(), "NaN at {position}: {y:?}");
        }
    }
}

/// Windows at the border that hold nothing but minus infinity give their gradient to the image, not to the padding.
#[test]
fn the_gradient_of_minus_infinity_stays_inside() {
    let x = Var::from_tensor(&Tensor::full(f64::NEG_INFINITY, (1, 2, 5, 6), &Device::Cpu).unwrap()).unwrap();
    let y = max_pool2d(&x, 3, 2, 1).unwrap();
    // The loss is linear: the gradient of every output is 1, whatever the values.
    let zeros = y.zeros_like().unwrap();
    let loss = y.ge(0.0).unwrap().where_cond(&zeros, &y).unwrap().sum_all().unwrap();
    let gradient = loss.backward().unwrap().get(&x).unwrap().sum_all().unwrap();
    assert_eq!(gradient.to_scalar::<f64>().unwrap(), y.elem_count() as f64);
}

/// NaN is the largest of its window, and the gradient goes to it.
#[test]
fn maxima_keep_nan() {
    let mut data = vec![0f32; 36];
    data[14] = f32::NAN;
    let x = Var::from_tensor(&Tensor::from_vec(data, (1, 1, 6, 6), &Device::Cpu).unwrap()).unwrap();
    let y = max_pool2d(&x, 3, 3, 0).unwrap();
    let values = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(values[0].is_nan() && values[1..] == [0.0; 3]);
    let gradient = y
        .sum_all()
        .unwrap()
        .backward()
        .unwrap()
        .get(&x)
        .unwrap()
        .flatten_all()
        .unwrap();
    assert_eq!(gradient.to_vec1::<f32>().unwrap()[14], 1.0);
}
