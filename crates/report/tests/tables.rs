//! Files written, read back, and refused with a message that says where and what.

use std::fs;

use htl_report::{
    Gain, RATE_COLUMNS, RateRow, ReportError, Results, markdown_table, read_rates, round_significant, write_rates,
};

mod fixture;

fn written(results: &Results) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    results.write(&path).unwrap();
    (folder, path)
}

#[test]
fn results_survive_the_file_and_keep_their_bytes() {
    let (_folder, path) = written(&fixture::results());
    let once = Results::read(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    once.write(&path).unwrap();
    assert_eq!(
        bytes,
        fs::read(&path).unwrap(),
        "reading and writing again changes nothing"
    );
    let order: Vec<_> = once.settings["semi-supervised"].arms.keys().collect();
    assert_eq!(order, ["baseline", "htl", "random", "labelled-only", "htl-query"]);
}

/// The schema of DESIGN section 4, name for name.
#[test]
fn results_have_the_documented_names() {
    let json: serde_json::Value = serde_json::from_str(&fixture::results().to_json()).unwrap();
    for pointer in [
        "/profile",
        "/device",
        "/dataset/name",
        "/dataset/train",
        "/dataset/val",
        "/dataset/test",
        "/settings/supervised/arms/baseline/seeds/0/seed",
        "/settings/supervised/arms/baseline/seeds/0/test/jaccard",
        "/settings/supervised/arms/htl/seeds/0/test/threshold_jaccard",
        "/settings/supervised/arms/random/seeds/0/test/dice",
        "/settings/supervised/gain/htl-vs-baseline/jaccard/mean",
        "/settings/supervised/gain/htl-vs-random/jaccard/ci95/1",
        "/settings/weakly-supervised-boxes/gain/htl-vs-baseline/jaccard/p",
        "/trivial/otsu/jaccard",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer}");
    }
    assert!(
        json.pointer("/settings/semi-supervised/gain/htl-vs-baseline/jaccard/p")
            .unwrap()
            .is_null()
    );
}

#[test]
fn last_bits_do_not_reach_the_file() {
    let mut a = fixture::results();
    let mut b = fixture::results();
    a.trivial["otsu"]["jaccard"] = 0.1 + 0.2;
    b.trivial["otsu"]["jaccard"] = 0.3;
    assert_eq!(a.to_json(), b.to_json());
    assert!(a.to_json().ends_with("}\n"));
    a.trivial["otsu"]["jaccard"] = f64::NAN;
    let (_folder, path) = written(&a);
    assert!(
        Results::read(&path).unwrap().trivial["otsu"]["jaccard"].is_nan(),
        "undefined is null and comes back undefined"
    );
    assert_eq!(round_significant(0.123_456_789, 6), 0.123_457);
    assert_eq!(round_significant(-1234.567, 2), -1200.0);
    assert!(round_significant(-0.0, 6).is_sign_positive());
}

#[test]
fn a_wrong_results_file_is_located() {
    let (_folder, path) = written(&fixture::results());
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replacen("\"seed\": 0", "\"seed\": \"zero\"", 1)).unwrap();
    let message = Results::read(&path).unwrap_err().to_string();
    assert!(
        message.contains("settings.supervised.arms.baseline.seeds[0].seed") && message.contains("results.json"),
        "{message}"
    );
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(Results::read(&path), Err(ReportError::Json { .. })));
    fs::write(&path, "{}").unwrap();
    assert!(
        Results::read(&path)
            .unwrap_err()
            .to_string()
            .contains("missing field `profile`")
    );
    let message = Results::read(&path.with_file_name("absent.json"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("absent.json") && message.contains("cannot read"),
        "{message}"
    );
}

#[test]
fn a_failed_write_keeps_the_old_file_and_names_the_path() {
    let message = fixture::results()
        .write(std::path::Path::new("/nowhere/at/all/results.json"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("/nowhere/at/all/results.json: cannot write"),
        "{message}"
    );
    let (folder, path) = written(&fixture::results());
    fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(fixture::results().write(&folder.path().join("taken")).is_err());
    assert!(path.exists());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no temporary file is left"
    );
}

#[test]
fn few_seeds_have_no_p() {
    let gain = Gain::new(0.01, [0.0, 0.02], Some(0.01), 4);
    assert_eq!((gain.p, gain.note.as_deref()), (None, Some("descriptive")));
    assert_eq!(Gain::new(0.01, [0.0, 0.02], Some(0.01), 5).p, Some(0.01));
}

#[test]
fn rates_survive_the_file() {
    let rows = fixture::report().rates.remove(0).rows;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("demographics.csv");
    write_rates(&path, &rows).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "attribute,level,n,htl,rate,rate_lo,rate_hi,rate_ratio,rate_ratio_lo,rate_ratio_hi,odds_ratio,odds_ratio_lo,\
         odds_ratio_hi,p,p_adjusted"
    );
    assert!(!text.contains("inf") && !text.contains("NaN"));
    let back = read_rates(&path).unwrap();
    assert_eq!(back.len(), rows.len());
    assert_eq!((back[0].level.as_str(), back[0].n, back[0].htl), ("female", 112, 21));
    write_rates(&path, &back).unwrap();
    assert_eq!(text, fs::read_to_string(&path).unwrap());
    assert_eq!(read_rates(&path).unwrap()[15].rate_ratio_hi, None);
}

#[test]
fn rates_are_read_by_name_and_refused_by_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.csv");
    let header = RATE_COLUMNS.join(",");
    let row = "sex,\"f, m\",4,2,0.5,nan,inf,,,,,,,,";
    fs::write(&path, format!("\u{feff}{header},extra\n{row},x\n")).unwrap();
    let expected = RateRow {
        rate_lo: None,
        rate_hi: None,
        ..RateRow::new("sex", "f, m", 4, 2, [0.0, 0.0])
    };
    assert_eq!(read_rates(&path).unwrap(), [expected]);
    let message = |text: String| {
        fs::write(&path, text).unwrap();
        read_rates(&path).unwrap_err().to_string()
    };
    let missing = message(header.replace(",htl", ""));
    assert!(missing.contains("column `htl` is missing"), "{missing}");
    let bad = message(format!("{header}\n{row}\n{}\n", row.replace("0.5", "half")));
    assert!(bad.contains("row 3, column `rate`: found `half`"), "{bad}");
    let negative = message(format!("{header}\n{}\n", row.replace(",4,", ",-4,")));
    assert!(negative.contains("column `n`"), "{negative}");
    let ragged = message(format!("{header}\nsex,f\n"));
    assert!(ragged.contains("not a readable CSV table"), "{ragged}");
}

/// Golden: the README's table for the made-up results. `UPDATE_GOLDEN=1 cargo test -p htl-report` writes it anew.
#[test]
fn the_markdown_table_is_as_committed() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/table.md");
    let table = markdown_table(&fixture::results());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(path, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(path).unwrap());
    let columns = table.lines().map(|l| l.matches('|').count());
    assert!(columns.into_iter().all(|n| n == 7), "{table}");
    assert!(table.contains("| Supervised | HTL attention | **0.80"));
    assert!(table.contains("+0.8 (0.2 to 1.5) |") && table.contains(", descriptive) |"));
}
