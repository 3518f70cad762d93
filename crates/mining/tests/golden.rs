//! Against scipy, statsmodels and numpy; `golden/make.py` made the values and says with which versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use htl_metrics::Mask;
use htl_mining::{
    Adjustment, Comparison, Encoding, Estimate, Population, SCORE_COLUMNS, ScoreParams, TwoByTwo, scores, spearman,
    split_statistics, wilson,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Statistics {
    contingency: Vec<Contingency>,
    adjustments: Vec<Adjusted>,
    correlations: Vec<Ranked>,
}

#[derive(Deserialize)]
struct Contingency {
    table: [u64; 4],
    fisher: f64,
    odds_ratio: [f64; 3],
    rate_ratio: [f64; 3],
    wilson: [f64; 3],
}

#[derive(Deserialize)]
struct Adjusted {
    p: Vec<f64>,
    holm: Vec<f64>,
    fdr_bh: Vec<f64>,
}

#[derive(Deserialize)]
struct Ranked {
    x: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
    p: f64,
}

#[derive(Deserialize)]
struct Scores {
    populations: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    ids: Vec<String>,
    truth: BTreeMap<String, Vec<u8>>,
    scores: Vec<BTreeMap<String, Option<f64>>>,
    w: Vec<f64>,
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&std::fs::read_to_string(golden(name)).unwrap()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: f64, what: &str) {
    let error = (found - expected).abs() / expected.abs().max(1e-12);
    assert!(error < 1e-9, "{what}: found {found}, expected {expected}");
}

#[track_caller]
fn interval(found: Option<Estimate>, [value, lo, hi]: [f64; 3], what: &str) {
    let found = found.unwrap();
    close(found.value, value, what);
    close(found.lo, lo, what);
    close(found.hi, hi, what);
}

#[test]
fn tables_match_scipy_and_statsmodels() {
    let cases = read::<Statistics>("statistics.json").contingency;
    assert!(cases.len() > 40);
    for case in cases {
        let [hits, misses, other_hits, other_misses] = case.table;
        let table = TwoByTwo {
            hits,
            misses,
            other_hits,
            other_misses,
        };
        let what = format!("{:?}", case.table);
        close(table.fisher(), case.fisher, &format!("Fisher {what}"));
        interval(table.odds_ratio(), case.odds_ratio, &format!("odds ratio {what}"));
        interval(table.rate_ratio(), case.rate_ratio, &format!("rate ratio {what}"));
        interval(wilson(hits, hits + misses), case.wilson, &format!("Wilson {what}"));
    }
}

#[test]
fn adjusted_p_match_statsmodels() {
    for case in read::<Statistics>("statistics.json").adjustments {
        for (method, expected) in [
            (Adjustment::Holm, &case.holm),
            (Adjustment::BenjaminiHochberg, &case.fdr_bh),
        ] {
            for (found, expected) in method.adjust(&case.p).iter().zip(expected) {
                close(*found, *expected, &format!("{method:?} {:?}", case.p));
            }
        }
    }
}

#[test]
fn rank_correlations_match_scipy() {
    for case in read::<Statistics>("statistics.json").correlations {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect::<Vec<_>>();
        let found = spearman(&some(&case.x), &some(&case.y)).unwrap().unwrap();
        assert_eq!(found.n, case.x.len());
        close(found.rho, case.rho, "rho");
        close(found.p.unwrap(), case.p, "p of rho");
    }
}

/// The scores that numpy computed too, and W, from population files that Python wrote, with the images in another order in
/// each.
#[test]
fn scores_match_numpy() {
    for (seeds, expected) in read::<Scores>("scores.json").populations {
        let load = |kind: &str| Population::load(golden(&format!("{kind}{seeds}.safetensors"))).unwrap();
        let (dense, sparse, sham) = (load("dense"), load("sparse"), load("sham"));
        assert_ne!(dense.ids(), sparse.ids(), "the test wants different orders");
        let truth = |id: &str| {
            let mask = expected
                .truth
                .get(id)
                .map(|pixels| Mask::new(12, 10, pixels.clone()).unwrap());
            Ok(mask)
        };
        let comparison = Comparison::new(&dense, &sparse).with_sham(&sham).with_truth(&truth);
        let params = ScoreParams::default().check().unwrap();
        let table = scores(&comparison, &params).unwrap();
        assert_eq!(table.columns(), SCORE_COLUMNS);
        assert_eq!(table.ids(), expected.ids);
        for (id, row) in expected.ids.iter().zip(&expected.scores) {
            assert!(row.len() >= 17, "{} columns of {id}", row.len());
            for (column, expected) in row {
                match (table.score(id, column), *expected) {
                    (Some(found), Some(expected)) => {
                        assert!(
                            (found - expected).abs() < 1e-6,
                            "{id} {column}: found {found}, expected {expected}"
                        );
                    }
                    (found, expected) => assert_eq!(found, expected, "{id} {column}"),
                }
            }
        }
        assert!(
            table.column("suspect_label").unwrap().contains(&Some(1.0)),
            "the fixture has a suspect label"
        );
        assert!(
            table.column("both_empty").unwrap().contains(&Some(1.0)),
            "the fixture has an empty image"
        );
        for (found, expected) in split_statistics(&comparison, &params).unwrap().iter().zip(&expected.w) {
            assert!((found - expected).abs() < 1e-6, "W: found {found}, expected {expected}");
        }
    }
}

/// What we write is what we read, and the same bytes twice.
#[test]
fn written_files_are_deterministic() {
    let folder = tempfile::tempdir().unwrap();
    let dense = Population::load(golden("dense3.safetensors")).unwrap();
    let bytes = [1, 2].map(|n| {
        let path = folder.path().join(format!("{n}.safetensors"));
        dense.save(&path, Encoding::F32).unwrap();
        std::fs::read(path).unwrap()
    });
    assert_eq!(bytes[0], bytes[1]);
    let parsed = safetensors::SafeTensors::deserialize(&bytes[0]).unwrap();
    assert_eq!(parsed.tensor("maps.2").unwrap().shape(), [8, 12, 10]);
}
