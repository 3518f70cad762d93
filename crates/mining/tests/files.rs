//! Files: what is written is read, and what is broken names its place.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use htl_mining::{
    Adjustment, Attribute, Encoding, MapKind, Metadata, MiningError, Outcome, Population, RATE_COLUMNS, SCORE_COLUMNS,
    ScoreRow, ScoreTable, Selection, demographics, write_rates,
};
use proptest::prelude::*;

fn write(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).unwrap();
    path
}

fn maps(values: Vec<f32>) -> Tensor {
    let n = values.len() / 4;
    Tensor::from_vec(values, (n, 2, 2), &Device::Cpu).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any numbers, ids with commas and quotes, missing values: the same table, bit by bit.
    #[test]
    fn tables_survive_a_round_trip(
        rows in prop::collection::vec((prop::collection::vec(prop::option::of(prop::num::f64::ANY.prop_filter("a number", |v| !v.is_nan())), 2), any::<bool>(), prop::option::of(0u32..5)), 0..20),
        name in "[ -~&&[^ ]]{1,8}",
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.csv");
        let mut table = ScoreTable::new(["disagreement", "a, \"quoted\" name"]);
        for (i, (scores, htl, fold)) in rows.into_iter().enumerate() {
            table.push(ScoreRow { image_id: format!("{name}{i}"), setting: "supervised".into(), fold, scores, htl }).unwrap();
        }
        table.write(&path).unwrap();
        prop_assert_eq!(ScoreTable::read(&path).unwrap(), table);
        prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    /// Exact in f32; within half a level and on the same side of 0.5 in eight bits.
    #[test]
    fn populations_survive_a_round_trip(values in prop::collection::vec(0.0..=1.0f32, 12), middle in 0usize..12) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maps.safetensors");
        let mut values = values;
        values[middle] = 0.5;
        let ids: Vec<String> = ["b", "a", "c"].map(String::from).to_vec();
        let population = Population::new(ids, vec![maps(values.clone()), maps(values.iter().map(|v| 1.0 - v).collect())]).unwrap();
        population.save(&path, Encoding::F32).unwrap();
        let read = Population::load(&path).unwrap();
        prop_assert_eq!(read.ids(), population.ids());
        population.save(&path, Encoding::U8).unwrap();
        let rough = Population::load(&path).unwrap();
        prop_assert_eq!(rough.map(0).unwrap().dtype(), DType::U8);
        for image in 0..3 {
            prop_assert_eq!(read.planes(image).unwrap(), population.planes(image).unwrap());
            for (rough, exact) in rough.planes(image).unwrap().concat().iter().zip(population.planes(image).unwrap().concat()) {
                prop_assert!((rough - exact).abs() <= 0.51 / 255.0, "{} {}", rough, exact);
                prop_assert_eq!(*rough > 0.5, exact > 0.5);
            }
        }
    }

    /// A damaged file is an error or other numbers, never a panic.
    #[test]
    fn damaged_populations_are_errors(at in 0usize..400, byte: u8, cut in 0usize..500) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("maps.safetensors");
        Population::new(vec!["a".into(), "b".into()], vec![maps(vec![0.25; 8])]).unwrap().save(&path, Encoding::F32).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let place = at % bytes.len();
        bytes[place] = byte;
        std::fs::write(&path, &bytes).unwrap();
        let _ = Population::load(&path);
        bytes.truncate(cut.min(bytes.len() - 1));
        std::fs::write(&path, &bytes).unwrap();
        prop_assert!(Population::load(&path).is_err());
    }
}

#[test]
fn class_activations_keep_their_kind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("maps.safetensors");
    let population = Population::class_activation(vec!["a".into()], vec![maps(vec![-3.0, 1.0, 5.0, 0.0])]).unwrap();
    for encoding in [Encoding::F32, Encoding::U8] {
        population.save(&path, encoding).unwrap();
        let read = Population::load(&path).unwrap();
        assert_eq!(read.kind(), MapKind::ClassActivation);
        for (a, b) in read.planes(0).unwrap()[0].iter().zip(&population.planes(0).unwrap()[0]) {
            assert!((a - b).abs() < 1.0 / 255.0);
        }
    }
    assert_eq!(population.planes(0).unwrap()[0], [0.0, 0.5, 1.0, 0.375]);
}

#[test]
fn wrong_populations_name_the_image_and_the_seed() {
    let ids = || vec!["a".to_string(), "b".to_string()];
    let error = |ids, maps| Population::new(ids, maps).unwrap_err().to_string();
    assert!(error(ids(), vec![]).contains("at least one"));
    assert!(error(vec!["a".into(), "a".into()], vec![maps(vec![0.0; 8])]).contains("`a` occurs twice"));
    let shape = error(ids(), vec![maps(vec![0.0; 8]), maps(vec![0.0; 4])]);
    assert!(
        shape.contains("seed 1") && shape.contains("[1, 2, 2]") && shape.contains("[2, 2, 2]"),
        "{shape}"
    );
    let value = error(ids(), vec![maps(vec![0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 0.0, 0.0])]);
    assert!(
        value.contains("`b`") && value.contains("1.5") && value.contains("sigmoid"),
        "{value}"
    );
    assert!(error(ids(), vec![maps(vec![f32::NAN; 8])]).contains("NaN"));
    let bytes = Tensor::zeros((2, 2, 2), DType::U8, &Device::Cpu).unwrap();
    assert!(error(ids(), vec![bytes]).contains("floating point"));
    let one = Population::new(ids(), vec![maps(vec![0.0; 8])]).unwrap();
    let other = Population::new(vec!["a".into(), "c".into()], vec![maps(vec![0.0; 8])]).unwrap();
    let merged = Population::merge([one, other]).unwrap_err().to_string();
    assert!(merged.contains("`b`") && merged.contains("part 2"), "{merged}");
}

#[test]
fn broken_tables_name_file_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    for (text, wanted) in [
        (
            "image_id,score\na,1\nb,high\n",
            ["row 3", "column `score`", "`high` is not a number"],
        ),
        (
            "image_id,score\na,1\nb,NaN\n",
            ["row 3", "column `score`", "`NaN` is not a number"],
        ),
        (
            "image_id,score\na,1\na,2\n",
            ["row 3", "column `image_id`", "`a` occurs twice"],
        ),
        ("image_id,score\n,1\n", ["row 2", "column `image_id`", "blank"]),
        ("image_id,htl\na,yes\n", ["row 2", "column `htl`", "neither 0 nor 1"]),
        ("image_id,fold\na,-1\n", ["row 2", "column `fold`", "`-1`"]),
        ("id,score\na,1\n", ["table.csv", "header", "no column `image_id`"]),
        (
            "image_id,score,score\na,1,1\n",
            ["table.csv", "header", "`score` occurs twice"],
        ),
        ("image_id,score\na,1,2\n", ["table.csv", "3 fields", "2 fields"]),
    ] {
        let path = write(&folder, text);
        let error = ScoreTable::read(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        for part in wanted {
            assert!(error.contains(part), "{text:?} gave {error:?}, expected {part:?}");
        }
    }
    let missing = ScoreTable::read(folder.path().join("nowhere.csv")).unwrap_err();
    assert!(matches!(missing, MiningError::Io { .. }) && missing.to_string().contains("nowhere.csv"));
    let read_only = ScoreTable::new(["score"])
        .write(Path::new("/proc/nowhere/scores.csv"))
        .unwrap_err();
    assert!(
        read_only.to_string().contains("/proc/nowhere/scores.csv"),
        "{read_only}"
    );
}

/// The long table of several settings and folds: one image, several rows, found by setting, ranked only when filtered.
#[test]
fn long_tables_hold_settings_and_folds() {
    let row = |id: &str, score| ScoreRow {
        image_id: id.into(),
        setting: String::new(),
        fold: None,
        scores: vec![Some(score)],
        htl: false,
    };
    let mut short = ScoreTable::new(["score"]);
    short.push(row("a", 1.0)).unwrap();
    short.push(row("b", 2.0)).unwrap();
    let boxes = short.clone().labelled("boxes", Some(1));
    let mut long = ScoreTable::concat([short.clone().labelled("supervised", Some(0)), boxes]).unwrap();
    assert_eq!((long.len(), long.settings()), (4, vec!["supervised", "boxes"]));
    assert_eq!(long.find("b", "boxes").unwrap().fold, Some(1));
    assert!(matches!(
        htl_mining::rank(&long, "score"),
        Err(MiningError::DuplicateId { .. })
    ));
    assert_eq!(
        htl_mining::rank(&long.filtered(|row| row.setting == "boxes"), "score").unwrap(),
        ["b", "a"]
    );
    let mut in_sample = ScoreTable::new(["score"]);
    in_sample.push(row("b", 7.0)).unwrap();
    long.join(&in_sample, "in_sample_").unwrap();
    assert_eq!(
        long.column("in_sample_score").unwrap(),
        [None, Some(7.0), None, Some(7.0)]
    );
    assert!(ScoreTable::concat([short.clone(), short]).is_err());
}

#[test]
fn metadata_columns_become_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("image_id,split,age_approx,sex,lesion_id,area,note\n");
    for i in 0..40 {
        let sex = ["female", "male", "unknown"][i % 3];
        let age = if i == 0 { "NA".into() } else { (20 + 2 * i).to_string() };
        text += &format!("i{i:02},train,{age},{sex},l{i},{}.5,text {i}\n", i);
    }
    let metadata = Metadata::read(write(&folder, &text)).unwrap();
    let names: Vec<&str> = metadata.attributes.iter().map(Attribute::name).collect();
    assert_eq!(names, ["age_approx", "sex", "area"]);
    let skipped: Vec<&str> = metadata.skipped.iter().map(|(column, _)| column.as_str()).collect();
    assert_eq!(skipped, ["split", "lesion_id", "note"]);
    assert_eq!(metadata.attributes[0].level("i00"), "unknown");
    assert_eq!(metadata.attributes[0].level("i10"), "30-44");
    assert_eq!(metadata.attributes[2].sorted_levels(), ["low", "middle", "high"]);
    for (text, wanted) in [
        (
            "image_id,age_approx\na,old\n",
            "row 2, column `age_approx`: `old` is not an age",
        ),
        (
            "image_id,sex\na,male\na,male\n",
            "row 3, column `image_id`: `a` occurs twice",
        ),
        ("sex\nmale\n", "no column `image_id`"),
    ] {
        let error = Metadata::read(write(&folder, text)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// The headers are a format that others read.
#[test]
fn headers_are_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let mut table = ScoreTable::new(SCORE_COLUMNS);
    for id in ["a", "b"] {
        let scores = vec![Some(0.5); SCORE_COLUMNS.len()];
        table
            .push(ScoreRow {
                image_id: id.into(),
                setting: "supervised".into(),
                fold: None,
                scores,
                htl: false,
            })
            .unwrap();
    }
    table
        .mark(&Selection {
            ids: vec!["b".into()],
            outcome: Outcome::Random { seed: 0 },
        })
        .unwrap();
    let path = folder.path().join("scores.csv");
    table.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "image_id,setting,fold,disagreement,soft_disagreement,boundary_disagreement,sham,soft_sham,boundary_sham,excess,\
         soft_excess,boundary_excess,dense_spread,entropy,pie,both_empty,dense_error,iou_drop,label_conflict,suspect_label,htl"
    );
    assert!(text.lines().nth(2).unwrap().starts_with("b,supervised,,0.5,") && text.ends_with(",1\n"));
    let sex = Attribute::categorical("sex", [("a", Some("male")), ("b", Some("female"))]).unwrap();
    let rows = demographics(&table, &[sex], Adjustment::Holm).unwrap();
    let path = folder.path().join("demographics.csv");
    write_rates(&rows, &path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "attribute,level,n,htl,rate,rate_lo,rate_hi,rate_ratio,rate_ratio_lo,rate_ratio_hi,odds_ratio,odds_ratio_lo,\
         odds_ratio_hi,p,p_adjusted"
    );
    assert_eq!(
        text.lines().next().unwrap().split(',').collect::<Vec<_>>(),
        RATE_COLUMNS
    );
    assert!(text.lines().nth(1).unwrap().starts_with("sex,female,1,1,1,"));
}
