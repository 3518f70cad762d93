//! The peers' results, made by `make.py`, `crossed.R` and `risk_coverage.py` beside this file, against ours.

mod fairlearn;
mod isic;
mod lmertest;
mod risk_coverage;
mod scipy;
mod skimage;
mod torch;
mod wsol;

use htl_metrics::Mask;
use serde_json::Value;

/// Reads a golden file.
fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

fn singles(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|v| v as f32).collect()
}

fn count(value: &Value) -> usize {
    value.as_u64().expect("a count") as usize
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_string()
}

/// A mask from rows of `#` and `.`.
fn mask(rows: &Value) -> Mask {
    let rows: Vec<String> = list(rows).iter().map(text).collect();
    let pixels = rows
        .iter()
        .flat_map(|r| r.bytes().map(|b| u8::from(b == b'#')))
        .collect();
    Mask::new(rows.len(), rows[0].len(), pixels).expect("rows of equal length")
}

#[track_caller]
fn close(found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "found {found}, expected {expected}"
    );
}
