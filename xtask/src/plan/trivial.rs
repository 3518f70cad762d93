//! Predictors that learn nothing: any localizer is judged against these.

use super::build::{Builder, PER_IMAGE, SUMMARY};
use crate::run_file::Results;
use crate::stage::{HtlCall, Value};
use std::collections::BTreeMap;

/// Adds their test results.
pub fn plan(builder: &mut Builder) -> BTreeMap<String, Results> {
    let mut results = BTreeMap::new();
    for predictor in ["whole-image", "centred-disc", "otsu"] {
        let call = HtlCall::new("evaluate")
            .flag("--predictor", predictor)
            .flag("--data", builder.data.clone())
            .flag("--split", "test")
            .flag("--out", Value::Own(PER_IMAGE.into()));
        let stage = builder.plan.call(&format!("trivial/{predictor}"), 30., call);
        let files = Results {
            per_image: stage.relative(PER_IMAGE),
            summary: stage.relative(SUMMARY),
        };
        results.insert(predictor.into(), files);
    }
    results
}
