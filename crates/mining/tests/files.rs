//! Files: what is written is read, and what is broken names its place.

use std::path::{Path, PathBuf};

use htl_mining::{
    Attribute, Cohort, ColumnChoice, Metadata, MiningError, Outcome, Permutations, SCORE_COLUMNS, Scale, ScoreRow,
    ScoreTable, Selection, UNKNOWN, demographics, write_rates,
};
use htl_vocabulary::RATE_COLUMNS;
use proptest::prelude::*;

fn write(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("table.csv");
    std::fs::write(&path, text).unwrap();
    path
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any numbers, ids with commas and quotes, missing values: the same table, bit by bit.
    #[test]
    fn tables_survive_a_round_trip(
        rows in prop::collection::vec((prop::collection::vec(prop::option::of(prop::num::f64::ANY.prop_filter("finite", |v| v.is_finite())), 2), any::<bool>(), prop::option::of(0u32..5)), 0..20),
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
        htl_mining::rank(&long, "score", 0),
        Err(MiningError::DuplicateId { .. })
    ));
    assert_eq!(
        htl_mining::rank(&long.filtered(|row| row.setting == "boxes"), "score", 0)
            .unwrap()
            .ids(),
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
fn metadata_is_read_as_data_folders_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::from("\u{feff}image_id,split,age_approx,sex,lesion_id,area,note\n");
    for i in 0..40 {
        let sex = ["female", " male ", "unknown"][i % 3];
        let age = ["NA".into(), "n/a".into(), "Unknown".into(), (20 + 2 * i).to_string()][i.min(3)].clone();
        text += &format!(" i{i:02} ,train,{age},{sex},l{i},{i}.5,{}\n", ["one", "two"][i % 2]);
    }
    let metadata = Metadata::read(write(&folder, &text)).unwrap();
    let ids: Vec<String> = (0..40).map(|i| format!("i{i:02}")).collect();
    assert!(metadata.contains("i00") && !metadata.contains("i40"));
    let ages: Vec<Option<f64>> = ids[..4].iter().map(|id| metadata.subject(id).age).collect();
    assert_eq!(ages, [None, None, None, Some(26.0)]);
    assert_eq!(metadata.subject("i01").cell("sex"), Some("male"));
    assert_eq!(metadata.subject("i02").cell("sex"), None);
    assert_eq!(metadata.subject("elsewhere").cell("sex"), None);
    let column = |text: &str| text.parse::<ColumnChoice>().unwrap();
    let area = metadata.attribute(&column("area"), &ids).unwrap();
    assert_eq!(area.sorted_levels(), ["low", "middle", "high"]);
    assert_eq!(
        metadata.attribute(&column("note"), &ids).unwrap().sorted_levels(),
        ["one", "two"]
    );
    let error = metadata.attribute(&column("lesion_id"), &ids).unwrap_err().to_string();
    assert!(error.contains("`lesion_id` holds 40 different texts"), "{error}");
    let error = metadata.attribute(&column("colour"), &ids).unwrap_err().to_string();
    assert!(
        error.contains("no column `colour`; there are image_id, split"),
        "{error}"
    );
}

/// Tables of other sources: other headers, other spellings, numbers cut where they are asked to be.
#[test]
fn other_headers_and_spellings_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let text = "lesion_id,image_id,age,gender,localization,bmi\nL1,a,35.0,M,Lower_extremity,18.4\nl1,b,,male,lower extremity,18.5\n\
                L2,c,80,F,lower extremity,30\nL3,d,41,Female,NA,n/a\n";
    let metadata = Metadata::read(write(&folder, text)).unwrap();
    let ids = ["a", "b", "c", "d"].map(str::to_owned);
    let cells = |column: &str| {
        let cell = |id: &String| metadata.subject(id).cell(column).unwrap_or_default().to_owned();
        ids.iter().map(cell).collect::<Vec<_>>()
    };
    assert_eq!(cells("sex"), ["male", "male", "F", "F"]);
    assert_eq!(
        cells("anatom_site"),
        ["lower extremity", "lower extremity", "lower extremity", ""]
    );
    assert_eq!(
        cells("lesion_id"),
        ["L1", "l1", "L2", "L3"],
        "names of things are no spellings"
    );
    assert_eq!(metadata.subject("a").age, Some(35.0));
    assert!(metadata.has("sex") && metadata.has("age_approx") && !metadata.has("dx"));
    let merged: Vec<&str> = metadata.merged().iter().map(|merged| merged.column.as_str()).collect();
    assert_eq!(merged, ["gender", "gender", "localization"]);
    let bmi = metadata.attribute(&"bmi:18.5,25,30".parse().unwrap(), &ids).unwrap();
    assert_eq!(
        ["a", "b", "c", "d"].map(|id| bmi.level(id)),
        ["<18.5", "18.5-25", "30+", UNKNOWN]
    );
    assert_eq!(bmi.scale(), Scale::Ordinal);
    let error = metadata
        .attribute(&"gender:1,2".parse().unwrap(), &ids)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`gender` holds `F`, which is not a number"), "{error}");
    for wrong in ["bmi:25,18", "bmi:a", "bmi:", ":1", ""] {
        assert!(wrong.parse::<ColumnChoice>().is_err(), "{wrong:?}");
    }
}

#[test]
fn broken_metadata_names_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (text, wanted) in [
        ("image_id,age_approx\na,old\n", "line 2: age_approx of `a` is `old`"),
        ("image_id,age\na,-5\n", "age of `a` is `-5`"),
        ("image_id,age_approx\na,inf\n", "`inf`; expected years"),
        ("image_id,age_approx\na,1e300\n", "`1e300`; expected years"),
        (
            "image_id,sex\na,male\n a ,male\n",
            "line 3: image_id `a` was already on line 2",
        ),
        ("image_id,sex\n ,male\n", "line 2: image_id is blank"),
        (
            "image_id,sex, sex\na,male,female\n",
            "column `sex` occurs more than once",
        ),
        ("sex\nmale\n", "no column `image_id`"),
    ] {
        let error = Metadata::read(write(&folder, text)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

/// Tables written one after another under the union of their columns are what `concat` makes of them.
#[test]
fn concatenated_tables_hold_every_column() {
    let folder = tempfile::tempdir().unwrap();
    let table = |text: &str| ScoreTable::read(write(&folder, text)).unwrap();
    let first = table("image_id,setting,fold,x,htl\na,supervised,0,0.1,1\n");
    let second = table("image_id,setting,fold,y,x,htl\na,weak,,1e-9,2,0\n");
    let path = folder.path().join("joined.csv");
    ScoreTable::concat([first, second]).unwrap().write(&path).unwrap();
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        "image_id,setting,fold,x,y,htl\na,supervised,0,0.1,,1\na,weak,,2,0.000000001,0\n"
    );
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
            outcome: Outcome::Marked,
        })
        .unwrap();
    let path = folder.path().join("scores.csv");
    table.write(&path).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let columns = format!("image_id,setting,fold,{},htl", SCORE_COLUMNS.join(","));
    assert_eq!(text.lines().next().unwrap(), columns);
    assert!(text.lines().nth(2).unwrap().starts_with("b,supervised,,0.5,") && text.ends_with(",1\n"));
    let sex = Attribute::categorical("sex", [("a", Some("male")), ("b", Some("female"))]).unwrap();
    let cohort = Cohort::selected(&table, "disagreement", &[]).unwrap();
    let rows = demographics(&cohort, &[sex], &Permutations::default()).rates;
    let path = folder.path().join("demographics.csv");
    write_rates(&path, &rows).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "attribute,level,n,htl,rate,rate_lo,rate_hi,rate_ratio,rate_ratio_lo,rate_ratio_hi,odds_ratio,odds_ratio_lo,\
         odds_ratio_hi,p,p_adjusted,both_empty,clusters,risk_difference,risk_difference_lo,risk_difference_hi,\
         odds_ratio_exact,odds_ratio_exact_lo,odds_ratio_exact_hi,odds_ratio_mid_lo,odds_ratio_mid_hi,\
         odds_ratio_clustered_lo,odds_ratio_clustered_hi,odds_ratio_stratified,odds_ratio_stratified_lo,\
         odds_ratio_stratified_hi,p_mid,p_stratified,p_permutation,p_holm,detectable_odds_ratio,\
         detectable_risk_difference,against"
    );
    assert_eq!(
        text.lines()
            .next()
            .unwrap()
            .split(',')
            .take(RATE_COLUMNS.len())
            .collect::<Vec<_>>(),
        RATE_COLUMNS
    );
    assert!(text.lines().nth(1).unwrap().starts_with("sex,female,1,1,,"));
}

/// Reading takes time in proportion to the file, also where one image has all the rows, or where there are many columns.
#[test]
fn large_tables_are_read_in_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.csv");
    let begin = std::time::Instant::now();
    let rows: String = (0..100_000).map(|fold| format!("a,{fold},0.5\n")).collect();
    std::fs::write(&path, format!("image_id,fold,score\n{rows}")).unwrap();
    let table = ScoreTable::read(&path).unwrap();
    assert_eq!(table.len(), 100_000);
    let names: Vec<String> = (0..100_000).map(|column| format!("s{column}")).collect();
    let values = vec!["1"; names.len()].join(",");
    std::fs::write(&path, format!("image_id,{}\na,{values}\n", names.join(","))).unwrap();
    let wide = ScoreTable::read(&path).unwrap();
    let mut joined =
        ScoreTable::concat([wide.clone().labelled("one", None), wide.clone().labelled("two", None)]).unwrap();
    joined.join(&wide, "other_").unwrap();
    assert_eq!((joined.columns().len(), joined.len()), (200_000, 2));
    // Squares would be minutes.
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}
