/// Holm's step-down adjustment: p values of which those at most α may be rejected with a family-wise error of at most α,
/// whatever their dependence (Holm, Scandinavian Journal of Statistics 1979). In the order given; NaN stays NaN and is
/// not counted in the family.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&at| !p[at].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![f64::NAN; p.len()];
    let mut largest = 0.0f64;
    for (rank, &at) in order.iter().enumerate() {
        largest = largest.max(p[at] * (order.len() - rank) as f64).min(1.0);
        adjusted[at] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_down_and_never_back() {
        assert_eq!(holm(&[0.04, 0.01, 0.03]), [0.06, 0.03, 0.06]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        let found = holm(&[f64::NAN, 0.25]);
        assert!(found[0].is_nan() && found[1] == 0.25);
    }
}
