//! Other people's scores against other people's software; `golden/other_scores.py` made the values and says with which
//! versions.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use htl_metrics::Mask;
use htl_mining::{
    Comparison, DYNAMICS_SCORE_COLUMNS, Population, ScoreParams, auroc, average_precision, column, dynamics_scores,
    gradient_norms, gradient_scores, rank, scores,
};
use htl_vocabulary::DynamicsRow;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    masks: Masks,
    detections: Vec<Detection>,
    history: History,
}

#[derive(Deserialize)]
struct Masks {
    levels: Vec<Vec<Vec<u8>>>,
    labels: Vec<Vec<u8>>,
    size: [usize; 2],
    quality: Vec<f64>,
}

#[derive(Deserialize)]
struct Detection {
    scores: Vec<f64>,
    special: Vec<bool>,
    auroc: f64,
    average_precision: f64,
}

/// Image, epoch, loss, margin, EL2N, whether it was right.
type Row = (String, usize, f64, f64, f64, bool);

#[derive(Deserialize)]
struct History {
    runs: Vec<Vec<Row>>,
    scores: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/other_scores.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn close(found: Option<f64>, expected: f64, tolerance: f64, what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what} is blank"));
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: found {found}, expected {expected}"
    );
}

/// Within the rounding of maps, which are 32-bit numbers.
#[test]
fn mask_quality_matches_cleanlab() {
    let Masks {
        levels,
        labels,
        size: [height, width],
        quality,
    } = golden().masks;
    let ids: Vec<String> = (0..levels.len()).map(|i| format!("i{i}")).collect();
    let maps = (0..levels[0].len()).map(|seed| {
        let values = levels
            .iter()
            .flat_map(|image| &image[seed])
            .map(|&level| f32::from(level) / 255.0);
        Tensor::from_vec(
            values.collect::<Vec<f32>>(),
            (levels.len(), height, width),
            &Device::Cpu,
        )
        .unwrap()
    });
    let population = Population::new(ids.clone(), maps.collect()).unwrap();
    let truth = |id: &str| {
        let image: usize = id.trim_start_matches('i').parse()?;
        Ok(Some(Mask::new(height, width, labels[image].clone())?))
    };
    let comparison = Comparison::new(&population, &population).with_truth(&truth);
    let table = scores(&comparison, &ScoreParams::default().check().unwrap()).unwrap();
    for (id, quality) in ids.iter().zip(quality) {
        close(table.score(id, "softmin"), 1.0 - quality, 1e-6, id);
    }
}

#[test]
fn detection_matches_scikit_learn() {
    for (case, detection) in golden().detections.into_iter().enumerate() {
        let scores: Vec<Option<f64>> = detection.scores.into_iter().map(Some).collect();
        let found = auroc(&scores, &detection.special).unwrap();
        close(found, detection.auroc, 1e-12, &format!("auroc of case {case}"));
        let found = average_precision(&scores, &detection.special).unwrap();
        close(
            found,
            detection.average_precision,
            1e-12,
            &format!("average precision of case {case}"),
        );
    }
}

#[test]
fn scores_of_histories_match_numpy() {
    let History { runs, scores } = golden().history;
    let row = |(image_id, epoch, loss, margin, el2n, correct): Row| DynamicsRow {
        image_id,
        epoch,
        loss,
        margin,
        el2n,
        correct,
    };
    let runs: Vec<Vec<DynamicsRow>> = runs.into_iter().map(|run| run.into_iter().map(row).collect()).collect();
    let table = dynamics_scores(&runs).unwrap();
    let mut columns = scores.keys().map(String::as_str).collect::<Vec<_>>();
    let mut own = DYNAMICS_SCORE_COLUMNS.to_vec();
    columns.sort_unstable();
    own.sort_unstable();
    assert_eq!(own, columns);
    for (name, expected) in scores {
        for (image, expected) in expected.into_iter().enumerate() {
            close(
                table.score(&format!("i{image}"), &name),
                expected,
                1e-12,
                &format!("{name} of i{image}"),
            );
        }
    }
}

/// The gradient of cross entropy by the weights of a linear classifier is (p - y) x: its norm is EL2N times |x|.
#[test]
fn gradient_norms_of_a_linear_classifier_are_known() {
    let device = Device::Cpu;
    let weights = Var::from_tensor(&Tensor::new(&[[0.3f64, -0.2], [0.1, 0.4], [0.0, 1.0]], &device).unwrap()).unwrap();
    let samples = [([1.0f64, 2.0], 0usize), ([-0.5, 0.1], 2), ([3.0, -1.0], 1)];
    let logits = |x: &[f64; 2]| {
        weights
            .as_tensor()
            .matmul(&Tensor::new(x, &device)?.reshape((2, 1))?)?
            .squeeze(1)
    };
    let norms = gradient_norms(samples.len(), std::slice::from_ref(&weights), |i| {
        let (x, label) = &samples[i];
        let z = logits(x)?;
        z.exp()?.sum_all()?.log()? - z.get(*label)?
    })
    .unwrap();
    for ((x, label), norm) in samples.iter().zip(&norms) {
        let z: Vec<f64> = logits(x).unwrap().to_vec1().unwrap();
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        let errors = z
            .iter()
            .enumerate()
            .map(|(class, z)| z.exp() / sum - f64::from(u8::from(class == *label)));
        let expected = errors.map(|e| e * e).sum::<f64>().sqrt() * x[0].hypot(x[1]);
        close(Some(*norm), expected, 1e-12, "norm");
    }
    let ids: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
    let table = gradient_scores(&ids, &[norms.clone(), vec![0.0; 3]]).unwrap();
    assert_eq!(table.score("b", "grand"), Some(norms[1] / 2.0));
    assert!(gradient_scores(&ids, &[vec![1.0]]).is_err());
    let infinite = gradient_norms(1, std::slice::from_ref(&weights), |_| {
        weights.as_tensor().log()?.sum_all()
    });
    assert!(infinite.unwrap_err().to_string().contains("finite"));
    let detached = gradient_norms(1, std::slice::from_ref(&weights), |_| {
        weights.as_detached_tensor().sum_all()
    });
    assert!(detached.unwrap_err().to_string().contains("sample 0 depends on none"));
}

/// Plain scores look at the networks' own mask, never at the label.
#[test]
fn small_and_pale_lesions_rank_hardest() {
    let ids: Vec<String> = ["large", "small", "pale"].map(String::from).to_vec();
    let of = |lesion: usize| (0..16).map(move |p| if p < lesion { 0.9f32 } else { 0.1 });
    let values: Vec<f32> = of(8).chain(of(2)).chain(of(9)).collect();
    let maps = Tensor::from_vec(values, (3, 4, 4), &Device::Cpu).unwrap();
    let population = Population::new(ids.clone(), vec![maps]).unwrap();
    let contrast = |id: &str, mask: &Mask| {
        assert_eq!(
            mask.area(),
            if id == "small" {
                2
            } else if id == "large" {
                8
            } else {
                9
            }
        );
        Ok(Some(if id == "pale" { 3.0 } else { 30.0 }).filter(|_| id != "large"))
    };
    let comparison = Comparison::new(&population, &population).with_contrast(&contrast);
    let table = scores(&comparison, &ScoreParams::default().check().unwrap()).unwrap();
    assert_eq!(table.score("small", "small_size"), Some(0.875));
    assert_eq!(rank(&table, "small_size", 0).unwrap().ids()[0], "small");
    assert_eq!(rank(&table, "low_contrast", 0).unwrap().ids(), ["pale", "small"]);
    assert_eq!(table.score("pale", column::DENSE_ERROR), None);
}
