//! Branch-free elementary functions and sums that the compiler can vectorise.

use crate::cpu::vectorised;

const LANES: usize = 32;
/// Elements summed in the lanes' own precision before the total goes to `f64`.
const CHUNK: usize = 2048;

vectorised! {
    /// Sum, in an order fixed by the length.
    pub(crate) fn plane_sum<T: Real>(data: &[T]) -> f64 {
        let mut total = 0f64;
        for chunk in data.chunks(CHUNK) {
            let mut lanes = [T::default(); LANES];
            let mut blocks = chunk.chunks_exact(LANES);
            for block in &mut blocks {
                for (lane, &v) in lanes.iter_mut().zip(block) {
                    *lane += v;
                }
            }
            for (lane, &v) in lanes.iter_mut().zip(blocks.remainder()) {
                *lane += v;
            }
            total += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
        }
        total
    }
}

/// `e^x` for `f32`: at most 2 units in the last place from the exact value for |x| < 87; 0 below −87.3, capped above 88.3.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 split so that n * LN2_HI is exact (Cephes).
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.3 { -87.3 } else { x };
    let clamped = if clamped > 88.3 { 88.3 } else { clamped };
    // Rounding to nearest by adding 1.5 * 2^23.
    const MAGIC: f32 = 12_582_912.0;
    let shifted = clamped * LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = clamped - n * LN2_HI;
    let r = r - n * LN2_LO;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_6e-1;
    let p = p * r + 0.5;
    let y = p * r * r + r + 1.0;
    let bits = (shifted.to_bits() << 23).wrapping_add(127 << 23);
    let scaled = y * f32::from_bits(bits);
    if x < -87.3 { 0.0 } else { scaled }
}

/// `ln(1 + x)` for `x` in [0, 1]: relative error below 3e-7.
#[inline(always)]
pub(crate) fn ln_1p_unit(x: f32) -> f32 {
    // 2 artanh(x / (2 + x)); the argument is at most 1/3.
    let s = x / (2.0 + x);
    let q = s * s;
    let p = 1.0 / 13.0;
    let p = p * q + 1.0 / 11.0;
    let p = p * q + 1.0 / 9.0;
    let p = p * q + 1.0 / 7.0;
    let p = p * q + 1.0 / 5.0;
    let p = p * q + 1.0 / 3.0;
    let p = p * q + 1.0;
    2.0 * s * p
}

/// `ln x` for positive `x` that is not subnormal: error below 2e-7 relative to the larger of 1 and the result.
#[inline(always)]
pub(crate) fn ln_normal(x: f32) -> f32 {
    // x = 2^n m with m in [sqrt 1/2, sqrt 2).
    const HALF_ROOT: u32 = 0x3F35_04F3;
    let shifted = x.to_bits().wrapping_sub(HALF_ROOT);
    let n = (shifted as i32) >> 23;
    let m = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(HALF_ROOT));
    // ln m = 2 artanh s; s is below 0.172.
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let p = 1.0 / 9.0;
    let p = p * q + 1.0 / 7.0;
    let p = p * q + 1.0 / 5.0;
    let p = p * q + 1.0 / 3.0;
    let p = p * q + 1.0;
    2.0 * s * p + n as f32 * std::f32::consts::LN_2
}

#[cfg(test)]
mod tests {
    #[test]
    fn logarithm_of_normal_numbers() {
        let mut worst = 0f64;
        let mut near_one = 0f64;
        for bits in (f32::MIN_POSITIVE.to_bits()..f32::MAX.to_bits()).step_by(997) {
            let x = f32::from_bits(bits);
            let exact = f64::from(x).ln();
            let error = (f64::from(super::ln_normal(x)) - exact).abs();
            worst = worst.max(error / exact.abs().max(1.0));
            if (0.75..1.4).contains(&x) && x != 1.0 {
                near_one = near_one.max(error / exact.abs());
            }
        }
        assert!(worst < 2e-7, "relative error {worst:e}");
        assert!(near_one < 4e-7, "relative error {near_one:e} near 1");
        assert_eq!(super::ln_normal(1.0), 0.0);
    }

    #[test]
    fn logarithm_is_close_everywhere() {
        for i in 1..=1_000_000 {
            let x = i as f32 * 1e-6;
            let exact = f64::from(x).ln_1p();
            let error = (f64::from(super::ln_1p_unit(x)) / exact - 1.0).abs();
            assert!(error < 3e-7, "relative error {error:e} at {x}");
        }
        assert_eq!(super::ln_1p_unit(0.0), 0.0);
    }

    #[test]
    fn exponential_is_close_everywhere() {
        let mut worst = 0f64;
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(super::exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2.4e-7, "relative error {worst:e}");
        assert_eq!(super::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(super::exp(0.0), 1.0);
        assert!(super::exp(f32::NAN).is_nan() || super::exp(f32::NAN) > 0.0);
    }
}
