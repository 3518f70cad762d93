//! Facts that hold for any mask, map and table.

use htl_metrics::{
    BootstrapParams, BoundaryDistance, Confusion, ImageScores, Mask, MeanScores, PixelBox, PixelPrecision, Proposals,
    RiskCoverage, ScoreMap, Units, arm_mean, box_iou, crossed_t, optional_box_iou, otsu_threshold, paired_gain,
    resize_bilinear,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Two masks of one size, from sparse to dense.
fn two_masks() -> impl Strategy<Value = (Mask, Mask)> {
    (1usize..12, 1usize..12, 0.0..1.0f64, 0.0..1.0f64).prop_flat_map(|(h, w, a, b)| {
        let of = move |density: f64| {
            vec(prop::bool::weighted(density), h * w)
                .prop_map(move |bits| Mask::new(h, w, bits.into_iter().map(u8::from).collect()).unwrap())
        };
        (of(a), of(b))
    })
}

/// A table of seeds x images with values in [0, 1].
fn table(seeds: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<f64>>> {
    (seeds, 1usize..30).prop_flat_map(|(s, i)| vec(vec(0.0..1.0f64, i), s))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

proptest! {
    #[test]
    fn ratios_lie_in_range_and_belong_together((p, t) in two_masks()) {
        let c = Confusion::of(&p, &t).unwrap();
        let all = [c.jaccard(), c.threshold_jaccard(), c.dice(), c.accuracy(), c.sensitivity(), c.specificity()];
        prop_assert!(all.iter().all(|v| (0.0..=1.0).contains(v)), "{all:?}");
        prop_assert!(close(c.dice(), 2.0 * c.jaccard() / (1.0 + c.jaccard())));
        prop_assert!(c.threshold_jaccard() == 0.0 || c.threshold_jaccard() == c.jaccard());
        prop_assert!(c.jaccard() <= c.sensitivity());
        prop_assert_eq!(c.total() as usize, p.pixels().len());
        prop_assert_eq!((c.tp + c.fp) as usize, p.area());
    }

    #[test]
    fn prediction_and_truth_may_change_places((p, t) in two_masks()) {
        let (there, back) = (Confusion::of(&p, &t).unwrap(), Confusion::of(&t, &p).unwrap());
        prop_assert_eq!(there.jaccard(), back.jaccard());
        prop_assert_eq!(there.dice(), back.dice());
        let (d, e) = (BoundaryDistance::between(&p, &t).unwrap(), BoundaryDistance::between(&t, &p).unwrap());
        prop_assert!(close(d.mean, e.mean) && close(d.hd95, e.hd95));
        prop_assert!(d.mean >= 0.0 && d.mean <= d.diagonal && d.hd95 <= d.diagonal);
    }

    #[test]
    fn a_mask_agrees_with_itself((p, _) in two_masks()) {
        let own = ImageScores::of("a", &p, &p).unwrap();
        prop_assert_eq!((own.jaccard, own.dice, own.box_iou, own.surface_distance, own.hd95), (1.0, 1.0, 1.0, 0.0, 0.0));
    }

    #[test]
    fn box_iou_is_the_jaccard_of_filled_boxes(a in (0usize..8, 0usize..8, 1usize..8, 1usize..8), b in (0usize..8, 0usize..8, 1usize..8, 1usize..8)) {
        let of = |(top, left, h, w): (usize, usize, usize, usize)| PixelBox { top, left, bottom: top + h, right: left + w };
        let (a, b) = (of(a), of(b));
        let filled = |b| Mask::from_box(16, 16, b).unwrap();
        let jaccard = Confusion::of(&filled(a), &filled(b)).unwrap().jaccard();
        prop_assert_eq!(box_iou(a, b), jaccard);
        prop_assert_eq!(filled(a).tight_box(), Some(a));
        prop_assert_eq!(optional_box_iou(filled(b).largest_component_box(), Some(b)), 1.0);
    }

    #[test]
    fn the_largest_component_is_a_connected_part((p, _) in two_masks()) {
        let part = p.largest_component();
        prop_assert!(part.pixels().iter().zip(p.pixels()).all(|(a, b)| a <= b));
        prop_assert_eq!(part.area() > 0, p.area() > 0);
        prop_assert_eq!(part.tight_box(), p.largest_component_box());
        prop_assert_eq!(part.largest_component(), part);
    }

    #[test]
    fn means_do_not_depend_on_the_order_of_images(pairs in vec(two_masks(), 1..8)) {
        let mut rows: Vec<ImageScores> =
            pairs.iter().enumerate().map(|(i, (p, t))| ImageScores::of(i.to_string(), p, t).unwrap()).collect();
        let before = MeanScores::of(&rows).unwrap();
        rows.reverse();
        let after = MeanScores::of(&rows).unwrap();
        prop_assert!(close(before.jaccard, after.jaccard) && close(before.hd95, after.hd95));
        prop_assert_eq!(before.pooled_jaccard, after.pooled_jaccard);
    }

    #[test]
    fn resizing_keeps_constants_and_the_range(h in 1usize..9, w in 1usize..9, to in (1usize..12, 1usize..12), seed in vec(0.0..1.0f32, 64)) {
        let map = &seed[..h * w];
        prop_assert_eq!(&resize_bilinear(map, (h, w), (h, w)).unwrap()[..], map);
        let resized = resize_bilinear(map, (h, w), to).unwrap();
        let (low, high) = map.iter().fold((1.0f32, 0.0f32), |(l, u), &v| (l.min(v), u.max(v)));
        prop_assert!(resized.iter().all(|&v| v >= low - 1e-6 && v <= high + 1e-6));
        let flat = resize_bilinear(&vec![0.25; h * w], (h, w), to).unwrap();
        prop_assert!(flat.iter().all(|&v| (v - 0.25).abs() < 1e-7));
    }

    #[test]
    fn the_interval_contains_the_mean(arm in table(1..7), seed in 0u64..1000) {
        let estimate = arm_mean(&arm, Units::Images, &BootstrapParams { resamples: 1000, seed }).unwrap();
        for [low, high] in [estimate.ci95, estimate.bootstrap_ci95] {
            prop_assert!(low <= estimate.mean + 1e-12 && estimate.mean <= high + 1e-12, "{estimate:?}");
        }
    }

    #[test]
    fn the_gain_over_itself_is_nothing_and_signs_flip(arms in table(10..11), seed in 0u64..100) {
        let params = BootstrapParams { resamples: 200, seed };
        let (method, control) = arms.split_at(5);
        let none = paired_gain(method, method, Units::Images, &params).unwrap();
        prop_assert_eq!((none.mean, none.ci95, none.bootstrap_ci95, none.p), (0.0, [0.0; 2], [0.0; 2], Some(1.0)));
        let gain = |a, b| paired_gain(a, b, Units::Images, &params).unwrap();
        let (there, back) = (gain(method, control), gain(control, method));
        prop_assert!(close(there.mean, -back.mean) && close(there.ci95[0], -back.ci95[1]) && close(there.p.unwrap(), back.p.unwrap()));
    }

    /// Clusters of one image each are images, in whatever order they are numbered.
    #[test]
    fn clusters_of_one_are_images(arm in table(2..6), first in 0usize..1000) {
        let numbers: Vec<usize> = (0..arm[0].len()).map(|image| first + 3 * image).collect();
        let (images, clusters) = (crossed_t(&arm, Units::Images).unwrap(), crossed_t(&arm, Units::Clusters(&numbers)).unwrap());
        prop_assert!(close(images.mean, clusters.mean) && close(images.standard_error, clusters.standard_error));
        prop_assert!(close(images.degrees, clusters.degrees) && images.degrees >= 1.0);
    }

    #[test]
    fn precision_recall_area_is_one_only_for_perfect_order((p, t) in two_masks(), noise in vec(0.0..1.0f32, 121)) {
        prop_assume!(t.area() > 0);
        let map = ScoreMap::unit(t.height(), t.width(), noise[..t.pixels().len()].to_vec()).unwrap();
        let area = |map: &ScoreMap| {
            let mut pixels = PixelPrecision::new();
            pixels.add(map, &t).unwrap();
            pixels.px_ap().unwrap()
        };
        prop_assert!(area(&map) > 0.0 && area(&map) <= 1.0 + 1e-12);
        let own: Vec<f32> = t.pixels().iter().map(|&v| f32::from(v)).collect();
        prop_assert!(close(area(&ScoreMap::unit(t.height(), t.width(), own).unwrap()), 1.0));
        let of_p: Vec<f32> = p.pixels().iter().map(|&v| f32::from(v)).collect();
        let boxes = ScoreMap::stretched(p.height(), p.width(), &of_p).unwrap().boxes_above(0.5, Proposals::AllContours).unwrap();
        prop_assert!(boxes.iter().all(|b| b.bottom <= p.height() && b.right <= p.width() && b.area() > 0));
    }

    #[test]
    fn otsu_lies_between_the_extremes(values in vec(-2.0..3.0f32, 1..200)) {
        let threshold = otsu_threshold(&values).unwrap();
        let (low, high) = values.iter().fold((f32::MAX, f32::MIN), |(l, u), &v| (l.min(v), u.max(v)));
        prop_assert!(threshold >= f64::from(low) && threshold <= f64::from(high));
        prop_assert!(low == high || (threshold > f64::from(low) && threshold < f64::from(high)));
    }

    /// Nobody refers better than the oracle or worse than its opposite, and a score that knows nothing is worth chance.
    #[test]
    fn the_oracle_bounds_every_referral((scores, risks) in (1usize..40).prop_flat_map(|n| (vec(0u8..6, n), vec(0.0..1.0f64, n)))) {
        let scores: Vec<f64> = scores.into_iter().map(f64::from).collect();
        let curve = RiskCoverage::of(&scores, &risks).unwrap();
        let oracle = RiskCoverage::oracle(&risks).unwrap();
        let opposite: Vec<f64> = risks.iter().map(|risk| -risk).collect();
        let opposite = RiskCoverage::of(&opposite, &risks).unwrap();
        let mean = risks.iter().sum::<f64>() / risks.len() as f64;
        for ((point, best), worst) in curve.points().iter().zip(oracle.points()).zip(opposite.points()) {
            prop_assert!(best.risk <= point.risk + 1e-12 && point.risk <= worst.risk + 1e-12);
        }
        prop_assert!(curve.excess_area() >= -1e-12);
        prop_assert!(oracle.generalised_area() <= curve.generalised_area() + 1e-12);
        prop_assert!(close(RiskCoverage::random(&risks).unwrap().area(), mean));
        prop_assert!(close(curve.points().last().unwrap().risk, mean));
        let count = scores.len() / 3;
        let chances = curve.chances(count);
        prop_assert!(close(chances.iter().sum::<f64>(), count as f64));
        prop_assert!(chances.iter().all(|chance| (0.0..=1.0).contains(chance)));
    }

    /// The mean over random orders is what `random` says.
    #[test]
    fn random_referral_has_the_mean_risk(risks in vec(0.0..1.0f64, 2..6)) {
        let n = risks.len();
        let (mut sum, mut orders) = (0.0, 0);
        for order in permutations(n) {
            let scores: Vec<f64> = order.into_iter().map(|place| place as f64).collect();
            sum += RiskCoverage::of(&scores, &risks).unwrap().area();
            orders += 1;
        }
        prop_assert!(close(sum / f64::from(orders), RiskCoverage::random(&risks).unwrap().area()));
    }
}

/// All orders of the numbers under n.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(n - 1);
    let with = |order: &Vec<usize>, place: usize| {
        let mut order = order.clone();
        order.insert(place, n - 1);
        order
    };
    shorter
        .iter()
        .flat_map(|order| (0..n).map(move |place| with(order, place)))
        .collect()
}
