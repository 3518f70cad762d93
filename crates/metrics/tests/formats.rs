//! Files and outputs that other programs read keep their bytes: names and order of fields.

use htl_metrics::{Confusion, ImageScores, Mask, MeanScores, PerImage, PerImageRow, ScoreSummary};

fn masks() -> (Mask, Mask) {
    let truth = Mask::new(2, 4, vec![0, 1, 1, 0, 0, 1, 1, 0]).unwrap();
    let prediction = Mask::new(2, 4, vec![0, 1, 1, 1, 0, 1, 0, 0]).unwrap();
    (prediction, truth)
}

#[test]
fn per_image_csv() {
    let (prediction, truth) = masks();
    let table = PerImage {
        group_columns: vec!["sex".into()],
        rows: vec![PerImageRow {
            scores: ImageScores::of("a", &prediction, &truth).unwrap(),
            calibration: None,
            lesion_id: Some("L7".into()),
            patient_id: None,
            groups: vec!["female".into()],
        }],
    };
    let expected = "image_id,jaccard,threshold_jaccard,dice,accuracy,sensitivity,specificity,box_iou,surface_distance,hd95,tp,fp,fn,tn,lesion_id,sex\n\
                    a,0.6,0.0,0.75,0.75,0.75,0.75,0.6666666666666666,0.05590169943749474,0.22360679774997896,3,1,1,3,L7,female\n";
    assert_eq!(String::from_utf8(table.to_csv().unwrap()).unwrap(), expected);
}

#[test]
fn means_of_summary_json() {
    let (prediction, truth) = masks();
    let mean = MeanScores::of(&[ImageScores::of("a", &prediction, &truth).unwrap()]).unwrap();
    let expected = r#"{"images":1,"jaccard":0.6,"threshold_jaccard":0.0,"dice":0.75,"accuracy":0.75,"sensitivity":0.75,"specificity":0.75,"box_iou":0.6666666666666666,"surface_distance":0.05590169943749474,"hd95":0.22360679774997896,"pooled_jaccard":0.6,"pooled_dice":0.75}"#;
    assert_eq!(serde_json::to_string(&mean).unwrap(), expected);
}

#[test]
fn output_of_htl_score() {
    let (prediction, truth) = masks();
    let counts = Confusion::of(&prediction, &truth).unwrap();
    let summary = ScoreSummary::of(&[("a".to_owned(), counts)]).unwrap();
    let expected = r#"{"images":1,"mean":{"jaccard":0.6,"threshold_jaccard":0.0,"dice":0.75,"accuracy":0.75,"sensitivity":0.75,"specificity":0.75},"pooled":{"jaccard":0.6,"dice":0.75},"per_image":[{"image_id":"a","jaccard":0.6,"threshold_jaccard":0.0,"dice":0.75,"accuracy":0.75,"sensitivity":0.75,"specificity":0.75}]}"#;
    assert_eq!(serde_json::to_string(&summary).unwrap(), expected);
}
