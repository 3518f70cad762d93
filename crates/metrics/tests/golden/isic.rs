use htl_metrics::{Confusion, ImageScores, Mask, MeanScores, ScoreSummary};
use serde_json::{Value, json};

use crate::{close, count, golden, list, number, text};

fn pairs(file: &Value) -> Vec<(String, Mask, Mask)> {
    let (height, width) = (count(&file["height"]), count(&file["width"]));
    let read = |hex: &Value| {
        let hex = text(hex);
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        Mask::from_luma(height, width, &(0..height * width).map(byte).collect::<Vec<u8>>()).unwrap()
    };
    let images = list(&file["images"]).iter();
    images
        .map(|i| (text(&i["image_id"]), read(&i["prediction"]), read(&i["truth"])))
        .collect()
}

const METRICS: [&str; 6] = [
    "jaccard",
    "threshold_jaccard",
    "dice",
    "accuracy",
    "sensitivity",
    "specificity",
];

#[test]
fn every_image_scores_as_the_official_scorer_says() {
    let file = golden("isic");
    for ((id, prediction, truth), expected) in pairs(&file).into_iter().zip(list(&file["images"])) {
        let scores = ImageScores::of(id, &prediction, &truth).unwrap();
        for metric in METRICS {
            close(scores.metric(metric).unwrap(), number(&expected[metric]), 1e-15);
        }
    }
}

#[test]
fn means_and_pooled_scores_agree() {
    let file = golden("isic");
    let pairs = pairs(&file);
    let counts: Vec<(String, Confusion)> = pairs
        .iter()
        .map(|(id, p, t)| (id.clone(), Confusion::of(p, t).unwrap()))
        .collect();
    let summary = serde_json::to_value(ScoreSummary::of(&counts).unwrap()).unwrap();
    for metric in METRICS {
        close(number(&summary["mean"][metric]), number(&file["mean"][metric]), 1e-12);
    }
    let rows: Vec<ImageScores> = pairs
        .iter()
        .map(|(id, p, t)| ImageScores::of(id.as_str(), p, t).unwrap())
        .collect();
    let mean = MeanScores::of(&rows).unwrap();
    close(mean.jaccard, number(&file["mean"]["jaccard"]), 1e-12);
    close(mean.pooled_jaccard, number(&file["pooled"]["jaccard"]), 1e-12);
    for metric in ["jaccard", "dice"] {
        close(
            number(&summary["pooled"][metric]),
            number(&file["pooled"][metric]),
            1e-12,
        );
    }
}

/// The bytes that `htl score` prints.
#[test]
fn the_summary_has_the_documented_form() {
    let one = Confusion {
        tp: 3,
        fp: 1,
        fn_: 1,
        tn: 5,
    };
    let summary = ScoreSummary::of(&[("ISIC_1".to_string(), one)]).unwrap();
    let row = r#""jaccard":0.6,"threshold_jaccard":0.0,"dice":0.75,"accuracy":0.8,"sensitivity":0.75,"specificity":0.8333333333333334"#;
    let expected = format!(
        r#"{{"images":1,"mean":{{{row}}},"pooled":{{"jaccard":0.6,"dice":0.75}},"per_image":[{{"image_id":"ISIC_1",{row}}}]}}"#
    );
    assert_eq!(serde_json::to_string(&summary).unwrap(), expected);
    let back: ScoreSummary = serde_json::from_value(json!(summary)).unwrap();
    assert_eq!(back, summary);
    let twice = [("ISIC_1".to_string(), one), ("ISIC_1".to_string(), one)];
    assert!(ScoreSummary::of(&twice).unwrap_err().to_string().contains("ISIC_1"));
    assert!(ScoreSummary::of(&[]).is_err());
}

/// `per_image.csv` has the documented columns and survives a round trip.
#[test]
fn image_scores_are_a_table_row() {
    let file = golden("isic");
    let rows: Vec<ImageScores> = pairs(&file)
        .iter()
        .map(|(id, p, t)| ImageScores::of(id.as_str(), p, t).unwrap())
        .collect();
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().for_each(|row| writer.serialize(row).unwrap());
    let bytes = writer.into_inner().unwrap();
    let header = String::from_utf8(bytes.clone())
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_string();
    assert_eq!(header, htl_metrics::IMAGE_SCORE_COLUMNS.join(","));
    let back: Result<Vec<ImageScores>, _> = csv::Reader::from_reader(&bytes[..]).deserialize().collect();
    assert_eq!(back.unwrap(), rows);
}
