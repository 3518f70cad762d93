//! The demographic analysis against scipy, statsmodels, firthmodels, Fairlearn, and R's multtest, brglm2 and clubSandwich, on the
//! same numbers (golden/analysis.py, golden/analysis.R).

use std::collections::{BTreeMap, HashMap};

use htl_metrics::{ImageScores, Mask, PerImage, PerImageRow};
use htl_mining::{
    AGE_BANDS, Attribute, Cohort, Demographics, Performance, Permutations, ScoreRow, ScoreTable, Subject, TwoByTwo,
    demographics, detectable, mantel_haenszel, power, regressions, stratified_p, westfall_young,
};
use htl_vocabulary::Estimate;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    exact: Vec<Exact>,
    powers: Vec<Power>,
    strata: Vec<Strata>,
    images: Images,
    tests: Vec<AttributeGolden>,
    regression: Regression,
    r: R,
    trends: Vec<Trend>,
    minp: MinP,
    groups: Groups,
}

#[derive(Deserialize)]
struct Groups {
    sex: Vec<String>,
    age: Vec<String>,
    jaccard: Vec<f64>,
    frames: BTreeMap<String, Frame>,
}

#[derive(Deserialize)]
struct Frame {
    by: BTreeMap<String, f64>,
    difference: f64,
    ratio: f64,
}

#[derive(Deserialize)]
struct Exact {
    table: [u64; 4],
    conditional: [Option<f64>; 3],
    mid: [Option<f64>; 2],
    mid_p: f64,
    difference: [f64; 3],
}

#[derive(Deserialize)]
struct Power {
    n: [u64; 2],
    rate: f64,
    difference: f64,
    power_of_tenth: f64,
}

#[derive(Deserialize)]
struct Strata {
    tables: Vec<[u64; 4]>,
    odds_ratio: [f64; 3],
    p: f64,
}

#[derive(Deserialize)]
struct Images {
    lesion: Vec<usize>,
    fold: Vec<u32>,
    sex: Vec<String>,
    age: Vec<String>,
    dx: Vec<String>,
    area: Vec<f64>,
    contrast: Vec<f64>,
    ita: Vec<f64>,
    border: Vec<f64>,
    score: Vec<f64>,
    hard: Vec<u8>,
    separated: Vec<u8>,
}

#[derive(Deserialize)]
struct AttributeGolden {
    attribute: String,
    n: usize,
    chi_square: [f64; 2],
    kruskal: [f64; 2],
    jonckheere: Option<[f64; 2]>,
}

#[derive(Deserialize)]
struct Regression {
    names: Vec<String>,
    coefficients: Vec<f64>,
    ratio: BTreeMap<String, [f64; 2]>,
    alone: BTreeMap<String, f64>,
    ranks: Vec<f64>,
    f: BTreeMap<String, [f64; 2]>,
    firth: Vec<f64>,
    firth_p: Vec<Option<f64>>,
    firth_intervals: Vec<[Option<f64>; 2]>,
}

#[derive(Deserialize)]
struct R {
    minp_raw: Vec<f64>,
    maxt_adjusted: Vec<f64>,
    minp_adjusted: Vec<f64>,
    firth_plain: Vec<f64>,
    firth_separated: Vec<f64>,
    clustered_errors: Vec<f64>,
    clustered_rank_errors: Vec<f64>,
    wald: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Trend {
    n: Vec<usize>,
    hits: Vec<usize>,
    chi_square: [f64; 2],
}

#[derive(Deserialize)]
struct MinP {
    x: Vec<Vec<f64>>,
    label: Vec<usize>,
}

fn golden() -> Golden {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/analysis.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let scale = expected.abs().max(1e-3);
    assert!(
        (found - expected).abs() <= tolerance * scale,
        "{what}: found {found}, expected {expected}"
    );
}

fn two_by_two(counts: [u64; 4]) -> TwoByTwo {
    let [hits, misses, other_hits, other_misses] = counts;
    TwoByTwo {
        hits,
        misses,
        other_hits,
        other_misses,
    }
}

fn estimate(found: Estimate, expected: [f64; 3], tolerance: f64, what: &str) {
    for (found, expected) in [found.value, found.lo, found.hi].into_iter().zip(expected) {
        close(found, expected, tolerance, what);
    }
}

#[test]
fn exact_odds_ratios_and_differences_match_scipy_and_statsmodels() {
    for case in golden().exact {
        let (table, what) = (two_by_two(case.table), format!("{:?}", case.table));
        let exact = table.odds_ratio_exact().unwrap();
        let infinite = |end: Option<f64>| end.unwrap_or(f64::INFINITY);
        for (found, expected) in [exact.value, exact.lo, exact.hi]
            .into_iter()
            .zip(case.conditional.map(infinite))
        {
            assert!(
                found == expected || (found - expected).abs() < 1e-6 * expected,
                "{what}: {found}, {expected}"
            );
        }
        for (found, expected) in table.odds_ratio_mid().unwrap().into_iter().zip(case.mid.map(infinite)) {
            assert!(
                found == expected || (found - expected).abs() < 1e-7 * expected,
                "{what}: {found}, {expected}"
            );
        }
        close(table.mid_p(), case.mid_p, 1e-9, &format!("mid-p of {what}"));
        estimate(
            table.risk_difference().unwrap(),
            case.difference,
            1e-9,
            &format!("difference of {what}"),
        );
        let [lo, hi] = table.odds_ratio_mid().unwrap();
        assert!(
            lo >= exact.lo && hi <= exact.hi,
            "the mid-p interval of {what} is inside the exact one"
        );
    }
}

#[test]
fn smallest_differences_match_statsmodels() {
    for case in golden().powers {
        let found = detectable(case.n[0], case.n[1], case.rate).unwrap();
        close(found.risk_difference, case.difference, 1e-8, &format!("{:?}", case.n));
        let [n1, n2] = case.n.map(|n| n as f64);
        close(
            power(case.rate + 0.1, n1, case.rate, n2),
            case.power_of_tenth,
            1e-9,
            "power",
        );
    }
    assert_eq!(detectable(2, 400, 0.9), None, "two images cannot show anything");
    assert_eq!(detectable(50, 50, 1.0), None);
}

#[test]
fn stratified_odds_ratios_match_statsmodels() {
    for case in golden().strata {
        let tables: Vec<TwoByTwo> = case.tables.iter().map(|counts| two_by_two(*counts)).collect();
        estimate(
            mantel_haenszel(&tables).unwrap(),
            case.odds_ratio,
            1e-10,
            "Mantel-Haenszel",
        );
        close(stratified_p(&tables).unwrap(), case.p, 1e-9, "p over strata");
    }
    assert_eq!(stratified_p(&[two_by_two([3, 0, 4, 0])]), None);
    assert!(mantel_haenszel(&[two_by_two([3, 0, 4, 0])]).is_none());
}

/// All permutations of a small sample: the same p as Bioconductor's, raw and adjusted.
#[test]
fn step_down_adjustments_match_multtest() {
    let golden = golden();
    let members = |label: usize| golden.minp.label.iter().filter(move |l| **l == label).count();
    let n = golden.minp.label.len();
    let welch = |x: &[f64], second: u32| {
        let side = |wanted: u32| -> Vec<f64> { (0..n).filter(|i| second >> i & 1 == wanted).map(|i| x[i]).collect() };
        let moments = |x: &[f64]| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            (
                mean,
                x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() as f64 - 1.0) / x.len() as f64,
            )
        };
        let ((a, va), (b, vb)) = (moments(&side(0)), moments(&side(1)));
        ((a - b) / (va + vb).sqrt()).abs()
    };
    let observed: u32 = golden
        .minp
        .label
        .iter()
        .enumerate()
        .map(|(i, &l)| (l as u32) << i)
        .sum();
    let others = (0..1_u32 << n).filter(|set| set.count_ones() as usize == members(1) && *set != observed);
    let statistics: Vec<Vec<f64>> = std::iter::once(observed)
        .chain(others)
        .map(|set| golden.minp.x.iter().map(|row| welch(row, set)).collect())
        .collect();
    assert_eq!(statistics.len(), 126);
    // max-T takes the statistics, min-p the p of each permutation among all.
    let share = |test: usize, value: f64| {
        let as_large = |row: &&Vec<f64>| row[test] >= value - 1e-9;
        statistics.iter().filter(as_large).count() as f64 / statistics.len() as f64
    };
    let minus_log = |row: &Vec<f64>| {
        row.iter()
            .enumerate()
            .map(|(test, &value)| -share(test, value).ln())
            .collect()
    };
    let logs: Vec<Vec<f64>> = statistics.iter().map(minus_log).collect();
    for (evidence, adjusted) in [(&statistics, &golden.r.maxt_adjusted), (&logs, &golden.r.minp_adjusted)] {
        let found = westfall_young(evidence);
        for (test, found) in found.iter().enumerate() {
            close(found.p, golden.r.minp_raw[test], 1e-9, "raw p");
            close(found.adjusted, adjusted[test], 1e-9, "adjusted p");
        }
        assert!(
            found.iter().any(|p| p.adjusted > p.p),
            "the fixture needs an adjustment that does something"
        );
    }
    assert_ne!(golden.r.maxt_adjusted, golden.r.minp_adjusted);
}

/// The images of the golden file as a cohort, with what is hard there.
fn cohort(images: &Images, hard: &[u8]) -> (Cohort, Vec<Attribute>, Vec<Subject>) {
    let id = |i: usize| format!("image-{i:03}");
    let mut table = ScoreTable::new(["disagreement"]);
    let mut lesions = HashMap::new();
    for (i, hard) in hard.iter().enumerate() {
        lesions.insert(id(i), images.lesion[i].to_string());
        let row = ScoreRow {
            image_id: id(i),
            setting: String::new(),
            fold: Some(images.fold[i]),
            scores: vec![Some(images.score[i])],
            htl: *hard == 1,
        };
        table.push(row).unwrap();
    }
    let cohort = Cohort::selected(&table, "disagreement", &[lesions]).unwrap();
    let column = |texts: &[String]| -> Vec<(String, Option<String>)> {
        texts
            .iter()
            .enumerate()
            .map(|(i, text)| (id(i), Some(text.clone())))
            .collect()
    };
    let attributes = vec![
        Attribute::ordered("age", &AGE_BANDS, column(&images.age)).unwrap(),
        Attribute::categorical("sex", column(&images.sex)).unwrap(),
        Attribute::categorical("dx", column(&images.dx)).unwrap(),
    ];
    let subject = |i: usize| Subject {
        measured: BTreeMap::from([
            ("area_fraction".to_owned(), images.area[i]),
            ("delta_e".to_owned(), images.contrast[i]),
            ("ita_degrees".to_owned(), images.ita[i]),
            ("touches_border".to_owned(), images.border[i]),
        ]),
        ..Subject::default()
    };
    (cohort, attributes, (0..images.score.len()).map(subject).collect())
}

fn few() -> Permutations {
    Permutations { count: 199, seed: 1 }
}

#[test]
fn tests_of_attributes_match_scipy() {
    let golden = golden();
    let (cohort, attributes, _) = cohort(&golden.images, &golden.images.hard);
    let Demographics { tests, .. } = demographics(&cohort, &attributes, &few());
    let find = |attribute: &str, test: &str| {
        let found = tests.iter().find(|row| row.attribute == attribute && row.test == test);
        found.unwrap_or_else(|| panic!("{attribute} {test}"))
    };
    for expected in &golden.tests {
        let chi = find(&expected.attribute, "chi-square");
        assert_eq!(chi.n, expected.n);
        close(chi.statistic, expected.chi_square[0], 1e-9, "chi-square");
        close(chi.p, expected.chi_square[1], 1e-9, "p of chi-square");
        let h = find(&expected.attribute, "kruskal-wallis");
        close(h.statistic, expected.kruskal[0], 1e-9, "H");
        close(h.p, expected.kruskal[1], 1e-9, "p of H");
        if let Some([tau, p]) = expected.jonckheere {
            let trend = find(&expected.attribute, "jonckheere");
            close(trend.p, p, 1e-9, "p of Jonckheere");
            assert_eq!(trend.statistic > 0.0, tau > 0.0);
        }
    }
    assert!(
        !tests
            .iter()
            .any(|row| row.attribute == "dx" && row.test == "jonckheere"),
        "names have no trend"
    );
    // Permutation and asymptotics are near each other where images hardly depend on each other.
    for row in &tests {
        assert!((row.p - row.p_permutation).abs() < 0.12, "{row:?}");
        assert!(row.p_adjusted >= row.p_permutation);
    }
}

#[test]
fn trends_match_r() {
    for (number, case) in golden().trends.iter().enumerate() {
        let mut table = ScoreTable::new(["score"]);
        let mut levels = Vec::new();
        for (level, (&n, &hits)) in case.n.iter().zip(&case.hits).enumerate() {
            for i in 0..n {
                let row = ScoreRow {
                    image_id: format!("{level}-{i}"),
                    setting: String::new(),
                    fold: None,
                    scores: vec![Some(i as f64)],
                    htl: i < hits,
                };
                levels.push((row.image_id.clone(), Some(level.to_string())));
                table.push(row).unwrap();
            }
        }
        let cohort = Cohort::selected(&table, "score", &[]).unwrap();
        let attribute = Attribute::ordered("level", &["0", "1", "2", "3", "4"], levels).unwrap();
        let tests = demographics(&cohort, &[attribute], &few()).tests;
        let found = tests.iter().find(|row| row.test == "cochran-armitage").unwrap();
        close(
            found.statistic.powi(2),
            case.chi_square[0],
            1e-9,
            &format!("trend {number}"),
        );
        close(found.p, case.chi_square[1], 1e-9, &format!("p of trend {number}"));
    }
}

#[test]
fn regressions_match_statsmodels_and_clubsandwich() {
    let golden = golden();
    let (cohort, attributes, subjects) = cohort(&golden.images, &golden.images.hard);
    let expected = &golden.regression;
    let found = regressions(
        &cohort,
        &attributes.iter().collect::<Vec<_>>(),
        &subjects.iter().collect::<Vec<_>>(),
    );
    assert_eq!((found.incomplete, found.parameters), (0, expected.names.len()));
    for (model, coefficients, errors) in [
        ("logistic", &expected.coefficients, &golden.r.clustered_errors),
        ("ranks", &expected.ranks, &golden.r.clustered_rank_errors),
    ] {
        let rows: Vec<_> = found.coefficients.iter().filter(|row| row.model == model).collect();
        assert_eq!(rows.len(), expected.names.len());
        for ((row, name), i) in rows.iter().zip(&expected.names).zip(1..) {
            let own = if row.reference.is_empty() {
                row.attribute.clone()
            } else {
                format!("{}={}", row.attribute, row.level)
            };
            assert_eq!(&own, name);
            close(row.coefficient.unwrap(), coefficients[i], 1e-6, name);
            close(
                row.standard_error.unwrap(),
                errors[i],
                1e-5,
                &format!("error of {name}"),
            );
            if model == "logistic" {
                assert_eq!(row.method, "maximum-likelihood");
            }
        }
        for row in found.tests.iter().filter(|row| row.model == model) {
            let [statistic, p] = if model == "logistic" {
                expected.ratio[&row.attribute]
            } else {
                expected.f[&row.attribute]
            };
            close(
                row.statistic.unwrap(),
                statistic,
                1e-6,
                &format!("{model} {}", row.attribute),
            );
            close(row.p.unwrap(), p, 1e-6, &format!("p of {model} {}", row.attribute));
            if model == "logistic" {
                close(row.wald.unwrap(), golden.r.wald[&row.attribute], 1e-5, "Wald");
                assert!((0.0..=1.0).contains(&row.p_wald.unwrap()));
            }
            match expected.alone.get(&row.attribute) {
                Some(&p) if model == "logistic" => close(row.p_alone.unwrap(), p, 1e-6, "p alone"),
                Some(_) => assert!(row.p_alone.is_some()),
                None => assert_eq!((row.attribute.as_str(), row.p_adjusted), ("fold", None)),
            }
        }
    }
}

/// A level without a hard image: the plain likelihood has no maximum, Firth's has.
#[test]
fn firth_matches_firthmodels_and_brglm2() {
    let golden = golden();
    let (separated, attributes, subjects) = cohort(&golden.images, &golden.images.separated);
    let expected = &golden.regression;
    let attributes: Vec<&Attribute> = attributes.iter().collect();
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let found = regressions(&separated, &attributes, &subjects);
    let rows: Vec<_> = found
        .coefficients
        .iter()
        .filter(|row| row.model == "logistic")
        .collect();
    let mut compared = 0;
    for (i, row) in rows.iter().enumerate() {
        let what = &expected.names[i];
        assert_eq!(row.method, "firth");
        close(row.coefficient.unwrap(), expected.firth[i + 1], 1e-5, what);
        close(row.coefficient.unwrap(), golden.r.firth_separated[i + 1], 1e-5, what);
        if let Some(p) = expected.firth_p[i] {
            close(row.p_profile.unwrap(), p, 1e-5, &format!("p of {what}"));
            compared += 1;
        }
        for (found, expected) in [row.profile_lo, row.profile_hi]
            .into_iter()
            .zip(expected.firth_intervals[i])
        {
            close(found.unwrap(), expected.unwrap(), 1e-5, &format!("interval of {what}"));
        }
    }
    assert_eq!((rows.len(), compared), (expected.names.len(), expected.names.len()));
    let dx = found
        .tests
        .iter()
        .find(|row| row.attribute == "dx" && row.model == "logistic")
        .unwrap();
    assert!(dx.p.unwrap() < 1e-4 && dx.statistic.unwrap().is_finite());
    assert_ne!(golden.r.firth_plain, golden.r.firth_separated);
}

/// A table of `per_image.csv` in which images have these Jaccards.
fn judged(jaccard: &[f64], shift: f64) -> PerImage {
    let row = |(i, &value): (usize, &f64)| {
        let mut scores = ImageScores::of(format!("i{i:03}"), &dot(), &dot()).unwrap();
        scores.jaccard = (value + shift).clamp(0.0, 1.0);
        PerImageRow {
            scores,
            calibration: None,
            lesion_id: None,
            patient_id: None,
            groups: Vec::new(),
        }
    };
    PerImage {
        group_columns: Vec::new(),
        rows: jaccard.iter().enumerate().map(row).collect(),
    }
}

fn dot() -> Mask {
    Mask::new(1, 2, vec![1, 0]).unwrap()
}

#[test]
fn quality_by_group_matches_fairlearn() {
    let groups = golden().groups;
    let level = |levels: &[String]| -> Vec<(String, Option<String>)> {
        levels
            .iter()
            .enumerate()
            .map(|(i, level)| (format!("i{i:03}"), Some(level.clone())))
            .collect()
    };
    let sex = Attribute::categorical("sex", level(&groups.sex)).unwrap();
    let age = Attribute::ordered("age", &["<30", "30-59", "60+"], level(&groups.age)).unwrap();
    let attributes = [sex.clone(), age.clone(), sex.cross(&age)];
    let arms = [("baseline".to_owned(), vec![judged(&groups.jaccard, 0.0)])];
    let performance = Performance::new(&arms, &[]).unwrap();
    let rows = performance.by_group(&attributes);
    let disparities = performance.disparities(&attributes).unwrap();
    assert_eq!(groups.frames.len(), 6);
    for (name, frame) in &groups.frames {
        let (metric, attribute) = name.split_once('|').unwrap();
        let of = |row: &&htl_vocabulary::PerformanceRow| row.metric == metric && row.attribute == attribute;
        let found: Vec<_> = rows.iter().filter(of).collect();
        assert_eq!(found.len(), frame.by.len(), "{name}");
        for row in found {
            close(
                row.value.unwrap(),
                frame.by[&row.level],
                1e-9,
                &format!("{name} {}", row.level),
            );
            assert!(row.lo.unwrap() <= row.value.unwrap() && row.value.unwrap() <= row.hi.unwrap());
            assert_eq!((row.p, row.reading.as_str()), (None, "descriptive"));
        }
        let apart = disparities
            .iter()
            .find(|row| row.metric == metric && row.attribute == attribute)
            .unwrap();
        close(apart.difference, frame.difference, 1e-9, name);
        close(apart.ratio.unwrap(), frame.ratio, 1e-9, name);
    }
}

/// An arm that gains five points on one group only: the gain is seen there, and the gap closes by as much.
#[test]
fn gains_and_closing_gaps_are_found() {
    let groups = golden().groups;
    let level = |levels: &[String]| -> Vec<(String, Option<String>)> {
        levels
            .iter()
            .enumerate()
            .map(|(i, level)| (format!("i{i:03}"), Some(level.clone())))
            .collect()
    };
    let sex = Attribute::categorical("sex", level(&groups.sex)).unwrap();
    let noise = |seed: usize, i: usize| ((seed * 7919 + i * 104_729) % 1000) as f64 / 1e5 - 0.005;
    let seeds = |gain: f64| -> Vec<PerImage> {
        let of_seed = |seed: usize| {
            let value = |i: usize| {
                let gains = if groups.sex[i] == "female" { gain } else { 0.0 };
                (0.8 * groups.jaccard[i] + gains + noise(seed + usize::from(gain > 0.0) * 31, i)).clamp(0.0, 1.0)
            };
            judged(&(0..groups.sex.len()).map(value).collect::<Vec<_>>(), 0.0)
        };
        (0..5).map(of_seed).collect()
    };
    let arms = [("baseline".to_owned(), seeds(0.0)), ("htl".to_owned(), seeds(0.05))];
    let performance = Performance::new(&arms, &[]).unwrap();
    let rows = performance.by_group(&[sex]);
    let find = |arm: &str, against: &str, level: &str| {
        let of = |row: &&htl_vocabulary::PerformanceRow| {
            (
                row.arm.as_str(),
                row.against.as_str(),
                row.level.as_str(),
                row.metric.as_str(),
            ) == (arm, against, level, "jaccard")
        };
        rows.iter().find(of).unwrap()
    };
    let gained = find("htl", "baseline", "female");
    assert!((gained.value.unwrap() - 0.05).abs() < 2e-3 && gained.lo.unwrap() > 0.04);
    assert!((gained.gap.unwrap() - 0.05).abs() < 2e-3 && gained.p_adjusted.unwrap() < 1e-3);
    assert!(find("htl", "baseline", "male").value.unwrap().abs() < 2e-3);
    let gap = |arm: &str| find(arm, "", "female").gap.unwrap();
    assert!(
        (gap("htl") - gap("baseline") - gained.gap.unwrap()).abs() < 1e-9,
        "the change of the gap is the gap of the changes"
    );
    // Tables that do not belong together.
    let other = [
        ("a".to_owned(), seeds(0.0)),
        ("b".to_owned(), seeds(0.05)[..3].to_vec()),
    ];
    assert!(
        Performance::new(&other, &[])
            .unwrap_err()
            .to_string()
            .contains("seed by seed")
    );
    let fewer = [("a".to_owned(), vec![judged(&[0.5, 0.6], 0.0), judged(&[0.5], 0.0)])];
    assert!(Performance::new(&fewer, &[]).unwrap_err().to_string().contains("i001"));
}
